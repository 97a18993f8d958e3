"""Smooth functions of one column: splines in the order of their smoothness, orthonormal on the data.

The space is that of a KAN edge, cubic B-splines. Sorted by roughness (Demmler and Reinsch 1975) its first function is
nearly a line, the second nearly a parabola, so that the first few say most of what data can show of an unknown curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from kaninterp.core.frozen import Array
from kaninterp.nn.bspline import knot_basis

__all__ = ["FUNCTIONS", "SmoothFunctions"]

FUNCTIONS = 6
"""Functions per column, at most."""

INTERVALS = 6
"""Grid intervals: `FUNCTIONS` smooth functions need few."""

ORDER = 3
TAILS = 0.005
"""Share of the rows beyond each end of the domain; values there count as the end."""

LEVELS = 8
"""Columns with up to this many different values get polynomials of their levels: there is nothing between them."""

FLAT = 1e-6
"""Root mean square below which what is left of a function is rounding."""


@dataclass(frozen=True, eq=False)
class SmoothFunctions:
    """Functions of one column, to be evaluated on any rows.

    Attributes
    ----------
    lo, hi : float
        Values beyond count as these.
    knots : ndarray, shape (grid + 1,), or None
        Of the splines; None for a column of few levels, whose functions are polynomials.
    weights : ndarray, shape (basis, d)
        The functions in the basis of splines or powers.
    shift : ndarray, shape (d,)
        Means over the rows they were made from, taken off.

    Examples
    --------
    >>> x = np.linspace(0, 1, 200)
    >>> functions = SmoothFunctions.of(x)
    >>> values = functions(x)
    >>> values.shape, bool(np.allclose(values.T @ values / 200, np.eye(6)))
    ((200, 6), True)
    >>> bool(abs(np.corrcoef(values[:, 0], x)[0, 1]) > 0.99)
    True
    """

    lo: float
    hi: float
    knots: Array | None
    weights: Array
    shift: Array

    @classmethod
    def of(cls, column: Array) -> SmoothFunctions:
        """Make the functions of a column (n,); none for a constant one."""
        levels = np.unique(column)
        if len(levels) < 2:
            return cls(float(levels[0]), float(levels[0]), None, np.zeros((1, 0)), np.zeros(0))
        if len(levels) <= LEVELS:
            lo, hi = float(levels[0]), float(levels[-1])
            powers = _powers(column, lo, hi, len(levels))
            return cls(lo, hi, None, *_orthonormal(powers, np.eye(len(levels))))
        lo, hi = (float(q) for q in np.quantile(column, [TAILS, 1 - TAILS]))
        if not lo < hi:
            lo, hi = float(levels[0]), float(levels[-1])
        inside = np.clip(column, lo, hi)
        knots = _knots(inside, lo, hi)
        basis = _splines(inside, knots)
        return cls(lo, hi, knots, *_orthonormal(basis, _smooth_first(basis, knots)))

    def __call__(self, column: Array) -> Array:
        """Evaluate, shape (n, d)."""
        inside = np.clip(column, self.lo, self.hi)
        if not self.weights.shape[1]:
            return np.zeros((len(column), 0))
        if self.knots is None:
            basis = _powers(inside, self.lo, self.hi, len(self.weights))
        else:
            basis = _splines(inside, self.knots)
        values: Array = basis @ self.weights - self.shift
        return values


def _powers(column: Array, lo: float, hi: float, count: int) -> Array:
    centred = (2 * column - lo - hi) / (hi - lo)
    return np.asarray(np.polynomial.chebyshev.chebvander(centred, count - 1), dtype=np.float64)


def _knots(inside: Array, lo: float, hi: float) -> Array:
    """Half way between equally spaced knots and quantiles: neither outliers nor clumps take all of them."""
    even = np.linspace(lo, hi, INTERVALS + 1)
    dense = np.quantile(inside, np.linspace(0, 1, INTERVALS + 1))
    dense[[0, -1]] = lo, hi
    return np.asarray((even + dense) / 2, dtype=np.float64)


def _splines(inside: Array, knots: Array) -> Array:
    # the recursion counts the last knot outside; a hair inside it is the same value
    top = knots[-1] - 1e-12 * (knots[-1] - knots[0])
    x = torch.from_numpy(np.minimum(inside, top)).unsqueeze(1)
    basis: Array = knot_basis(x, torch.from_numpy(knots).unsqueeze(0), ORDER)[:, :, 0].numpy()
    return basis


def _smooth_first(basis: Array, knots: Array) -> Array:
    """Combinations of the splines, smoothest first: eigenvectors of roughness against size on the data."""
    count = basis.shape[1]
    step = np.diff(knots).mean()
    extended = np.concatenate(
        (knots[0] - step * np.arange(ORDER, 0, -1), knots, knots[-1] + step * np.arange(1, ORDER + 1))
    )
    centres = np.array([extended[i + 1 : i + ORDER + 1].mean() for i in range(count)])
    slopes = np.diff(np.eye(count), axis=0) / np.diff(centres)[:, None]
    bends = np.diff(slopes, axis=0)
    rough = bends.T @ bends
    rough /= np.trace(rough) / count
    gram = basis.T @ basis / len(basis)
    root = np.linalg.cholesky(gram + 1e-8 * np.trace(gram) / count * np.eye(count))
    half = np.linalg.solve(root, np.linalg.solve(root, rough).T)
    _, vectors = np.linalg.eigh((half + half.T) / 2)
    found: Array = np.linalg.solve(root.T, vectors)
    return found


def _orthonormal(basis: Array, order: Array) -> tuple[Array, Array]:
    """Weights and means of the functions: what each adds to a constant and to those before it, with unit variance."""
    weights: list[NDArray[np.float64]] = []
    values: list[NDArray[np.float64]] = []
    means: list[float] = []
    for weight in order.T:
        w, v = weight.copy(), basis @ weight
        m = float(v.mean())
        v = v - m
        for other, fixed, mean in zip(values, weights, means, strict=True):
            share = float(v @ other) / len(v)
            v, w, m = v - share * other, w - share * fixed, m - share * mean
        size = float(np.sqrt((v * v).mean()))
        if size > FLAT * max(float(np.abs(basis @ weight).max()), FLAT):
            weights.append(w / size)
            values.append(v / size)
            means.append(m / size)
        if len(values) == FUNCTIONS:
            break
    return np.array(weights).T.reshape(basis.shape[1], -1), np.array(means)
