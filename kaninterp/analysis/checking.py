"""What a check of new data against a range card finds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kaninterp.core.findings import Finding, Severity
from kaninterp.core.range_card import RangeCard, SeenColumns
from kaninterp.core.trace import LayerTrace, Trace
from kaninterp.core.watch import Exit, RangeWatch, Watched, WatchedColumns, WatchedLayer

from .checking_shapes import layer_shapes, shape_findings
from .drift import ShapeDrifts, shape_drifts
from .exceedance import more_than
from .wording import became, counted, listed, number, percent, shown

__all__ = ["BLIND", "check_findings", "check_names", "watch_of"]

LEAST = 0.01
"""Share of values outside the card's range below which a column is not named, however sure it is."""

ALPHA = 0.01
"""Chance that data of the same law, or of the same autocorrelation, have any column or layer named (Bonferroni)."""

LISTED = 30
"""Columns whose share is written out."""

BAD = 0.5
"""Share outside from which most of what a column or node brings was never seen."""

SLOW = 0.5
"""Independent rows per row below which a series is called slow."""

BLIND = (
    "Not to be seen in single columns: columns that no longer go together, as long as each keeps its own distribution, "
    "and a target that follows them in another way. Compare the loss for that."
)
"""What no check of ranges and distributions sees; said with every result."""


def check_findings(
    trace: Trace, card: RangeCard, watched: Watched, *, drifts: ShapeDrifts | None = None
) -> tuple[Finding, ...]:
    """Columns that left their range or froze, and nodes of every layer that left their domain.

    Parameters
    ----------
    trace
        Of the new data, by the model of the card.
    card
        What the model has seen before.
    watched
        What was seen of the new data beside their trace.
    drifts
        What `shape_drifts` finds of the three, where it is known already.

    Returns
    -------
    tuple of Finding
        ``section`` is one of `check_names`. Worst first within a check.

    Notes
    -----
    A column is named if more than `LEAST` of its values lie outside the card's range and chance does not explain it
    (`exceedance`), a node if more than `RISE` of its rows left its domain since, and chance does not explain it. Both
    count independent rows, for a slow series leaves its old range by itself; what chance does explain is a note.
    """
    ranges, left = _columns_out(card, watched.columns)
    frozen, still = _frozen(trace, card, watched.columns)
    drifts = drifts or shape_drifts(trace, card, watched)
    shapes = shape_findings(drifts.columns, watched, told=left | still)
    quiet = not (ranges or frozen or shapes)
    layers, out = _layers_out(trace, card, watched, quiet=quiet)
    nodes = layer_shapes(drifts.layers, trace, card, quiet=quiet and not layers, told=out)
    return (*ranges, *frozen, *shapes, *layers, *nodes)


def check_names(card: RangeCard) -> tuple[tuple[str, str], ...]:
    """Every check there is: its short name and what it asks."""
    raw = () if card.raw is None else (
        ("columns", "raw columns stay in the range of the card"),
        ("frozen", "raw columns still vary"),
        *((("shape", "raw columns keep their distribution"),) if card.raw.shapes is not None else ()),
    )  # fmt: skip
    asks = "inputs of KAN layer {} stay in their domain and keep their distribution"
    layers = ((f"layer-{i + 1}", asks.format(i + 1)) for i in range(len(card.layers)))
    return (*raw, *layers)


def watch_of(trace: Trace) -> RangeWatch:
    """The counts of a trace as those of a monitor."""
    return RangeWatch(fingerprint=trace.card.fingerprint, layers=tuple(_watched(layer) for layer in trace.layers))


def _watched(layer: LayerTrace) -> WatchedLayer:
    outside = layer.ranges.outside
    return WatchedLayer(
        rows=layer.inputs.count,
        below=outside[:, :2].sum(1),
        above=outside[:, 2:].sum(1),
        missing=np.zeros(len(outside), np.int64),
        low=layer.inputs.low,
        high=layer.inputs.high,
    )


