"""Rows outside a range, counted per column."""

from __future__ import annotations

import torch
from torch import Tensor

from kaninterp.core.frozen import Array
from kaninterp.core.range_card import RangeCard
from kaninterp.core.watch import WatchedLayer
from kaninterp.data import Batches
from kaninterp.measure.host import Columns

__all__ = ["OutsideCounts", "beyond", "card_columns"]

LANES = 32
"""Numbers side by side from which torch reduces over rows with its vector instructions."""


class OutsideCounts:
    """Running counts of rows outside a domain, cheap enough for the middle of a forward pass.

    Parameters
    ----------
    domain : Tensor, shape (2, src)
        Ends of the domain of each column; rounded to the number type of the rows.
    """

    def __init__(self, domain: Tensor) -> None:
        self._exact = self._domain = domain
        src = domain.shape[1]
        self.rows = 0
        self._counts = torch.zeros(3, src, dtype=torch.int64)
        self._low, self._high = torch.full((src,), torch.inf), torch.full((src,), -torch.inf)

    def add(self, x: Tensor) -> None:
        """Count rows x (n, src), n > 0, in host memory; two passes over them where nothing leaves the domain."""
        low, high = _extremes(x)
        start, end = self._ends(x.dtype)
        if not bool(((low >= start) & (high <= end)).all()):  # NaN is handed on, and is neither
            low, high = self._leave(x, start, end, low, high)
        self.rows += x.shape[0]
        self._low, self._high = torch.minimum(self._low, low), torch.maximum(self._high, high)

    def _ends(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        if self._domain.dtype != dtype:
            self._domain = self._exact.to(dtype)
        return self._domain[0], self._domain[1]

    def _leave(self, x: Tensor, start: Tensor, end: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Count what is outside; smallest and largest finite value."""
        if bool((low.isfinite() & high.isfinite()).all()):
            if bool((low < start).any()):
                self._counts[0] += (x < start).sum(0)
            if bool((high > end).any()):
                self._counts[1] += (x > end).sum(0)
            return low, high
        finite = torch.isfinite(x)
        self._counts += torch.stack([((x < start) & finite).sum(0), ((x > end) & finite).sum(0), (~finite).sum(0)])
        return torch.where(finite, x, torch.inf).amin(0), torch.where(finite, x, -torch.inf).amax(0)

    def layer(self) -> WatchedLayer:
        """The counts so far."""
        below, above, missing = self._counts.numpy().copy()
        return WatchedLayer(
            rows=self.rows,
            below=below,
            above=above,
            missing=missing,
            low=self._low.double().numpy(),
            high=self._high.double().numpy(),
        )


def _extremes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest value of each column, NaN where it holds one.

    Twenty times as fast as `torch.aminmax` along the first axis, but for narrow rows only with several side by side.
    """
    rows, width = x.shape
    beside = LANES // max(width, 1)
    if beside < 2 or rows < 2 * beside:
        return x.amin(0), x.amax(0)
    whole = rows - rows % beside
    folded, rest = x[:whole].reshape(-1, beside * width), x[whole - beside :]
    low, high = folded.amin(0).reshape(beside, width), folded.amax(0).reshape(beside, width)
    return torch.cat([low, rest]).amin(0), torch.cat([high, rest]).amax(0)


def beyond(values: Tensor, ends: Array) -> Tensor:
    """Which values, (..., n), are outside ends (2, n), rounded to their number type; NaN is."""
    low, high = torch.as_tensor(ends).to(values)
    inside: Tensor = (values >= low) & (values <= high)
    return ~inside


def card_columns(batches: Batches, card: RangeCard) -> Columns | None:
    """Raw columns of the data, checked against those of the card; None where either has none.

    Raises
    ------
    NamesError
        They are not the same.
    """
    if card.raw is None or not Columns.readable(batches.first):
        return None
    columns = Columns.of(batches.first, batches.names_per_input)
    card.check_columns(columns.names)
    return columns
