"""One loss per row, shared by training and measuring, with shapes that are never broadcast in silence."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaninterp.core.errors import InputError, InputTypeError, ShapeError

__all__ = ["LOSSES", "RowLoss", "resolve_loss"]

RowLoss = Callable[[Tensor, Tensor], Tensor]
"""A loss ``(output (B, ...), target (B, ...)) -> (B,)``: one number per row, never reduced over rows."""


def resolve_loss(loss: str | Callable[[Tensor, Tensor], Tensor] | None = None) -> RowLoss:
    """Turn a name, a callable or nothing into a loss that returns one number per row.

    Parameters
    ----------
    loss
        A name from ``LOSSES``: "mse", "mae", "huber", "cross_entropy" (logits, classes last), "bce"
        (logits). A callable ``(output, target) -> (B,)`` or ``(B, ...)``, averaged over all but the rows; a
        torch loss module such as ``nn.MSELoss()`` is used with ``reduction="none"`` (yours is not changed).
        None: chosen by the target's dtype: float "mse", integer "cross_entropy", bool "bce".

    Returns
    -------
    RowLoss
        ``fn(output, target) -> (B,)``. A target (B,) against an output (B, 1), and the other way round, is
        aligned explicitly; every other difference of shapes is refused.

    Raises
    ------
    InputError
        An unknown name, on the spot. InputTypeError if it is neither a name nor a callable.
    ShapeError
        From the returned function: shapes that do not fit, or a callable that already reduced the rows.

    Examples
    --------
    >>> import torch
    >>> rows = resolve_loss("mse")
    >>> rows(torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 4.0]))
    tensor([0., 4.])
    >>> resolve_loss()(torch.zeros(2, 3), torch.tensor([0, 2])).shape
    torch.Size([2])
    """
    if loss is None:
        return _by_target_dtype
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise InputError(f"loss {loss!r} is unknown; use one of {', '.join(sorted(LOSSES))}, or a callable")
        return LOSSES[loss]
    if not callable(loss):
        raise InputTypeError(
            f"loss must be a name, a callable or None, got {type(loss).__name__}; names: {', '.join(sorted(LOSSES))}"
        )
    return _from_callable(loss)


def _mse(output: Tensor, target: Tensor) -> Tensor:
    output, target = _aligned(output, target, "mse")
    return _rows(F.mse_loss(output, target, reduction="none"))


def _mae(output: Tensor, target: Tensor) -> Tensor:
    output, target = _aligned(output, target, "mae")
    return _rows(F.l1_loss(output, target, reduction="none"))


def _huber(output: Tensor, target: Tensor) -> Tensor:
    output, target = _aligned(output, target, "huber")
    return _rows(F.huber_loss(output, target, reduction="none"))


def _bce(output: Tensor, target: Tensor) -> Tensor:
    _check_tensors(output, target, "bce")
    output, target = _aligned(output, target.to(output.dtype), "bce")
    if bool(((target < 0) | (target > 1)).any()):
        raise InputError(
            f"loss 'bce' needs targets from 0 to 1, got {float(target.min()):g} to {float(target.max()):g}; "
            "outputs are logits (no sigmoid at the end of the model)"
        )
    return _rows(F.binary_cross_entropy_with_logits(output, target, reduction="none"))


def _cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    _check_tensors(output, target, "cross_entropy")
    if output.dim() < 2 or output.shape[-1] < 2:
        raise ShapeError(
            "loss 'cross_entropy' needs logits (B, ..., C) with at least 2 classes, got an output "
            f"{tuple(output.shape)}; for one logit use loss='bce', for regression give the target as float"
        )
    if target.is_floating_point():
        if target.shape != output.shape:
            raise ShapeError(
                f"loss 'cross_entropy' got a float target {tuple(target.shape)} for an output "
                f"{tuple(output.shape)}; allowed: integer classes (B, ...), or probabilities (B, ..., C)"
            )
        return _rows(-(target * output.log_softmax(-1)).sum(-1))
    return _rows(F.cross_entropy(output.movedim(-1, 1), _class_indices(output, target), reduction="none"))


def _class_indices(output: Tensor, target: Tensor) -> Tensor:
    """Integer targets (B, ...) or (B, ..., 1) as int64 of the shape of the output without its classes."""
    wanted = output.shape[:-1]
    if target.shape == (*wanted, 1):
        target = target.squeeze(-1)
    if target.shape != wanted:
        raise ShapeError(
            f"loss 'cross_entropy' got class indices {tuple(target.shape)} for an output "
            f"{tuple(output.shape)}; expected {tuple(wanted)} (or one trailing axis of length 1)"
        )
    classes = output.shape[-1]
    if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < classes:
        raise InputError(
            f"loss 'cross_entropy' got class indices {int(target.min())} to {int(target.max())} for "
            f"{classes} classes; allowed: 0 to {classes - 1}"
        )
    return target.long()


LOSSES: Mapping[str, RowLoss] = MappingProxyType(
    {"bce": _bce, "cross_entropy": _cross_entropy, "huber": _huber, "mae": _mae, "mse": _mse}
)
"""The losses known by name."""


def _by_target_dtype(output: Tensor, target: Tensor) -> Tensor:
    _check_tensors(output, target, "default")
    if target.is_floating_point():
        return _mse(output, target)
    return _bce(output, target) if target.dtype == torch.bool else _cross_entropy(output, target)


def _from_callable(loss: Callable[[Tensor, Tensor], Tensor]) -> RowLoss:
    if isinstance(loss, nn.Module) and getattr(loss, "reduction", "none") != "none":
        loss = copy.copy(loss)
        setattr(loss, "reduction", "none")  # noqa: B010 (torch types attributes of modules as tensors)
    name = getattr(loss, "__name__", type(loss).__name__)

    def rows(output: Tensor, target: Tensor) -> Tensor:
        _check_tensors(output, target, name)
        torch_loss = isinstance(loss, nn.Module) or getattr(loss, "__module__", "") == "torch.nn.functional"
        if torch_loss and target.is_floating_point() and _differ_by_one_axis(output, target):
            output, target = _aligned(output, target, name)  # a function of the user's own gets what it expects
        values: Any = loss(output, target)
        if isinstance(values, Tensor) and values.numel() > max(output.numel(), target.numel()):
            raise ShapeError(
                f"loss {name!r} made {tuple(values.shape)} out of an output {tuple(output.shape)} and a target "
                f"{tuple(target.shape)}: they were broadcast against each other; bring them to one shape in the loss"
            )
        if not isinstance(values, Tensor) or values.dim() == 0 or values.shape[0] != output.shape[0]:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ShapeError(
                f"loss {name!r} returned {got} for {output.shape[0]} rows; it must return one number per row "
                "(reduction='none'), or use a name: " + ", ".join(sorted(LOSSES))
            )
        return _rows(values)

    rows.__name__ = name
    return rows


def _rows(values: Tensor) -> Tensor:
    """Mean over everything but the rows: (B, ...) -> (B,)."""
    return values if values.dim() == 1 else values.flatten(1).mean(1)


def _check_tensors(output: Any, target: Any, name: str) -> None:
    for role, value in (("output", output), ("target", target)):
        if not isinstance(value, Tensor):
            raise InputTypeError(f"loss {name!r}: the {role} must be a tensor, got {type(value).__name__}")
        if value.dim() == 0:
            raise ShapeError(f"loss {name!r}: the {role} is a single number; it needs rows, (B,) or (B, ...)")


def _differ_by_one_axis(output: Tensor, target: Tensor) -> bool:
    return output.shape == (*target.shape, 1) or target.shape == (*output.shape, 1)


def _aligned(output: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Bring (B,) and (B, 1) together; refuse every other difference: nothing broadcasts in silence."""
    _check_tensors(output, target, name)
    if output.shape == target.shape:
        return output, target
    if _differ_by_one_axis(output, target):
        return output, target.reshape(output.shape)
    raise ShapeError(
        f"loss {name!r} got an output {tuple(output.shape)} and a target {tuple(target.shape)}; they must "
        "have the same shape (a trailing axis of length 1 is matched for you)"
    )
