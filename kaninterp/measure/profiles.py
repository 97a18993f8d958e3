"""A column's whole course as one number: its lags weighted as a linear fit of a node weights them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaninterp.core.frozen import Array, IntArray

__all__ = ["Driver", "Profiles"]

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Weights of the squared slopes beside the mean squared error, of columns in their standard deviations; the best on the
rows to choose by is taken."""

MOST_CELLS = 1024
"""Columns times lags above which no linear fit of all of them is made."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Driver:
    """A column at one lag, or over all lags with weights.

    Attributes
    ----------
    column : int
    weights : ndarray, shape (lags,)
        Of the column at each lag, lag 0 first; absolute values sum to 1.
    """

    column: int
    weights: Array

    @property
    def lag(self) -> int:
        """The lag that weighs most."""
        return int(np.abs(self.weights).argmax())

    @property
    def single(self) -> bool:
        """Whether it is the column at one lag."""
        return int((self.weights != 0).sum()) == 1

    def values(self, x: Array) -> Array:
        """Its value in every row of x, ``(rows, lags, columns) -> (rows,)``."""
        return np.asarray(x[:, :, self.column] @ self.weights)


class Profiles:
    """Ridge regressions on all columns at all lags, for any number of nodes from one decomposition.

    Parameters
    ----------
    x : ndarray, shape (rows, lags, columns)
    fit, choose : ndarray of int
        Rows to fit on, and to choose the ridge by.
    """

    def __init__(self, x: Array, fit: IntArray, choose: IntArray) -> None:
        self._shape = x.shape[1:]
        self._fit, self._choose = fit, choose
        self._usable = x.shape[1] > 1 and x.shape[1] * x.shape[2] <= MOST_CELLS
        if not self._usable:
            return
        flat = x.reshape(len(x), -1)
        self._scale = np.where(flat[fit].std(0) > 0, flat[fit].std(0), np.inf)
        self._z = (flat - flat[fit].mean(0)) / self._scale
        values, self._vectors = np.linalg.eigh(self._z[fit].T @ self._z[fit] / len(fit))
        self._values = np.maximum(values, 0.0)

    def of(self, y: Array, most: int) -> list[Driver]:
        """Columns over all their lags that weigh most in a node's values (rows,), at most so many; none for a table."""
        if not self._usable:
            return []
        slopes = min((self._slopes(y, ridge) for ridge in RIDGES), key=lambda each: self._error(y, each))
        weights = (slopes / self._scale).reshape(self._shape)
        parts = np.einsum("nlf,lf->nf", self._z[self._fit].reshape(-1, *self._shape), slopes.reshape(self._shape))
        size = parts.std(0)
        order = [int(f) for f in np.argsort(-size, kind="stable")[:most] if size[f] > 0]
        return [Driver(column=f, weights=weights[:, f] / np.abs(weights[:, f]).sum()) for f in order]

    def _slopes(self, y: Array, ridge: float) -> Array:
        rows = self._fit
        along = self._vectors.T @ (self._z[rows].T @ (y[rows] - y[rows].mean()) / len(rows))
        return np.asarray(self._vectors @ (along / (self._values + ridge)))

    def _error(self, y: Array, slopes: Array) -> float:
        left = y[self._choose] - y[self._fit].mean() - self._z[self._choose] @ slopes
        return float(left @ left)
