"""What is refused in a batch: no rows, another width than before, numbers that are not finite or far too large."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from kaninterp.core.errors import DataError, ShapeError, StateError
from kaninterp.data.batch import Batch
from kaninterp.data.columns import width

__all__ = ["LARGEST", "check_batch", "check_same_device", "placement"]

LARGEST = 1e70
"""Largest number that is computed with: products of sums of squares stay finite in float64 up to there."""
MAX_NAMED = 8  # columns spelt out in a message; more is noise


def check_batch(batch: Batch, first: Batch, names: tuple[tuple[str, ...], ...], start: int | None) -> None:
    """Refuse a batch that differs in kind from the first one or holds something that is not a number.

    Parameters
    ----------
    batch, first
        The batch, and the first one of the same data.
    names
        Per input, the names of its raw columns.
    start
        Number of rows before this batch, for messages; None: its rows were chosen freely.

    Raises
    ------
    ShapeError
        Another set of inputs, rank or width.
    DataError
        No rows, NaN or infinite values, or values beyond `LARGEST`; names columns, counts and the first row.
    """
    if not batch.n_rows:
        raise DataError(f"{_which(start)} has no rows; leave empty batches out.")
    _check_layout(batch, first, start)
    for tensor, columns in zip(batch.inputs, names, strict=True):
        _check_numbers(tensor, columns, start)
    target = batch.target
    if target is not None:
        columns = ("target",) if target.ndim == 1 else tuple(f"target {i}" for i in range(target.shape[-1]))
        _check_numbers(target, columns, start)


def check_same_device(batch: Batch, model: nn.Module) -> None:
    """Refuse data and model on different devices, and anything on the meta device.

    Raises
    ------
    StateError
        Naming both devices.
    """
    found = {str(tensor.device) for tensor in _tensors_of(model)}
    data = {str(tensor.device) for tensor in batch.inputs}
    if "meta" in found | data:
        raise StateError(
            f"the model is on {sorted(found)} and the data on {sorted(data)}: tensors on 'meta' hold no numbers; load "
            "or create them on a real device first (model.to_empty and load_state_dict)."
        )
    if found and not found & data:
        raise StateError(
            f"the model is on {sorted(found)}, the data on {sorted(data)}; move one of them "
            f"(model.to({sorted(data)[0]!r}), or pass device={sorted(found)[0]!r})."
        )


def placement(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and floating dtype of the model's first parameter (or buffer): where its inputs belong.

    Raises
    ------
    StateError
        The model is on the meta device, where there are no numbers.

    Examples
    --------
    >>> placement(torch.nn.Linear(2, 1).double())
    (device(type='cpu'), torch.float64)
    """
    for tensor in _tensors_of(model):
        if tensor.device.type == "meta":
            raise StateError(
                "the model is on the device 'meta', where tensors hold no numbers; give it real ones first "
                "(model.to_empty(device='cpu') and load_state_dict)."
            )
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.get_default_dtype()


def _tensors_of(model: nn.Module) -> Iterable[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _check_layout(batch: Batch, first: Batch, start: int | None) -> None:
    if batch.keys != first.keys or len(batch.inputs) != len(first.inputs):
        raise ShapeError(
            f"{_which(start)} has inputs {batch.keys or len(batch.inputs)}, the first one had "
            f"{first.keys or len(first.inputs)}."
        )
    if (batch.target is None) != (first.target is None):
        raise ShapeError(f"some batches have a target and some have none (first difference: {_which(start)}).")
    for k, (tensor, model) in enumerate(zip(batch.inputs, first.inputs, strict=True)):
        if tensor.ndim != model.ndim or width(tensor) != width(model):
            name = batch.keys[k] if batch.keys else f"input {k}"
            raise ShapeError(
                f"{name}: {_which(start)} has shape {tuple(tensor.shape)}, the first one {tuple(model.shape)}; rank "
                "and number of columns must stay the same."
            )


def _all_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or tensor.is_meta:
        return True
    # one sum is ten times cheaper than a test of every entry; it can only overflow, and then the test decides
    return bool(tensor.detach().sum().isfinite()) or bool(tensor.isfinite().all())


def _check_numbers(tensor: Tensor, columns: tuple[str, ...], start: int | None) -> None:
    values = tensor.detach()
    if not _all_finite(values):
        bad = ~values.isfinite()
        places = _places(bad, columns, [str(int(part.sum())) for part in _by_column(bad, columns)], start)
        narrow = torch.finfo(values.dtype).max
        hint = f" Numbers beyond {narrow:.2g} are infinite in {_dtype(values)}." if bool(values.isinf().any()) else ""
        raise DataError(
            f"missing or infinite values in {places}. Fill them (frame.interpolate, frame.fillna) or drop those rows."
            + hint
        )
    if values.dtype != torch.float64 or values.is_meta or not values.numel():
        return
    low, high = values.aminmax()
    if max(-float(low), float(high)) > LARGEST:
        most = [f"up to {float(part.abs().max()):.3g}" for part in _by_column(values, columns)]
        places = _places(values.abs() > LARGEST, columns, most, start)
        raise DataError(
            f"values too large in {places}; allowed: up to {LARGEST:g}, since their squares are summed up. Give the "
            "column in a larger unit (divide it by a constant) or drop those rows."
        )


def _by_column(values: Tensor, columns: tuple[str, ...]) -> Iterable[Tensor]:
    return values.reshape(-1, len(columns)).unbind(1)


def _places(bad: Tensor, columns: tuple[str, ...], notes: list[str], start: int | None) -> str:
    """Columns with bad entries, with a note on each, and the first row with one."""
    rows = bad.reshape(len(bad), -1).any(dim=1).nonzero()
    hit = bad.reshape(-1, len(columns)).any(dim=0).nonzero().flatten().tolist()
    listed = ", ".join(f"{columns[i]} ({notes[i]})" for i in hit[:MAX_NAMED])
    more = f" and {len(hit) - MAX_NAMED} more columns" if len(hit) > MAX_NAMED else ""
    where = "" if start is None else f"; first at row {start + int(rows[0])}"
    return f"{listed}{more}{where}"


def _dtype(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")


def _which(start: int | None) -> str:
    return "a batch" if start is None else f"the batch after row {start}"
