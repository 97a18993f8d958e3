"""Whether other rows of the same data would have given the same ranking, and the same choice, of columns."""

from __future__ import annotations

import numpy as np

from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.rank import nogueira, spearman
from kaninterp.core.trust import TrustReading
from kaninterp.measure.bootstrap import LEVEL, BlockBootstrap

__all__ = ["stability_readings"]

PAIRS = 200
"""Pairs of bootstrap samples compared."""

PROVEN = 3.0
"""Standard errors from which a rise counts: p = 0.001 for one column, which is 0.01 for ten at once."""


def stability_readings(
    rises: Array, reads: BoolArray, block: int, *, rng: np.random.Generator
) -> tuple[TrustReading, TrustReading]:
    """Agreement of block bootstraps of the rows about the rise of the loss that each column causes.

    Parameters
    ----------
    rises : ndarray, shape (rows, columns)
        Rise of the loss of each row when a column is shuffled.
    reads : ndarray of bool, shape (columns,)
        Columns that the model reads at all; the others always agree and take no part in the ranking.
    block : int
        Rows kept together.
    rng : numpy.random.Generator
        Of the draws.

    Returns
    -------
    ranking : TrustReading
        Mean Spearman correlation of the rankings of two samples, and the range of 95 % of the pairs. Columns whose rise
        is within three standard errors of zero share the last place: which noise comes first says nothing.
    kept : TrustReading
        Stability (Nogueira et al. 2018) of the sets of columns whose rise is above three standard errors in a sample.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rises = np.array([3.0, 1.0, 0.0]) + rng.normal(size=(400, 3))
    >>> ranking, kept = stability_readings(rises, np.ones(3, bool), 8, rng=rng)
    >>> ranking.value > 0.9, kept.value > 0.8
    (True, True)
    """
    if reads.sum() < 2:
        why = f"{int(reads.sum())} of {len(reads)} columns move the loss, so there is no ranking"
        return TrustReading.unmeasured("bootstrap", why), TrustReading.unmeasured("bootstrap-kept", why)
    means = BlockBootstrap(len(rises), block, rng).means(rises)
    error = means.std(0)
    proven = reads & (rises.mean(0) > PROVEN * error)
    effort = f"{len(rises):,} rows, {PAIRS} pairs of bootstrap samples"
    return _ranking(means, reads, proven, effort), _kept(means > PROVEN * error, reads, effort)


def _ranking(means: Array, reads: BoolArray, proven: BoolArray, effort: str) -> TrustReading:
    if not proven.any():
        return TrustReading.unmeasured(
            "bootstrap", "no column has a rise of the loss beyond chance, so there is no ranking"
        )
    if proven.sum() == 1 == reads.sum():
        return TrustReading.unmeasured("bootstrap", "there is one column")
    ranked = np.where(proven, np.maximum(means, 0.0), 0.0)[:, reads]
    found = np.array([spearman(ranked[2 * i], ranked[2 * i + 1]) for i in range(PAIRS)])
    found = found[~np.isnan(found)]
    if not len(found):
        return TrustReading.unmeasured("bootstrap", "all columns cost the same, so there is no ranking")
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return TrustReading(
        check="bootstrap", value=float(found.mean()), low=float(low), high=float(high), chance=0.0, effort=effort
    )


def _kept(kept: BoolArray, reads: BoolArray, effort: str) -> TrustReading:
    stability = nogueira(kept[: 2 * PAIRS] & reads)
    if np.isnan(stability):
        which = "every column comes out in every" if kept.any() else "no column comes out in any"
        return TrustReading.unmeasured("bootstrap-kept", f"{which} sample, so there is no choice to compare")
    return TrustReading(check="bootstrap-kept", value=stability, chance=0.0, effort=effort)
