"""The loss of every row as the measurements use it: on the target, or without one as the change of the output."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kaninterp.core.errors import DataError
from kaninterp.core.evidence import OUTPUT_CHANGE
from kaninterp.core.frozen import Array
from kaninterp.nn import resolve_loss

__all__ = ["Loss", "row_losses"]

Loss = str | Callable[[Tensor, Tensor], Tensor] | None


def row_losses(loss: Loss, target: Tensor | None, intact: Tensor) -> tuple[Callable[[Tensor], Array], str]:
    """Loss of each row as a function of the output, and its name.

    Parameters
    ----------
    loss
        As for `kaninterp.nn.resolve_loss`.
    target
        None: the change against ``intact`` is measured.
    intact
        Output of the unchanged model, (rows, ...).

    Returns
    -------
    losses : callable
        ``(rows, ...) -> (rows,)``, float64; raises `DataError` where a loss is no number.
    name : str

    Examples
    --------
    >>> losses, name = row_losses(None, None, torch.tensor([[0.0], [2.0]]))
    >>> name, losses(torch.tensor([[1.0], [2.0]])).tolist()
    ('output change', [1.0, 0.0])
    """
    if target is not None:
        rows, name = resolve_loss(loss), _name_of(loss, target)
        return (lambda output: _checked(rows(output, target), output, name)), name
    spread = intact.double().var(0, unbiased=False).clamp(min=torch.finfo(torch.float64).tiny)

    def change(output: Tensor) -> Array:
        squares = (output.double() - intact.double()) ** 2 / spread
        return _checked(squares.flatten(1).mean(1), output, OUTPUT_CHANGE)

    return change, OUTPUT_CHANGE


def _checked(values: Tensor, output: Tensor, name: str) -> Array:
    """Losses as float64, refused where they are no numbers: intervals of infinity would say nothing."""
    finite = values.isfinite()
    if not bool(finite.all()):
        raise DataError(
            f"the loss ({name}) is not finite on {int((~finite).sum())} of {len(values)} rows, where outputs reach "
            f"{float(output.detach().abs().max()):.3g}; standardize the data and train on them, or use float64"
        )
    array: Array = values.detach().double().cpu().numpy()
    return array


def _name_of(loss: Loss, target: Tensor) -> str:
    """How to call a loss in a report."""
    if isinstance(loss, str):
        return loss
    if loss is not None:
        return str(getattr(loss, "__name__", type(loss).__name__))
    if target.is_floating_point():
        return "mse"
    return "bce" if target.dtype == torch.bool else "cross_entropy"
