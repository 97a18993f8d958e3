"""Single edges as cards: what one looks like over its grid, why, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from .cells import Histogram, Name

__all__ = ["EdgeCard", "EdgeCards", "EdgeFigure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeFigure:
    """An edge over its grid, with an axis for its amplitude.

    Attributes
    ----------
    rows : Histogram
        Where the data fell on the grid; it also says what is drawn of the input.
    curve, base : tuple of float
        The edge and its base branch alone about their means over the data, at equal steps of the window; ``base`` is
        empty for a family without one.
    """

    rows: Histogram
    curve: tuple[float, ...]
    base: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCard:
    """One edge.

    Attributes
    ----------
    source, target : Name
        Its nodes.
    why, fix : str
        What was found, and what to do, a sentence each.
    facts : tuple of (str, str)
        Term and value.
    """

    source: Name
    target: Name
    why: str
    fix: str
    facts: tuple[tuple[str, str], ...]
    figure: EdgeFigure


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCards:
    """Edges to look at first."""

    caption: str
    items: tuple[EdgeCard, ...]
    note: str
