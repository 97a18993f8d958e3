"""Which of the user's columns act together: what no sum of functions of the two alone can do."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from . import archive
from .errors import ShapeError
from .frozen import Array, IntArray, floats, integers

__all__ = ["TOGETHER", "Interactions", "Pair"]

TOGETHER = 0.01
"""Share of an output's variance from which two columns are said to act together: without all such pairs below it, an
output is a sum of curves to about one part in a hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What two columns do together to one output.

    Attributes
    ----------
    output : int
        Number of the output.
    columns : (int, int)
        Raw columns, the smaller index first.
    names : (str, str)
        Their names.
    share, low, high : float
        Share of the output's variance, with its interval.
    """

    output: int
    columns: tuple[int, int]
    names: tuple[str, str]
    share: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether the interval lies above `TOGETHER`."""
        return self.low > TOGETHER


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Interactions:
    """How strongly pairs of raw columns act together on each output.

    Attributes
    ----------
    names : tuple of str
        Columns compared, k of them.
    columns : ndarray of int, shape (k,)
        Their indices among all raw columns, rising.
    outputs : tuple of str
        Names of the outputs.
    rows, block, repeats : int
        Rows used, length of the blocks kept together in the bootstrap, other rows that each was mixed with.
    total : ndarray, shape (outputs, k)
        Share of an output's variance that is lost when the column alone is taken from another row (Jansen 1999): what
        it does alone and together with others.
    share, low, high : ndarray, shape (outputs, k, k)
        Superset importance of a pair as a share of the output's variance (Hooker 2004; Liu & Owen 2006), and its 95 %
        interval: symmetric, 0 on the diagonal, 0 where the output is constant.
    left_out : float
        Largest ``total`` among the columns that were not compared. For independent columns no pair with one of them is
        stronger. 0 where all were compared.
    """

    names: tuple[str, ...]
    columns: IntArray
    outputs: tuple[str, ...]
    rows: int
    block: int
    repeats: int
    total: Array
    share: Array
    low: Array
    high: Array
    left_out: float

    def __post_init__(self) -> None:
        o, k = len(self.outputs), len(self.names)
        object.__setattr__(self, "columns", integers(self.columns, (k,), "Interactions.columns"))
        object.__setattr__(self, "total", floats(self.total, (o, k), "Interactions.total"))
        for name in ("share", "low", "high"):
            values = floats(getattr(self, name), (o, k, k), f"Interactions.{name}")
            if not np.array_equal(values, values.swapaxes(1, 2)):
                raise ShapeError(f"Interactions.{name}: expected matrices that are symmetric in the two columns")
            object.__setattr__(self, name, values)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every pair for every output, strongest first."""
        first, second = np.triu_indices(len(self.names), 1)
        found = [
            Pair(
                output=o,
                columns=(int(self.columns[i]), int(self.columns[j])),
                names=(self.names[i], self.names[j]),
                share=float(self.share[o, i, j]),
                low=float(self.low[o, i, j]),
                high=float(self.high[o, i, j]),
            )
            for o in range(len(self.outputs))
            for i, j in zip(first, second, strict=True)
        ]
        return tuple(sorted(found, key=lambda pair: (-pair.share, pair.output, pair.columns)))

    @property
    def together(self) -> tuple[Pair, ...]:
        """Pairs that surely act together (`Pair.sure`), strongest first."""
        return tuple(pair for pair in self.pairs if pair.sure)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file (no pickle), atomically."""
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Interactions:
        """Read it back; raises `FileFormatError` on anything else."""
        return archive.load(path, cls, ())
