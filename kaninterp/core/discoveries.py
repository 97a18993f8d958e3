"""Many p-values at once: how large a part of what is called real may be false (false discovery rate)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .errors import DataError, ShapeError
from .frozen import Array

__all__ = ["benjamini_hochberg", "benjamini_yekutieli"]


def benjamini_hochberg(p_values: ArrayLike) -> Array:
    """q-values: the smallest false discovery rate at which each hypothesis is called real.

    Holds for independent p-values and for those that rise together (Benjamini & Hochberg 1995; Benjamini & Yekutieli
    2001, theorem 1.2).

    Parameters
    ----------
    p_values : array_like, shape (m,)
        Of one family of tests.

    Returns
    -------
    ndarray, shape (m,)
        At least the p-values, at most 1, in the same order of size.

    Raises
    ------
    ShapeError
        Not a row of numbers.
    DataError
        A number that is no p-value.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5]).round(4)
    array([0.04  , 0.0533, 0.0533, 0.5   ])
    """
    p = _checked(p_values)
    order = np.argsort(-p, kind="stable")
    ranks = np.arange(len(p), 0, -1)
    steps = np.minimum.accumulate(p[order] * len(p) / np.maximum(ranks, 1))
    q = np.empty(len(p))
    q[order] = np.minimum(steps, 1.0)
    return q


def benjamini_yekutieli(p_values: ArrayLike) -> Array:
    """q-values that hold whatever the dependence: those of `benjamini_hochberg` times 1 + 1/2 + ... + 1/m.

    Benjamini & Yekutieli (2001), theorem 1.3. Arguments, result and errors are those of `benjamini_hochberg`.

    Examples
    --------
    >>> benjamini_yekutieli([0.01, 0.04]).round(4)
    array([0.03, 0.06])
    """
    p = _checked(p_values)
    return np.asarray(np.minimum(benjamini_hochberg(p) * (1 / np.arange(1, len(p) + 1)).sum(), 1.0))


def _checked(p_values: ArrayLike) -> Array:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise ShapeError(f"p_values: expected one row of numbers (m,), got shape {p.shape}; ravel them first")
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError(f"p_values: expected numbers from 0 to 1, got {p[~((p >= 0) & (p <= 1))][:5].tolist()}")
    return p