def _columns_out(card: RangeCard, columns: WatchedColumns | None) -> tuple[tuple[Finding, ...], frozenset[str]]:
    """Findings, and the columns that left for sure."""
    if columns is None or card.raw is None:
        return (), frozenset()
    outside = columns.counts.outside
    out = [int(i) for i in np.argsort(-outside, kind="stable") if outside[i] > LEAST and columns.read[i]]
    sure = [i for i in out if _sure_of(card.raw, columns, i)]
    open_ones = [i for i in out if i not in sure]
    found = []
    if sure:
        claim = f"{counted(sure, 'column')} of {len(outside)} left the range of the card: {_names(card, sure)}."
        advice = "Look at the source, the units and the period of these columns; predictions on such rows extrapolate."
        evidence = f"Share of values outside: {_told(card.raw, columns, sure)}."
        found.append(_finding("columns", float(outside[sure[0]]), claim, evidence, advice))
    if open_ones:
        slow = all(columns.effective[i] < SLOW * columns.steps for i in open_ones)
        claim = (
            f"{counted(open_ones, 'column')} of {len(outside)} lie outside the range of the card on more than "
            f"{percent(LEAST)} of the values, as {_few(slow)} may by chance: {_names(card, open_ones)}."
        )
        more = "train on a longer period" if slow else "check more rows, and train on more"
        advice = f"No proof of a change, but predictions on such rows extrapolate all the same: {more}."
        evidence = f"Share of values outside: {_told(card.raw, columns, open_ones)}."
        found.append(_note("columns", claim, evidence, advice))
    return tuple(found), frozenset(card.columns[i] for i in sure)


def _few(slow: bool) -> str:
    """What may stray by chance: not every short sample is a slow series."""
    return "series so slow" if slow else "so few independent rows"


def _sure_of(raw: SeenColumns, columns: WatchedColumns, index: int) -> bool:
    """Whether values on one side, or missing ones, are more than chance explains, with two sides for every column."""
    counts, now = columns.counts, float(columns.effective[index])
    if counts.missing[index]:
        return True
    share = max(int(counts.below[index]), int(counts.above[index])) / max(counts.rows, 1)
    return more_than(0.0, share, float(raw.effective[index]), now) <= ALPHA / (2 * len(raw.names))


def _names(card: RangeCard, columns: list[int]) -> str:
    return listed(card.columns[i] for i in columns)


def _told(raw: SeenColumns, columns: WatchedColumns, which: list[int]) -> str:
    counts, worst = columns.counts, which[0]
    shares = listed((f"{shown(raw.names[i])} {percent(float(counts.outside[i]))}" for i in which), LISTED)
    low, high = (number(float(side[worst])) for side in (raw.nodes.low, raw.nodes.high))
    words = [(raw.names[i], _became(raw, columns, i)) for i in which]
    constants = [f"{shown(name)} {word}" for name, word in words if word]
    return (
        f"{shares}. {f'{listed(constants, LISTED)}. ' if constants else ''}"
        f"{shown(raw.names[worst])} took {low} to {high} before and {number(float(counts.low[worst]))} to "
        f"{number(float(counts.high[worst]))} now, worth {number(float(raw.effective[worst]))} and "
        f"{number(float(columns.effective[worst]))} independent rows"
    )


def _became(raw: SeenColumns, columns: WatchedColumns, i: int) -> str:
    counts = columns.counts
    before, now = ((float(side.low[i]), float(side.high[i])) for side in (raw.nodes, counts))
    return became(before, now)


