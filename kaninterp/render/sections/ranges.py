"""Section 7: where the inputs of each layer fell on the layer's own grid."""

from __future__ import annotations

import numpy as np

from kaninterp.analysis.answers import outside_rule
from kaninterp.analysis.bundle import LayerRanges
from kaninterp.analysis.grid_use import OUTSIDE, SPREAD
from kaninterp.render.blocks import Block, Section
from kaninterp.render.cells import Cell, Histogram, Name, Table, Zones
from kaninterp.render.edge_columns import grid_histogram, window
from kaninterp.render.flagged import edge_blocks
from kaninterp.render.material import Material
from kaninterp.render.wording import count, number, percent, shown, sign

__all__ = ["ranges_section"]

MAX_ROWS = 64
"""Rows, over all layers, are about 1.2 kB each."""
HARMLESS = 0.95
"""A layer whose nodes all have this share of rows inside, and use their grids, starts closed: nothing to see there."""
FULL = 1 - 1e-12
GRID_WORDS = {
    "": "in use",
    "constant": "one value",
    "outside": "left by data",
    "whole-numbers": "whole numbers",
    "stretched": "stretched",
    "under-used": "under-used",
}
NO_GRID = "read by formulas alone"
"""What `kaninterp.analysis.grid_use.grid_states` found, in words."""
USE = ("#Dead", "#Left | right", "#Coverage", "#Effective", "Seen on the grid")
NOTE = (
    f"Grid: left by data, more than {percent(OUTSIDE)} of rows are outside; stretched, a few far values leave a "
    f"quarter of the intervals or less to the others; under-used, all values lie in less than {percent(SPREAD)} "
    "of it; whole numbers, fewer of them than intervals. Trained, reference: share of rows inside, on these "
    "data and on the reference. Left, right: share of rows below and above the trained zone. Coverage: share "
    "of the knot intervals that at least one row visited; effective: how many equally filled ones would be as "
    "even. Bars: share of the rows in each knot interval and on each side of the trained zone, which is shaded; "
    "the line: the same for the reference."
)


def ranges_section(material: Material) -> Section:
    """One table per layer: zones, coverage, what was seen, and the same for reference data."""
    blocks: tuple[Block, ...] = (
        *edge_blocks(material),
        *(_table(material, i) for i in range(len(material.analysis.ranges))),
    )
    pairs = zip(material.analysis.ranges, material.analysis.trace.layers, strict=True)
    inside = np.concatenate([ranges.trained[layer.on_grid] for ranges, layer in pairs])
    worst, left, nodes = float(inside.min(initial=1.0)), int((inside < FULL).sum()), len(inside)
    if not nodes:
        lead = "Every live edge is a formula, which no grid bounds."
        return Section(id="ranges", title="Ranges", lead=lead, blocks=blocks)
    lead = (
        f"{left} of {count(nodes)} nodes {'leaves its' if left == 1 else 'leave their'} trained zone on this data"
        + (f"; the worst has {percent(worst)} of its rows inside. " if left else ". ")
        + "Inside the trained zone an edge is what was learnt. "
        f"Outside it, in the fringe (the cells beside it) and the dead zone beyond, {outside_rule(material.analysis)}."
    )
    return Section(id="ranges", title="Ranges", lead=lead, blocks=blocks)


def _table(material: Material, layer: int) -> Table:
    ranges, grid = material.analysis.ranges[layer], material.analysis.trace.layers[layer].on_grid
    fine = np.array([not state for state in ranges.state]) | ~grid
    order = np.lexsort((np.arange(len(fine)), ranges.coverage, fine, ranges.trained))
    rows = tuple(_row(material, ranges, layer, int(i)) for i in order[: MAX_ROWS // len(material.analysis.ranges)])
    left = len(order) - len(rows)
    compared = () if ranges.reference is None else ("#Reference", "#Change")
    return Table(
        id=f"ranges-{layer}",
        caption=f"Where the inputs of KAN layer {layer + 1} fell on its grid, furthest outside first",
        columns=("Node", "Grid", "Zones", "#Trained", *compared, *USE),
        rows=rows,
        folded=bool((ranges.trained[grid] >= HARMLESS).all()) and bool(fine.all()),
        note=NOTE + (f" {left} nodes further inside are left out." if left else ""),
    )


def _row(material: Material, ranges: LayerRanges, layer: int, i: int) -> tuple[Cell, ...]:
    trained, fringe, dead = float(ranges.trained[i]), float(ranges.fringe[i]), float(ranges.dead[i])
    return (
        Name(text=shown(material.analysis.trace.node_name(layer, i)), href=f"node-{layer}-{i}"),
        GRID_WORDS[ranges.state[i]] if material.analysis.trace.layers[layer].on_grid[i] else NO_GRID,
        Zones(trained=trained, fringe=fringe, dead=dead),
        percent(trained),
        *_compared(ranges, i),
        percent(dead),
        f"{percent(float(ranges.sides[i, :2].sum()))} | {percent(float(ranges.sides[i, 2:].sum()))}",
        percent(float(ranges.coverage[i])),
        number(float(ranges.effective[i])),
        _histogram(material, layer, i),
    )


def _histogram(material: Material, layer: int, i: int) -> Histogram:
    low, high = window(material.analysis.trace.layers[layer])[i]
    return grid_histogram(material.analysis.ranges[layer], i, (float(low), float(high)))


def _compared(ranges: LayerRanges, i: int) -> tuple[Cell, ...]:
    """Share inside on the reference data, and the change since."""
    if ranges.reference is None:
        return ()
    before = float(ranges.reference.trained[i])
    points = 100 * (float(ranges.trained[i]) - before)
    return percent(before), "0 points" if abs(points) < 0.05 else f"{sign(points, 2)} points"
