"""How alike two rankings are (Spearman), and how alike several selections (Nogueira), without scipy."""

from __future__ import annotations

import numpy as np

from .frozen import Array, BoolArray

__all__ = ["nogueira", "ranks", "spearman"]


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


def nogueira(kept: BoolArray) -> float:
    """Stability of selections: 1 for the same ones every time, 0 for what chance would give.

    Nogueira, Sechidis and Brown, JMLR 18 (2018), equation 4.

    NaN where every run kept everything, or nothing: then there is no choice to agree on.

    Parameters
    ----------
    kept : ndarray of bool, shape (runs, columns)
        What each run kept; at least two runs.

    Examples
    --------
    >>> nogueira(np.array([[True, False, False], [True, False, False]]))
    1.0
    """
    runs = len(kept)
    share = kept.mean(0)
    level = float(share.mean())
    if not 0 < level < 1:
        return float("nan")
    return float(1 - (runs / (runs - 1) * share * (1 - share)).mean() / (level * (1 - level)))
