"""Rank agreement between readings of importance (Spearman), without scipy."""

from __future__ import annotations

import numpy as np

from kaninterp.core.frozen import Array

__all__ = ["ranks", "spearman"]


def ranks(values: Array) -> Array:
    """Ranks from 0, ties at their mean.

    Examples
    --------
    >>> ranks(np.array([10.0, 30.0, 10.0]))
    array([0.5, 2. , 0.5])
    """
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1.0
    return np.asarray((last - (counts - 1) / 2)[where.reshape(-1)])


def spearman(left: Array, right: Array) -> float:
    """Rank correlation; NaN when one side is all ties.

    Examples
    --------
    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0, 100.0]))
    1.0
    """
    a, b = ranks(left), ranks(right)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float(np.clip((a * b).sum() / scale, -1.0, 1.0)) if scale > 0 else float("nan")
