"""Whatever holds rows in memory, as one block: input columns, their keys and a target.

A block is both a whole data set (arrays, tables, dicts) and one item of a stream of batches, so every
accepted kind of data passes through the same few rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from kaninterp.core.errors import DataError, InputTypeError, NamesError, ShapeError
from kaninterp.data.batch import Batch
from kaninterp.data.convert import Column, as_column, as_target, describe, is_columnar, pandas_index
from kaninterp.data.windows import Windows

__all__ = ["Block", "as_block"]

ALLOWED = "x, (x, y), ((x1, x2), y), {'name': x} or ({'name': x}, y) with tensors, numpy arrays or DataFrames"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows in memory.

    Attributes
    ----------
    columns
        One block of raw columns for each tensor the model takes.
    keys
        Names of the model's arguments, None when positional.
    target
        One entry per row, or None.
    """

    columns: tuple[Column, ...]
    keys: tuple[str, ...] | None
    target: Column | None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.columns[0].values)

    @property
    def known_names(self) -> tuple[tuple[str, ...] | None, ...]:
        """Per input: the column names it brought along (tables do), None otherwise."""
        return tuple(column.names for column in self.columns)

    def take(self, index: slice | Tensor, dtype: torch.dtype | None = None) -> Batch:
        """Take the rows at `index` (a slice, or a CPU int64 tensor) as a batch."""
        return Batch(
            inputs=tuple(column.take(index, dtype) for column in self.columns),
            keys=self.keys,
            target=None if self.target is None else self.target.take(index, dtype),
        )


def as_block(data: object, *, target: object = None, what: str = "data") -> Block:
    """Adapt data that are held in memory.

    Parameters
    ----------
    data
        Tensor, array, DataFrame, `Windows`, dict of those, a tuple of several positional inputs, or a pair
        of one of them and a target.
    target
        A column name (or several) of a DataFrame, a key of a dict, or one entry per row. None: the second
        part of a pair, or no target.
    what
        How errors call it.

    Raises
    ------
    InputTypeError, ShapeError, DataError, NamesError
        Anything that cannot be understood, naming what arrived and what is allowed.
    """
    inputs, answer, what = _separated(data, target, what)
    keys: tuple[str, ...] | None = None
    if isinstance(inputs, Mapping):
        keys = _argument_names(inputs, what)
        columns = tuple(as_column(value, what=f"{what}[{key!r}]", integers=True) for key, value in inputs.items())
    elif isinstance(inputs, Windows):
        columns = (Column(values=inputs.X, names=inputs.names),)
    elif isinstance(inputs, tuple | list):
        columns = tuple(as_column(value, what=f"{what}, input {k}") for k, value in enumerate(inputs))
    else:
        columns = (as_column(inputs, what=what),)
    block = Block(columns=columns, keys=keys, target=None if answer is None else as_target(answer))
    _check_rows(block, what)
    _check_same_index(inputs, answer)
    return block


def _separated(data: object, target: object, what: str) -> tuple[Any, Any, str]:
    """Tell apart inputs, target and how to call the inputs."""
    if isinstance(data, tuple | list) and not isinstance(data, PackedSequence):
        data, target = _unpaired(data, target, what)
    if isinstance(data, PackedSequence):  # a named tuple itself
        raise InputTypeError(
            f"{what}: a PackedSequence has no rows to choose from; pass the padded tensor and its lengths "
            "as a dict "
            "({'x': padded, 'lengths': lengths}) and pack in the model's forward."
        )
    if isinstance(data, Windows):
        if target is not None and target is not data.y:
            raise InputTypeError(f"{what}: windows bring their own target {data.target_name!r}; leave target out.")
        return data, data.y, what
    if isinstance(data, pd.DataFrame) and _is_label(target):
        return (*_without_columns(data, target), what)
    if isinstance(data, Mapping) and isinstance(target, str):
        if target not in data:
            raise NamesError(f"target={target!r} is not a key of the data; keys: {list(data)}.")
        return {key: value for key, value in data.items() if key != target}, data[target], what
    if _is_label(target):
        raise InputTypeError(
            f"target={target!r}: only a DataFrame or a dict has named parts, got {describe(data)}; pass the target's "
            "values instead."
        )
    if not (is_columnar(data) or isinstance(data, Mapping | tuple | list)):
        raise InputTypeError(f"{what}: expected {ALLOWED}, got {describe(data)}.")
    return data, target, what


def _unpaired(pair: Sequence[Any], target: object, what: str) -> tuple[Any, Any]:
    """(x,) and (x, y), told apart from everything else that is a tuple."""
    parts = f"a {type(pair).__name__} of {len(pair)} ({', '.join(describe(part) for part in pair[:4])})"
    if len(pair) == 1:
        return pair[0], target
    if len(pair) != 2:
        raise InputTypeError(
            f"{what}: expected {ALLOWED}, got {parts}; several inputs belong together: ((x1, x2), y). A sequence of "
            "batches is passed as a list."
        )
    if target is not None and not _is_label(target):
        raise InputTypeError(f"{what}: got {parts} and target= as well; give the target once.")
    if _is_label(target):
        raise InputTypeError(f"{what}: got the pair {parts}, so target={target!r} would be a second target.")
    return pair[0], pair[1]


def _is_label(target: object) -> bool:
    if isinstance(target, list | tuple):
        return bool(target) and all(isinstance(part, str) for part in target)
    return isinstance(target, str)


def _without_columns(frame: pd.DataFrame, target: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    wanted = [target] if isinstance(target, str) else list(target)
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise NamesError(f"target: no column {missing} in the DataFrame; columns: {list(frame.columns)}.")
    return frame.drop(columns=wanted), frame[wanted]


def _argument_names(inputs: Mapping[Any, Any], what: str) -> tuple[str, ...]:
    if not inputs:
        raise DataError(f"{what}: the dict holds no input.")
    wrong = [key for key in inputs if not isinstance(key, str)]
    if wrong:
        raise NamesError(f"{what}: keys are the names of the model's arguments, got {wrong}.")
    return tuple(inputs)


def _check_rows(block: Block, what: str) -> None:
    counts = [len(column.values) for column in block.columns]
    if len(set(counts)) > 1:
        labels = block.keys or tuple(f"input {k}" for k in range(len(counts)))
        raise ShapeError(f"{what}: the inputs differ in rows: {dict(zip(labels, counts, strict=True))}.")
    if block.target is not None and len(block.target.values) != counts[0]:
        raise ShapeError(
            f"{what} has {counts[0]} rows but the target {describe(block.target.values)} has "
            f"{len(block.target.values)}; they must be one to one."
        )


def _check_same_index(inputs: object, answer: object) -> None:
    """Tables are matched by position; refuse when their own row labels say that this is wrong."""
    left, right = pandas_index(inputs), pandas_index(answer)
    if left is not None and right is not None and not left.equals(right):
        raise DataError(
            "the row labels of the inputs and of the target differ; align them first (y = y.loc[X.index]) or drop the "
            "labels (reset_index(drop=True)) when position is what counts."
        )
