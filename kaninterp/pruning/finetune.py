"""Train a pruned model on, its mask kept: what is cut away stays exactly zero."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kaninterp.core.errors import InputTypeError, StateError
from kaninterp.nn import KANLayer
from kaninterp.training import FitResult, fit

__all__ = ["fine_tune", "zeros_held"]

EPOCHS = 20
RATE = 1e-3
"""Learning rate of fine-tuning: a third of `fit`'s, for the weights are near where they should be."""


def fine_tune(
    model: nn.Module, data: Any, *, epochs: int = EPOCHS, lr: float = RATE, **options: Any
) -> tuple[nn.Module, FitResult]:
    """Train a copy of a pruned model on, with its mask kept.

    Parameters
    ----------
    model : nn.Module
        Stays as it is.
    data, epochs, lr, **options
        As for `kaninterp.fit`: ``target``, ``validation``, ``loss``, ``patience``, ``checkpoint``, ``seed``, ...

    Returns
    -------
    new : nn.Module
    result : FitResult

    Raises
    ------
    StateError
        An optimizer of your own moved a weight that was cut away.
    KanInterpError
        As for `fit`.

    Notes
    -----
    Held at zero are: masked edges, edges whose weights are all zero, and single zeros in any other weight with two or
    more axes (a matrix that is zero as a whole included). Biases move freely.

    Examples
    --------
    >>> import kaninterp as ki
    >>> line = torch.nn.Linear(2, 1)
    >>> with torch.no_grad():
    ...     _ = line.weight[0, 1].zero_()
    >>> x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    >>> tuned, _ = fine_tune(line, (x, x.sum(1)), epochs=3, seed=0, progress=False)
    >>> tuned.weight[0, 1].item()
    0.0
    """
    if not isinstance(model, nn.Module):
        raise InputTypeError(f"model: expected a torch.nn.Module, got a {type(model).__name__}")
    new = copy.deepcopy(model)
    with zeros_held(new):
        result = fit(new, data, epochs=epochs, lr=lr, **options)
    return new, result


@contextmanager
def zeros_held(model: nn.Module) -> Iterator[None]:
    """Whatever trains the model meanwhile, its exact zeros stay zeros (see `fine_tune`).

    Their gradients are zero, and every optimiser without noise of its own then leaves them; it is checked at the end.

    Raises
    ------
    StateError
        They have moved all the same.
    """
    held = [(parameter, zeros) for parameter, zeros in _zeros(model) if bool(zeros.any())]
    handles: list[RemovableHandle] = [
        p.register_hook(_silenced(zeros))  # type: ignore[no-untyped-call]
        for p, zeros in held
        if p.requires_grad
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if any(bool((parameter.detach()[zeros] != 0).any()) for parameter, zeros in held):
        raise StateError(
            "training moved weights that were cut away: the optimizer changes weights whose gradient is zero; use "
            "'adam', 'lbfgs' or an optimizer without noise"
        )


def _zeros(model: nn.Module) -> Iterator[tuple[nn.Parameter, Tensor]]:
    found = [module for module in model.modules() if isinstance(module, KANLayer)]
    layers = {id(layer.weight) for layer in found}
    # a zero among the four numbers of a formula is a number as any other
    free = {id(layer.formulas.numbers) for layer in found if layer.formulas is not None}
    for parameter in model.parameters():
        zeros = parameter.detach() == 0
        if id(parameter) in layers:  # (out, K + 1, in): single coefficients are free, edges are not
            yield parameter, zeros.all(1, keepdim=True).expand_as(zeros)
        elif parameter.dim() > 1 and id(parameter) not in free:
            yield parameter, zeros


def _silenced(zeros: Tensor) -> Any:
    return lambda gradient: torch.where(zeros, torch.zeros_like(gradient), gradient)
