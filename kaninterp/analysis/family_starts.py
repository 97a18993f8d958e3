"""Where the fit of a family starts: which of a and b the data can tell, and a coarse net over these.

All nodes share one axis t from -1 to 1 over the range of their data, so a family is computed once for all edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kaninterp.core.families import Family
from kaninterp.core.frozen import Array, BoolArray

__all__ = ["Symmetry", "starts", "symmetry"]

PROBES = np.concatenate([-np.linspace(0.05, 0.45, 9), np.linspace(0.05, 0.45, 9)])
"""Arguments at which a family is compared with itself moved: most families are defined on one side of 0 at least."""
ALIKE = 1e-9
"""Relative rest of the comparison that counts as rounding."""
SLOWEST = 0.1
"""Least change of the argument over half the range: below, all smooth functions look like their first two terms."""
LOBE = 1.0
"""Step of the net in units of the argument, a third of the half wave of sin: the net meets every lobe of the fit."""
REACH = 5.0
"""How far from its centre (argument 0) a function may lie from the data: tanh and exp(-u^2) are flat beyond."""
FASTEST = 8.0
"""Largest change of the argument over half the range to begin with, even where few knots lie in the range."""
FASTEST_PLACED = 40.0
"""Largest change of the argument tried for functions with a centre: the net grows with its square, and a tanh that
fast is a step."""
STRETCHES = (-0.99, -0.9, -0.7, -0.4, 0.0, 0.4, 0.7, 0.9, 0.99)
"""Ends of the stretches of the argument that are tried besides, for functions that only live between -1 and 1."""
NEAREST, FARTHEST = 0.003, 30.0
"""A pole or root outside the data: its distance from their end in half ranges, the nearest and farthest tried."""
STEEPEST = 60.0
"""Largest change of an exponent over half the range: beyond, a single point would hold all of the function."""


@dataclass(frozen=True, slots=True)
class Symmetry:
    """What c and d make up for: f with its argument scaled, shifted or mirrored is c f + d again.

    Attributes
    ----------
    scale, shift, mirror, half_turn : bool
        f(2 u), f(u + 1), f(-u), f(u + pi) as c f(u) + d.
    constant : bool
        f has one value.
    """

    scale: bool
    shift: bool
    mirror: bool
    half_turn: bool
    constant: bool

    @property
    def free(self) -> tuple[bool, bool]:
        """Whether a and b are to be found: a line has neither, x^2 has b, exp has a, sin has both."""
        return not (self.scale or self.constant), not (self.shift or self.constant)


@lru_cache(maxsize=256)
def symmetry(family: Family) -> Symmetry:
    """What is the same function again, tried in numbers.

    Examples
    --------
    >>> from kaninterp.core.families import FAMILIES
    >>> symmetry(FAMILIES["x^2"]).free, symmetry(FAMILIES["exp"]).free, symmetry(FAMILIES["sin"]).free
    ((False, True), (True, False), (True, True))
    """
    with np.errstate(all="ignore"):
        plain = np.asarray(family.function(PROBES), dtype=np.float64)
        moved = [
            np.asarray(family.function(u), dtype=np.float64)
            for u in (2 * PROBES, PROBES + 1, -PROBES, PROBES + math.pi)
        ]
    seen = plain[np.isfinite(plain)]
    constant = bool(len(seen)) and not np.ptp(seen) > 0
    found = [not constant and _affine(plain, other) for other in moved]
    scale, shift, mirror, half_turn = found
    return Symmetry(scale, shift, mirror, half_turn, constant)


def _affine(one: Array, other: Array) -> bool:
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 4:
        return False
    x, y = one[both] - one[both].mean(), other[both] - other[both].mean()
    sizes = float(x @ x), float(y @ y)
    if not min(sizes) > 0:
        return False
    rest = y - x * (x @ y) / sizes[0]
    return bool(rest @ rest <= ALIKE**2 * sizes[1])


def starts(family: Family, points: int, fastest: float) -> Array:
    """The net: pairs (a, b) of a t + b for t from -1 to 1 at which the family is defined, shape (K, 2).

    Parameters
    ----------
    family : Family
        f.
    points : int
        Points over the range; a root or kink is looked for between each two of them.
    fastest : float
        Largest a, `FASTEST` at least. Beyond half a wave per knot interval a spline has nothing to show.
    """
    kind = symmetry(family)
    if not any(kind.free):
        net = np.array([[1.0, 0.0]])
    elif kind.scale:
        net = _roots(points)
    elif kind.shift:
        net = np.stack([np.geomspace(SLOWEST / 2, STEEPEST, 25), np.zeros(25)], axis=1)
    else:
        net = _waves(fastest) if kind.half_turn else np.concatenate([_places(fastest), _stretches()])
    if not kind.mirror and any(kind.free):
        net = np.concatenate([net, -net])
    return net[_allowed(family, net)]


def _allowed(family: Family, net: Array) -> BoolArray:
    size = np.abs(net[:, 0])
    return np.asarray(family.defined(net[:, 1] - size, net[:, 1] + size), dtype=np.bool_)


def _roots(points: int) -> Array:
    """T + b: a root between any two points, and outside at distances that grow."""
    inside = -(np.linspace(-1, 1, points)[1:] + np.linspace(-1, 1, points)[:-1]) / 2
    outside = 1 + np.geomspace(NEAREST, FARTHEST, 30)
    shifts = np.concatenate([inside, outside, -outside, [-1.0, 0.0, 1.0]])
    return np.stack([np.ones(len(shifts)), shifts], axis=1)


def _speeds(fastest: float) -> Array:
    """Steps that grow up to a lobe, and then lobe by lobe."""
    slow = np.geomspace(SLOWEST, 3.0, 10)
    return np.concatenate([slow, np.arange(3.0 + LOBE, max(fastest, FASTEST) + LOBE, LOBE)])


def _waves(fastest: float) -> Array:
    """For functions that repeat: four phases of a half turn."""
    speeds = _speeds(fastest)
    phases = np.arange(4) * (math.pi / 4)
    return np.stack([np.repeat(speeds, 4), np.tile(phases, len(speeds))], axis=1)


def _places(fastest: float) -> Array:
    """For functions with a centre: it lies among the data, or up to a reach outside."""
    found = []
    for speed in _speeds(min(fastest, FASTEST_PLACED)):
        shifts = np.linspace(-(speed + REACH), speed + REACH, 2 * math.ceil((speed + REACH) / (1.2 * LOBE)) + 1)
        found.append(np.stack([np.full(len(shifts), speed), shifts], axis=1))
    return np.concatenate(found)


def _stretches() -> Array:
    low, high = np.array([(one, two) for one in STRETCHES for two in STRETCHES if one < two]).T
    return np.stack([(high - low) / 2, (high + low) / 2], axis=1)
