"""What an independent model finds in the same columns: numbers to hold the explained model against."""

from __future__ import annotations

import os
from dataclasses import dataclass

from . import archive
from .evidence import Estimate
from .frozen import Array, floats

__all__ = ["BlackBox"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlackBox:
    """How much a gradient boosting model, which knows nothing of the explained one, needs each raw column.

    Attributes
    ----------
    names : tuple of str
        Raw columns, F of them.
    loss : str
        Name of the loss, the same for both models.
    trained, rows, repeats : int
        Rows it was trained on, other rows it was judged on, shuffles averaged per column.
    trees : int
        Boosting rounds.
    cells : str
        What it saw of every column, in words ("every lag").
    base : Estimate
        Its loss on the rows that judge.
    change, low, high : ndarray, shape (F,)
        Rise of that loss when a column is shuffled, all lags together, and its interval.
    skill, model_skill : Estimate
        Share of the loss of the best constant that it saves on these rows, and that the explained model saves.
    """

    names: tuple[str, ...]
    loss: str
    trained: int
    rows: int
    repeats: int
    trees: int
    cells: str
    base: Estimate
    change: Array
    low: Array
    high: Array
    skill: Estimate
    model_skill: Estimate

    def __post_init__(self) -> None:
        for name in ("change", "low", "high"):
            object.__setattr__(self, name, floats(getattr(self, name), (len(self.names),), f"BlackBox.{name}"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file (no pickle), atomically."""
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> BlackBox:
        """Read it back; raises `FileFormatError` on anything else."""
        return archive.load(path, cls, (Estimate,))
