"""The proof that dropped means dropped: change the columns, compare the predictions bit by bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from kaninterp.core.errors import ModelError, ShapeError
from kaninterp.nn.inputs import Entry, entries
from kaninterp.nn.raw import Key, ModelInputs, RawInput, axis_of, call_arguments, is_float, tensors_in
from kaninterp.nn.undisturbed import undisturbed

__all__ = ["check_dropped"]

_PERTURBATIONS = (1.0, -1e6, 1e30)
"""Small, large, huge (within the number type): a clamp or a dead unit may hide some of them."""


def check_dropped(
    model: nn.Module,
    inputs: ModelInputs,
    columns: Sequence[int] | Mapping[Key, Sequence[int]],
    *,
    axis: int | Mapping[Key, int] = -1,
) -> None:
    """Prove on a batch that dropped columns have no effect: change them and compare the outputs bit by bit.

    Parameters
    ----------
    model
        The narrowed model, eval mode is used; left bit-identical.
    inputs
        One batch, as for `entries`.
    columns
        The dropped columns of the only input, or a mapping from input (position or keyword) to its columns.
    axis
        As for `entries`.

    Raises
    ------
    ModelError
        Some column still changes the output by at least one bit: it is named; someone else reads it.

    Examples
    --------
    >>> import torch
    >>> from kaninterp.nn.narrow import narrow
    >>> check_dropped(narrow(torch.nn.Linear(3, 1), (0, 1)), torch.randn(5, 3), (2,))
    >>> check_dropped(torch.nn.Linear(3, 1), torch.randn(5, 3), (2,))
    Traceback (most recent call last):
    ...
    kaninterp.core.errors.ModelError: column 2 of input 0 was dropped but still changes the output; ...
    """
    args, kwargs = call_arguments(inputs)
    values: dict[Key, Any] = {**dict(enumerate(args)), **kwargs}
    raws = {key: RawInput.of(key, value, axis_of(key, axis)) for key, value in values.items() if is_float(value)}
    wanted = _columns_by_key(raws, columns)

    def outputs(changed: Mapping[Key, Any]) -> list[bytes]:
        every = {**values, **changed}
        return list(_bits(model(*(every[place] for place in range(len(args))), **{key: every[key] for key in kwargs})))

    with undisturbed(model):
        before = outputs({})
        if outputs({}) != before:
            raise ModelError(
                "the model gives other outputs for the same inputs (random in eval mode?); nothing is proved"
            )
        for step in _PERTURBATIONS:
            every = {key: _moved(values[key], raws[key].axis, gone, step) for key, gone in wanted.items()}
            if outputs(every) == before:
                continue
            for key, gone in wanted.items():
                for column in gone:
                    if outputs({key: _moved(values[key], raws[key].axis, (column,), step)}) != before:
                        raise ModelError(_still_read(entries(model, inputs, axis=axis), key, column))
            raise ModelError(f"columns {dict(wanted)} were dropped but together still change the output")


def _bits(output: Any) -> Iterator[bytes]:
    for tensor in tensors_in(output):
        yield tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _columns_by_key(
    raws: Mapping[Key, RawInput], columns: Sequence[int] | Mapping[Key, Sequence[int]]
) -> dict[Key, tuple[int, ...]]:
    if not isinstance(columns, Mapping):
        if len(raws) != 1:
            raise ShapeError(
                f"the model has float inputs {list(raws)}; give the columns as a mapping from input to columns"
            )
        columns = {next(iter(raws)): columns}
    for key, dropped in columns.items():
        if key not in raws:
            raise ShapeError(f"columns were given for input {key!r}; the float inputs are {list(raws)}")
        width = raws[key].width
        if any(not 0 <= column < width for column in dropped):
            raise ShapeError(f"columns {tuple(dropped)} of input {key!r} are not all between 0 and {width - 1}")
    return {key: tuple(dropped) for key, dropped in columns.items()}


def _moved(value: Any, axis: int, columns: Sequence[int], step: float) -> Any:
    """Copy an input with some columns moved by `step`, or as far as its number type allows."""
    if isinstance(value, PackedSequence):
        return value._replace(data=_moved(value.data, axis, columns, step))
    most = torch.finfo(value.dtype).max / 4
    moved = value.detach().clone()
    moved.movedim(axis, -1)[..., list(columns)] += max(-most, min(most, step))
    return moved


def _still_read(found: Sequence[Entry], key: Key, column: int) -> str:
    readers = [
        f"{entry.path or 'the model itself'} ({entry.kind})"
        for entry in found
        if entry.key == key and column in entry.columns
    ]
    return (
        f"column {column} of input {key!r} was dropped but still changes the output; "
        f"modules that read it: {', '.join(readers) or 'none found'}; narrow each of them, put an input gate in "
        "front of the model (kaninterp.nn.gate_inputs), or keep the column"
    )
