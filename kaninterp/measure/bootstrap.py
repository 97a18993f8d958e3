"""Intervals for means over rows that may depend on their neighbours in time."""

from __future__ import annotations

import numpy as np

from kaninterp.core import Estimate
from kaninterp.core.frozen import Array
from kaninterp.data import Batch, Batches

__all__ = ["DRAWS", "BlockBootstrap", "block_length", "block_of", "memory", "quotients"]

DRAWS = 9999
"""Bootstrap draws: enough for a p-value of 1e-4, which Holm's correction over 100 columns at .01 needs."""
LEVEL = 0.95
NOTHING = 1e-9
"""Part of its usual size from which on a drawn mean is a number to divide by: less is rounding of a sum."""


class BlockBootstrap:
    """Moving-block bootstrap (Künsch 1989) of means over the same rows, with the same draws for every quantity.

    Parameters
    ----------
    rows, block
        Number of rows, and of neighbouring rows drawn together.
    rng
        Source of the draws.

    Examples
    --------
    >>> boot = BlockBootstrap(400, 10, np.random.default_rng(0))
    >>> estimate = boot.estimate(np.random.default_rng(2).normal(1.0, 1.0, 400))
    >>> bool(estimate.low < 1.0 < estimate.high)
    True
    """

    def __init__(self, rows: int, block: int, rng: np.random.Generator) -> None:
        self.block = max(1, min(block, rows // 2 or 1))
        blocks = -(-rows // self.block)
        starts = rng.integers(0, rows, size=(DRAWS, blocks))
        self._starts = starts

    def means(self, values: Array) -> Array:
        """Bootstrap means, ``(rows, ...) -> (DRAWS, ...)``; blocks wrap around the end."""
        flat = values.reshape(len(values), -1)
        total = np.concatenate([flat, flat[: self.block - 1]]) if self.block > 1 else flat
        sums = np.cumsum(np.concatenate([np.zeros((1, flat.shape[1])), total]), axis=0)
        blocks = (sums[self.block :] - sums[: -self.block]) / self.block
        # one column at a time: draws x blocks numbers in memory, whatever the number of quantities
        drawn = np.stack([column[self._starts].mean(1) for column in blocks.T], axis=1)
        return np.asarray(drawn.reshape(DRAWS, *values.shape[1:]), dtype=np.float64)

    def estimate(self, values: Array) -> Estimate:
        """Mean of one quantity, shape (rows,), with its 95 % interval."""
        low, high = self.interval(values[:, None])
        return Estimate(value=float(values.mean()), low=float(low[0]), high=float(high[0]))

    def interval(self, values: Array) -> tuple[Array, Array]:
        """Lower and upper end for several quantities, shape (rows, m)."""
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(self.means(values), [tail, 1 - tail], axis=0)
        return low, high

    def p_values(self, values: Array) -> Array:
        """One-sided p-value that each mean is not above zero, shape (rows, m) -> (m,)."""
        hits = (self.means(values) <= 0).sum(0)
        return np.asarray((1 + hits) / (1 + DRAWS), dtype=np.float64)

    def standard_error(self, values: Array) -> float:
        """Standard error of one mean, shape (rows,)."""
        return float(self.means(values[:, None]).std())


def quotients(above: Array, below: Array) -> Array:
    """Quotients of drawn means, (DRAWS,); NaN for a draw in which there is nothing to divide by.

    A draw may miss the few rows that make up a mean, or turn its sign; then the quotient has no meaning.

    Examples
    --------
    >>> quotients(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 0.0, -1.0]))
    array([0.5, 2. , nan, nan])
    """
    there = below > NOTHING * np.abs(below).max()
    return np.asarray(np.divide(above, below, out=np.full(np.shape(below), np.nan), where=there), dtype=np.float64)


def memory(values: Array) -> int:
    """Rows after which a series no longer resembles itself: the first lag with a correlation within chance, 2/sqrt(n).

    At most a fifth of the rows. Politis and White (2004) take twice this lag as the length of a block.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> memory(rng.normal(size=400)), memory(np.cumsum(rng.normal(size=400))) > 20, memory(np.ones(400))
    (1, True, 1)
    """
    n, centred = len(values), values - values.mean()
    longest = max(1, n // 5)
    power = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    overlap = np.fft.irfft(power, 2 * n)[: longest + 1]
    if not overlap[0] > 0:
        return 1
    quiet = np.flatnonzero(overlap[1:] / overlap[0] < 2 / n**0.5)
    return int(quiet[0]) + 1 if len(quiet) else longest


def block_of(batch: Batch, batches: Batches) -> int:
    """`block_length` of a sample, given what it was sampled from."""
    return block_length(batch.n_rows, batch.lags, (batches.n_rows or batch.n_rows) / batch.n_rows)


def block_length(rows: int, lags: int, spacing: float) -> int:
    """Rows to keep together: as many as share a time window, and at least rows^(1/3) (Hall, Horowitz & Jing 1995)."""
    overlap = int(np.ceil(lags / max(spacing, 1.0))) if lags > 1 else 1
    return max(overlap, int(np.ceil(rows ** (1 / 3))))
