"""Nodes as cards: what each is in the user's columns, with the shape of every effect and where the data were."""

from __future__ import annotations

from dataclasses import dataclass

from .cells import Name, Table

__all__ = ["EffectFigure", "PassportCard", "PassportCards"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectFigure:
    """What one column does to a node.

    Attributes
    ----------
    name, when, way : str
        The column, its time lag in words ("" for the last step) and its direction in a word.
    share : float
        What the description loses on held-out rows without it, in shares of the node's variance.
    seen : (low, high)
        Smallest and largest value of the column, or of its weighted sum over lags.
    curve : tuple of float
        The effect at equal steps between them, in units of the node.
    support : tuple of float
        Share of the rows in each step.
    """

    name: str
    when: str
    way: str
    share: float
    seen: tuple[float, float]
    curve: tuple[float, ...]
    support: tuple[float, ...]

    @property
    def column(self) -> str:
        """The column and its lag in words."""
        if not self.when:
            return self.name
        return f"{self.name} {'at' if self.when.startswith('lag ') else 'over'} {self.when}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassportCard:
    """One node.

    Attributes
    ----------
    described : bool
        Whether three inputs or fewer describe it.
    text : str
        What it is, in a sentence or two.
    effects : tuple of EffectFigure
        At most three, strongest first.
    half : float
        The largest distance from 0 of their curves: half the axis they share.
    facts : tuple of (str, str)
        Term and value.
    """

    id: str
    name: Name
    described: bool
    text: str
    effects: tuple[EffectFigure, ...]
    half: float
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassportCards:
    """Nodes of the largest score, outputs first; the table holds the same in words."""

    caption: str
    items: tuple[PassportCard, ...]
    note: str
    table: Table
