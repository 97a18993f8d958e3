"""What has to be known of a kind of module before its raw columns can be weighed, shrunk and cut out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from kaninterp.nn.readers.narrowed import Narrowed

__all__ = ["Family"]


class Family(ABC):
    """A torch module whose first weights read raw columns, and its narrowed twin.

    Attributes
    ----------
    kind : str
        What `input_kind` calls it.
    plain, narrowed : type
        Torch's class, and ours for the copy that reads fewer columns.
    axis : int
        Axis of its input that holds the columns.
    """

    kind: ClassVar[str]
    plain: ClassVar[type[nn.Module]]
    narrowed: ClassVar[type[Narrowed]]
    axis: ClassVar[int] = -1

    def owns(self, module: nn.Module) -> bool:
        """Whether a module is one of this family and does nothing of its own with its weights."""
        forwards = (self.plain.forward, self.narrowed.forward)
        return isinstance(module, self.plain) and type(module).forward in forwards and not is_parametrized(module)

    def groups(self, module: nn.Module) -> int:
        """Count the blocks of columns that are read by weights of their own; they stay equally wide."""
        del module
        return 1

    @abstractmethod
    def width(self, module: nn.Module) -> int:
        """How many columns the weights read."""

    @abstractmethod
    def first_weights(self, module: nn.Module) -> dict[str, str]:
        """Map the names of the weights that read the columns to the bias each one's constant folds into."""

    @abstractmethod
    def options(self, module: nn.Module, width: int, *, bias: bool) -> dict[str, Any]:
        """Arguments that construct the same module with another input width, with a bias if asked for."""

    def by_column(self, module: nn.Module, weight: Tensor) -> Tensor:
        """View a first weight as (..., groups, columns per group)."""
        del module
        return weight.unsqueeze(-2)

    def fold(self, module: nn.Module, new: Narrowed, held: Tensor) -> None:
        """Add to `new` what `module` makes of columns held at constants (one per column read, 0 for the others)."""
        if not bool(held.any()):
            return
        for weight, bias in self.first_weights(module).items():
            target = new.get_parameter(bias)
            target.copy_(target.double() + module.get_parameter(weight).double() @ held)

    def empty_twin(self, module: nn.Module, width: int, *, bias: bool) -> Narrowed:
        """Build the narrow twin without drawing random numbers (the global generator does not move)."""
        weight = next(module.parameters())
        with torch.device("meta"):
            twin = self.narrowed(**self.options(module, width, bias=bias), dtype=weight.dtype)
        return twin.to_empty(device=weight.device)
