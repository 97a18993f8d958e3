"""What a page about drift shows beside tables: when things left, on an axis of time."""

from __future__ import annotations

from dataclasses import dataclass

from .cells import Table

__all__ = ["PeriodMap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodMap:
    """Shares outside, one row per column or node, one step per period; the table twin follows it.

    Attributes
    ----------
    caption, summary : str
        What it shows, and the main thing to see.
    names : tuple of str
        One per row.
    shares : tuple of tuple of float
        Per row, its share outside in each period.
    first, last : tuple of str
        Labels of the first and the last row of each period.
    table : Table
        The same in numbers.
    """

    caption: str
    summary: str
    names: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    first: tuple[str, ...]
    last: tuple[str, ...]
    table: Table
