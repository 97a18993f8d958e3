"""The distribution of every column in a fixed number of numbers, from a sample that spans all rows."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from kaninterp.core.frozen import Array
from kaninterp.core.shapes import Shapes

__all__ = ["LEVELS", "Sketch"]

LEVELS = np.linspace(0.0, 1.0, 17)
"""Shares of the rows at which quantiles are taken."""

MOST = 4096
"""Rows kept at most, and half as many at least. Standard error of a share then is 1.1 % at most."""

GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly over any stretch and in step with no daily or yearly cycle."""

DIGITS = 5
"""Decimals kept of a share, and of a quantile in units of its column's range: cards are read by people."""


class Sketch:
    """All, half, a quarter, ... of the rows of a stream, so that at most `MOST` are kept, from all periods alike.

    Which rows are kept depends on their numbers alone, not on batches or chance.

    Examples
    --------
    >>> import torch
    >>> found = Sketch(1)
    >>> found.add(torch.arange(10001.0).reshape(-1, 1))
    >>> bool(abs(found.shapes().quantiles[0, 8] - 5000) < 50)
    True
    """

    def __init__(self, columns: int) -> None:
        self._kept = np.zeros((0, columns))
        self._keys = np.zeros(0)
        self._part, self._seen = 1.0, 0

    def add(self, rows: Tensor) -> None:
        """Take the next rows, (n, columns)."""
        values = rows.detach().cpu().double().numpy()
        keys = (np.arange(self._seen, self._seen + len(values)) * GOLDEN) % 1.0
        self._seen += len(values)
        self._kept, self._keys = np.concatenate([self._kept, values]), np.concatenate([self._keys, keys])
        while (self._keys < self._part).sum() > MOST:
            self._part /= 2
        stay = self._keys < self._part
        self._kept, self._keys = self._kept[stay], self._keys[stay]

    def shapes(self, at: Array | None = None) -> Shapes | None:
        """Distributions, with shares at or below points (columns, levels) or the quantiles; None without rows."""
        if not self._kept.size:
            return None
        ordered = np.sort(self._kept, axis=0)
        quantiles = _rounded(np.quantile(ordered, LEVELS, axis=0, method="inverted_cdf").T)
        points = quantiles if at is None else at
        counts = [np.searchsorted(ordered[:, i], points[i], side="right") for i in range(len(points))]
        return Shapes(rows=len(ordered), quantiles=quantiles, below=np.round(np.stack(counts) / len(ordered), DIGITS))


def _rounded(quantiles: Array) -> Array:
    """Quantiles with no more digits than their range calls for; whole numbers stay whole."""
    span = quantiles[:, -1] - quantiles[:, 0]
    rounded = np.empty_like(quantiles)
    for i, values in enumerate(quantiles):
        size = span[i] or abs(values[0]) or 1.0
        rounded[i] = np.round(values, min(max(DIGITS - int(np.floor(np.log10(size))), 0), 300))
    return rounded
