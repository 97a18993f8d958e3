"""A family computed once over its net of starts, and the best starts for many curves: three matrix products."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from kaninterp.core.families import Family
from kaninterp.core.frozen import Array

from .family_starts import starts, symmetry

__all__ = ["FLAT", "FamilyNet", "net_of"]

KEPT = 64
"""Nets kept for the next call: all of `FAMILIES` for two layers, up to 20 MB each."""
TRIED, TRIED_ALONG_A_LINE = 6, 3
"""Starts per curve: the best of the net, and the best that are not next to a better one. Fewer where only a or only b
is to be found: that net is fine enough to hold the best place itself."""
APART = 1.5
"""Two starts this near in a and b together lie in one lobe of the fit: half the half wave of sin."""
SAMPLES_PER_UNIT = 40
"""Points per unit of the argument where a family is looked up for the net: a start need not be exact."""
FLAT = 1e-6
"""Least deviation of f relative to its size: below, c and d cancel more than a third of the digits of float64."""


class FamilyNet:
    """A family over its net of starts.

    Parameters
    ----------
    family : Family
        f.
    points : int
        Points of every curve, on the axis t from -1 to 1.
    fastest : float
        Largest a, see `kaninterp.analysis.family_starts.starts`.
    """

    def __init__(self, family: Family, points: int, fastest: float) -> None:
        self.kind = symmetry(family)
        net = starts(family, points, fastest)
        t = np.linspace(-1.0, 1.0, points)
        with np.errstate(all="ignore"):
            values = _looked_up(family, net[:, :1] * t + net[:, 1:])
            middle = (values.max(1, keepdims=True) + values.min(1, keepdims=True)) / 2
            half = np.ptp(values, axis=1, keepdims=True) / 2
            usable = np.isfinite(half[:, 0]) & (half[:, 0] > FLAT * np.abs(middle[:, 0])) & (not self.kind.constant)
        self._starts = net[usable]
        self._values = (values[usable] - middle[usable]) / half[usable]

    def best(self, curves: Array, weights: Array) -> list[Array]:
        """Starts (a, b) of each curve, (E, 2), the best first; fewer where the net is small.

        Curves (E, N) have mean 0 and standard deviation 1 under their weights (E, N).
        """
        if not len(self._starts):
            return []
        variance = self._values**2 @ weights.T - (self._values @ weights.T) ** 2
        with np.errstate(all="ignore"):
            score = (self._values @ (weights * curves).T) ** 2 / variance
        score = np.where(variance > FLAT**2, score, -1.0).T
        found = []
        tried = TRIED if all(self.kind.free) else TRIED_ALONG_A_LINE
        for _ in range(min(tried, len(self._starts))):
            at = score.argmax(1)
            found.append(self._starts[at])
            near = np.abs(self._starts[None] - self._starts[at][:, None]).sum(2) < APART
            score = np.where(near, -2.0, score)
        return found


@lru_cache(maxsize=KEPT)
def net_of(family: Family, points: int, fastest: int) -> FamilyNet:
    """The net of a family, kept for the next call."""
    return FamilyNet(family, points, fastest)


def _looked_up(family: Family, u: Array) -> Array:
    """Values of f, from a table where f is defined over all of it."""
    low, high = float(u.min(initial=0.0)), float(u.max(initial=0.0))
    size = int((high - low) * SAMPLES_PER_UNIT) + 2
    if size < u.size and bool(family.defined(np.array(low), np.array(high))):
        table = np.linspace(low, high, size)
        return np.interp(u.ravel(), table, family.function(table)).reshape(u.shape)
    return np.asarray(family.function(u), dtype=np.float64)
