"""Where a model reads its raw columns, and whether a column that was dropped is still read by anyone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from kaninterp.core.errors import DataError, InputTypeError, ModelError, ShapeError
from kaninterp.nn.columns import column_norms, proximal_step_
from kaninterp.nn.narrow import input_kind, narrow
from kaninterp.nn.raw import Key, ModelInputs, RawInput, call_arguments, is_float, owned, tensors_in
from kaninterp.nn.undisturbed import undisturbed

__all__ = ["Entry", "ModelInputs", "check_dropped", "column_norms", "entries", "narrow", "proximal_step_"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A module that reads raw columns.

    Attributes
    ----------
    path : str
        Dotted path of the module in the model ("" is the model itself).
    kind : str
        "lstm", "gru", "rnn", "linear", "kan": its weights can be penalised and narrowed; "other": it cannot.
    columns : tuple of int
        For each column the module takes, the raw column that arrives there: (0, .., F-1) in the plain case,
        a part for a slice, repeats for a flattened window. For kind "other": the raw columns it can see.
    key : int or str
        Which input of the model: its position, or its keyword.
    """

    path: str
    kind: str
    columns: tuple[int, ...]
    key: int | str


def entries(model: nn.Module, inputs: ModelInputs) -> tuple[Entry, ...]:
    """Find every module that reads a raw input itself, by one forward pass with temporary hooks.

    A module reads raw columns if it is handed the raw tensor, a view of it (slices, last step, transposed,
    flattened windows) or a copy of its rows (packed, contiguous, other dtype). Modules that hand the raw
    tensor on unchanged (containers, dropout in eval mode) are looked through.

    Parameters
    ----------
    model
        Any module; left bit-identical (law 9). Run in eval mode.
    inputs
        One small batch: a tensor, a packed sequence, a tuple of positional inputs, or a dict of keywords.
        Integer tensors (indices) have no columns and are passed through.

    Returns
    -------
    tuple of Entry
        In calling order, all that were found: skip connections and second backbones too. What is computed by
        operations outside any submodule (`torch.cat`, matrix products in `forward`) is listed only as the
        innermost module that was given the tensor, kind "other", if none of its children read it;
        `check_dropped` is the proof that nobody reads a column.

    Raises
    ------
    InputTypeError
        No float input at all. DataError: an empty batch.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(3, 2), torch.nn.ReLU())
    >>> entries(model, torch.randn(4, 3))
    (Entry(path='1', kind='linear', columns=(0, 1, 2), key=0),)
    """
    args, kwargs = call_arguments(inputs)
    args, kwargs = tuple(owned(value) for value in args), {key: owned(value) for key, value in kwargs.items()}
    every: dict[Key, Any] = {**dict(enumerate(args)), **kwargs}
    raws = [RawInput.of(key, value) for key, value in every.items() if is_float(value)]
    if not raws:
        raise InputTypeError(
            "the model's inputs hold no float tensor with columns; allowed: (..., F) tensors of floats"
        )
    if any(raw.tensor.numel() == 0 for raw in raws):
        raise DataError("entries needs a batch with at least one row, got an empty one")
    calls: list[_Call] = []
    with undisturbed(model), _listening(model, calls):
        model(*args, **kwargs)
    return _found(calls, raws)


def check_dropped(model: nn.Module, inputs: ModelInputs, columns: Sequence[int] | Mapping[Key, Sequence[int]]) -> None:
    """Prove on a batch that dropped columns have no effect: change them and compare the outputs bit by bit.

    Parameters
    ----------
    model
        The narrowed model, eval mode is used; left bit-identical.
    inputs
        One batch, as for `entries`.
    columns
        The dropped columns of the only input, or a mapping from input (position or keyword) to its columns.

    Raises
    ------
    ModelError
        Some column still changes the output by at least one bit: it is named; someone else reads it.

    Examples
    --------
    >>> import torch
    >>> check_dropped(narrow(torch.nn.Linear(3, 1), (0, 1)), torch.randn(5, 3), (2,))
    >>> check_dropped(torch.nn.Linear(3, 1), torch.randn(5, 3), (2,))
    Traceback (most recent call last):
    ...
    kaninterp.core.errors.ModelError: column 2 of input 0 was dropped but still changes the output; ...
    """
    args, kwargs = call_arguments(inputs)
    values: dict[Key, Any] = {**dict(enumerate(args)), **kwargs}
    wanted = _columns_by_key(values, columns)

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
            if outputs({key: _moved(values[key], dropped, step) for key, dropped in wanted.items()}) == before:
                continue
            for key, dropped in wanted.items():
                for column in dropped:
                    if outputs({key: _moved(values[key], (column,), step)}) != before:
                        raise ModelError(_still_read(model, inputs, key, column))
            raise ModelError(f"columns {dict(wanted)} were dropped but together still change the output")


