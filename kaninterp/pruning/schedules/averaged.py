"""Moving averages of nouns: importance that is tracked while training goes on."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

__all__ = ["averaged"]

T = TypeVar("T")


def averaged(old: T | None, new: T, decay: float) -> T:
    """``decay * old + (1 - decay) * new`` for every array of floats in a noun, or a tuple of nouns.

    Examples
    --------
    >>> averaged((np.array([0.0, 4.0]), "kan2"), (np.array([1.0, 0.0]), "kan2"), 0.75)
    (array([0.25, 3.  ]), 'kan2')
    """
    return new if old is None else _mixed(old, new, decay)


def _mixed(old: Any, new: Any, decay: float) -> Any:
    if isinstance(new, np.ndarray) and new.dtype.kind == "f":
        return decay * old + (1 - decay) * new
    if isinstance(new, tuple):
        return tuple(_mixed(a, b, decay) for a, b in zip(old, new, strict=True))
    if is_dataclass(new) and not isinstance(new, type):
        changes = {f.name: _mixed(getattr(old, f.name), getattr(new, f.name), decay) for f in fields(new)}
        return replace(new, **changes)
    return new
