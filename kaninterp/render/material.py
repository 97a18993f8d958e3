"""What the sections of a report are made from."""

from __future__ import annotations

from dataclasses import dataclass

from kaninterp.analysis.answers import Answer
from kaninterp.analysis.bundle import Analysis
from kaninterp.analysis.places import raw_columns
from kaninterp.core.evidence import PruneCost

__all__ = ["Material"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """Everything a section may speak about.

    Attributes
    ----------
    analysis : Analysis
        Conclusions and the evidence behind them.
    cost : PruneCost or None
        Price of the plan, measured on held-out rows.
    answers : tuple of Answer
        The five questions.
    options, versions : tuple of (str, str)
        What the report was made with.
    call : str
        Code that makes the report again.
    """

    analysis: Analysis
    cost: PruneCost | None
    answers: tuple[Answer, ...]
    options: tuple[tuple[str, str], ...]
    call: str
    versions: tuple[tuple[str, str], ...]

    @property
    def plain(self) -> bool:
        """Whether the raw columns are the head's own inputs (no backbone in front)."""
        return raw_columns(self.analysis.trace) is not None

    @property
    def surviving(self) -> tuple[int, ...]:
        """Raw columns that survive: not dropped by verdict, or kept by the plan where there are no verdicts."""
        if self.analysis.verdicts:
            return tuple(v.index for v in self.analysis.verdicts if v.survives != "drop")
        return tuple(i for i, kept in enumerate(self.analysis.plan.inputs) if kept)