_PERTURBATIONS = (1.0, -1e6)
"""Two sizes, small and large: a clamp or a dead unit may hide one of them."""


@dataclass(frozen=True)
class _Call:
    path: str
    module: nn.Module
    given: tuple[Tensor, ...]
    returned: tuple[Tensor, ...]


@contextmanager
def _listening(model: nn.Module, calls: list[_Call]) -> Iterator[None]:
    """Note what every submodule is given and returns; the inside of a known reader is its own affair."""
    handles = []
    inside: list[str] = []
    try:
        for path, module in model.named_modules():
            if any(path.startswith(f"{outer}.") or outer == "" for outer in inside):
                continue
            if input_kind(module) != "other":
                inside.append(path)

            def note(module: nn.Module, args: Any, kwargs: Any, output: Any, path: str = path) -> None:
                given = tuple(tensors_in((args, kwargs)))
                calls.append(_Call(path, module, given, tuple(tensors_in(output))))

            handles.append(module.register_forward_hook(note, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _found(calls: list[_Call], raws: list[RawInput]) -> tuple[Entry, ...]:
    found: dict[tuple[str, Key], Entry] = {}
    others: set[str] = set()
    for call in calls:  # children return before their parents
        hits = [(raw, hit) for raw in raws for value in call.given if (hit := raw.columns_of(value)) is not None]
        known = input_kind(call.module) != "other"
        if known and not hits:
            others.add(call.path)
        for raw, (columns, along_last) in hits:
            below = any(_is_below(path, call.path) and key == raw.key for path, key in found)
            if not known and (below or any(raw.columns_of(value) for value in call.returned)):
                continue
            kind = input_kind(call.module) if known and along_last else "other"
            entry = Entry(path=call.path, kind=kind, columns=columns, key=raw.key)
            found[call.path, raw.key] = _merged(found.get((call.path, raw.key), entry), entry)
    return tuple(_unshared(entry, found, others) for entry in found.values())


def _merged(first: Entry, second: Entry) -> Entry:
    """Two calls of one module: the same entry, or one that cannot be narrowed."""
    if first == second:
        return first
    columns = tuple(sorted({*first.columns, *second.columns}))
    return Entry(path=first.path, kind="other", columns=columns, key=first.key)


def _unshared(entry: Entry, found: Mapping[tuple[str, Key], Entry], others: set[str]) -> Entry:
    """Make it "other" if it also takes something else, or two raw inputs: it cannot lose columns then."""
    twice = sum(path == entry.path for path, _ in found) > 1
    if entry.path not in others and not twice:
        return entry
    return Entry(path=entry.path, kind="other", columns=tuple(sorted(set(entry.columns))), key=entry.key)


def _is_below(path: str, parent: str) -> bool:
    return path != parent and (parent == "" or path.startswith(f"{parent}."))


def _bits(output: Any) -> Iterator[bytes]:
    for tensor in tensors_in(output):
        yield tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _columns_by_key(
    values: Mapping[Key, Any], columns: Sequence[int] | Mapping[Key, Sequence[int]]
) -> dict[Key, tuple[int, ...]]:
    floats = [key for key, value in values.items() if is_float(value)]
    if not isinstance(columns, Mapping):
        if len(floats) != 1:
            raise ShapeError(
                f"the model has float inputs {floats}; give the columns as a mapping from input to columns"
            )
        columns = {floats[0]: columns}
    for key, dropped in columns.items():
        if key not in floats:
            raise ShapeError(f"columns were given for input {key!r}; the float inputs are {floats}")
        value = values[key]
        width = (value.data if isinstance(value, PackedSequence) else value).shape[-1]
        if any(not 0 <= column < width for column in dropped):
            raise ShapeError(f"columns {tuple(dropped)} of input {key!r} are not all between 0 and {width - 1}")
    return {key: tuple(dropped) for key, dropped in columns.items()}


def _moved(value: Any, columns: Sequence[int], step: float) -> Any:
    """Copy an input with some columns moved by `step`."""
    if isinstance(value, PackedSequence):
        return value._replace(data=_moved(value.data, columns, step))
    moved = value.detach().clone()
    moved[..., list(columns)] += step
    return moved


def _still_read(model: nn.Module, inputs: ModelInputs, key: Key, column: int) -> str:
    readers = [
        f"{entry.path or 'the model itself'} ({entry.kind})"
        for entry in entries(model, inputs)
        if entry.key == key and column in entry.columns
    ]
    return (
        f"column {column} of input {key!r} was dropped but still changes the output; "
        f"modules that are given this input: {', '.join(readers) or 'none found'}; narrow each of them, or "
        "keep the column"
    )
