"""One batch: the tensors a model is called with, and what it should have said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from kaninterp.core.digest import Digest
from kaninterp.core.errors import KanInterpError, ModelError

__all__ = ["Batch", "called"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Inputs and target of some rows, ready for a model.

    Attributes
    ----------
    inputs
        Tensors with the rows first: (B, F), (B, T, F), ... The last dimension holds the raw columns. Integer
        tensors (indices for an embedding) occur under `keys` only.
    keys
        The names the model's forward gives these tensors; None: they are positional.
    target
        (B,), (B, C), ... floating numbers, integer class labels or booleans; None: the data has no target.

    Examples
    --------
    >>> import torch
    >>> batch = Batch(inputs=(torch.ones(4, 2),), keys=None, target=None)
    >>> batch.n_rows, tuple(batch.call(torch.nn.Linear(2, 3)).shape)
    (4, (4, 3))
    """

    inputs: tuple[Tensor, ...]
    keys: tuple[str, ...] | None
    target: Tensor | None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.inputs[0].shape[0])

    @property
    def lags(self) -> int:
        """Time steps of the longest sequence (B, T, F) of floats among the inputs; 1 without one."""
        return max((int(x.shape[1]) for x in self.inputs if x.dim() == 3 and x.is_floating_point()), default=1)

    @property
    def places(self) -> tuple[int | str, ...]:
        """How the model's forward knows each tensor: by position, or by key."""
        return tuple(range(len(self.inputs))) if self.keys is None else self.keys

    @property
    def arguments(self) -> tuple[Tensor, ...] | dict[str, Tensor]:
        """The tensors as a tuple of positional inputs, or as a dict by key."""
        return self.inputs if self.keys is None else dict(zip(self.keys, self.inputs, strict=True))

    def call(self, model: Callable[..., Any]) -> Any:
        """Run `model(*inputs)`, or `model(**inputs)` when the tensors have keys."""
        if self.keys is None:
            return model(*self.inputs)
        return model(**dict(zip(self.keys, self.inputs, strict=True)))

    def as_data(self) -> list[tuple[Any]]:
        """These rows without their target, in a form that every verb takes for data.

        One batch of a list: a bare pair of inputs would be read as input and target.
        """
        return [(self.arguments,)]

    @property
    def digest(self) -> str:
        """By what a checkpoint knows these rows again: inputs and target."""
        return Digest(*self.inputs, self.target).short

    def rows(self, index: Tensor | slice) -> Batch:
        """Return the batch of these rows only (an int64 index or a slice)."""
        target = None if self.target is None else self.target[index]
        return replace(self, inputs=tuple(x[index] for x in self.inputs), target=target)

    def to(self, device: torch.device | str | None, dtype: torch.dtype | None) -> Batch:
        """Move to `device`, floating numbers to `dtype`; a floating target follows the inputs' dtype."""
        inputs = tuple(_placed(x, device, dtype) for x in self.inputs)
        if self.target is None:
            return replace(self, inputs=inputs)
        kinds = [x.dtype for x in inputs if x.is_floating_point()]
        return replace(self, inputs=inputs, target=_placed(self.target, device, kinds[0] if kinds else dtype))


def called(model: Callable[..., Any], batch: Batch) -> Any:
    """What the model returns for a batch.

    Raises
    ------
    ModelError
        It fails; the message says what it was given.
    """
    try:
        return batch.call(model)
    except KanInterpError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in batch.inputs)
        names = "" if batch.keys is None else f" named {', '.join(batch.keys)}"
        raise ModelError(
            f"{type(model).__name__} fails on inputs of shape {shapes}{names} ({batch.inputs[0].dtype}): {error}. "
            "Give the data in the shape, order and names that its forward takes"
        ) from error


def _placed(tensor: Tensor, device: torch.device | str | None, dtype: torch.dtype | None) -> Tensor:
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
