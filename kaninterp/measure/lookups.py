"""Embeddings on the way between two rows of indices: what a model looks up is moved, for an index cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Lookup", "given_lookups", "lookups", "place_of"]

Lookup = tuple[Tensor, Tensor]
"""Indices, and what was found for them: (...), (..., width)."""


@contextmanager
def lookups(model: nn.Module) -> Iterator[list[Lookup]]:
    """Collect what the `nn.Embedding` layers of a model are asked for and what they give, in calling order."""
    seen: list[Lookup] = []

    def note(module: nn.Module, args: tuple[Any, ...], found: Tensor) -> None:
        del module
        seen.append((args[0].detach(), found.detach()))

    with _hooked(model, note):
        yield seen


@contextmanager
def given_lookups(model: nn.Module, values: Sequence[Tensor]) -> Iterator[None]:
    """Let the embeddings of a model give these values, in calling order."""
    rest = iter(values)

    def give(module: nn.Module, args: tuple[Any, ...], found: Tensor) -> Tensor:
        del module, args, found
        return next(rest)

    with _hooked(model, give):
        yield


def place_of(indices: Tensor, inputs: Sequence[Tensor]) -> tuple[int, int | None] | None:
    """Find which input some indices are, or which column of which; None: neither, the model computed them.

    Examples
    --------
    >>> codes = torch.tensor([[1, 2], [3, 4]])
    >>> place_of(codes[:, 1], (torch.zeros(2, 5), codes))
    (1, 1)
    """
    for number, x in enumerate(inputs):
        if x.is_floating_point():
            continue
        if torch.equal(x, indices):
            return number, None
        if x.dim() > 1 and x.shape[:-1] == indices.shape:
            for column in range(x.shape[-1]):
                if torch.equal(x[..., column], indices):
                    return number, column
    return None


@contextmanager
def _hooked(model: nn.Module, hook: Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor | None]) -> Iterator[None]:
    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, nn.Embedding)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