def _frozen(
    trace: Trace, card: RangeCard, columns: WatchedColumns | None
) -> tuple[tuple[Finding, ...], frozenset[str]]:
    """Columns that took one value although they seldom repeat one: P(n equal rows) = repeats ^ (n - 1)."""
    if trace.raw is None or card.raw is None or columns is None:
        return (), frozenset()
    still = trace.raw.nodes.constant & ~card.raw.nodes.constant & columns.read
    chance = card.raw.repeats ** (columns.steps - 1)
    stuck = np.flatnonzero(still & (chance <= ALPHA / len(chance))).tolist()
    if not stuck:
        return (), frozenset()
    values = listed(f"{card.columns[i]} = {number(float(trace.raw.nodes.low[i]))}" for i in stuck)
    found = Finding(
        code="frozen",
        severity="caution",
        claim=f"{counted(stuck, 'column')} of {len(card.columns)} no longer vary: {_names(card, stuck)}.",
        evidence=f"One value in all {columns.steps} rows: {values}; on the data of the card neighbouring rows were "
        f"equal in {percent(float(card.raw.repeats[stuck].max()))} of cases at most.",
        advice="A sensor or a join may be dead; a constant column looks harmless to every range.",
        section="frozen",
    )
    return (found,), frozenset(card.columns[i] for i in stuck)


def _layers_out(
    trace: Trace, card: RangeCard, watched: Watched, *, quiet: bool
) -> tuple[tuple[Finding, ...], frozenset[str]]:
    """Findings per layer, and the nodes they name; ``quiet``: no raw column shows anything."""
    found: list[Finding] = []
    named: set[str] = set()
    watch = watch_of(trace)
    exits = watch.exits(card)
    tests = sum(len(layer.below) for layer in watch.layers)
    for layer, table in enumerate(trace.layers):
        here = [x for x in exits if x.layer == layer and bool(table.edges.alive[:, x.index].any())]
        sure = [x for x in here if _rise_of(x, watch, card, watched) <= ALPHA / (2 * tests)]
        if here:
            hidden = layer > 0 and quiet and not found
            slow = all(watched.effective[layer][x.index] < SLOW * table.inputs.count for x in here)
            doubt = "" if sure else f", as {_few(slow)} may by chance"
            found.append(_layer_out(layer, sure or here, table.edges.alive.shape[1], doubt=doubt, hidden=hidden))
            named.update(item.name for item in here)
    return tuple(found), frozenset(named)


def _rise_of(item: Exit, watch: RangeWatch, card: RangeCard, watched: Watched) -> float:
    """Chance of such a rise on its larger side, on independent rows."""
    now, seen = watch.layers[item.layer], card.layers[item.layer]
    then = seen.ranges
    rows, worth = float(seen.effective[item.index]), float(watched.effective[item.layer][item.index])
    sides = (now.below, then.outside[:, :2].sum(1)), (now.above, then.outside[:, 2:].sum(1))
    shares = [
        (float(a[item.index]) / max(now.rows, 1), float(b[item.index] / max(then.count[item.index], 1)))
        for a, b in sides
    ]
    share, before = max(shares, key=lambda pair: pair[0] - pair[1])
    return more_than(before, share, rows, worth)


def _layer_out(layer: int, exits: list[Exit], width: int, *, doubt: str, hidden: bool) -> Finding:
    section, names = f"layer-{layer + 1}", listed(item.name for item in exits)
    claim = (
        f"{counted(exits, 'input node')} of {width} of KAN layer {layer + 1} left the domain more often than on the "
        f"data of the card{doubt}: {names}." + (" No column and no earlier layer shows it." if hidden else "")
    )
    advice = "Outside its domain a spline was never fitted; if the change stays, update the domains and train on."
    if doubt:
        return _note(section, claim, f"{exits[0]}.", advice)
    return _finding(section, exits[0].outside, claim, f"{exits[0]}.", advice)


def _note(section: str, claim: str, evidence: str, advice: str) -> Finding:
    found = _finding(section, 0.0, claim, evidence, advice)
    return replace(found, severity="note")


def _finding(section: str, worst: float, claim: str, evidence: str, advice: str) -> Finding:
    severity: Severity = "problem" if worst > BAD else "caution"
    code = "columns-range" if section == "columns" else "layer-range"
    return Finding(code=code, severity=severity, claim=claim, evidence=evidence, advice=advice, section=section)
