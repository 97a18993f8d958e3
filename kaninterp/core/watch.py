"""`RangeWatch`: how often the inputs of a KAN left their domains since somebody began to watch."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from . import archive
from .errors import ShapeError
from .frozen import Array, BoolArray, IntArray, floats, integers
from .range_card import RangeCard
from .shapes import Shapes

__all__ = ["RISE", "Exit", "RangeWatch", "Watched", "WatchedColumns", "WatchedLayer"]

RISE = 0.05
"""Rise of the share of rows outside, against the card, from which a node is said to have left: the tails of a 95 %
interval. It is a share and no p-value, so a million rows do not make a problem of nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WatchedLayer:
    """What the input nodes of one layer were given.

    Attributes
    ----------
    rows : int
        Rows seen.
    below, above, missing : ndarray of int, shape (src,)
        Rows below and above the domain, and rows that were NaN or infinite.
    low, high : ndarray, shape (src,)
        Smallest and largest finite value; +inf and -inf before the first.
    """

    rows: int
    below: IntArray
    above: IntArray
    missing: IntArray
    low: Array
    high: Array

    def __post_init__(self) -> None:
        n = len(self.below)
        for name in ("below", "above", "missing"):
            object.__setattr__(self, name, integers(getattr(self, name), (n,), f"WatchedLayer.{name}"))
        for name in ("low", "high"):
            object.__setattr__(self, name, floats(getattr(self, name), (n,), f"WatchedLayer.{name}", finite=False))

    @property
    def outside(self) -> Array:
        """Share of rows outside the domain, missing ones included, shape (src,)."""
        return np.asarray((self.below + self.above + self.missing) / max(self.rows, 1), dtype=np.float64)

    def merge(self, other: WatchedLayer) -> WatchedLayer:
        """What both were given."""
        return WatchedLayer(
            rows=self.rows + other.rows,
            below=self.below + other.below,
            above=self.above + other.above,
            missing=self.missing + other.missing,
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WatchedColumns:
    """Values of raw columns outside the ranges of a card.

    Attributes
    ----------
    counts : WatchedLayer
        Over all rows and lags.
    effective : ndarray, shape (F,)
        Independent rows that would tell as much.
    steps : int
        Rows, without their lags.
    read : ndarray of bool, shape (F,)
        False for a column that the model does not read: whatever it does, no prediction changes.
    shapes : Shapes or None
        Distributions at lag 0, at the quantiles of the card; None where the card has none.
    """

    counts: WatchedLayer
    effective: Array
    steps: int
    read: BoolArray
    shapes: Shapes | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watched:
    """What was seen of data against a card, beside their trace.

    Attributes
    ----------
    columns : WatchedColumns or None
        The raw columns; None where there are none.
    effective : tuple of ndarray, one per layer, each (src,)
        Independent rows that would tell as much about an input node.
    """

    columns: WatchedColumns | None
    effective: tuple[Array, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """A node that leaves its domain more often than on the data of the card.

    Attributes
    ----------
    layer, index : int
        The node.
    name : str
        Its name.
    outside, before : float
        Share of rows outside now, and on the data of the card.
    side : str
        "below", "above", "missing", whichever is the largest part.
    seen : (float, float)
        Smallest and largest value now.
    domain : (float, float)
        Of the grid.
    """

    layer: int
    index: int
    name: str
    outside: float
    before: float
    side: str
    seen: tuple[float, float]
    domain: tuple[float, float]

    def __str__(self) -> str:
        low, high, first, last = map(_plain, (*self.domain, *self.seen))
        seen = "nothing finite seen" if self.seen[0] > self.seen[1] else f"seen {first} to {last}"
        return (
            f"{self.name}: {_share(self.outside)} of rows outside {low} to {high} (mostly {self.side}), "
            f"{_share(self.before)} on the data of the card; {seen}"
        )


def _plain(value: float) -> str:
    return f"{value:.4g}".replace("-", "\u2212")


def _share(share: float) -> str:
    """As the report writes shares: 100 %, 17.1 %, 0 %."""
    return f"{100 * share:.3g} %"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeWatch:
    """Counts of one monitor, or of several put together with `merge`.

    Attributes
    ----------
    fingerprint : str
        Of the KAN that was watched.
    layers : tuple of WatchedLayer
        From the head inputs on.
    """

    fingerprint: str
    layers: tuple[WatchedLayer, ...]

    @property
    def rows(self) -> int:
        """Rows that reached the head."""
        return self.layers[0].rows

    def merge(self, other: RangeWatch) -> RangeWatch:
        """Counts of both: of two processes, or of two windows.

        Raises
        ------
        ShapeError
            They watched different models.
        """
        if self.fingerprint != other.fingerprint or len(self.layers) != len(other.layers):
            raise ShapeError(
                f"cannot merge counts of different models, {self.fingerprint[:12]} and {other.fingerprint[:12]}; watch "
                "the same model in all processes"
            )
        return RangeWatch(
            fingerprint=self.fingerprint,
            layers=tuple(a.merge(b) for a, b in zip(self.layers, other.layers, strict=True)),
        )

    def exits(self, card: RangeCard, *, rise: float = RISE) -> tuple[Exit, ...]:
        """Nodes that leave their domain more often than on the data of the card, the worst first.

        Parameters
        ----------
        card
            Of the same model.
        rise
            Rise of the share outside from which a node is named.

        Raises
        ------
        ShapeError
            The card is of another model.
        """
        if card.card.fingerprint != self.fingerprint:
            raise ShapeError(
                f"the card is of another model ({card.card.fingerprint[:12]}) than was watched "
                f"({self.fingerprint[:12]}); give the card that belongs to it"
            )
        found = []
        for layer, (now, then) in enumerate(zip(self.layers, card.layers, strict=True)):
            before = 1.0 - then.ranges.zones[:, 0]
            outside, domains = now.outside, then.ranges.knots[:, [0, -1]]
            for i in np.flatnonzero(outside - before > rise).tolist():
                sides = {"below": now.below[i], "above": now.above[i], "missing": now.missing[i]}
                found.append(
                    Exit(
                        layer=layer,
                        index=i,
                        name=card.node_name(layer, i),
                        outside=float(outside[i]),
                        before=float(before[i]),
                        side=max(sides, key=lambda side: int(sides[side])),
                        seen=(float(now.low[i]), float(now.high[i])),
                        domain=(float(domains[i, 0]), float(domains[i, 1])),
                    )
                )
        return tuple(sorted(found, key=lambda item: (item.before - item.outside, item.layer, item.index)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, atomically."""
        archive.save_text(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RangeWatch:
        """Read counts back; raises `FileFormatError` on anything else."""
        return archive.load_text(path, cls, (WatchedLayer,))

    def __repr__(self) -> str:
        worst = max((float(layer.outside.max(initial=0.0)) for layer in self.layers), default=0.0)
        return f"RangeWatch(rows={self.rows}, most outside: {worst:.1%})"
