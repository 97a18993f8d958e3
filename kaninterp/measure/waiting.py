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

BUFFER = 8192
"""Rows that wait at most; the pass that completes them pays for the counting of all."""


class WaitingCounts:
    """Counts of every layer of a KAN, and rows that wait to be counted; not safe from several threads by itself.

    Rows wait in one block of memory per layer that is used again and again: a copy into it takes a microsecond, while
    keeping the tensors would take new memory in every pass, which costs twenty.

    Parameters
    ----------
    domains
        Per layer the ends of the domain of each node, (src, 2).

    Attributes
    ----------
    rows : int
        Rows so far, those that wait included.
    """

    __slots__ = ("_blocks", "_counts", "_domains", "_dtype", "_waiting", "_width", "rows")

    def __init__(self, domains: Sequence[Array]) -> None:
        self._domains = [torch.as_tensor(np.ascontiguousarray(domain.T)) for domain in domains]
        self._width = len(domains[0])
        self._blocks: list[Tensor] = []
        self._dtype: torch.dtype | None = None
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.rows = self._waiting = 0
        self._counts = [OutsideCounts(domain) for domain in self._domains]

    def take(self, inputs: Sequence[Tensor]) -> None:
        """Take the inputs of all layers in one pass, all of them or, when that fails, none."""
        first = inputs[0]
        more = first.numel() // self._width
        if first.dtype is not self._dtype:
            self._make_blocks(inputs)
        if self._waiting + more > BUFFER:
            self._count()
        if more > BUFFER:  # its pass takes long enough
            self._add(
                [x.detach().reshape(more, -1).to(block.dtype) for x, block in zip(inputs, self._blocks, strict=True)]
            )
        else:
            for block, x in zip(self._blocks, inputs, strict=True):
                rows = x.detach() if x.requires_grad else x
                block.narrow(0, self._waiting, more).copy_(rows if x.dim() == 2 else rows.reshape(more, -1))
            self._waiting += more
        self.rows += more

    def layers(self) -> tuple[WatchedLayer, ...]:
        """Everything so far, what waits included."""
        self._count()
        return tuple(counts.layer() for counts in self._counts)

    def _count(self) -> None:
        if self._waiting:
            self._add([block[: self._waiting] for block in self._blocks])
            self._waiting = 0

    def _add(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for counts, rows in zip(self._counts, values, strict=True):
                counts.add(rows.cpu())

    def _make_blocks(self, inputs: Sequence[Tensor]) -> None:
        """Memory for numbers of another type; those of 16 bits are kept in 32, like a trace compares them."""
        # memory made in inference mode could not be written to outside it; zeroed now, it costs no pass a page fault
        with torch.inference_mode(False), torch.no_grad():
            blocks = [
                torch.empty(
                    (BUFFER, domain.shape[1]), dtype=torch.promote_types(x.dtype, torch.float32), device=x.device
                ).zero_()
                for x, domain in zip(inputs, self._domains, strict=True)
            ]
        if type(blocks[0]) is not Tensor:
            raise TypeError(f"a pass without numbers ({type(blocks[0]).__name__}) cannot be counted")
        self._count()
        self._blocks, self._dtype = blocks, inputs[0].dtype
