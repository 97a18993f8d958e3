"""What a module is made of, asked without importing the library it comes from."""

from __future__ import annotations

from typing import Any

from torch import Tensor

__all__ = ["attribute", "has_tensors"]


def attribute(module: Any, name: str) -> Any:
    """An attribute of anybody's module, None if it has none; a property of it may raise what it likes.

    Examples
    --------
    >>> from torch import nn
    >>> attribute(nn.Linear(2, 1), "in_features"), attribute(nn.Linear(2, 1), "grid")
    (2, None)
    """
    try:
        return getattr(module, name, None)
    except Exception:
        return None


def has_tensors(module: Any, **dimensions: int) -> bool:
    """Whether a module has tensors of these names with so many dimensions each.

    Examples
    --------
    >>> from torch import nn
    >>> has_tensors(nn.Linear(2, 1), weight=2, bias=1), has_tensors(nn.Linear(2, 1), weight=3)
    (True, False)
    """
    found = {name: attribute(module, name) for name in dimensions}
    return all(isinstance(value, Tensor) and value.dim() == dimensions[name] for name, value in found.items())
