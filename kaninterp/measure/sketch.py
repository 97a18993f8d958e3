"""The distribution of every column in a fixed number of numbers, from a sample that spans all rows."""

from __future__ import annotations

from typing import Literal

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

SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")

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

    def shapes(self, known: Shapes | None = None) -> Shapes | None:
        """Distributions, with shares at the quantiles of a known one or at their own; None without rows.

        Values are counted to as many digits as the quantiles have: many rows at one value are many at a quantile. For
        a card that does not tell those at a quantile from those below it, they are counted as they are, like there.
        """
        if not self._kept.size:
            return None
        ordered = np.sort(self._kept, axis=0)
        quantiles = _rounded(np.quantile(ordered, LEVELS, axis=0, method="inverted_cdf").T)
        old = known is not None and known.under is None
        points = quantiles if known is None else known.quantiles
        values = ordered if old else _to_digits(ordered.T, _digits(points)).T
        columns = list(zip(values.T, points, strict=True))
        under, below = (
            np.round([np.searchsorted(column, at, side=side) / len(values) for column, at in columns], DIGITS)
            for side in SIDES
        )
        return Shapes(rows=len(ordered), quantiles=quantiles, below=below, under=None if old else under)


def _digits(quantiles: Array) -> list[int]:
    """Decimals that the range of each column calls for; a constant column has those of its value."""
    sizes = [row[-1] - row[0] or abs(row[0]) or 1.0 for row in quantiles]
    return [min(max(DIGITS - int(np.floor(np.log10(size))), 0), 300) for size in sizes]


def _to_digits(rows: Array, digits: list[int]) -> Array:
    with np.errstate(over="ignore"):
        return np.stack([np.round(row, places) for row, places in zip(rows, digits, strict=True)])


def _rounded(quantiles: Array) -> Array:
    """Quantiles with no more digits than their range calls for; whole numbers stay whole."""
    return _to_digits(quantiles, _digits(quantiles))
