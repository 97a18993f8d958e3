"""How a node uses its grid, and the one word for what is wrong with it."""

from __future__ import annotations

import numpy as np

from kaninterp.core.frozen import Array
from kaninterp.core.tables import NodeTable, RangeTable

__all__ = [
    "BULK",
    "OUTSIDE",
    "SPREAD",
    "STRETCHED",
    "effective_intervals",
    "grid_states",
    "intervals_of_bulk",
    "spread",
]

OUTSIDE = 0.05
"""Share of rows outside the trained zone from which a node is said to leave its grid (the tails of a 95 % interval)."""

BULK = 0.98
"""Share of rows inside that counts as the bulk of the data: one percent on either side are outliers."""

STRETCHED = 0.25
"""Largest share of the intervals into which the bulk falls on a grid that outliers have stretched. Of 5 intervals, one;
uniform data fill all, normal data within 3 sd fill three of five (98 % lie within 2.33 sd)."""

SPREAD = 0.5
"""Share of the domain between the smallest and the largest value below which a grid is under-used: more than half of
its coefficients do nothing, whatever the number of intervals."""


def effective_intervals(table: RangeTable) -> Array:
    """Number of equally filled knot intervals that would be as even, exp of Shannon's entropy, shape (src,).

    From 0 (no row inside) over 1 (all rows in one interval) to G. `coverage` counts an interval that one row of a
    million visited like any other; this does not.

    Examples
    --------
    >>> table = RangeTable(knots=np.array([[0.0, 1, 2, 3]]), order=3, intervals=[[50, 50, 0]], outside=[[0, 0, 0, 0]])
    >>> effective_intervals(table).round(6).tolist()
    [2.0]
    """
    share = table.intervals / np.maximum(table.intervals.sum(1, keepdims=True), 1)
    logs = np.log(np.where(share > 0, share, 1.0))
    return np.where(table.intervals.sum(1) > 0, np.exp(-(share * logs).sum(1)), 0.0)


def intervals_of_bulk(table: RangeTable) -> Array:
    """Smallest share of the knot intervals that holds `BULK` of the rows inside, shape (src,); 0 if no row is inside.

    Examples
    --------
    >>> table = RangeTable(knots=np.arange(6.0)[None], order=3, intervals=[[990, 0, 0, 0, 10]], outside=[[0] * 4])
    >>> intervals_of_bulk(table).tolist()
    [0.2]
    """
    fullest = -np.sort(-table.intervals, axis=1)
    total = fullest.sum(1)
    needed = (np.cumsum(fullest, axis=1) < BULK * total[:, None]).sum(1) + 1
    return np.where(total > 0, needed / table.intervals.shape[1], 0.0)


def spread(table: RangeTable, nodes: NodeTable) -> Array:
    """Share of the domain between the smallest and the largest value seen in it, shape (src,); 0 if none was.

    Where data leave the domain on one side, the last interval visited on that side counts as reached to its end.
    """
    visited, knots = table.intervals > 0, table.knots
    src = np.arange(len(knots))
    first, last = visited.argmax(1), visited.shape[1] - visited[:, ::-1].argmax(1)
    width = np.minimum(nodes.high, knots[src, last]) - np.maximum(nodes.low, knots[src, first])
    return np.clip(np.where(visited.any(1), width, 0.0) / (knots[:, -1] - knots[:, 0]), 0.0, 1.0)


def grid_states(table: RangeTable, nodes: NodeTable) -> tuple[str, ...]:
    """One word per node, the first of these that holds.

    "constant": one value only. "outside": more than `OUTSIDE` of the rows leave the domain. "whole-numbers": whole
    numbers only, fewer of them than intervals, so that between two of them the spline was never fitted. "stretched":
    `BULK` of the rows share `STRETCHED` of the intervals and a few others take the rest. "under-used": all values lie
    in less than `SPREAD` of the domain. "": the grid is in use.
    """
    intervals = table.intervals.shape[1]
    span, bulk = spread(table, nodes), intervals_of_bulk(table)
    outside = 1.0 - table.zones[:, 0]
    words = []
    for i in range(len(span)):
        if nodes.constant[i]:
            words.append("constant")
        elif outside[i] > OUTSIDE:
            words.append("outside")
        elif nodes.whole[i] and nodes.high[i] - nodes.low[i] + 1 < intervals:
            words.append("whole-numbers")
        elif bulk[i] <= STRETCHED and span[i] >= SPREAD:
            words.append("stretched")
        else:
            words.append("under-used" if span[i] < SPREAD else "")
    return tuple(words)
