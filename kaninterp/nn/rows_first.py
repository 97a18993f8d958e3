"""Data come rows first; a recurrent module that would take their rows for time steps is found out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kaninterp.core.errors import ModelError

__all__ = ["rows_first"]


@contextmanager
def rows_first(model: nn.Module, inputs: Sequence[Tensor]) -> Iterator[None]:
    """While a model runs on these inputs, refuse recurrent modules that read their rows as time steps.

    Torch runs such a model without a word: one that was built without ``batch_first=True`` is given
    (rows, time, columns), or any given a table (rows, columns), which is one long sequence to it.

    Parameters
    ----------
    model
        Any module; its hooks are as before afterwards.
    inputs
        The tensors it is called with, rows first.

    Raises
    ------
    ModelError
        From the forward pass inside: which module, what it was given, and what to change.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(5, 24, 3)
    >>> with rows_first(model := torch.nn.GRU(3, 4, batch_first=True), [x]):
    ...     model(x)[0].shape
    torch.Size([5, 24, 4])
    """
    handles: list[RemovableHandle] = []

    def check(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args[0] if args else kwargs.get("input")
        if not isinstance(given, Tensor) or not any(_same(given, x) for x in inputs):
            return
        if given.dim() == 2:
            raise ModelError(
                f"{_name(module)} is given the data as they are, a table {tuple(given.shape)}, and reads them as one "
                f"sequence of {given.shape[0]} time steps; give it windows (rows, time, columns)"
            )
        if given.dim() == 3 and not module.batch_first:
            raise ModelError(
                f"{_name(module)} is given the data as they are, {tuple(given.shape)} with the rows first, and reads "
                "the first axis as time; build it with batch_first=True, or transpose in the model's forward"
            )

    try:
        recurrent = (part for part in model.modules() if isinstance(part, nn.RNNBase))
        handles.extend(part.register_forward_pre_hook(check, with_kwargs=True) for part in recurrent)
        yield
    finally:
        for handle in handles:
            handle.remove()


def _same(given: Tensor, raw: Tensor) -> bool:
    """Whether a module is given a raw input itself: not a copy, a slice or a transpose of it."""
    return given.data_ptr() == raw.data_ptr() and given.shape == raw.shape and given.stride() == raw.stride()


def _name(module: nn.Module) -> str:
    return f"the {type(module).__name__} of the model"
