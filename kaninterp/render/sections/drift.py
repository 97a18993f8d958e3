"""Section 8, with a reference: what changed since, when, and what follows from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kaninterp.analysis.checking import BLIND
from kaninterp.analysis.drift import ShapeDrift, ShapeDrifts
from kaninterp.core.clipping import ClippedPart, Clipping
from kaninterp.core.drift import DriftEvidence
from kaninterp.core.evidence import Estimate
from kaninterp.core.periods import Departure, Periods
from kaninterp.render.blocks import Block, Paragraph, Section
from kaninterp.render.cells import Cell, Name, Table
from kaninterp.render.drift_nouns import PeriodMap
from kaninterp.render.material import Material
from kaninterp.render.wording import count, number, percent, plural, shorten, shown, sign

__all__ = ["drift_section"]

MAX_ROWS = 60
MAX_NODES = 40
LONGEST_NAME = 64
"""Names and labels within sentences are cut to this."""
MAX_LINES = 24
"""Rows of the map of periods; 60 cells each are about 5 kB."""


COLUMNS_NOTE = (
    "Outside: share of values, at all lags, outside the range then. Worth rows: how many independent rows would tell "
    "as much, then and now, for a slow series repeats itself. Read: whether the model reads the column at all."
)
KINDS = {"": "as before", "open": "not proven", "moved": "moved", "changed": "other shape", "cut": "cut"}
DISTANCES = ("Distribution", "#Mean", "#KS", "#Wasserstein", "#PSI | chance")
DISTANCES_NOTE = (
    "Distribution: moved, of another shape, or cut to part of its range, if the change is large enough to matter and "
    "chance makes it so in 1 % of cases at most; or what became of one that was constant; ?: among so many it may be "
    "chance all the same; not proven: large, but so few independent rows may do that by chance. Mean and Wasserstein "
    "in standard deviations then, n/a where there were none; KS: largest difference of the distribution functions; "
    "PSI: stability index, and what chance alone makes of it in 1 % of cases."
)
MOVED_NOTE = "Output moved: root mean square change of the output that moves most, in its standard deviations."
COSTS_NOTE = (
    "Costs: loss as it is minus loss clipped, with its 95 % interval; below 0 the model does better with the values as "
    "they are."
)


def drift_section(material: Material) -> Section | None:
    """Columns, periods and consequences; None without a reference."""
    drift, shapes = material.analysis.drift, material.analysis.shapes
    if drift is None or shapes is None:
        return None
    departures = drift.periods.departures()
    blocks: list[Block] = []
    if drift.watched.columns is not None:
        blocks.append(_columns(drift, shapes, material))
    blocks.append(_layers(shapes, material))
    if departures:
        blocks.append(_map(drift.periods, departures))
    blocks += _consequences(drift)
    blocks.append(Paragraph(text=BLIND, tone="note"))
    return Section(id="drift", title="Drift", lead=_lead(material, drift, departures), blocks=tuple(blocks))


def _lead(material: Material, drift: DriftEvidence, departures: tuple[Departure, ...]) -> str:
    found = [finding for finding in material.analysis.findings if finding.section == "drift"]
    sure = sum(finding.severity != "note" for finding in found)
    rows, before = count(material.analysis.trace.rows), count(drift.card.rows)
    text = f"{rows} rows against {before} seen before ({shown(drift.card.data)}). "
    if not found:
        return f"{text}Nothing found: no column that the model reads left its range beyond chance, and none froze."
    told = f"{sure} finding{plural(sure)}" if sure else "Nothing that chance does not explain"
    first = f" The first to leave: {_departed(_first(departures))}." if departures else ""
    return f"{text}{told}, and {len(found) - sure} to note, under Findings.{first}"


def _first(departures: tuple[Departure, ...]) -> Departure:
    return min(departures, key=lambda found: found.period)


def _columns(drift: DriftEvidence, shapes: ShapeDrifts, material: Material) -> Table:
    """What each raw column did, the furthest outside first."""
    columns, before, now = drift.watched.columns, drift.card.raw, material.analysis.trace.raw
    assert columns is not None and before is not None and now is not None  # noqa: S101, PT018 - for the type checker
    found = shapes.columns
    outside = columns.counts.outside
    moved = np.zeros(len(outside)) if found is None else found.wasserstein
    # the numbers that the distributions are judged by, where they are
    worth = (before.effective, columns.effective) if found is None else (found.before, found.now)
    order = np.lexsort((np.arange(len(outside)), -moved, -outside))
    rows: list[tuple[Cell, ...]] = [
        (
            Name(text=shown(before.names[i]), href=f"input-{i}"),
            percent(float(outside[i])),
            _extent(before.nodes.low[i], before.nodes.high[i]),
            _extent(now.nodes.low[i], now.nodes.high[i]),
            *(() if found is None else _distances(found, i)),
            f"{count(round(float(worth[0][i])))} | {count(round(float(worth[1][i])))}",
            "yes" if columns.read[i] else "no",
        )
        for i in map(int, order[:MAX_ROWS])
    ]
    left = len(order) - len(rows)
    return Table(
        id="drift-columns",
        caption="Your columns, then and now, furthest outside first",
        columns=(
            "Column", "#Outside", "Range then", "Range now", *(() if found is None else DISTANCES),
            "#Worth rows", "Read",
        ),
        rows=tuple(rows),
        note=COLUMNS_NOTE
        + ("" if found is None else f" {DISTANCES_NOTE}")
        + (f" {count(left)} columns are left out." if left else ""),
    )  # fmt: skip


def _layers(shapes: ShapeDrifts, material: Material) -> Table:
    """The input nodes of every layer, most moved first."""
    layers = shapes.layers
    places = [
        (-float(found.wasserstein[i]), depth, i)
        for depth, (found, layer) in enumerate(zip(layers, material.analysis.trace.layers, strict=True))
        for i in np.flatnonzero(layer.edges.alive.any(0)).tolist()
    ]
    rows: list[tuple[Cell, ...]] = [
        (
            Name(text=shown(layers[depth].names[i]), href=f"node-{depth}-{i}"),
            str(depth + 1),
            *_distances(layers[depth], i),
            f"{count(round(float(layers[depth].before[i])))} | {count(round(float(layers[depth].now[i])))}",
        )
        for _, depth, i in sorted(places)[:MAX_NODES]
    ]
    left = len(places) - len(rows)
    return Table(
        id="drift-nodes",
        caption="Inputs of the KAN layers, then and now, most moved first",
        columns=("Node", "#Layer", *DISTANCES, "#Worth rows"),
        rows=tuple(rows),
        folded=True,
        note=DISTANCES_NOTE + (f" {count(left)} nodes are left out." if left else ""),
    )


def _distances(found: ShapeDrift, i: int) -> tuple[Cell, ...]:
    open_one = bool(found.large[i]) and not found.kind[i]
    kind = KINDS["open" if open_one else found.kind[i]]
    doubt = "?" if found.kind[i] and not found.sure[i] else ""
    became = found.became[i]
    if became:
        kind = f"{became} ({kind})" if open_one else became
    return (
        f"{kind}{doubt}",
        "n/a" if became else f"{sign(float(found.shift[i]), 2)} sd",
        number(float(found.ks[i]), 2),
        "n/a" if became else f"{number(float(found.wasserstein[i]), 2)} sd",
        f"{number(float(found.psi[i]), 2)} | {number(float(found.limit[i]), 2)}",
    )


def _extent(low: float, high: float) -> str:
    return f"{number(float(low))} to {number(float(high))}"


def _map(when: Periods, departures: tuple[Departure, ...]) -> PeriodMap:
    shown_first = departures[:MAX_LINES]
    first, last = tuple(map(shown, when.first)), tuple(map(shown, when.last))
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            Name(text=shown(found.name)),
            "column" if found.layer is None else f"grid of KAN layer {found.layer + 1}",
            f"{_brief(found.since)} to {_brief(found.until)}",
            f"{found.periods} of {len(first)}",
            f"{percent(found.share)} in {_brief(first[found.worst])} to {_brief(last[found.worst])}",
            percent(found.before),
        )
        for found in departures[:MAX_ROWS]
    )
    left = len(departures) - len(shown_first)
    return PeriodMap(
        caption="Which period left the range: share of rows outside, in the order of your rows",
        summary=f"{count(len(departures))} columns or nodes were outside more often than before; "
        f"the first, {_brief(_first(departures).name)}, from {_brief(_first(departures).since)} on."
        + (f" {count(left)} more are in the table only." if left > 0 else ""),
        names=tuple(_named(found) for found in shown_first),
        shares=tuple(tuple(map(float, _shares(when, found))) for found in shown_first),
        first=first,
        last=last,
        table=Table(
            id="drift-periods",
            caption="Since when, and how far",
            columns=("Name", "What", "Since", "Periods outside", "Worst", "Share before"),
            rows=rows,
            folded=True,
            note=_left_out(len(departures) - len(rows), "columns or nodes"),
        ),
    )


def _departed(found: Departure) -> str:
    return str(replace(found, name=_brief(found.name), since=_brief(found.since), until=_brief(found.until)))


def _brief(text: object) -> str:
    """A name or a label within a sentence."""
    return shorten(shown(text), LONGEST_NAME)


def _left_out(left: int, what: str) -> str:
    return f"{count(left)} more {what} are left out." if left > 0 else ""


def _named(found: Departure) -> str:
    """A column leaves its range, a node its grid; a KAN that reads columns itself has both under one name."""
    return shown(found.name) if found.layer is None else f"{shown(found.name)} (grid)"


def _shares(when: Periods, found: Departure) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    table = when.columns if found.layer is None else when.layers[found.layer]
    return np.asarray(table[:, found.index])


def _consequences(drift: DriftEvidence) -> list[Block]:
    if drift.clipping is None:
        why = f"What the values outside do to the output was not measured: {shown(drift.remark)}"
        return [Paragraph(text=why, tone="note")]
    clipping = drift.clipping
    blocks: list[Block] = [_clipped(clipping)]
    whole = clipping.part("columns")
    told = "" if whole is None else clipping.explanation(whole)
    if told:
        losses = f"Loss ({clipping.loss}) then {_told(clipping.reference)}, now {_told(clipping.base)}"
        blocks.append(Paragraph(text=f"{losses}: {told}."))
    return blocks


def _clipped(clipping: Clipping) -> Table:
    judged = clipping.base is not None
    ordered = sorted(clipping.parts, key=lambda part: (_KINDS.index(part.kind), -part.most, part.index))
    rows = tuple(_part(part, judged=judged) for part in ordered[:MAX_ROWS])
    note = f"The same model on {count(clipping.rows)} rows, with values outside moved to the edge. {MOVED_NOTE}"
    if judged:
        note += f" {COSTS_NOTE}"
    for reason in clipping.left_out:
        note += f" Not clipped: {shown(reason)}."
    left = _left_out(len(ordered) - len(rows), "columns")
    note += f" {left}" if left else ""
    columns = ("Clipped", "To", "#Rows with an exit", "#Output moved")
    return Table(
        id="drift-consequences",
        caption="What the part outside does to the output and the loss",
        columns=(*columns, *(("#Costs", "#Loss with | without exit") if judged else ())),
        rows=rows,
        note=note,
    )


_KINDS = ("columns", "seen", "domain", "column")
_LIMITS = {
    "columns": "range of all columns",
    "column": "range of the column",
    "seen": "what its nodes showed before",
    "domain": "its domains",
}


def _part(part: ClippedPart, *, judged: bool) -> tuple[Cell, ...]:
    loss = (_told(part.cost), f"{_told(part.with_exit)} | {_told(part.without_exit)}") if judged else ()
    return (Name(text=shown(part.name)), _LIMITS[part.kind], percent(part.exits), f"{number(part.most)} sd", *loss)


def _told(value: Estimate | None) -> str:
    return "too few rows" if value is None else f"{number(value.value)} ({number(value.low)} to {number(value.high)})"
