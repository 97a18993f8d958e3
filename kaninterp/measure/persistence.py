"""How many independent rows a series in the order of time is worth, column by column."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from kaninterp.core import NodeTable
from kaninterp.core.frozen import Array

__all__ = ["Persistence"]

MOST = 0.999
"""Correlation of neighbours from which it is not told from 1: the series is one long way, and worth one row."""


class Persistence:
    """Running correlation of neighbouring rows; rows must come in the order of time.

    The effective number is that of a first-order autoregression, n (1 - r) / (1 + r) (Bayley and Hammersley 1946), with
    r from the mean squared difference of neighbours (von Neumann 1941), which no shift of the mean disturbs, freed of
    its bias in short series, (1 + 3 r) / n (Marriott and Pope 1954). Rows that come shuffled show r = 0 and count in
    full.

    Examples
    --------
    >>> import torch
    >>> found = Persistence(1)
    >>> found.add(torch.arange(100.0).reshape(-1, 1) // 10)
    >>> bool(found.effective[0] < 20)
    True
    """

    def __init__(self, columns: int) -> None:
        self._nodes = NodeTable.of(np.zeros((0, columns)))
        self._jumps, self._same = np.zeros(columns), np.zeros(columns)
        self._last: Array | None = None

    def add(self, rows: Tensor) -> None:
        """Take the next rows, (n, columns)."""
        values = rows.detach().cpu().double().numpy()
        if not len(values):
            return
        series = values if self._last is None else np.concatenate([self._last, values])
        steps = np.diff(series, axis=0)
        self._jumps += np.square(steps).sum(0)
        self._same += (steps == 0).sum(0)
        self._nodes = self._nodes.merge(NodeTable.of(values))
        self._last = values[-1:]

    @property
    def effective(self) -> Array:
        """Independent rows that would tell as much, (columns,): 1 to n; n for a constant column."""
        n = self._nodes.count
        if n < 2:
            return np.full(len(self._jumps), float(n))
        variance = np.square(self._nodes.std)
        share = np.divide(self._jumps / (n - 1), 2 * variance, out=np.ones(len(variance)), where=variance > 0)
        r = np.clip(1.0 - share, 0.0, 1.0)
        r = np.where(r > 2 / np.sqrt(n), np.minimum(r + (1 + 3 * r) / n, 1.0), r)  # below, it is none at all
        found: Array = np.where(r < MOST, np.maximum(n * (1 - r) / (1 + r), 1.0), 1.0)
        return found

    @property
    def repeats(self) -> Array:
        """Share of rows that equal the row before, (columns,); 1 where there is no pair."""
        pairs = self._nodes.count - 1
        return self._same / pairs if pairs > 0 else np.ones(len(self._same))
