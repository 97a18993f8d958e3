"""`EdgeFormula`: one edge written as ``c f(a x + b) + d``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .families import Family
from .frozen import Array, BoolArray

__all__ = ["EdgeFormula"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeFormula:
    """The function ``c f(a x + b) + d`` in place of an edge.

    Attributes
    ----------
    family : Family
        f.
    a, b, c, d : float
        Finite numbers.

    Examples
    --------
    >>> from kaninterp.core.families import FAMILIES
    >>> square = EdgeFormula(family=FAMILIES["x^2"], a=2.0, b=0.0, c=0.5, d=1.0)
    >>> square(np.array([0.0, 1.0]))
    array([1., 3.])
    """

    family: Family
    a: float
    b: float
    c: float
    d: float

    def __post_init__(self) -> None:
        for name in "abcd":
            value = float(getattr(self, name))
            if not math.isfinite(value):
                raise InputError(f"EdgeFormula {self.family.name!r}: {name} is {value}; all four numbers are finite")
            object.__setattr__(self, name, value)

    def __call__(self, x: Array) -> Array:
        """Values at ``x``, of any shape; NaN where the family is not defined."""
        with np.errstate(all="ignore"):
            return np.asarray(self.c * self.family.function(self.a * np.asarray(x, dtype=np.float64) + self.b) + self.d)

    def defined(self, low: Array, high: Array) -> BoolArray:
        """Whether it is finite and smooth for all x between ``low`` and ``high``."""
        ends = self.a * np.asarray(low, dtype=np.float64) + self.b, self.a * np.asarray(high, dtype=np.float64) + self.b
        return np.asarray(self.family.defined(np.minimum(*ends), np.maximum(*ends)))
