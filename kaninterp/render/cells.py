"""The smallest parts of a report: what may stand in a cell of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Badge", "Bars", "Cell", "Histogram", "Name", "Table", "Whisker", "Zones"]


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
class Histogram:
    """Where data fell on a grid.

    Attributes
    ----------
    edges : tuple of float
        Ends of the bins: what is drawn from, the knots from one end of the domain to the other, what is drawn to.
    shares : tuple of float
        Shares of the rows: below the domain, in each knot interval, above the domain.
    seen : (low, high)
        Smallest and largest value.
    reference : tuple of float
        The shares of the reference data; empty without one.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    seen: tuple[float, float]
    reference: tuple[float, ...] = ()

    @property
    def domain(self) -> tuple[float, float]:
        """The trained zone."""
        return self.edges[1], self.edges[-2]


Cell: TypeAlias = "str | Name | Badge | Whisker | Bars | Zones | Histogram"


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
