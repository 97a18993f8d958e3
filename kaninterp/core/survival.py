"""`SurvivalTable`: how many inputs and edges a model needs, judged on held-out rows, and which ones."""

from __future__ import annotations

import os
from dataclasses import dataclass

from . import archive
from .evidence import Estimate
from .findings import Survival, Verdict
from .frozen import Array, IntArray, floats, integers

__all__ = ["PartVerdict", "SurvivalPath", "SurvivalTable"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PartVerdict:
    """What becomes of one edge or node of the KAN, and why.

    Attributes
    ----------
    kind : str
        "edge" or "node".
    place : tuple of int
        (layer, dst, src) or (layer, index), in the original numbers.
    name : str
        In words: "age → node 1.3".
    survives : {"keep", "tentative", "drop"}
        *drop*: the choice lets it go; *keep*: it stays, and in at least 95 % of the bootstrap draws too.
    cause : str
        Stable short name of the deciding fact: "needed", "weak", "noise", "with-column" (it goes with a raw column),
        "not-measured" (too few rows).
    share : float or None
        Share of bootstrap draws of the held-out rows in which it still lies on a way from an input to an output; None
        where it was not drawn, because it goes with a column.
    """

    kind: str
    place: tuple[int, ...]
    name: str
    survives: Survival
    cause: str
    share: float | None

    @property
    def doubt(self) -> float:
        """0: every draw says the same; 0.5: half of them say the opposite."""
        return 0.0 if self.share is None else min(self.share, 1 - self.share)

    @property
    def text(self) -> str:
        """The reason in words."""
        if self.share is None:
            return "It goes with a column that is dropped."
        often = f"Stays in {self.share:.0%} of the bootstrap draws"
        if self.cause == "not-measured":
            return "Too few held-out rows to tell need from chance, so it stays."
        ends = {
            "needed": "; 95% are asked for.",
            "weak": "; 95% would make it sure.",
            "noise": "; the choice drops it.",
        }
        return often + ends.get(self.cause, ".")


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
    parts : tuple of PartVerdict
        The same for each live edge of the KAN, then for each of its nodes.
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
    parts: tuple[PartVerdict, ...] = ()

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the raw columns that stay."""
        return tuple(verdict.name for verdict in self.verdicts if verdict.survives != "drop")

    @property
    def doubtful(self) -> tuple[PartVerdict, ...]:
        """Edges and nodes, the most doubtful first; at equal doubt those that are open before those that are not."""
        order = {"tentative": 0, "drop": 1, "keep": 2}
        return tuple(sorted(self.parts, key=lambda p: (-p.doubt, order[p.survives], p.kind, p.place)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file (no pickle), atomically."""
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SurvivalTable:
        """Read it back; raises `FileFormatError` on anything else."""
        return archive.load(path, cls, (SurvivalPath, Estimate, Verdict, PartVerdict))

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
