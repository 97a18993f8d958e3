"""`DriftEvidence`: what was measured of data against the range card of a model."""

from __future__ import annotations

from dataclasses import dataclass

from .clipping import Clipping
from .periods import Periods
from .range_card import RangeCard
from .watch import Watched

__all__ = ["DriftEvidence"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DriftEvidence:
    """Data against a card.

    Attributes
    ----------
    card : RangeCard
        What the model had seen before.
    watched : Watched
        Columns and nodes of the data.
    periods : Periods
        When columns and nodes left.
    clipping : Clipping or None
        What the values outside do to the output and to the loss; None where that cannot be measured.
    remark : str
        Why it cannot.
    """

    card: RangeCard
    watched: Watched
    periods: Periods
    clipping: Clipping | None
    remark: str = ""
