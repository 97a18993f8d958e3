"""Standard error of a mean over rows that may depend on their neighbours, without a draw and without the rows."""

from __future__ import annotations

import numpy as np

from kaninterp.core.frozen import Array

__all__ = ["RunningError"]


class RunningError:
    """Mean and block-bootstrap standard error of many quantities whose rows come in parts.

    What `BlockBootstrap.standard_error` tends to with infinitely many draws: blocks are drawn independently, so the
    variance of their mean is that of a block's mean over all its starts (circular: Politis & Romano 1992), divided by
    their number. Needs as many rows in memory as a block has, whatever the number of rows.

    Parameters
    ----------
    rows, block : int
        Rows that will come in all, and neighbouring rows drawn together.

    Examples
    --------
    >>> running = RunningError(4, 1)
    >>> running.add(np.array([[1.0], [3.0]]))
    >>> running.add(np.array([[1.0], [3.0]]))
    >>> running.mean, running.error
    (array([2.]), array([0.5]))
    """

    def __init__(self, rows: int, block: int) -> None:
        self.rows = rows
        self.block = max(1, min(block, rows // 2 or 1))
        self._first: Array | None = None  # the rows that blocks reach which wrap around the end
        self._last: Array | None = None
        self._total: Array | float = 0.0
        self._sums: Array | float = 0.0
        self._squares: Array | float = 0.0
        self._shift: Array | float = 0.0

    def add(self, values: Array) -> None:
        """Take the next rows, shape (n, ...)."""
        if self._first is None or self._last is None:
            self._shift = values[0]  # any value near the mean: squares about it do not cancel
            self._first = self._last = np.zeros((0, *values.shape[1:]))
        values = values - self._shift
        self._total = self._total + values.sum(0)
        missing = self.block - 1 - len(self._first)
        self._first = np.concatenate([self._first, values[:missing]]) if missing > 0 else self._first
        joined = np.concatenate([self._last, values])
        self._count(joined)
        self._last = joined[len(joined) - min(self.block - 1, len(joined)) :]

    @property
    def mean(self) -> Array:
        """Mean over the rows, shape (...)."""
        return np.asarray(self._total / self.rows + self._shift)

    @property
    def error(self) -> Array:
        """Standard error of the mean, shape (...); call it when all rows have come."""
        if self._first is None or self._last is None:
            return np.zeros(0)
        sums, squares = self._sums, self._squares
        around = self._block_means(np.concatenate([self._last, self._first]))
        sums, squares = sums + around.sum(0), squares + (around**2).sum(0)
        variance = np.maximum(squares / self.rows - (sums / self.rows) ** 2, 0.0)
        return np.asarray(np.sqrt(variance / -(-self.rows // self.block)))

    def _count(self, values: Array) -> None:
        blocks = self._block_means(values)
        self._sums = self._sums + blocks.sum(0)
        self._squares = self._squares + (blocks**2).sum(0)

    def _block_means(self, values: Array) -> Array:
        """Mean of every whole block in these rows."""
        if len(values) < self.block:
            return np.zeros((0, *values.shape[1:]))
        cumulated = np.cumsum(np.concatenate([np.zeros((1, *values.shape[1:])), values]), axis=0)
        return np.asarray((cumulated[self.block :] - cumulated[: -self.block]) / self.block)
