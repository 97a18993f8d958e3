"""Where the inputs of a layer fall on its knots, counted block by block."""

from __future__ import annotations

import torch
from torch import Tensor

from kaninterp.adapters import LayerView
from kaninterp.core import RangeTable
from kaninterp.core.frozen import IntArray
from kaninterp.core.tables import zone_ends

__all__ = ["RangeCounts"]

FEW = 32
"""Ends up to which each is compared with every value, which is faster than to search for every value."""


class RangeCounts:
    """Counts per knot interval and per zone outside; the last knot belongs to the last interval."""

    def __init__(self, layer: LayerView) -> None:
        self._knots, self._order = layer.knots, layer.order
        ends = torch.as_tensor(zone_ends(self._knots, self._order), dtype=torch.float64)
        above = torch.tensor(torch.inf, dtype=torch.float64)
        ends[:, -2] = torch.nextafter(ends[:, -2], above)
        self._ends = ends
        self._counts = torch.zeros(ends.shape[0], ends.shape[1] + 1, dtype=torch.int64)

    def add(self, columns: Tensor) -> None:
        """Take values of the inputs, column by column: (src, n) of any float type."""
        columns = columns if columns.dtype == torch.float32 else columns.double()
        ends = _rounded_up(self._ends, columns.dtype).to(columns.device)
        if ends.shape[1] > FEW:
            place = torch.searchsorted(ends, columns, right=True)
        else:
            passed = torch.zeros(columns.shape, dtype=torch.uint8, device=columns.device)
            for k in range(ends.shape[1]):
                passed += columns >= ends[:, k : k + 1]
            place = passed.long()
        src, bins = self._counts.shape
        flat = place + bins * torch.arange(src, device=place.device).unsqueeze(1)
        self._counts += torch.bincount(flat.flatten(), minlength=src * bins).reshape(src, bins).cpu()

    def table(self) -> RangeTable:
        """Counts of all rows so far."""
        counts = self._counts.numpy()
        outside: IntArray = counts[:, [0, 1, -2, -1]]
        return RangeTable(knots=self._knots, order=self._order, intervals=counts[:, 2:-2].copy(), outside=outside)


def _rounded_up(ends: Tensor, dtype: torch.dtype) -> Tensor:
    """The least numbers of a type that are not below the ends: ``x >= end`` stays the same question."""
    near = ends.to(dtype)
    return torch.where(near.double() < ends, torch.nextafter(near, torch.tensor(torch.inf, dtype=dtype)), near)
