"""What a model is called with: its raw inputs, and which raw columns some tensor inside it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from kaninterp.core.errors import InputTypeError

__all__ = ["Key", "ModelInputs", "RawInput", "call_arguments", "is_float", "owned", "tensors_in"]

ModelInputs: TypeAlias = "Tensor | PackedSequence | Sequence[Any] | Mapping[str, Any]"
"""What a model is called with: one tensor, several positional ones, or keywords."""

Key: TypeAlias = "int | str"
"""Which input of a model: its position, or its keyword."""


@dataclass(frozen=True)
class RawInput:
    """One raw input: its tensor, and which raw column each element of its storage belongs to."""

    key: Key
    tensor: Tensor
    owner: Tensor
    rows: frozenset[bytes]

    @classmethod
    def of(cls, key: Key, value: Any) -> RawInput:
        """Index the columns of an input that has a storage of its own, see `owned`."""
        tensor = value.data if isinstance(value, PackedSequence) else value
        width = tensor.shape[-1]
        owner = torch.arange(width).expand(tensor.shape).flatten().contiguous()  # flatten keeps stride 0 of one column
        return cls(key, tensor, owner, frozenset(_row_bytes(tensor)))

    def columns_of(self, value: Tensor) -> tuple[tuple[int, ...], bool] | None:
        """Raw columns found in `value`, and whether they lie along its last axis; None if it is not raw."""
        if value.dim() == 0 or value.numel() == 0:
            return None
        if value.untyped_storage().data_ptr() == self.tensor.untyped_storage().data_ptr():
            seen = self.owner.as_strided(value.shape, value.stride(), value.storage_offset())
            first = seen.reshape(-1, seen.shape[-1])[0]
            if bool((seen == first).all()):
                return tuple(first.tolist()), True
            return tuple(sorted(set(seen.flatten().tolist()))), False
        if value.shape[-1] != self.tensor.shape[-1] or not value.is_floating_point():
            return None
        copied = self.rows.issuperset(_row_bytes(value.to(self.tensor.dtype))) and bool((value != 0).any())
        return (tuple(range(value.shape[-1])), True) if copied else None


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


def _row_bytes(tensor: Tensor) -> list[bytes]:
    rows = tensor.detach().cpu().reshape(-1, tensor.shape[-1]).contiguous()
    return [row.tobytes() for row in rows.view(torch.uint8).numpy()]
