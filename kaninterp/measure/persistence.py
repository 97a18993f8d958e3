"""How many independent rows a series in the order of time is worth, column by column."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from kaninterp.core import NodeTable
from kaninterp.core.frozen import Array

__all__ = ["Persistence"]

MOST = 0.999
"""Correlation of neighbours from which it is not told from 1: the series is one long way, and worth one row."""

BLOCKS = 25
"""Blocks of rows from which their means are looked at: of fewer, the spread is too uncertain."""

SURE = 3.0
"""Standard errors by which means of blocks must be more alike, or spread wider, than those of independent rows."""


PART = 0.5
"""Part of the rows that neighbours tell of, below which blocks tell that they are no first-order autoregression."""


class Persistence:
    """Running correlation of neighbouring rows, and of means of blocks of 2, 4, 8, ... rows, in the order of time.

    The effective number is that of a first-order autoregression, n (1 - r) / (1 + r) (Bayley and Hammersley 1946),
    with r from the mean squared difference of neighbours (von Neumann 1941), which no shift of the mean disturbs,
    freed of its bias in short series, (1 + 3 r) / n (Marriott and Pope 1954). Rows that come shuffled show r = 0 and
    count in full.

    Noise on a slow series, or its rounding, lowers r of the rows though the series is as slow as before, but averages
    out in blocks. So the same is done with the means of blocks wherever they spread wider than those of independent
    rows (batch means, Conway 1963). What counts is the smallest number that two sizes of blocks agree on, if it is
    less than `PART` of that of neighbours: of a first-order autoregression, the latter has the smaller error.

    Examples
    --------
    >>> import torch
    >>> found = Persistence(1)
    >>> found.add(torch.arange(100.0).reshape(-1, 1) // 10)
    >>> bool(found.effective[0] < 20)
    True
    """

    def __init__(self, columns: int) -> None:
        self._levels = [_Level(columns)]

    def add(self, rows: Tensor) -> None:
        """Take the next rows, (n, columns)."""
        values = rows.detach().cpu().double().numpy()
        depth = 0
        while len(values):
            if depth == len(self._levels):
                self._levels.append(_Level(values.shape[1]))
            values = self._levels[depth].add(values)
            depth += 1

    @property
    def effective(self) -> Array:
        """Independent rows that would tell as much, (columns,): 1 to n; n for a constant column."""
        rows = self._levels[0]
        n, variance = rows.nodes.count, np.square(rows.nodes.std)
        if n < 2:
            return np.full(len(variance), float(n))
        r = rows.correlation
        first: Array = np.where(r < MOST, np.maximum(n * (1 - r) / (1 + r), 1.0), 1.0)
        others = [first]
        for depth, blocks in enumerate(self._levels[1:], 1):
            if blocks.nodes.count < BLOCKS:
                break
            others.append(blocks.worth(n, 2**depth, variance))
        agreed = np.sort(others, axis=0)[min(1, len(others) - 1)]
        found: Array = np.where(agreed < PART * first, agreed, first)
        return found

    @property
    def repeats(self) -> Array:
        """Share of rows that equal the row before, (columns,); 1 where there is no pair."""
        rows = self._levels[0]
        pairs = rows.nodes.count - 1
        return rows.same / pairs if pairs > 0 else np.ones(len(rows.same))


class _Level:
    """Moments and jumps of one series of rows, or of means of blocks of rows."""

    def __init__(self, columns: int) -> None:
        self.nodes = NodeTable.of(np.zeros((0, columns)))
        self.jumps, self.same = np.zeros(columns), np.zeros(columns)
        self._last: Array | None = None
        self._odd = np.zeros((0, columns))

    def add(self, values: Array) -> Array:
        """Take the next rows, and return the means of the pairs that they complete."""
        series = values if self._last is None else np.concatenate([self._last, values])
        steps = np.diff(series, axis=0)
        self.jumps += np.square(steps).sum(0)
        self.same += (steps == 0).sum(0)
        self.nodes = self.nodes.merge(NodeTable.of(values))
        self._last = values[-1:]
        waiting = np.concatenate([self._odd, values])
        even = len(waiting) // 2 * 2
        self._odd = waiting[even:]
        means: Array = waiting[:even:2] + (waiting[1:even:2] - waiting[:even:2]) / 2
        return means

    @property
    def correlation(self) -> Array:
        """Of neighbours, from 0 to 1; 0 for a constant column."""
        n, variance = self.nodes.count, np.square(self.nodes.std)
        share = np.divide(self.jumps / (n - 1), 2 * variance, out=np.ones(len(variance)), where=variance > 0)
        r = np.clip(1.0 - share, 0.0, 1.0)
        some = r > 2 / np.sqrt(n)  # below, it is none at all
        free: Array = np.where(some, np.minimum(r + (1 + 3 * r) / n, 1.0), r)
        return free

    def worth(self, rows: int, size: int, variance: Array) -> Array:
        """Rows that the means of blocks tell as much as, of a series of that variance; all where they tell nothing.

        Neighbouring means of a slow process are less alike than its neighbouring rows: with r their correlation, the
        sum of all of theirs is (1 + r (2 - r) / 3) / (1 - r) within 2 %, 4/3 and not 2 over 1 - r in the limit.
        """
        count = self.nodes.count
        own, none = size * np.square(self.nodes.std), np.zeros(len(variance))
        spread = np.divide(own, variance, out=none, where=variance > 0)
        r = self.correlation
        alike = r > SURE / np.sqrt(count)
        r = np.where(alike, r, 0.0)
        long = spread * (1 + r * (2 - r) / 3)
        found = np.divide(rows * (1 - r), long, out=np.full(len(r), float(rows)), where=long > 0)
        slow = alike | (spread > 1 + SURE * np.sqrt(2 / count))
        return np.where(slow, np.where(r < MOST, np.maximum(found, 1.0), 1.0), float(rows))
