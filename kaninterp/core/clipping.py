"""What follows from values outside the known range: the same model on the same rows, with the values clipped to it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from . import archive
from .evidence import Estimate
from .frozen import Array, floats

__all__ = ["ClippedPart", "Clipping"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClippedPart:
    """One thing that was clipped, and what became of the output and of the loss.

    Attributes
    ----------
    kind : str
        "columns": all raw columns together, "column": one of them, to the range of the card; "seen", "domain": all
        input nodes of a KAN layer, to what they showed on the data of the card, and to their domains.
    index : int
        Column or layer, from 0; -1 for all columns.
    name : str
        Of the column; a layer as everywhere in findings and reports, "KAN layer 1" for the first.
    exits : float
        Share of rows with a value outside, at any lag.
    moved : ndarray, shape (outputs,)
        Root mean square change of each output in its standard deviations on these data (an output that is constant
        there: in its own units). Exactly 0 where no row has an exit.
    loss : Estimate or None
        Loss with the values clipped; None, like everything below, without a target.
    cost : Estimate or None
        Loss as it is minus loss clipped, on the same rows: above 0 where the values outside cost something, below
        where the model does better with them than with the edge of its range.
    with_exit, without_exit : Estimate or None
        Loss of the model as it is on the rows with and without an exit; None where these are too few.
    taken_back : Estimate or None
        ``cost`` as a share of the rise of the loss against the reference; None without a rise.
    carried : Estimate or None
        Share of the rise that would be gone if rows with an exit were like those without: (loss - loss without exit)
        / rise. Near 0 where rows without an exit are as bad.
    """

    kind: str
    index: int
    name: str
    exits: float
    moved: Array
    loss: Estimate | None
    cost: Estimate | None
    with_exit: Estimate | None
    without_exit: Estimate | None
    taken_back: Estimate | None
    carried: Estimate | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "moved", floats(self.moved, (None,), "ClippedPart.moved"))

    @property
    def most(self) -> float:
        """Change of the output that is changed most, in its standard deviations."""
        return float(self.moved.max(initial=0.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clipping:
    """Consequences of values outside the range of a card, part by part.

    Attributes
    ----------
    loss : str
        Name of the loss; "output change" where there was no target.
    rows, block : int
        Rows used, and rows kept together in the bootstrap.
    base, reference, rise : Estimate or None
        Loss on these data, on the reference data, and the first minus the second; None without a target.
    parts : tuple of ClippedPart
        All columns, then each one that leaves, then the layers.
    left_out : tuple of str
        What could not be clipped, and why.
    """

    loss: str
    rows: int
    block: int
    base: Estimate | None
    reference: Estimate | None
    rise: Estimate | None
    parts: tuple[ClippedPart, ...]
    left_out: tuple[str, ...]

    def part(self, kind: str, index: int = -1) -> ClippedPart | None:
        """The part of a kind and an index; None where it was not clipped."""
        return next((part for part in self.parts if (part.kind, part.index) == (kind, index)), None)

    def explanation(self, part: ClippedPart) -> str:
        """How far exits explain the rise of the loss against the reference, in one sentence; "" without a reference."""
        if self.rise is None:
            return ""
        if self.rise.low <= 0:
            against = f"against the reference ({_words(self.rise)})"
            return f"the loss did not rise beyond chance {against}, so there is nothing to explain"
        if not part.exits:
            return "no row leaves, so exits explain nothing of the rise of the loss"
        return "" if part.taken_back is None else _compared(part, part.taken_back, part.carried)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, atomically."""
        archive.save_text(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Clipping:
        """Read it back; raises `FileFormatError` on anything else."""
        return archive.load_text(path, cls, (ClippedPart, Estimate))


def _words(change: Estimate) -> str:
    return f"{change.value:+.3g}, 95 % interval {change.low:+.3g} to {change.high:+.3g}".replace("-", "\u2212")


def _compared(part: ClippedPart, back: Estimate, carried: Estimate | None) -> str:
    clipping = f"clipping takes back {_percent(back)} of the rise"
    if back.high < 0:
        clipping = f"clipping makes it worse, by {_percent(_minus(back))} of the rise"
    elif back.low <= 0:
        clipping = f"clipping has no clear effect, {_percent(back)} of the rise"
    if carried is None:
        few = "with" if part.with_exit is None else "without"
        return f"too few rows are {few} an exit to compare the two; {clipping}"
    if carried.low <= 0:
        return f"rows without an exit are not better, so exits do not explain the rise of the loss; {clipping}"
    if back.low <= 0:
        return (
            f"{_percent(carried)} of the rise sits on rows with an exit, but {clipping}: what is wrong there is not "
            "only that values are outside"
        )
    return f"exits explain up to {_percent(carried)} of the rise of the loss, which sits on rows with one; {clipping}"


def _percent(share: Estimate) -> str:
    value, low, high = (round(100 * number) for number in (share.value, share.low, share.high))
    return f"{value} % ({low} % to {high} %)".replace("-", "\u2212")


def _minus(share: Estimate) -> Estimate:
    return Estimate(value=-share.value, low=-share.high, high=-share.low)
