"""A node in a few of its inputs: which of them, how well on later rows, and with what curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from kaninterp.core.frozen import Array, IntArray
from kaninterp.measure.profiles import Driver, Profiles
from kaninterp.measure.rows import Rows
from kaninterp.measure.smooth import PRODUCTS, RIDGE, Smooth

__all__ = ["MOST", "Cells", "Description", "candidates"]

MOST = 3
"""Inputs of a description."""

CANDIDATES = 6
"""Cells that are tried for each node: those of the largest gradients, and of the largest correlations."""

PROFILES = 4
"""Columns over all their lags that are tried too."""

WORTH = 0.005
"""R2 that one more input, or products of two, must add on the rows to choose by."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """Columns at their lags, side by side, and which rows are for what.

    Attributes
    ----------
    x : ndarray, shape (rows, lags, columns)
        Lag 0 first.
    names : tuple of str
        Columns.
    parts : tuple of ndarray of int
        Rows to fit on, later rows to choose by, and the last ones to judge by; windows of two parts share no step.
    """

    x: Array
    names: tuple[str, ...]
    parts: tuple[IntArray, IntArray, IntArray]

    @classmethod
    def of(cls, held: Rows) -> Cells:
        """Cells of held rows: half to fit on, a quarter to choose by, a quarter to judge by."""
        values = held.columns.values(held.batch).flip(1).double().cpu().numpy()  # lag 0 first
        n, steps, _ = values.shape
        gap = int(np.ceil((steps - 1) / held.spacing))
        middle, late = n // 2, 3 * n // 4
        rows = np.arange(n, dtype=np.int64)
        parts = rows[: max(middle - gap, 0)], rows[middle : max(late - gap, middle)], rows[late:]
        return cls(x=values, names=held.columns.names, parts=parts)

    def called(self, driver: Driver) -> str:
        """Name of a driver in a formula."""
        name, lags = self.names[driver.column], self.x.shape[1]
        if lags == 1:
            return name
        return f"{name}[{driver.lag}]" if driver.single else f"{name}[0…{lags - 1}]"


def candidates(cells: Cells, profiles: Profiles, y: Array, effects: Array) -> list[Driver]:
    """Drivers worth a try: columns over all lags, then single cells, half by gradient and half by correlation."""
    rows = cells.parts[0]
    lags, columns = cells.x.shape[1:]
    flat = cells.x[rows].reshape(len(rows), -1)
    z = flat - flat.mean(0)
    spread = z.std(0)
    r = np.divide(np.abs(z.T @ (y[rows] - y[rows].mean())), spread, out=np.zeros(len(spread)), where=spread > 0)
    by_gradient = np.argsort(-effects.ravel(), kind="stable")
    order = [int(k) for pair in zip(by_gradient, np.argsort(-r, kind="stable"), strict=True) for k in pair]
    alive = [k for k in dict.fromkeys(order) if spread[k] > 0][:CANDIDATES]
    one = np.eye(lags)
    return [Driver(column=k % columns, weights=one[k // columns]) for k in alive] + profiles.of(y, PROFILES)


class Description:
    """Fits of a node's values, in its own units or others, on some of its candidates.

    Parameters
    ----------
    x, y : ndarray, shapes (rows, m), (rows,)
        Candidates and values.
    parts : tuple of ndarray of int
        As in `Cells`.
    """

    def __init__(self, x: Array, y: Array, parts: tuple[IntArray, IntArray, IntArray]) -> None:
        self.x, self.y, self.parts = x, y, parts
        self.splines = Smooth(x[parts[0]])
        self._every = tuple(combinations(range(x.shape[1]), 2))
        columns = list(range(x.shape[1]))
        design = self.splines.design(x, columns, self._every)
        self._width = self.splines.basis(x[:1, 0], 0).shape[1]
        self._centre = design[parts[0]].mean(0)
        self._moments = [_moments(design[rows] - self._centre, y[rows] - y[parts[0]].mean()) for rows in parts]

    def chosen(self) -> list[int]:
        """The candidates that describe it: one after the other, and first two at once where they work by a product."""
        found: list[int] = []
        best = 0.0
        while len(found) < MOST:
            rest = [c for c in range(self.x.shape[1]) if c not in found]
            steps = [(c,) for c in rest] + ([] if found else list(combinations(rest, 2)))
            gains = [(self._together([*found, *step]) - WORTH * len(step), step) for step in steps]
            gain, step = max(gains, key=lambda each: each[0], default=(0.0, ()))
            if gain <= best:
                break
            best = gain + WORTH * len(step)
            found += step
        return found or [0]

    def pairs(self, columns: list[int]) -> tuple[tuple[int, int], ...]:
        """Pairs of them whose products help."""
        plain = self._r2(columns, (), 1)
        every = tuple(combinations(columns, 2))
        return tuple(pair for pair in every if self._r2(columns, (pair,), 1) >= plain + WORTH)

    def judged(self, columns: list[int], pairs: Sequence[tuple[int, int]] = ()) -> float:
        """R2 on the last rows, 0 at least."""
        return max(0.0, self._r2(columns, pairs, 2))

    def curve(self, columns: list[int], pairs: Sequence[tuple[int, int]], column: int, at: Array) -> Array:
        """Effect of one column at values of it, mean 0 over the rows to fit on."""
        where = self._places(columns, pairs)
        own = slice(columns.index(column) * self._width, (columns.index(column) + 1) * self._width)
        basis = self.splines.basis(at, column) - self._centre[where[own]]
        return np.asarray(basis @ self._coefficients(where)[own])

    def _together(self, columns: list[int]) -> float:
        """R2 on the rows to choose by, with all products of two."""
        return self._r2(columns, tuple(combinations(columns, 2)), 1)

    def _r2(self, columns: list[int], pairs: Sequence[tuple[int, int]], part: int) -> float:
        """R2 on the rows of a part, of a fit on those of the first; below 0 where their mean does better."""
        if not columns:
            return 0.0
        where = self._places(columns, pairs)
        slopes = self._coefficients(where)
        gram, product, square, mean = self._moments[part]
        left = square - 2 * slopes @ product[where] + slopes @ gram[np.ix_(where, where)] @ slopes
        spread = square - mean**2
        return 1.0 - float(left / spread) if spread > 0 else 0.0

    def _coefficients(self, where: IntArray) -> Array:
        gram, product, *_ = self._moments[0]
        return np.asarray(np.linalg.solve(gram[np.ix_(where, where)] + RIDGE * np.eye(len(where)), product[where]))

    def _places(self, columns: list[int], pairs: Sequence[tuple[int, int]]) -> IntArray:
        """Columns of the design that belong to some candidates and products."""
        products = self.x.shape[1] * self._width
        starts = [(column * self._width, self._width) for column in columns]
        starts += [(products + self._every.index((min(p), max(p))) * PRODUCTS, PRODUCTS) for p in pairs]
        return np.concatenate([np.arange(start, start + width) for start, width in starts])


def _moments(design: Array, y: Array) -> tuple[Array, Array, float, float]:
    """Mean products of the design with itself and with y, mean square and mean of y."""
    n = max(len(y), 1)
    return design.T @ design / n, design.T @ y / n, float(y @ y / n), float(y.sum() / n)
