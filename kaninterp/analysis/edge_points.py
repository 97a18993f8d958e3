"""Edges as points to fit: the drawn curves where the data lie, weighted by how many rows lie there.

Everything comes from a trace, so the cost does not depend on the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaninterp.core.frozen import Array, BoolArray, IntArray, bools, floats
from kaninterp.core.tables import RangeTable
from kaninterp.core.trace import LayerTrace

__all__ = ["EdgePoints", "edge_points"]

FEWEST = 64
"""Points per edge at least: a curve of order 3 on one knot interval turns twice, so this shows every turn smoothly."""
STENCIL = 4
"""Drawn points behind each value between them: a cubic, which is what a spline of order 3 is within a cell."""
SAME_POINT = 1e-9
"""Distance, as a share of what is drawn, at which a drawn point is a knot: rounding of float64, and room to spare."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgePoints:
    """The edges of a layer at equally spaced points over the range of the data.

    Attributes
    ----------
    x : ndarray, shape (src, N)
        Points from the least to the greatest value of each node, no further than the curves are drawn.
    curves : ndarray, shape (dst, src, N)
        The edges there.
    weights : ndarray, shape (src, N)
        Share of the rows nearest to each point, where the rows of a knot interval lie evenly in it; sums to 1.
    seen : ndarray, shape (src,)
        Share of the rows that lie where the curves are drawn (domain and fringe).
    numbers : ndarray, shape (src,)
        Numbers that a spline has over this range: its knot intervals there plus its order.
    constant : ndarray of bool, shape (src,)
        Nodes with one value only, or without any row where the curves are drawn: their ``x`` are all the same.
    """

    x: Array
    curves: Array
    weights: Array
    seen: Array
    numbers: Array
    constant: BoolArray

    def __post_init__(self) -> None:
        src, points = np.shape(self.x)
        for name in ("x", "weights"):
            object.__setattr__(self, name, floats(getattr(self, name), (src, points), f"EdgePoints.{name}"))
        for name in ("seen", "numbers"):
            object.__setattr__(self, name, floats(getattr(self, name), (src,), f"EdgePoints.{name}"))
        object.__setattr__(self, "curves", floats(self.curves, (None, src, points), "EdgePoints.curves"))
        object.__setattr__(self, "constant", bools(self.constant, (src,), "EdgePoints.constant"))


def edge_points(layer: LayerTrace) -> EdgePoints:
    """The edges of a layer where its data lie.

    Parameters
    ----------
    layer : LayerTrace
        A layer of a trace.

    Returns
    -------
    EdgePoints
        As many points for every node as the busiest one has drawn points in the range of its data, `FEWEST` at least.

    Notes
    -----
    Between drawn points the cubic through the nearest four of the same knot interval is used. Rows are known by knot
    interval only: they count as spread evenly between its ends, or between the end and the least or greatest value.
    """
    drawn, ranges = layer.edges.curve_x, layer.ranges
    low = np.clip(layer.inputs.low, drawn[:, 0], drawn[:, -1])
    high = np.clip(layer.inputs.high, drawn[:, 0], drawn[:, -1])
    constant = ~(low < high)
    high = np.where(constant, low, high)
    inside = (drawn >= low[:, None]) & (drawn <= high[:, None])
    count = max(FEWEST, int(inside.sum(1).max(initial=0)))
    x = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, count)
    x[:, -1] = high
    found = [_rows_near(x[src], ranges, src, bool(constant[src])) for src in range(len(x))]
    return EdgePoints(
        x=x,
        curves=np.stack(
            [_between(at, drawn[i], layer.edges.curves[:, i], _all_knots(ranges, i)) for i, at in enumerate(x)], axis=1
        ),
        weights=np.stack([weights for weights, _ in found]),
        seen=np.array([seen for _, seen in found]),
        numbers=np.array([_numbers(low[src], high[src], ranges, src) for src in range(len(x))]),
        constant=constant,
    )


def _rows_near(x: Array, ranges: RangeTable, src: int, constant: bool) -> tuple[Array, float]:
    """Share of the rows nearest to each point, and the share of all rows that lie where curves are drawn."""
    below, lower, upper, above = ranges.outside[src].astype(np.float64)
    knots, fringe = ranges.knots[src], _fringe(ranges, src)
    ends = np.concatenate([[knots[0] - fringe], knots, [knots[-1] + fringe]])
    counts = np.concatenate([[lower], ranges.intervals[src], [upper]])
    rows = counts.sum() + below + above
    seen = float(counts.sum() / rows) if rows else 0.0
    if constant or not counts.any():
        return np.full(len(x), 1.0 / len(x)), seen
    ends = np.clip(ends, x[0], x[-1])
    moving = np.append(True, np.diff(ends) > 0)  # an interval without width holds no point of its own
    level = np.append(0.0, np.cumsum(counts))
    middles = (x[1:] + x[:-1]) / 2
    level = np.interp(middles, ends[moving], level[moving])
    weights = np.diff(np.concatenate([[0.0], level, [counts.sum()]]))
    return np.asarray(weights / counts.sum()), seen


def _fringe(ranges: RangeTable, src: int) -> float:
    knots = ranges.knots[src]
    return float(ranges.order * (knots[-1] - knots[0]) / (len(knots) - 1))


def _all_knots(ranges: RangeTable, src: int) -> Array:
    """Knots of domain and fringe, in order."""
    knots = ranges.knots[src]
    steps = _fringe(ranges, src) * np.arange(1, ranges.order + 1) / max(ranges.order, 1)
    return np.concatenate([knots[0] - steps[::-1], knots, knots[-1] + steps])


def _numbers(low: float, high: float, ranges: RangeTable, src: int) -> float:
    """Coefficients of a spline that act between two ends."""
    every = _all_knots(ranges, src)
    return float(((every > low) & (every < high)).sum() + 1 + ranges.order)


def _between(x: Array, drawn: Array, curves: Array, knots: Array) -> Array:
    """Curves (dst, P) at points (N,), by cubics through four drawn points that have no knot between them, (dst, N)."""
    size = min(STENCIL, len(drawn))
    right = np.searchsorted(drawn, x, side="left")
    first = np.clip(right - size // 2, 0, len(drawn) - size)
    cuts = _drawn_knots(drawn, knots)
    cell = np.clip(np.searchsorted(cuts, right, side="left"), 1, len(cuts) - 1)
    left, end = cuts[cell - 1], cuts[cell]
    first = np.where(end - left >= size - 1, np.clip(first, left, np.maximum(end - size + 1, left)), first)
    found = np.zeros((len(curves), len(x)))
    for one in range(size):
        weight = np.ones(len(x))
        for other in range(size):
            if other != one:
                there = drawn[first + other]
                weight *= (x - there) / (drawn[first + one] - there)
        found += weight * curves[:, first + one]
    return found


def _drawn_knots(drawn: Array, knots: Array) -> IntArray:
    """Which drawn points are knots, the first and the last among them."""
    nearest = np.clip(np.searchsorted(drawn, knots), 1, len(drawn) - 1)
    nearest -= knots - drawn[nearest - 1] < drawn[nearest] - knots
    hit = np.abs(drawn[nearest] - knots) <= SAME_POINT * (drawn[-1] - drawn[0])
    return np.unique(np.concatenate([[0], nearest[hit], [len(drawn) - 1]])).astype(np.int64)
