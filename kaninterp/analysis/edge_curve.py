"""One edge over the range of its data, and formulas for it in the units of its node, with the simplest numbers."""

from __future__ import annotations

import math

import numpy as np

from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.families import Family

from .edge_points import EdgePoints
from .family_starts import Symmetry

__all__ = ["Curve"]

WORSE = 1e-6
"""Loss of R^2 that is rounding, where a formula is written with simpler numbers."""

Fitted = tuple[EdgeFormula, float]


class Curve:
    """One edge over the range of its data; it varies."""

    def __init__(self, points: EdgePoints, dst: int, src: int) -> None:
        self.dst, self.src = dst, src
        self.x, self.y, self.weights = points.x[src], points.curves[dst, src], points.weights[src]
        self.seen, self.numbers = float(points.seen[src]), float(points.numbers[src])
        self.low, self.high = float(self.x[0]), float(self.x[-1])
        size = float(np.abs(self.y).max())
        self._size, self._y = size, self.y / size
        self._spread = float(self.weights @ (self._y - self.weights @ self._y) ** 2)

    def written(
        self, family: Family, kind: Symmetry, found: tuple[float, float], r2: float, *, tied: bool
    ) -> Fitted | None:
        """In the units of x, with a > 0, a = 1 or -1 and b = 0 where c and d make up for it and no digits are lost.

        Parameters
        ----------
        family, kind : Family, Symmetry
            f, and what c and d make up for.
        found : (float, float)
            a and b on the axis t from -1 to 1 over the range.
        r2 : float
            R^2 there.
        tied : bool
            Whether the argument is 0 where x is 0.

        Returns
        -------
        (EdgeFormula, float) or None
            The formula and its R^2; None if it cannot be computed in float64.
        """
        a, b = (-found[0], -found[1]) if kind.mirror and found[0] < 0 else found
        half = (self.high - self.low) / 2
        slope = a / half
        shift = 0.0 if tied else b - slope * (self.low + half)
        simple = slope, shift
        if kind.scale or kind.constant:
            simple = math.copysign(1.0, a), shift / abs(slope)
        if kind.shift or kind.constant:
            simple = simple[0], 0.0
        simpler = self.solved(family, *simple)
        if simple == (slope, shift) or (simpler is not None and simpler[1] >= r2 - WORSE * (1 - r2) - WORSE**2):
            return simpler
        both = [one for one in (simpler, self.solved(family, slope, shift)) if one is not None]
        return max(both, key=lambda one: one[1], default=None)

    def solved(self, family: Family, a: float, b: float) -> Fitted | None:
        """The formula with the best c and d, and its R^2; None if it cannot be computed in float64."""
        if not (math.isfinite(a) and math.isfinite(b)):
            return None
        with np.errstate(all="ignore"):
            f = np.asarray(family.function(a * self.x + b), dtype=np.float64)
            size = float(np.abs(f).max())
            if not math.isfinite(size):
                return None
            centred = f / size if size > 0 else f
            mean = float(self.weights @ centred)
            centred = centred - mean
            square = float(self.weights @ centred**2)
            level = float(self.weights @ self._y)
            c = float((self.weights * centred) @ (self._y - level)) / square if square > 0 else 0.0
            d, c = (level - c * mean) * self._size, np.float64(c) * self._size / (size if size > 0 else 1.0)
        if not (math.isfinite(c) and math.isfinite(d)):
            return None
        formula = EdgeFormula(family=family, a=a, b=b, c=float(c), d=d)
        left = self._y - (formula.c * f + formula.d) / self._size  # as the formula computes it
        r2 = 1 - float(self.weights @ left**2) / self._spread
        return (formula, r2) if math.isfinite(r2) else None
