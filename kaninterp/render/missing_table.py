"""Nodes without a drawn edge, why, and what removing them does; and edges that undo each other (question 1)."""

from __future__ import annotations

from math import isfinite

from kaninterp.analysis.missing import Missing, missing_nodes
from kaninterp.core.edge_evidence import EdgeAblation, Twins
from kaninterp.core.evidence import OUTPUT_CHANGE, Z95, Estimate

from .cells import Cell, Name, Table, Whisker
from .material import Material
from .wording import count, plural, shown

__all__ = ["missing_tables"]

MAX_MISSING_ROWS = 80
"""Rows of the table: a longer one is not read."""
MAX_TWINS = 24
"""Pairs listed, the dearest single edges first."""


def missing_tables(material: Material) -> tuple[Table, ...]:
    """Why nodes show no edge, and pairs of edges that undo each other; each only where there are some."""
    return (*_missing(material), *_twins(material))


def _missing(material: Material) -> tuple[Table, ...]:
    found = missing_nodes(material.analysis)
    if not found:
        return ()
    ablation = material.analysis.edge_ablation
    removed = ablation is not None and any(m.change is not None for m in found)
    left, nodes_ = len(found) - MAX_MISSING_ROWS, len({(m.layer, m.index) for m in found})
    note = f"{_what(ablation)} when all edges of the node on that side are replaced by their means." if removed else ""
    return (
        Table(
            id="missing",
            caption=f"Why {nodes_} node{plural(nodes_)} show{'s' if nodes_ == 1 else ''} no edge on a side",
            columns=("Node", "Side", *(("Change when removed",) if removed else ()), "Reason"),
            rows=tuple(_row(m, removed=removed) for m in found[:MAX_MISSING_ROWS]),
            folded=True,
            note=" ".join(part for part in (note, f"{left} more rows left out." if left > 0 else "") if part),
        ),
    )


def _row(missing: Missing, *, removed: bool) -> tuple[Cell, ...]:
    name = Name(text=shown(missing.name), href=f"node-{missing.layer}-{missing.index}")
    if not removed:
        return (name, missing.side, shown(missing.text))
    change = "not measured" if missing.change is None else _whisker(missing.change)
    return (name, missing.side, change, shown(missing.reason))


def _what(ablation: EdgeAblation | None) -> str:
    if ablation is None or ablation.loss == OUTPUT_CHANGE:
        return "Mean squared change of the outputs in units of their variance, with its 95 % interval,"
    return f"Rise of the loss ({ablation.loss}) on {count(ablation.rows)} rows, with its 95 % interval,"


def _whisker(estimate: Estimate) -> Whisker:
    return Whisker(value=estimate.value, low=estimate.low, high=estimate.high)


def _twins(material: Material) -> tuple[Table, ...]:
    """Pairs of which one alone is missed: a score that adds up edges calls both strong, the node knows neither."""
    ablation = material.analysis.edge_ablation
    if ablation is None or not ablation.error:
        return ()
    known = [(pair, tuple(_alone(ablation, pair, src) for src in pair.src)) for pair in ablation.twins]
    known = [(pair, alone) for pair, alone in known if all(isfinite(e.value) for e in alone)]
    pairs = [(pair, alone) for pair, alone in known if any(e.low > 0 for e in alone)]
    if not pairs:
        return ()
    pairs.sort(key=lambda found: -max(e.value for e in found[1]))
    left = len(pairs) - MAX_TWINS
    return (
        Table(
            id="twins",
            caption="Edges into one node that undo each other",
            columns=("From", "And from", "To", "Change without the first", "Without the second", "Without both"),
            rows=tuple(_pair(material, pair, alone) for pair, alone in pairs[:MAX_TWINS]),
            folded=True,
            note=f"{_what(ablation)} when one edge, or both, are replaced by their means. "
            "Both are drawn by what each does; together they do little."
            + (f" {left} pairs left out." if left > 0 else ""),
        ),
    )


def _alone(ablation: EdgeAblation, pair: Twins, src: int) -> Estimate:
    value = float(ablation.change[pair.layer][pair.dst, src])
    half = Z95 * float(ablation.error[pair.layer][pair.dst, src])
    return Estimate(value=value, low=value - half, high=value + half)


def _pair(material: Material, pair: Twins, alone: tuple[Estimate, ...]) -> tuple[Cell, ...]:
    trace = material.analysis.trace
    first, second = (_name(trace.node_name(pair.layer, src), pair.layer, src) for src in pair.src)
    target = _name(trace.node_name(pair.layer + 1, pair.dst), pair.layer + 1, pair.dst)
    return (first, second, target, *map(_whisker, (*alone, pair.together)))


def _name(name: str, layer: int, index: int) -> Name:
    return Name(text=shown(name), href=f"node-{layer}-{index}")
