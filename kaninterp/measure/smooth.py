"""Smooth additive fits of a few columns: splines on the quantiles of each, least squares with a little ridge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kaninterp.core.frozen import Array
from kaninterp.nn.domain import quantile_knots, widen
from kaninterp.nn.projection import continued_basis

__all__ = ["PRODUCTS", "RIDGE", "Fit", "Smooth", "explained", "fitted"]

GRID = 5
"""Cells of each column's spline."""

RIDGE = 1e-4
"""Weight of the squared coefficients beside the mean squared error."""


PRODUCTS = 4
"""Products of two columns: line and parabola of the one times those of the other."""


class Smooth:
    """Cubic splines on the rows that it is made from; constant beyond their range.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 200)[:, None]
    >>> splines = Smooth(x)
    >>> fit = fitted(splines.design(x, [0]), x[:, 0] ** 2)
    >>> bool(explained(fit, splines.design(x, [0]), x[:, 0] ** 2) > 0.999)
    True
    """

    def __init__(self, x: Array) -> None:
        rows = torch.from_numpy(np.ascontiguousarray(x))
        lo, hi = widen(rows.amin(0), rows.amax(0))
        self._knots = quantile_knots(rows, lo, hi, GRID)

    def basis(self, x: Array, column: int) -> Array:
        """Splines of one column at values of it, ``(n,) -> (n, K)``."""
        at = torch.from_numpy(np.ascontiguousarray(x))[:, None]
        return np.asarray(continued_basis(at, self._knots[[column]], 3, "clamp")[:, :, 0].numpy())

    def design(self, x: Array, columns: Sequence[int], pairs: Sequence[tuple[int, int]] = ()) -> Array:
        """Splines of some columns side by side, and for pairs `PRODUCTS` products of both.

        Shape (n, columns x K + pairs x PRODUCTS).
        """
        parts = [self.basis(x[:, column], column) for column in columns]
        parts += [_products(self._turns(x, a), self._turns(x, b)) for a, b in pairs]
        return np.concatenate(parts, axis=1)

    def _turns(self, x: Array, column: int) -> Array:
        """A line and a parabola over the domain, (n, 2)."""
        low, high = (float(end) for end in self._knots[column, [0, -1]])
        place = np.clip(2 * (x[:, column] - low) / (high - low) - 1, -1, 1)
        return np.stack([place, place**2 - 1 / 3], axis=1)


class Fit:
    """Coefficients of a least-squares fit, and the constant beside them."""

    def __init__(self, coefficients: Array, centre: Array, constant: float) -> None:
        self.coefficients, self.centre, self.constant = coefficients, centre, constant

    def __call__(self, design: Array) -> Array:
        """Fitted values."""
        return np.asarray((design - self.centre) @ self.coefficients + self.constant)


def fitted(design: Array, y: Array, ridge: float = RIDGE) -> Fit:
    """Least squares of y (n,) on a design (n, p), with a little ridge."""
    centre, mean = design.mean(0), float(y.mean())
    z = design - centre
    gram = z.T @ z / len(y) + ridge * np.eye(z.shape[1])
    return Fit(np.linalg.solve(gram, z.T @ (y - mean) / len(y)), centre, mean)


def explained(fit: Fit, design: Array, y: Array) -> float:
    """R2 on some rows; below 0 where the mean of those rows does better."""
    spread = float(y.var())
    return 1.0 - float(((y - fit(design)) ** 2).mean()) / spread if spread > 0 else 0.0


def _products(a: Array, b: Array) -> Array:
    return np.asarray((a[:, :, None] * b[:, None, :]).reshape(len(a), -1))
