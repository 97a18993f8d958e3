"""Who can take the place of a column that a model relies on: an association, and a test by carrying it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .evidence import Estimate

__all__ = ["BACK", "Swap", "SwapTest"]

SwapTest = Literal["refit", "stand-in", "nothing-lost", "none"]

BACK = 0.5
"""Share of the lost accuracy from which a column has taken another's place: it brings more than it leaves open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """A dropped column, and what it does where a survivor is taken away.

    All losses are of held-out rows on which the other dropped columns are held at their means. "Taken away" is held at
    its mean, too.

    Attributes
    ----------
    dropped, survivor : str
        Names of the two columns.
    dropped_index, survivor_index : int
        Their indices among all raw columns.
    correlation : float
        Pearson's r of the two over all rows and time steps.
    smooth_r2 : float
        Share of the survivor's variance that a smooth curve of the dropped column explains on rows that it was not
        fitted to (last time step, two halves in turn); 0 at least.
    test : {"refit", "stand-in", "nothing-lost", "none"}
        "refit": a copy of the model was trained on without the survivor and with the dropped column. "stand-in": the
        copy could not learn it, so a line of the dropped column stood in for the survivor. "nothing-lost":
        the loss does not rise for sure when the survivor is taken away, so there is nothing to win back. "none": not
        tested.
    loss : str
        Name of the loss.
    lost : Estimate
        Rise of the loss when the survivor is taken away and nothing else is done.
    recovered : Estimate
        Share of that rise that is undone; 0 where it was not tried.
    others : Estimate
        The same share after the same refit without the dropped column: what the other columns win back alone. 0 without
        a refit.
    rise : Estimate
        Rise of the loss when the dropped column is then shuffled: what it brings where it is needed.
    rows, held_out, epochs : int
        Rows of the refit, rows that judge, and passes over the former (0 without a refit).
    """

    dropped: str
    survivor: str
    dropped_index: int
    survivor_index: int
    correlation: float
    smooth_r2: float
    test: SwapTest
    loss: str
    lost: Estimate
    recovered: Estimate
    others: Estimate
    rise: Estimate
    rows: int
    held_out: int
    epochs: int

    @property
    def association(self) -> float:
        """The larger of r² and ``smooth_r2``."""
        return max(self.correlation**2, self.smooth_r2)

    @property
    def back(self) -> bool:
        """Whether the dropped column took the survivor's place: it is used there, and wins back `BACK`."""
        return self.test in {"refit", "stand-in"} and self.rise.low > 0 and self.recovered.value >= BACK
