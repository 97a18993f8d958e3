"""The price of a mask in milliseconds: the compact model, timed on this machine."""

from __future__ import annotations

from typing import Any

from torch import nn

from kaninterp.adapters import as_view
from kaninterp.analysis import compact_widths
from kaninterp.core import EdgeMask
from kaninterp.nn import prune_model
from kaninterp.pruning.efficiency import measure_efficiency

__all__ = ["LatencyCost"]


class LatencyCost:
    """What a model takes per call once a mask is carried out: the ``cost`` of a `kaninterp.analysis.Budget`.

    Parameters
    ----------
    model : nn.Module
        With a `KANHead`; left bit-identical. Masks are those of its head.
    example
        Rows of data in any form `trace` takes.
    repeats : int
        Times taken per mask; the median counts. Masks with the same numbers of nodes are timed once.
    batch : int, optional
        Rows per call; see `measure_efficiency`.
    path : str, optional
        Of the head, if the model has several.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> from kaninterp.analysis import Budget
    >>> X = torch.rand(200, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    >>> head = ki.KANHead(6, 1, (8,), domain=(-1, 1))
    >>> cost = LatencyCost(head, X, repeats=5)
    >>> rule = ki.ScoreRule("kan2", "node", Budget(latency_ms=1000.0, cost=cost))
    >>> rule(ki.trace(head, X, progress=False)).mask.count  # a second per call: everything may stay
    56
    """

    def __init__(
        self, model: nn.Module, example: Any, *, repeats: int = 20, batch: int | None = None, path: str | None = None
    ) -> None:
        self._model = model
        self._path = as_view(model, path).path
        self._example = example
        self._repeats = repeats
        self._batch = batch
        self._known: dict[tuple[int, ...], float] = {}

    def __call__(self, mask: EdgeMask) -> float:
        """Median milliseconds of the compact model."""
        widths = compact_widths(mask)
        if widths not in self._known:
            small = prune_model(self._model, self._path, mask.layers)
            timed = measure_efficiency(small, self._example, repeats=self._repeats, batch=self._batch)
            self._known[widths] = timed.latency_ms
        return self._known[widths]
