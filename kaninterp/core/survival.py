"""`SurvivalTable`: how many inputs and edges a model needs, judged on held-out rows, and which ones."""

from __future__ import annotations

import os
from dataclasses import dataclass

from . import archive
from .evidence import Estimate
from .findings import Verdict
from .frozen import Array, IntArray, floats, integers

__all__ = ["SurvivalPath", "SurvivalTable"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurvivalPath:
    """Held-out loss along a path on which more and more goes; P points, n things that can go.

    Attributes
    ----------
    level : str
        "inputs" (raw columns of the whole model) or "edges" (of its KAN).
    kept : ndarray of int, shape (P,)
        Things left at each point, falling.
    threshold : ndarray, shape (P,)
        Score up to which edges went; for inputs the rise of the loss on the training rows when the last one went.
    loss, low, high : ndarray, shape (P,)
        Held-out loss and its 95 % interval.
    rise, error : ndarray, shape (P,)
        Loss minus that of the best point, on the same rows, and its standard error.
    best, chosen : int
        Points: the lowest loss, and the fewest things whose rise is within one standard error of nothing.
    places : ndarray of int, shape (n, 1) or (n, 3)
        What goes, the first to go first: raw column, or (layer, dst, src).
    survival : ndarray, shape (n,)
        Share of bootstrap draws of the held-out rows in which the same choice keeps it.
    """

    level: str
    kept: IntArray
    threshold: Array
    loss: Array
    low: Array
    high: Array
    rise: Array
    error: Array
    best: int
    chosen: int
    places: IntArray
    survival: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", integers(self.kept, (None,), "SurvivalPath.kept"))
        points = len(self.kept)
        for name in ("loss", "low", "high", "rise", "error"):
            object.__setattr__(self, name, floats(getattr(self, name), (points,), f"SurvivalPath.{name}"))
        object.__setattr__(self, "threshold", floats(self.threshold, (points,), "SurvivalPath.threshold", finite=False))
        object.__setattr__(self, "places", integers(self.places, (None, None), "SurvivalPath.places"))
        object.__setattr__(self, "survival", floats(self.survival, (len(self.places),), "SurvivalPath.survival"))

    @property
    def rows(self) -> list[dict[str, object]]:
        """One row per point: kept, threshold, loss, low, high, rise, error, mark ("best", "chosen" or both)."""
        names = ("kept", "threshold", "loss", "low", "high", "rise", "error")
        marks = {self.best: ["best"]}
        marks.setdefault(self.chosen, []).append("chosen")
        return [
            {
                "level": self.level,
                **{name: getattr(self, name)[point].item() for name in names},
                "mark": ", ".join(marks.get(point, [])),
            }
            for point in range(len(self.kept))
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurvivalTable:
    """Which inputs and edges survive, and the evidence.

    Attributes
    ----------
    names : tuple of str
        Raw columns.
    loss : str
        Name of the loss; "output change" where there was no target.
    rows, block : int
        Held-out rows, and how many neighbours the bootstrap keeps together.
    held_out : str
        Where these rows come from.
    base : Estimate
        Held-out loss of the given model.
    inputs, edges : SurvivalPath or None
        None where there are no raw columns to speak of, or no edges to choose from.
    verdicts : tuple of Verdict
        Keep, tentative or drop for each raw column.
    """

    names: tuple[str, ...]
    loss: str
    rows: int
    block: int
    held_out: str
    base: Estimate
    inputs: SurvivalPath | None
    edges: SurvivalPath | None
    verdicts: tuple[Verdict, ...]

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the raw columns that stay."""
        return tuple(verdict.name for verdict in self.verdicts if verdict.survives != "drop")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file (no pickle), atomically."""
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SurvivalTable:
        """Read it back; raises `FileFormatError` on anything else."""
        return archive.load(path, cls, (SurvivalPath, Estimate, Verdict))

    def __str__(self) -> str:
        lines = [f"held-out loss ({self.loss}) {self.base} on {self.held_out}"]
        for path in (self.inputs, self.edges):
            if path is not None:
                at = path.chosen
                lines.append(
                    f"{path.level}: {path.kept[0]} -> {path.kept[at]}, loss {path.loss[at]:.4g}; "
                    f"{path.rise[at]:.2g} above the best (standard error {path.error[at]:.2g})"
                )
        lines += [f"{verdict.survives} {verdict.name}: {verdict.text}" for verdict in self.verdicts]
        return "\n".join(lines)
