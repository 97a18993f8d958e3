"""The smallest parts of a report: what may stand in a cell of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Badge", "Bars", "Cell", "Extent", "Name", "Table", "Whisker", "Zones"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name of the user's, shown as it is; ``href`` points to a place in the report."""

    text: str
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A verdict or severity: drawn as an icon and a word."""

    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisker:
    """A number with its interval, drawn on the scale shared by its column."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """A small profile of numbers, drawn as bars; ``label`` says in words what it shows."""

    values: tuple[float, ...]
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Zones:
    """Shares of rows in the trained zone, the fringe and the dead zone."""

    trained: float
    fringe: float
    dead: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What was seen of a domain: both as (low, high)."""

    domain: tuple[float, float]
    seen: tuple[float, float]


Cell: TypeAlias = "str | Name | Badge | Whisker | Bars | Zones | Extent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows and columns with a caption; ``folded`` says that it is the twin of a chart and starts closed.

    Attributes
    ----------
    columns : tuple of str
        Column heads; a head that starts with "#" is a column of numbers (aligned right).
    """

    id: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    folded: bool = False
    note: str = ""
