"""Inputs of KAN layers that wait to be counted: a forward pass pays for a copy of them, not for the counting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kaninterp.core.frozen import Array
from kaninterp.core.watch import WatchedLayer
from kaninterp.measure.outside import OutsideCounts

__all__ = ["BUFFER", "WaitingCounts"]

BUFFER = 16384
"""Rows of one kind that wait at most."""
SLOTS = 256
"""Passes of one kind that wait at most. Counting them takes .15 to .25 ms for passes of 1 and 32 rows and 40 nodes, up to
1 ms where nodes are outside: one forward pass of so many is that much longer."""
KINDS = 4
"""Kinds of passes (numbers of rows, number types) for which memory is kept."""


class WaitingCounts:
    """Counts of every layer of a KAN, and passes that wait to be counted; not safe from several threads by itself.

    Passes of one kind wait in slots of memory that are cut once and used again and again: cutting them anew in every
    pass would take as long as the copy, and keeping the tensors themselves would take new memory in every pass.

    Parameters
    ----------
    domains
        Per layer the ends of the domain of each node, (src, 2).

    Attributes
    ----------
    rows : int
        Rows so far, those that wait included.
    """

    __slots__ = ("_counts", "_current", "_domains", "_kinds", "rows")

    def __init__(self, domains: Sequence[Array]) -> None:
        self._domains = [torch.as_tensor(np.ascontiguousarray(domain.T)) for domain in domains]
        self._kinds: dict[tuple[int, torch.dtype], _Slots] = {}
        self._current: _Slots | None = None
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.rows = 0
        self._counts = [OutsideCounts(domain) for domain in self._domains]
        for slots in self._kinds.values():
            slots.filled = 0

    def take(self, inputs: Sequence[Tensor]) -> None:
        """Take the inputs of all layers in one pass, all of them or, when that fails, none."""
        slots, first = self._current, inputs[0]
        if slots is None or first.numel() != slots.numel or first.dtype is not slots.dtype:
            slots = self._current = self._slots_for(inputs)
        for view, x in zip(slots.views[slots.filled], inputs, strict=True):
            rows = x.detach() if x.requires_grad else x
            view.copy_(rows if x.dim() == 2 else rows.reshape(view.shape))
        slots.filled += 1
        self.rows += slots.rows
        if slots.filled == slots.size:
            self._count(slots)

    def layers(self) -> tuple[WatchedLayer, ...]:
        """Everything so far, what waits included."""
        for slots in list(self._kinds.values()):
            self._count(slots)
        return tuple(counts.layer() for counts in self._counts)

    def _count(self, slots: _Slots) -> None:
        filled, slots.filled = slots.filled, 0
        if filled and slots.rows:
            with torch.no_grad():
                for counts, block in zip(self._counts, slots.blocks, strict=True):
                    counts.add(block[:filled].flatten(0, 1).cpu())
        if slots.rows > BUFFER:  # so large a batch is rare, or its pass long enough to make memory for the next one
            self._kinds.pop((slots.numel, slots.dtype), None)
            self._current = None

    def _slots_for(self, inputs: Sequence[Tensor]) -> _Slots:
        kind = (inputs[0].numel(), inputs[0].dtype)
        if kind not in self._kinds:
            if len(self._kinds) == KINDS:
                self.layers()
                self._kinds.clear()
            self._kinds[kind] = _Slots(inputs, [domain.shape[1] for domain in self._domains])
        return self._kinds[kind]


class _Slots:
    """Memory for passes of one kind.

    Numbers of 16 bits are kept in 32: a trace compares them in the type of the weights, too.
    """

    __slots__ = ("blocks", "dtype", "filled", "numel", "rows", "size", "views")

    def __init__(self, inputs: Sequence[Tensor], widths: Sequence[int]) -> None:
        first = inputs[0]
        self.numel, self.dtype = first.numel(), first.dtype
        self.rows = self.numel // widths[0]
        self.size = max(1, min(SLOTS, BUFFER // max(self.rows, 1)))
        self.filled = 0
        # memory made in inference mode could not be written to outside it; zeroed now, it costs no pass a page fault
        with torch.inference_mode(False), torch.no_grad():
            self.blocks = [
                torch.empty((self.size, self.rows, width), dtype=_wide(x.dtype), device=x.device).zero_()
                for x, width in zip(inputs, widths, strict=True)
            ]
        if type(self.blocks[0]) is not Tensor:
            raise TypeError(f"a pass without numbers ({type(self.blocks[0]).__name__}) cannot be counted")
        self.views = list(zip(*[block.unbind(0) for block in self.blocks], strict=True))


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
