"""How much of one column smooth curves of another say, on rows that the curves were not fitted to."""

from __future__ import annotations

import numpy as np

from kaninterp.core.frozen import Array
from kaninterp.measure.smooth import RIDGE, Smooth

__all__ = ["smooth_r2"]

LEAST_ROWS = 40
"""Fewer rows are too few for a curve and a judgement."""

TINY = 1e-12


def smooth_r2(x: Array, y: Array) -> Array:
    """Cross-validated R2 of cubic splines of one column, for several others at once.

    Parameters
    ----------
    x : ndarray, shape (n,)
        The column that says something.
    y : ndarray, shape (n, m)
        The columns of which it is said.

    Returns
    -------
    ndarray, shape (m,)
        Mean over the two halves of the rows in their order, each judged by the curve of the other; 0 at least, and for
        constant columns and fewer than `LEAST_ROWS` rows.

    Examples
    --------
    >>> x = np.random.default_rng(0).uniform(-1, 1, 400)
    >>> noise = np.random.default_rng(1).normal(size=400)
    >>> smooth_r2(x, np.stack([x**2, noise], axis=1)).round(2)
    array([1., 0.])
    """
    n = len(x)
    if n < LEAST_ROWS or x.std() <= TINY * np.abs(x).max(initial=0.0):
        return np.zeros(y.shape[1])
    halves = slice(0, n // 2), slice(n // 2, n)
    found = np.zeros((2, y.shape[1]))
    for turn, (fit, judge) in enumerate((halves, halves[::-1])):
        splines = Smooth(x[fit][:, None])
        design = splines.basis(x[fit], 0)
        centre, mean = design.mean(0), y[fit].mean(0)
        z = design - centre
        gram = z.T @ z / len(z) + RIDGE * np.eye(z.shape[1])
        coefficients = np.linalg.solve(gram, z.T @ (y[fit] - mean) / len(z))
        left = y[judge] - mean - (splines.basis(x[judge], 0) - centre) @ coefficients
        spread = y[judge].var(0)
        varies = spread > TINY * (y[judge] ** 2).max(0, initial=0.0)
        found[turn] = 1 - np.divide((left**2).mean(0), spread, out=np.ones(len(spread)), where=varies)
    best: Array = np.maximum(found.mean(0), 0.0)
    return best
