"""Evidence for and against the explanation itself: numbers only, what they are worth is said in `analysis`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import InputError

__all__ = ["TrustReading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustReading:
    """One number that a wrong explanation, or a model that knows nothing, could not reach.

    Attributes
    ----------
    check : str
        Stable short name ("skill").
    value : float
        What was measured; NaN where it was not, with ``remark`` saying why.
    low, high : float
        Its 95 % interval; NaN where there is none.
    chance : float
        What an explanation without any knowledge would reach; NaN where that is not a number.
    own : float
        Where another model was measured, what the explained one reaches on the same rows; NaN elsewhere.
    effort : str
        What it rests on, in words ("2,000 rows, 20 random orders"): the budget as it was spent.
    remark : str
        Why it was not measured.

    Examples
    --------
    >>> reading = TrustReading(check="skill", value=0.8, low=0.75, high=0.84, effort="2,000 rows")
    >>> reading.measured
    True
    """

    check: str
    value: float
    low: float = math.nan
    high: float = math.nan
    chance: float = math.nan
    own: float = math.nan
    effort: str = ""
    remark: str = ""

    def __post_init__(self) -> None:
        if math.isnan(self.value) != bool(self.remark):
            raise InputError(
                f"TrustReading {self.check!r}: a value or a remark why there is none, got {self.value} and "
                f"{self.remark!r}"
            )

    @classmethod
    def unmeasured(cls, check: str, why: object) -> TrustReading:
        """The reading of a check that could not be done, and why.

        Examples
        --------
        >>> TrustReading.unmeasured("skill", "no target was given").measured
        False
        """
        return cls(check=check, value=math.nan, remark=str(why))

    @property
    def measured(self) -> bool:
        """Whether there is a number."""
        return not math.isnan(self.value)
