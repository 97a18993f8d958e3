"""Nodes and links of the network figure, and what each node means in the user's columns and lags."""

from __future__ import annotations

import numpy as np

from kaninterp.analysis.bundle import Analysis
from kaninterp.analysis.drivers import node_drivers
from kaninterp.analysis.missing import DRAWING_LIMIT, missing_nodes
from kaninterp.core.frozen import Array, BoolArray

from .figure_nouns import Link, Node
from .material import Material
from .wording import join, number, percent, shown

__all__ = ["input_lags", "links", "nodes"]

LINKS_PER_UNIT = 3
LINKS_IN_ALL = 96
"""Beyond about a hundred curves between two columns nobody can follow one."""
LEAST_LINK = 0.02
"""Links below 2 % of a unit's variation are not drawn."""
MAX_PER_COLUMN = 96
"""Nodes drawn per column; at 14 px a node that is a figure of about 1,300 px."""
MAX_NODES = 480
MAX_BARS = 32


def input_lags(analysis: Analysis, index: int) -> tuple[float, ...]:
    """Attribution of a column per lag, lag 0 first: mean over baselines, largest output; binned above 32 lags."""
    attribution = analysis.attribution
    if attribution is None:
        return ()
    profile = attribution.magnitude[..., index].mean(0).max(0)
    if len(profile) > MAX_BARS:
        profile = np.array([part.mean() for part in np.array_split(profile, MAX_BARS)])
    return tuple(float(v) for v in profile)


