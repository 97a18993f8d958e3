"""`PartTable`: how much of every edge is its base branch, how much its spline, and whether that was ever trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .frozen import Array, BoolArray, bools, floats
from .tables import EdgeTable

__all__ = ["PartTable"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartTable:
    """Moments of the base branch of the edges of one layer, each [dst, src]; the spline part is the rest of the edge.

    Attributes
    ----------
    mean, m2 : ndarray, shape (dst, src)
        Mean and sum of squared deviations of the base branch over the data.
    with_edge, with_input : ndarray, shape (dst, src)
        Co-moments of the base branch with its edge, and with the argument of both.
    start : ndarray, shape (dst, src)
        Root mean square of the spline coefficients when they were initialised; 0 where that is not known.
    untouched : ndarray of bool, shape (dst, src)
        Whether the spline coefficients still are what they were initialised with; False where that is not known.
    formula : ndarray of bool, shape (dst, src)
        Whether the edge is a formula, which has no spline and which no grid bounds; none is if not given.
    """

    mean: Array
    m2: Array
    with_edge: Array
    with_input: Array
    start: Array
    untouched: BoolArray
    formula: BoolArray | None = None

    def __post_init__(self) -> None:
        shape = floats(self.mean, (None, None), "PartTable.mean").shape
        for name in ("mean", "m2", "with_edge", "with_input", "start"):
            object.__setattr__(self, name, floats(getattr(self, name), shape, f"PartTable.{name}"))
        object.__setattr__(self, "untouched", bools(self.untouched, shape, "PartTable.untouched"))
        given = np.zeros(shape, bool) if self.formula is None else self.formula
        object.__setattr__(self, "formula", bools(given, shape, "PartTable.formula"))

    @property
    def spline(self) -> BoolArray:
        """Whether the edge has a spline, (dst, src)."""
        assert self.formula is not None  # noqa: S101 - set when it was made
        return ~self.formula

    def spline_m2(self, edges: EdgeTable) -> Array:
        """Sum of squared deviations of the spline part, (dst, src)."""
        return np.maximum(edges.m2 - 2 * self.with_edge + self.m2, 0.0)

    def spline_with_input(self, edges: EdgeTable) -> Array:
        """Co-moment of the spline part with its argument, (dst, src)."""
        return np.asarray(edges.with_input - self.with_input)

    def merge(
        self, other: PartTable, edges: tuple[EdgeTable, EdgeTable], input_means: tuple[Array, Array]
    ) -> PartTable:
        """Table of the rows of both; the tables of the edges and the means of their inputs carry the moments over."""
        mine, theirs = edges
        weight = theirs.count / max(mine.count + theirs.count, 1)
        scale = mine.count * weight
        delta = other.mean - self.mean
        along = (input_means[1] - input_means[0])[None, :]
        return PartTable(
            mean=self.mean + delta * weight,
            m2=self.m2 + other.m2 + delta * delta * scale,
            with_edge=self.with_edge + other.with_edge + delta * (theirs.mean - mine.mean) * scale,
            with_input=self.with_input + other.with_input + delta * along * scale,
            start=self.start,
            untouched=self.untouched,
            formula=self.formula,
        )
