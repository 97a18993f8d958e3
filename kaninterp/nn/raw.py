"""What a model is called with: its raw inputs, and the axis of each that holds the raw columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from kaninterp.core.errors import InputTypeError, ShapeError

__all__ = ["Key", "ModelInputs", "RawInput", "axis_of", "call_arguments", "is_float", "owned", "tensors_in"]

ModelInputs: TypeAlias = "Tensor | PackedSequence | Sequence[Any] | Mapping[str, Any]"
"""What a model is called with: one tensor, several positional ones, or keywords."""

Key: TypeAlias = "int | str"
"""Which input of a model: its position, or its keyword."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawInput:
    """One raw input of a model: its tensor, and the axis of it that holds the raw columns."""

    key: Key
    tensor: Tensor
    axis: int = -1

    @classmethod
    def of(cls, key: Key, value: Any, axis: int = -1) -> RawInput:
        """Read an input; the columns of a packed sequence lie along the last axis of its data."""
        packed = isinstance(value, PackedSequence)
        tensor = value.data if packed else value
        allowed = (-1,) if packed else tuple(range(-tensor.dim(), tensor.dim()))
        if axis not in allowed:
            raise ShapeError(
                f"input {key!r} has shape {tuple(tensor.shape)}; its raw columns cannot lie along axis {axis}, "
                f"allowed: {', '.join(map(str, allowed))}"
            )
        return cls(key=key, tensor=tensor, axis=axis)

    @property
    def width(self) -> int:
        """Number of raw columns."""
        return int(self.tensor.shape[self.axis])


def axis_of(key: Key, axis: int | Mapping[Key, int]) -> int:
    """Axis of the raw columns of one input: one number for all, or a mapping (-1 where it is silent)."""
    return axis.get(key, -1) if isinstance(axis, Mapping) else axis


def call_arguments(inputs: ModelInputs) -> tuple[tuple[Any, ...], dict[Any, Any]]:
    """Split what a model is called with into positional arguments and keywords."""
    if isinstance(inputs, (Tensor, PackedSequence)):
        return (inputs,), {}
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, (tuple, list)):
        return tuple(inputs), {}
    raise InputTypeError(
        f"inputs must be a tensor, a packed sequence, a tuple of positional inputs or a dict of keywords, "
        f"got {type(inputs).__name__}"
    )


def owned(value: Any) -> Any:
    """Copy into a storage of its own, so that views of it can be told from views of other inputs."""
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.detach().clone(memory_format=torch.contiguous_format))
    return value.detach().clone(memory_format=torch.contiguous_format) if isinstance(value, Tensor) else value


def is_float(value: Any) -> bool:
    """Tell whether a value is a tensor (or packed sequence) of floats with columns."""
    tensor = value.data if isinstance(value, PackedSequence) else value
    return isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.dim() > 0


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists, dicts and packed sequences."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, PackedSequence):
        yield value.data
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)