def nodes(material: Material) -> tuple[tuple[Node, ...], tuple[str, ...], str]:
    """Nodes by column, heads of the columns, and what was left out."""
    trace, columns, heads, left = material.analysis.trace, [], [], []
    most = min(MAX_PER_COLUMN, MAX_NODES // len(trace.card.widths))
    if trace.raw is not None and not material.plain:
        columns.append(_raw_nodes(material))
        heads.append("Your columns")
    for layer in range(len(trace.layers) + 1):
        column = len(columns)
        made = _layer_nodes(material, layer, column)
        made.sort(key=lambda node: (not node.live, -node.weight, node.index))
        columns.append(made[:most])
        heads.append(_head(material, layer))
        if len(made) > most:
            left.append(f"{len(made) - most} of {len(made)} nodes of layer {layer} (lowest score)")
    if len(columns[0]) > most:
        left.append(f"{len(columns[0]) - most} of {len(columns[0])} input columns")
        columns[0] = columns[0][:most]
    return tuple(n for column in columns for n in column), tuple(heads), "; ".join(left)


def _head(material: Material, layer: int) -> str:
    last = len(material.analysis.trace.layers)
    if layer == last:
        return "Output" if len(material.analysis.trace.output_names) == 1 else "Outputs"
    if layer == 0:
        return "Your columns" if material.plain else "Backbone units"
    return "KAN nodes" if last == 2 else f"KAN nodes, layer {layer}"


def _raw_nodes(material: Material) -> list[Node]:
    analysis = material.analysis
    assert analysis.trace.raw is not None  # noqa: S101  (checked by the caller; for the type checker)
    verdicts = {v.index: v for v in analysis.verdicts}
    effect = _output_share(analysis)
    made = []
    for i, name in enumerate(analysis.trace.raw.names):
        verdict = verdicts.get(i)
        moved = (
            f"; {percent(float(effect[i]))} of the output's variance goes when it is shuffled" if effect.size else ""
        )
        word = verdict.survives if verdict else "not judged"
        made.append(
            Node(
                column=0,
                layer=-1,
                index=i,
                kind="input",
                name=shown(name),
                weight=float(effect[i]) if effect.size else 0.0,
                note=f"{word}{moved}",
                verdict=verdict.survives if verdict else "",
                lags=input_lags(analysis, i),
                live=verdict is None or verdict.survives != "drop",
            )
        )
    rank = {"keep": 0, "tentative": 1, "": 1, "drop": 2}
    return sorted(made, key=lambda n: (rank[n.verdict], -n.weight, n.index))


def _output_share(analysis: Analysis) -> Array:
    if analysis.ablation is None or not analysis.ablation.node_shares:
        return np.zeros(0)
    return np.asarray(analysis.ablation.node_shares[-1].max(0))


def _layer_nodes(material: Material, layer: int, column: int) -> list[Node]:
    analysis = material.analysis
    trace, last = analysis.trace, len(analysis.trace.layers)
    live = _live(analysis, layer)
    weight = np.ones(trace.card.widths[-1]) if layer == last else analysis.scores[layer].nodes_kan2.max(0)
    reasons = {(m.layer, m.index): m.text for m in missing_nodes(analysis)}
    verdicts = {v.index: v for v in analysis.verdicts} if layer == 0 and material.plain else {}
    made = []
    for i in range(trace.card.widths[layer]):
        original = trace.card.node_ids[layer][i] if layer < last else i
        verdict = verdicts.get(original)
        made.append(
            Node(
                column=column,
                layer=layer,
                index=i,
                kind="output" if layer == last else "unit" if layer == 0 and not material.plain else "node",
                name=shown(trace.node_name(layer, i)),
                weight=float(weight[i]),
                note=_note(analysis, layer, i, reasons),
                verdict=verdict.survives if verdict else "",
                lags=input_lags(analysis, original) if verdict else (),
                live=bool(live[i]),
            )
        )
    return made


def _live(analysis: Analysis, layer: int) -> BoolArray:
    """Nodes that an edge from the drawing limit on touches; outputs always."""
    layers, scores = analysis.trace.layers, analysis.scores
    drawn = [s.kan2.max(0) >= DRAWING_LIMIT for s in scores]
    drawn = [d & layer_.edges.alive for d, layer_ in zip(drawn, layers, strict=True)]
    if layer == len(layers):
        return np.ones(drawn[-1].shape[0], dtype=bool)
    return np.asarray(drawn[layer].any(0) | (drawn[layer - 1].any(1) if layer else False))


def _note(analysis: Analysis, layer: int, index: int, reasons: dict[tuple[int, int], str]) -> str:
    last = len(analysis.trace.layers)
    score = "" if layer == last else f"KAN 2.0 score {number(float(analysis.scores[layer].nodes_kan2[:, index].max()))}"
    top = node_drivers(analysis, layer, index)
    moved = f"moves with {join([f'{shown(d.name)} ({percent(d.share)})' for d in top])}" if top and score else ""
    missing = reasons.get((layer, index), "").rstrip(".")
    return "; ".join(part for part in (score, moved, missing) if part)


def links(material: Material) -> tuple[tuple[Link, ...], str]:
    """Strongest links from raw columns to units, and a sentence on what was drawn."""
    ablation = material.analysis.ablation
    if material.plain or ablation is None or not ablation.node_shares:
        return (), "" if material.plain else "Links from columns to units were not measured."
    shares = ablation.node_shares[0] * _live(material.analysis, 0)[:, None]
    found = []
    per_unit = max(1, min(LINKS_PER_UNIT, LINKS_IN_ALL // max(int((shares.max(1) > 0).sum()), 1)))
    for unit, row in enumerate(shares):
        top = [int(column) for column in np.argsort(-row, kind="stable")[:per_unit]]
        found += [Link(src=column, dst=unit, share=float(row[column])) for column in top if row[column] >= LEAST_LINK]
    found.sort(key=lambda link: (-link.share, link.dst, link.src))
    drawn = tuple(found[:LINKS_IN_ALL])
    possible = int((shares > 0).sum())
    text = (
        f"{len(drawn)} of {possible:,} links from columns to units are drawn: up to {per_unit} per unit, each at "
        f"least {percent(LEAST_LINK)} of the unit's variance."
    )
    return drawn, text
