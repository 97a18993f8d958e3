"""Tables of a trace: what one pass over the data measured, per node and per edge, in a fixed size.

Every table is a monoid: `merge` of two tables over disjoint rows is the table of all rows, in any order (law 3).
Moments are merged with the pairwise update of Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm
for computing sample variances" (1979), so nothing cancels however far the mean is from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ShapeError
from .frozen import Array, BoolArray, IntArray, bools, floats, integers, same

__all__ = ["EdgeTable", "NodeTable", "RangeTable", "RawTable", "whole_numbers", "zone_ends"]


Floats = NDArray[np.floating[Any]]

FEW = 16
"""Values of a column that are looked at first for a fraction."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeTable:
    """Moments and range of the nodes of one layer.

    Attributes
    ----------
    count : int
        Rows seen.
    mean, m2 : ndarray, shape (n,)
        Mean and sum of squared deviations from it.
    low, high : ndarray, shape (n,)
        Smallest and largest value (+inf and -inf when no row was seen).
    whole : ndarray of bool, shape (n,)
        Whether all values are whole numbers: categories, counts, calendar fields.

    Examples
    --------
    >>> a = NodeTable.of(np.array([[0.0], [2.0]]))
    >>> b = NodeTable.of(np.array([[4.0]]))
    >>> float(a.merge(b).mean[0]), float(a.merge(b).high[0])
    (2.0, 4.0)
    """

    count: int
    mean: Array
    m2: Array
    low: Array
    high: Array
    whole: BoolArray

    def __post_init__(self) -> None:
        n = np.shape(self.mean)[0] if np.ndim(self.mean) else None
        object.__setattr__(self, "whole", bools(self.whole, (n,), "NodeTable.whole"))
        for name in ("mean", "m2", "low", "high"):
            finite = name in ("mean", "m2")
            object.__setattr__(self, name, floats(getattr(self, name), (n,), f"NodeTable.{name}", finite=finite))

    @classmethod
    def of(cls, values: Array) -> NodeTable:
        """Table of a block of rows, shape (rows, n)."""
        return cls.of_columns(np.ascontiguousarray(values.T))

    @classmethod
    def of_columns(cls, columns: Floats) -> NodeTable:
        """Table of rows given column by column, (n, rows) of any float type.

        Every pass runs along contiguous memory, which makes it five times as fast as over rows.
        """
        n, rows = columns.shape
        if not rows:
            none = {"low": np.full(n, np.inf), "high": np.full(n, -np.inf), "whole": np.ones(n, bool)}
            return cls(count=0, mean=np.zeros(n), m2=np.zeros(n), **none)
        low, high = (end.astype(np.float64) for end in (columns.min(1), columns.max(1)))
        whole = whole_numbers(columns)
        centred = columns.astype(np.float64)
        mean = np.where(low == high, low, centred.mean(1))  # the mean of equal numbers may round away from them
        centred -= mean[:, None]
        m2 = np.einsum("ij,ij->i", centred, centred)
        return cls(count=rows, mean=mean, m2=m2, low=low, high=high, whole=whole)

    @property
    def std(self) -> Array:
        """Population standard deviation, shape (n,); 0 for a constant node."""
        return np.where(self.low < self.high, np.sqrt(self.m2 / max(self.count, 1)), 0.0)

    @property
    def constant(self) -> BoolArray:
        """Whether the node took one value only, shape (n,)."""
        return ~(self.low < self.high)

    def merge(self, other: NodeTable) -> NodeTable:
        """Table of the rows of both."""
        weight = _weights(self.count, other.count)
        delta = other.mean - self.mean
        return NodeTable(
            count=self.count + other.count,
            mean=self.mean + delta * weight,
            m2=self.m2 + other.m2 + delta * delta * (self.count * weight),
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
            whole=self.whole & other.whole,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeTable:
    """Where the inputs of a layer fell on the layer's own knots.

    Attributes
    ----------
    knots : ndarray, shape (src, G + 1)
        Inner knots; the trained zone is [first, last].
    order : int
        Spline order k; the fringe is k cells of width (b - a) / G on each side.
    intervals : ndarray of int, shape (src, G)
        Rows in each knot interval.
    outside : ndarray of int, shape (src, 4)
        Rows below the fringe, in the lower fringe, in the upper fringe, above the fringe.
    """

    knots: Array
    order: int
    intervals: IntArray
    outside: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "knots", floats(self.knots, (None, None), "RangeTable.knots"))
        src, points = self.knots.shape
        object.__setattr__(self, "intervals", integers(self.intervals, (src, points - 1), "RangeTable.intervals"))
        object.__setattr__(self, "outside", integers(self.outside, (src, 4), "RangeTable.outside"))

    @property
    def count(self) -> IntArray:
        """Rows counted per source node, shape (src,)."""
        return np.asarray(self.intervals.sum(1) + self.outside.sum(1), dtype=np.int64)

    @property
    def zones(self) -> Array:
        """Share of rows in the trained zone, the fringe and the dead zone, shape (src, 3)."""
        low_dead, low_fringe, high_fringe, high_dead = self.outside.T
        counts = np.stack([self.intervals.sum(1), low_fringe + high_fringe, low_dead + high_dead], axis=1)
        return np.asarray(counts / np.maximum(self.count, 1)[:, None], dtype=np.float64)

    @property
    def coverage(self) -> Array:
        """Share of the knot intervals that at least one row visited, shape (src,)."""
        return np.asarray((self.intervals > 0).mean(1), dtype=np.float64)

    def merge(self, other: RangeTable) -> RangeTable:
        """Counts of both; the knots must be the same."""
        if self.order != other.order or not np.array_equal(self.knots, other.knots):
            raise ShapeError("cannot merge counts taken on different knots; trace both data sets with the same model")
        return RangeTable(
            knots=self.knots,
            order=self.order,
            intervals=self.intervals + other.intervals,
            outside=self.outside + other.outside,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeTable:
    """Moments and curves of the edges of one layer; every edge array is [dst, src].

    Attributes
    ----------
    count : int
        Rows seen.
    mean, m2 : ndarray, shape (dst, src)
        Mean and sum of squared deviations of phi_ji(x_i).
    with_output : ndarray, shape (dst, src)
        Co-moment of phi_ji(x_i) with its node y_j: sum of products of deviations.
    with_input : ndarray, shape (dst, src)
        Co-moment of phi_ji(x_i) with its argument x_i.
    alive : ndarray of bool, shape (dst, src)
        False where the edge is masked in the model.
    bias : ndarray, shape (dst,)
        Constant of each node.
    curve_x : ndarray, shape (src, P)
        Points at which the edges were drawn: domain and fringe.
    curves, base_curves : ndarray, shape (dst, src, P)
        The edge, and its base branch alone, at those points.
    """

    count: int
    mean: Array
    m2: Array
    with_output: Array
    with_input: Array
    alive: BoolArray
    bias: Array
    curve_x: Array
    curves: Array
    base_curves: Array

    def __post_init__(self) -> None:
        dst, src = floats(self.mean, (None, None), "EdgeTable.mean").shape
        for name in ("mean", "m2", "with_output", "with_input"):
            object.__setattr__(self, name, floats(getattr(self, name), (dst, src), f"EdgeTable.{name}"))
        object.__setattr__(self, "alive", bools(self.alive, (dst, src), "EdgeTable.alive"))
        object.__setattr__(self, "bias", floats(self.bias, (dst,), "EdgeTable.bias"))
        object.__setattr__(self, "curve_x", floats(self.curve_x, (src, None), "EdgeTable.curve_x"))
        points = self.curve_x.shape[1]
        for name in ("curves", "base_curves"):
            object.__setattr__(self, name, floats(getattr(self, name), (dst, src, points), f"EdgeTable.{name}"))

    @property
    def strength(self) -> Array:
        """Standard deviation of each edge's output, shape (dst, src)."""
        return np.sqrt(np.maximum(self.m2, 0.0) / max(self.count, 1))

    def merge(self, other: EdgeTable, input_means: tuple[Array, Array], output_means: tuple[Array, Array]) -> EdgeTable:
        """Table of both; the means of the nodes of each side carry the co-moments over."""
        if not (same(self.curves, other.curves) and same(self.alive, other.alive) and same(self.bias, other.bias)):
            raise ShapeError("cannot merge edges of different models; trace both data sets with the same model")
        weight = _weights(self.count, other.count)
        scale = self.count * weight
        delta = other.mean - self.mean
        across_out = (output_means[1] - output_means[0])[:, None]
        across_in = (input_means[1] - input_means[0])[None, :]
        return EdgeTable(
            count=self.count + other.count,
            mean=self.mean + delta * weight,
            m2=self.m2 + other.m2 + delta * delta * scale,
            with_output=self.with_output + other.with_output + delta * across_out * scale,
            with_input=self.with_input + other.with_input + delta * across_in * scale,
            alive=self.alive,
            bias=self.bias,
            curve_x=self.curve_x,
            curves=self.curves,
            base_curves=self.base_curves,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawTable:
    """Moments of the user's own columns, over all rows and time steps.

    Attributes
    ----------
    names : tuple of str
        Column names.
    nodes : NodeTable
        Moments and range of each column.
    co : ndarray, shape (n, n)
        Co-moments: sums of products of deviations; the diagonal is ``nodes.m2``.
    lags : int
        Time steps in a row of data, the longest where batches differ; 1 for a table. Lag 0 is the last time step.
    """

    names: tuple[str, ...]
    nodes: NodeTable
    co: Array
    lags: int

    def __post_init__(self) -> None:
        n = len(self.names)
        object.__setattr__(self, "co", floats(self.co, (n, n), "RawTable.co"))

    @property
    def correlation(self) -> Array:
        """Pearson correlation of the columns, shape (n, n); 0 with a constant column, 1 on the diagonal."""
        scale = np.sqrt(np.diag(self.co))
        varying = ~self.nodes.constant & (scale > 0)
        safe = np.where(varying, scale, 1.0)
        matrix = np.where(varying[:, None] & varying[None, :], self.co / safe[:, None] / safe[None, :], 0.0)
        np.fill_diagonal(matrix, 1.0)
        return np.clip(matrix, -1.0, 1.0)

    def merge(self, other: RawTable) -> RawTable:
        """Table of the rows of both."""
        if self.names != other.names:
            raise ShapeError(f"cannot merge tables of different columns: {self.names[:5]} and {other.names[:5]}")
        delta = other.nodes.mean - self.nodes.mean
        scale = self.nodes.count * _weights(self.nodes.count, other.nodes.count)
        co = self.co + other.co + np.outer(delta, delta) * scale
        return RawTable(names=self.names, nodes=self.nodes.merge(other.nodes), co=co, lags=max(self.lags, other.lags))


def zone_ends(knots: Array, order: int) -> Array:
    """Inner knots with the outer ends of the fringe around them, (src, G + 1) -> (src, G + 3)."""
    fringe = order * (knots[:, -1:] - knots[:, :1]) / (knots.shape[1] - 1)
    return np.concatenate([knots[:, :1] - fringe, knots, knots[:, -1:] + fringe], axis=1)


def _weights(left: int, right: int) -> float:
    """Share of the right side in the merged rows."""
    return right / (left + right) if left + right else 0.0


def whole_numbers(columns: Floats) -> BoolArray:
    """Which columns (n, rows) hold whole numbers only, shape (n,)."""
    whole = _whole(columns[:, :FEW])  # most columns have a fraction among the first few values
    whole[whole] = _whole(columns[whole])
    return whole


def _whole(columns: Floats) -> BoolArray:
    """Which columns (n, rows) hold whole numbers only, shape (n,)."""
    return np.asarray((columns == np.rint(columns)).all(1))
