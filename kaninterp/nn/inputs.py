"""Where a model reads its raw columns: which modules, which of their own columns, and what cannot be seen into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from kaninterp.core.errors import DataError, InputTypeError
from kaninterp.nn.raw import Key, ModelInputs, RawInput, axis_of, call_arguments, is_float, owned
from kaninterp.nn.reading import Read, all_reads

__all__ = ["NOT_RAW", "OTHER", "Entry", "entries"]

OTHER = "other"
"""Kind of what reads raw columns in a way that cannot be narrowed."""

NOT_RAW = -1
"""Stands in `Entry.columns` for a column of the module that is not a column of this input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A module that reads raw columns.

    Attributes
    ----------
    path : str
        Dotted path of the module in the model ("" is the model itself).
    kind : str
        "lstm", "gru", "rnn", "linear", "conv1d", "kan": its weights can be penalised and narrowed; "other": they
        cannot, and dropping its columns takes an input gate (`prune_model` sets one).
    columns : tuple of int
        For each column the module takes, the raw column that arrives there: (0, .., F-1) in the plain case,
        a part for a slice, repeats for a flattened window, -1 where something else arrives (an embedding, another
        input). For kind "other": the raw columns it can see.
    key : int or str
        Which input of the model: its position, or its keyword.
    axis, width : int
        Axis of that input which holds the raw columns, and how many there are.
    reason : str
        For kind "other": what it does with them.
    """

    path: str
    kind: str
    columns: tuple[int, ...]
    key: int | str
    axis: int = -1
    width: int = 0
    reason: str = ""

    @property
    def raw_columns(self) -> tuple[int, ...]:
        """The raw columns it reads, each once, ascending."""
        return tuple(sorted({column for column in self.columns if column != NOT_RAW}))


def entries(model: nn.Module, inputs: ModelInputs, *, axis: int | Mapping[Key, int] = -1) -> tuple[Entry, ...]:
    """Find everything that reads raw columns, by one forward pass in which the columns are followed.

    Views and copies of raw columns (slices, last step, transposed, flattened windows, packed, padded, other float
    types, concatenated with something else) still are raw columns; whoever computes with them reads them.

    Parameters
    ----------
    model
        Any module; left bit-identical (law 9). Run in eval mode.
    inputs
        One small batch: a tensor, a packed sequence, a tuple of positional inputs, or a dict of keywords.
        Integer tensors (indices) have no columns and are passed through.
    axis
        Axis that holds the raw columns: -1 for (rows, columns) and (rows, time, columns), 1 for data that arrive as
        (rows, channels, time). A mapping from input to its axis where they differ.

    Returns
    -------
    tuple of Entry
        In calling order: skip connections and second backbones too. Operations that compute with raw numbers
        outside a module of a known kind (`LayerNorm`, attention, `x * 2` in a `forward`) are entries of kind
        "other", at the innermost module in which they run. Questions whose answer no finite change of a column
        alters (shapes, `isnan`, `isfinite`) read nothing.

    Raises
    ------
    InputTypeError
        No float input at all. DataError: an empty batch. ShapeError: an axis that an input does not have.

    Notes
    -----
    One forward pass sees one way through a model that chooses its way by the data; `check_dropped` is the proof on
    other rows. What a compiled or scripted part does inside is not seen.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(3, 2), torch.nn.ReLU())
    >>> [(entry.path, entry.kind, entry.columns) for entry in entries(model, torch.randn(4, 3))]
    [('1', 'linear', (0, 1, 2))]
    >>> entries(torch.nn.LayerNorm(3), torch.randn(4, 3))[0].reason
    'LayerNorm computes with them (native_layer_norm)'
    """
    args, kwargs = call_arguments(inputs)
    args, kwargs = tuple(owned(value) for value in args), {key: owned(value) for key, value in kwargs.items()}
    every: dict[Key, Any] = {**dict(enumerate(args)), **kwargs}
    raws = [RawInput.of(key, value, axis_of(key, axis)) for key, value in every.items() if is_float(value)]
    if not raws:
        raise InputTypeError(
            "the model's inputs hold no float tensor with columns; allowed: (..., F) tensors of floats"
        )
    if any(raw.tensor.numel() == 0 for raw in raws):
        raise DataError("entries needs a batch with at least one row, got an empty one")
    reads = all_reads(model, args, kwargs, raws)
    return tuple(entry for path in dict.fromkeys(read.path for read in reads) for entry in _of(path, reads, raws))


def _of(path: str, reads: Iterable[Read], raws: Sequence[RawInput]) -> Iterable[Entry]:
    """Entries of one module: one per input it reads; known only if all its calls are given the same columns."""
    calls = [read for read in reads if read.path == path]
    kind = calls[0].kind if all(call == calls[0] for call in calls) else OTHER
    reason = next((call.reason for call in calls if call.reason), "it is called with different things")
    start = 0
    for raw in raws:
        mine = range(start, start + raw.width)
        start = mine.stop
        columns = tuple(place - mine.start if place in mine else NOT_RAW for place in calls[0].places)
        seen = sorted({place - mine.start for call in calls for place in call.places if place in mine})
        if seen:
            known = kind != OTHER
            yield Entry(
                path=path, kind=kind, columns=columns if known else tuple(seen), key=raw.key, axis=raw.axis,
                width=raw.width, reason="" if known else reason,
            )  # fmt: skip
