"""Windows as a table for models that know no time: recent lags one by one, earlier ones as means over longer spans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from kaninterp.core.frozen import Array, IntArray
from kaninterp.data import Batch
from kaninterp.measure.host import Columns

__all__ = ["Cells"]

MOST = 512
"""Cells of all columns together: a boosting model of so many takes seconds."""
EXACT = 16
"""Most recent lags that are cells of their own, at most; halved until the cells are `MOST` or fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """What a model without time is shown of every column.

    Attributes
    ----------
    owner : ndarray of int, shape (cells,)
        Column of each cell.
    exact : int
        Recent lags that stand for themselves; before them come means over exact, 2 exact, 4 exact, ... lags.
    lags : int
        Time steps there are.
    """

    owner: IntArray
    exact: int
    lags: int

    @classmethod
    def of(cls, batch: Batch, columns: Columns) -> Cells:
        """Choose the cells for rows like these."""
        lengths = [_steps(batch.inputs[which]) for which, _ in columns.places]
        exact = EXACT
        while exact > 1 and sum(len(_spans(length, exact)) for length in lengths) > MOST:
            exact //= 2
        counts = [len(_spans(length, exact)) for length in lengths]
        return cls(owner=np.repeat(np.arange(len(counts)), counts), exact=exact, lags=max(lengths, default=1))

    @property
    def described(self) -> str:
        """In words.

        Examples
        --------
        >>> [Cells(owner=np.zeros(1, int), exact=16, lags=lags).described for lags in (1, 12, 24)]
        ['the value', 'every lag', 'lags 0-15 one by one, earlier ones as means']
        """
        if self.lags == 1:
            return "the value"
        if self.lags <= self.exact + 1:
            return "every lag"
        return f"lags 0-{self.exact - 1} one by one, earlier ones as means" if self.exact > 1 else "lag 0, then means"

    def table(self, batch: Batch, columns: Columns) -> Array:
        """The cells of these rows, (rows, cells), float64."""
        parts: list[Array] = []
        for which, position in columns.places:
            values = batch.inputs[which].detach().double().cpu().numpy()[..., position]
            series = values.reshape(len(values), -1)
            parts.extend(_mean(series, *span) for span in _spans(series.shape[1], self.exact))
        return np.stack(parts, axis=1) if parts else np.zeros((batch.n_rows, 0))


def _steps(x: Tensor) -> int:
    return int(x.shape[1]) if x.dim() == 3 else 1


def _spans(length: int, exact: int) -> list[tuple[int, int]]:
    """First and last lag (exclusive) of every cell.

    Examples
    --------
    >>> _spans(9, 2)
    [(0, 1), (1, 2), (2, 4), (4, 8), (8, 9)]
    """
    spans = [(lag, lag + 1) for lag in range(min(length, exact))]
    start, width = exact, exact
    while start < length:
        spans.append((start, min(start + width, length)))
        start, width = start + width, 2 * width
    return spans


def _mean(series: Array, first: int, last: int) -> Array:
    end = series.shape[1] - first
    return np.asarray(series[:, series.shape[1] - last : end].mean(1), dtype=np.float64)
