"""What a node of the KAN or a unit of the backbone is, in the user's own columns and time lags."""

from __future__ import annotations

import os
from dataclasses import dataclass

from . import archive
from .frozen import Array, floats

__all__ = ["DESCRIBED", "Effect", "Passport", "Passports"]

DESCRIBED = 0.8
"""Share of a node's variance on held-out rows from which few inputs describe it."""


STRAIGHT = 0.5
"""Correlation of an effect with its column from which it has a direction."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Effect:
    """What one column, at one time lag or over all of them, does to a node, the others at their usual values.

    Attributes
    ----------
    name : str
        The column.
    column, lag : int
        Its index, and how many steps back it weighs most; 0 = the last step.
    weights : ndarray, shape (lags,)
        Of each lag, lag 0 first, absolute values summing to 1: the effect is one of their weighted sum.
    share : float
        What the description loses on held-out rows without it, in shares of the node's variance.
    direction : float
        Correlation of the effect with the column, -1 to 1: near 0 for one that rises and falls.
    grid, curve : ndarray, shape (P,)
        Values of that sum, within what was seen, and the effect there, in units of the node; mean 0 over the data.
    counts : ndarray, shape (P - 1,)
        Share of rows between two neighbours of ``grid``: the support of the curve.
    """

    name: str
    column: int
    lag: int
    weights: Array
    share: float
    direction: float
    grid: Array
    curve: Array
    counts: Array

    def __post_init__(self) -> None:
        for name in ("weights", "grid", "curve"):
            object.__setattr__(self, name, floats(getattr(self, name), (None,), f"Effect.{name}"))
        object.__setattr__(self, "counts", floats(self.counts, (len(self.grid) - 1,), "Effect.counts"))

    @property
    def single(self) -> bool:
        """Whether one lag has all the weight."""
        return int((self.weights != 0).sum()) == 1

    @property
    def when(self) -> str:
        """The lag in words; "" for the last step and for tables."""
        if self.single:
            return f"lag {self.lag}" if self.lag else ""
        return f"lags 0 to {len(self.weights) - 1}, most at {self.lag}"

    @property
    def way(self) -> str:
        """The direction in a word."""
        if abs(self.direction) < STRAIGHT:
            return "up and down"
        return "rising" if self.direction > 0 else "falling"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Passport:
    """One node, described by at most three inputs.

    Attributes
    ----------
    layer, index : int
        Place in the KAN; layer 0 = its inputs (units of a backbone).
    name : str
        The node's name.
    spread : float
        Its standard deviation; 0 for a constant node.
    effects : tuple of Effect
        Strongest first; none for a node that is constant, or that no numeric column can be held against.
    r2 : float
        Share of the node's variance on held-out rows that the effects explain, with products of two where they help.
    additive : float
        The same without products. The difference is what these inputs do together.
    formula : str
        The node in the user's columns, where a short formula does as well as curves that describe it; "" else.
    formula_r2 : float
        Share of the variance on held-out rows that the formula explains; NaN without one.
    """

    layer: int
    index: int
    name: str
    spread: float
    effects: tuple[Effect, ...]
    r2: float
    additive: float
    formula: str
    formula_r2: float

    @property
    def described(self) -> bool:
        """Whether so few inputs describe the node: `DESCRIBED` of its variance on rows that the fit did not see."""
        return bool(self.effects) and self.r2 >= DESCRIBED

    @property
    def interaction(self) -> float:
        """What the inputs do together beyond their sum, in shares of the node's variance."""
        return max(0.0, self.r2 - self.additive)

    def __str__(self) -> str:
        if not self.effects:
            why = "no numeric column that varies" if self.spread > 0 else "constant on these data"
            return f"{self.name}: {why}"
        parts = ", ".join(
            f"{effect.name}{f' ({effect.when})' if effect.when else ''} {effect.way}" for effect in self.effects
        )
        if not self.described:
            return (
                f"{self.name}: cannot be described by three inputs or fewer; the best ({parts}) explain "
                f"{self.r2:.0%} of its variance on held-out rows"
            )
        formula = f"; {self.formula} (R² {self.formula_r2:.2f})" if self.formula else ""
        return f"{self.name}: {parts}; R² {self.r2:.2f} on held-out rows{formula}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Passports:
    """The passports of a KAN's nodes.

    Attributes
    ----------
    rows, held_out : int
        Rows the descriptions were fitted on, and the later ones they were judged by.
    nodes : tuple of Passport
        Layer by layer.
    remark : str
        Why there are none; "" else.
    """

    rows: int
    held_out: int
    nodes: tuple[Passport, ...]
    remark: str = ""

    def of(self, layer: int, index: int) -> Passport | None:
        """The passport of a node; None if it has none."""
        return next((p for p in self.nodes if (p.layer, p.index) == (layer, index)), None)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file (no pickle), atomically."""
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Passports:
        """Read it back; raises `FileFormatError` on anything else."""
        return archive.load(path, cls, (Passport, Effect))
