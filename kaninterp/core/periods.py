"""`Periods`: when, in the order of the rows, columns left their ranges and nodes their domains."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from . import archive
from .errors import DataError
from .frozen import Array, IntArray, floats, integers
from .watch import RISE

__all__ = ["Departure", "Periods"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A column or a node that is outside more often than before, and since when.

    Attributes
    ----------
    layer : int or None
        Layer of the KAN; None for a raw column.
    index : int
        Column, or input node of the layer.
    name : str
        Its name.
    period, periods : int
        First period in which it is outside more often than before, and how many such periods there are.
    since, until : str
        First and last row of that first period, as labels.
    worst : int
        Period with the largest share outside, the earliest of equals.
    share : float
        Share of rows outside in that one.
    before : float
        Share of rows outside on the data of the card; 0 for a column, whose range is what it showed there.
    """

    layer: int | None
    index: int
    name: str
    period: int
    periods: int
    since: str
    until: str
    worst: int
    share: float
    before: float

    def __str__(self) -> str:
        where = "range" if self.layer is None else "domain"
        more = f"in {self.periods} periods" if self.periods > 1 else "in this one only"
        return (
            f"{self.name}: left its {where} in {self.since} to {self.until} (period {self.period}), {more}; at most "
            f"{100 * self.share:.3g} % of rows outside, {100 * self.before:.3g} % on the data of the card"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Periods:
    """Shares outside, period by period; P periods of equal length in the order of the rows, the last may differ.

    Attributes
    ----------
    rows : int
        Rows in all.
    starts, counts : ndarray of int, shape (P,)
        Number of the first row of each period, and of its rows.
    first, last : tuple of str
        Labels of the first and the last row of each period: text as the data have it, so escape it where you show it.
    labelled : bool
        Whether the labels came with the data; otherwise they are row numbers.
    names : tuple of str
        Raw columns, F of them; empty where the card or the data have none.
    columns : ndarray, shape (P, F)
        Share of rows outside the range of the card; of a window its last time step.
    nodes : tuple of tuple of str
        Names of the input nodes of each KAN layer; empty where it is not told to which rows their values belong.
    layers : tuple of ndarray, one per layer, each (P, src)
        Share of rows outside the domain; where the KAN reads several steps of a row, share of these.
    before : tuple of ndarray, one per layer, each (src,)
        The same share on the data of the card.
    """

    rows: int
    starts: IntArray
    counts: IntArray
    first: tuple[str, ...]
    last: tuple[str, ...]
    labelled: bool
    names: tuple[str, ...]
    columns: Array
    nodes: tuple[tuple[str, ...], ...]
    layers: tuple[Array, ...]
    before: tuple[Array, ...]

    def __post_init__(self) -> None:
        periods = len(self.first)
        for name in ("starts", "counts"):
            object.__setattr__(self, name, integers(getattr(self, name), (periods,), f"Periods.{name}"))
        object.__setattr__(self, "columns", floats(self.columns, (periods, len(self.names)), "Periods.columns"))
        widths = [len(names) for names in self.nodes]
        layers = tuple(floats(s, (periods, n), "Periods.layers") for s, n in zip(self.layers, widths, strict=True))
        before = tuple(floats(s, (n,), "Periods.before") for s, n in zip(self.before, widths, strict=True))
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "before", before)
        if len(self.last) != periods or (self.counts < 1).any() or self.counts.sum() != self.rows:
            raise DataError("Periods: every period has a first and a last label and rows, which sum to all rows")

    def departures(self, *, rise: float = RISE) -> tuple[Departure, ...]:
        """Columns, then nodes, that are outside more often than before; the earliest first, then the worst.

        Parameters
        ----------
        rise
            Rise of the share outside, against the data of the card, from which a period counts.
        """
        found = self._departed(None, self.names, self.columns, np.zeros(len(self.names)), rise)
        nodes: list[Departure] = []
        for depth, (names, shares, before) in enumerate(zip(self.nodes, self.layers, self.before, strict=True)):
            nodes += self._departed(depth, names, shares, before, rise)
        return (*sorted(found, key=_order), *sorted(nodes, key=_order))

    def _departed(
        self, layer: int | None, names: tuple[str, ...], shares: Array, before: Array, rise: float
    ) -> list[Departure]:
        away = shares - before > rise
        found = []
        for index in np.flatnonzero(away.any(0)).tolist():
            period, worst = int(away[:, index].argmax()), int(shares[:, index].argmax())
            found.append(
                Departure(
                    layer=layer,
                    index=index,
                    name=names[index],
                    period=period,
                    periods=int(away[:, index].sum()),
                    since=self.first[period],
                    until=self.last[period],
                    worst=worst,
                    share=float(shares[worst, index]),
                    before=float(before[index]),
                )
            )
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, atomically."""
        archive.save_text(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Periods:
        """Read it back; raises `FileFormatError` on anything else."""
        return archive.load_text(path, cls, ())


def _order(item: Departure) -> tuple[int, float, int]:
    return item.period, -item.share, item.index
