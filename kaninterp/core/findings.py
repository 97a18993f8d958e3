"""What the library says: findings with their evidence, and a verdict for each of the user's columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .errors import InputError

__all__ = ["SEVERITIES", "Finding", "Severity", "Survival", "Verdict"]

Severity = Literal["problem", "caution", "note"]
Survival = Literal["keep", "tentative", "drop"]

SEVERITIES: tuple[Severity, ...] = ("problem", "caution", "note")  # worst first


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A checkable claim about the model, with its evidence and one line of advice.

    Attributes
    ----------
    code : str
        Stable short name ("out-of-grid"), for tests and links.
    severity : {"problem", "caution", "note"}
        Worst first in a report.
    claim : str
        One sentence in plain words.
    evidence : str
        The numbers behind it.
    advice : str
        What to do about it, one line.
    section : str
        Section of the report that shows the evidence ("ranges").
    """

    code: str
    severity: Severity
    claim: str
    evidence: str
    advice: str
    section: str

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise InputError(f"Finding: severity must be one of {SEVERITIES}, got {self.severity!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one raw input, and why: never a bare boolean.

    Attributes
    ----------
    index : int
        Column of the user's data.
    name : str
        Its name.
    survives : {"keep", "tentative", "drop"}
        The verdict.
    cause : str
        Stable short name of the deciding fact: "needed", "weak", "noise", "masked", "zero-weight", "constant",
        "dead-target", "redundant", "not-measured".
    text : str
        The reason in words, with its numbers.
    substitutes : tuple of (str, float)
        Other columns that carry much the same signal, with their correlation.
    """

    index: int
    name: str
    survives: Survival
    cause: str
    text: str
    substitutes: tuple[tuple[str, float], ...] = ()
