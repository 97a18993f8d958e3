"""Few columns whose weighted sum is the target itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXACT", "LEAK_R2", "Leak", "Term"]

LEAK_R2 = 0.9999
"""Share of the target's variance, on rows that the fit did not see, from which a sum of columns counts as the target:
what is left is a hundredth of the target's spread."""

EXACT = 1e-6
"""Share of the variance left over up to which it is the target exactly: numbers in float32 leave no less for sure."""

ALIKE = 1e-3
"""Difference from 1 up to which a weight is written as 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One column at one lag, with its weight.

    Attributes
    ----------
    name : str
        The column.
    column, lag : int
        Its index, and how many steps back; 0 = the last step, and the only one of a table.
    weight : float
        In units of the target per unit of the column.
    """

    name: str
    column: int
    lag: int
    weight: float

    @property
    def called(self) -> str:
        """The column, with its lag where that is not the last step."""
        return f"{self.name} (lag {self.lag})" if self.lag else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A sum of at most three columns that gives an output's target.

    Attributes
    ----------
    output : int
        Number of the target.
    terms : tuple of Term
        What is added first, then what is taken away, each by falling effect.
    intercept : float
    r2 : float
        Share of the target's variance on later rows that the sum explains.
    rows, held_out : int
        Rows it was fitted on, and the later ones it was judged by.

    Examples
    --------
    >>> terms = (Term(name="a", column=0, lag=0, weight=1.0), Term(name="b", column=1, lag=2, weight=-0.5))
    >>> print(Leak(output=0, terms=terms, intercept=0.0, r2=1.0, rows=60, held_out=40))
    a − 0.5·b (lag 2)
    """

    output: int
    terms: tuple[Term, ...]
    intercept: float
    r2: float
    rows: int
    held_out: int

    @property
    def exact(self) -> bool:
        """Whether nothing but rounding is left."""
        return 1 - self.r2 <= EXACT

    def __str__(self) -> str:
        text = ""
        for term in self.terms:
            size = abs(term.weight)
            part = term.called if abs(size - 1) <= ALIKE else f"{size:.4g}·{term.called}"
            sign = "−" if term.weight < 0 else "+"
            text += f" {sign} {part}" if text else f"−{part}" if term.weight < 0 else part
        return text
