"""Findings about where data fell on the grids, and about straight edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kaninterp.core.findings import Finding, Severity
from kaninterp.core.frozen import BoolArray
from kaninterp.core.watch import RISE

from .bundle import Analysis, LayerRanges
from .checking import check_findings
from .grid_use import BULK, OUTSIDE, SPREAD
from .straightness import CAUSES, NOTHING_TO_MEND, OURS, count_causes
from .wording import counted, listed, number, percent

__all__ = ["RANGE_CHECKS"]

OUTSIDE_PROBLEM = 0.5
"""From here on most of what such a node sees was never fitted."""

STRAIGHT_MOST = 0.5
"""Share of live edges that are straight from which this is a caution rather than a note."""


def out_of_grid(analysis: Analysis) -> tuple[Finding, ...]:
    """Layers whose inputs leave their grid."""
    return tuple(
        finding for layer, ranges in enumerate(analysis.ranges) for finding in _out_of_layer(analysis, layer, ranges)
    )


def _out_of_layer(analysis: Analysis, layer: int, ranges: LayerRanges) -> tuple[Finding, ...]:
    outside = np.where(_on_grid(analysis, layer), ranges.fringe + ranges.dead, 0.0)
    worst = [int(i) for i in np.argsort(-outside, kind="stable") if outside[i] > OUTSIDE]
    if not worst:
        return ()
    top = worst[0]
    severity: Severity = "problem" if outside[top] > OUTSIDE_PROBLEM else "caution"
    names = [analysis.trace.node_name(layer, i) for i in worst]
    low, high = ranges.domain[top]
    claim = (
        f"Layer {layer + 1}: {counted(worst, 'input node')} of {len(outside)} leave the grid on more than "
        f"{percent(OUTSIDE)} of rows ({listed(names)})."
    )
    evidence = (
        f"Worst is {names[0]}: {percent(float(outside[top]))} of rows outside {number(low)} to {number(high)} "
        f"({percent(float(ranges.dead[top]))} in the dead zone); seen were "
        f"{number(ranges.seen[top, 0])} to {number(ranges.seen[top, 1])}."
    )
    advice = _sentence(CAUSES["mixed"].cure(analysis.trace.card.head))
    return (_finding("out-of-grid", severity, claim, evidence, advice),)


def unused_grid(analysis: Analysis) -> tuple[Finding, ...]:
    """Layers that use little of their grid."""
    found = []
    for layer, ranges in enumerate(analysis.ranges):
        few, names = _in_state(analysis, layer, "under-used", [percent(float(x)) for x in ranges.spread])
        if not few:
            continue
        varies = ~analysis.trace.layers[layer].inputs.constant & _on_grid(analysis, layer)
        of = f"{counted(few, 'input node')} of {int(varies.sum())}"
        claim = f"Layer {layer + 1}: {of} use less than {percent(SPREAD)} of the grid."
        evidence = (
            f"Share of the domain between the smallest and the largest value: {names}; "
            f"{percent(float(ranges.spread[varies].mean()))} on average over the layer."
        )
        advice = "Call update() on the head after training: the same grid on a smaller domain resolves finer shapes."
        if analysis.trace.card.head != OURS:
            advice = _sentence(CAUSES["under-used"].cure(analysis.trace.card.head))
        severity: Severity = "caution" if len(few) * 2 > int(varies.sum()) else "note"
        found.append(_finding("unused-grid", severity, claim, evidence, advice))
    return tuple(found)


def stretched_grid(analysis: Analysis) -> tuple[Finding, ...]:
    """Layers whose grid a few far values have stretched."""
    found = []
    for layer, ranges in enumerate(analysis.ranges):
        few, names = _in_state(
            analysis, layer, "stretched", [f"{number(float(x))} effective" for x in ranges.effective]
        )
        if not few:
            continue
        intervals = analysis.trace.layers[layer].ranges.intervals.shape[1]
        claim = f"Layer {layer + 1}: a few far values stretch the grid of {counted(few, 'input node')}."
        evidence = f"{percent(BULK)} of the rows share a quarter or less of {intervals} knot intervals: {names}."
        advice = (
            "Clip or transform these columns before the model (log, quantiles), or update the head on rows without the "
            "far values: no shape can be learnt within one interval."
        )
        found.append(_finding("stretched-grid", "caution", claim, evidence, advice))
    return tuple(found)


def whole_numbers(analysis: Analysis) -> tuple[Finding, ...]:
    """Layers whose inputs take fewer whole numbers than their grid has intervals."""
    found = []
    for layer, ranges in enumerate(analysis.ranges):
        values = [f"{number(float(low))} to {number(float(high))}" for low, high in ranges.seen]
        few, names = _in_state(analysis, layer, "whole-numbers", values)
        if few:
            nodes = counted(few, "input node")
            claim = f"Layer {layer + 1}: {nodes} take whole numbers, fewer than the grid has intervals."
            advice = (
                "Read such an edge at the whole numbers only; one column per category says the same without a curve."
            )
            found.append(_finding("whole-numbers", "note", claim, f"Values seen: {names}.", advice))
    return tuple(found)


def _in_state(analysis: Analysis, layer: int, state: str, told: Sequence[str]) -> tuple[list[int], str]:
    """Live nodes in a state, and their names, each with what is told of it."""
    live = _on_grid(analysis, layer)
    nodes = [i for i, word in enumerate(analysis.ranges[layer].state) if word == state and live[i]]
    return nodes, listed(f"{analysis.trace.node_name(layer, i)} ({told[i]})" for i in nodes)


def drift(analysis: Analysis) -> tuple[Finding, ...]:
    """What changed since the reference data: by all that was measured of it, or by the shares outside alone."""
    if analysis.drift is None:
        return _risen(analysis)
    found = check_findings(analysis.trace, analysis.drift.card, analysis.drift.watched, drifts=analysis.shapes)
    return tuple(replace(finding, section="drift") for finding in found)


def _risen(analysis: Analysis) -> tuple[Finding, ...]:
    """Nodes that leave the grid more often than on the reference data."""
    found = []
    for layer, ranges in enumerate(analysis.ranges):
        if ranges.reference is None:
            continue
        rise = np.where(_on_grid(analysis, layer), ranges.reference.trained - ranges.trained, 0.0)
        moved = [int(i) for i in np.argsort(-rise, kind="stable") if rise[i] > RISE]
        if not moved:
            continue
        top = moved[0]
        names = [analysis.trace.node_name(layer, i) for i in moved]
        claim = (
            f"Layer {layer + 1}: {counted(moved, 'input node')} left the grid more often than on the reference data "
            f"({listed(names)})."
        )
        evidence = (
            f"{names[0]}: inside the trained zone on {percent(float(ranges.trained[top]))} of rows, "
            f"{percent(float(ranges.reference.trained[top]))} on the reference data."
        )
        advice = "Treat predictions on such rows as extrapolation; retrain or update the domains if the change stays."
        severity: Severity = "problem" if rise[top] > OUTSIDE_PROBLEM else "caution"
        found.append(_finding("drift", severity, claim, evidence, advice))
    return tuple(found)


def straight_edges(analysis: Analysis) -> tuple[Finding, ...]:
    """Straight edges, counted by cause."""
    causes = count_causes(analysis.straightness)
    total = sum(causes.values())
    straight = total - causes[""]
    if not straight:
        return ()
    severity: Severity = "caution" if straight > STRAIGHT_MOST * total else "note"
    are = "is a straight line" if straight == 1 else "are straight lines"
    claim = f"{straight} of {counted(total, 'live edge')} {are} on this data."
    there = [name for name in CAUSES if causes[name]]
    evidence = "Linear R² at least 0.99. " + "; ".join(f"{causes[name]}: {CAUSES[name].why}" for name in there) + "."
    # what is wrong with the data's place comes first: no shape can be judged before
    head = analysis.trace.card.head
    advice = CAUSES[there[0]].cure(head)
    if there[0] not in NOTHING_TO_MEND and head == OURS:
        advice += ". kaninterp.would_bend(model, data) tries it on a copy"
    elif there[0] not in NOTHING_TO_MEND:
        advice += ". With kaninterp.from_kan(model) in the place of the KAN, kaninterp.would_bend tries it on a copy"
    return (_finding("straight-edges", severity, claim, evidence, _sentence(advice), section="network"),)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _on_grid(analysis: Analysis, layer: int) -> BoolArray:
    return analysis.trace.layers[layer].on_grid


def _finding(
    code: str, severity: Severity, claim: str, evidence: str, advice: str, *, section: str = "ranges"
) -> Finding:
    return Finding(code=code, severity=severity, claim=claim, evidence=evidence, advice=advice, section=section)


RANGE_CHECKS = (out_of_grid, drift, stretched_grid, unused_grid, whole_numbers, straight_edges)
