"""Many fits of c f(a t + b) + d side by side, by the steps of Levenberg and Marquardt.

Variable projection (Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems
whose variables separate", 1973): c and d follow from a and b by weighted least squares, so only a and b are searched,
with Kaufman's shorter slope ("A variable projection method for solving separable nonlinear least squares problems",
1975). A step to where f is not defined over the whole range is not taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kaninterp.core.families import Family
from kaninterp.core.frozen import Array, BoolArray, IntArray

from .family_net import FLAT

__all__ = ["STEPS_ON", "Curves", "Problems", "polish"]

STEPS = 25
"""Steps of a fit at most; those that need more creep to a limit (tanh that becomes exp), which has its own family."""
STEPS_ON = 10
"""Steps at most for a fit that goes on from where a freer one has ended."""
THIN_AFTER, WORTH, ONE_AFTER = 3, 2.0, 9
"""After so many steps only starts go on whose squared error is at most this many times the best of the family's, and
after some more only the best: by then a fit knows its valley."""
SETTLED = 1e-5
"""Relative gain of a step below which a fit has settled: R^2 is shown to four digits, and later steps gain less."""
EXACT = 1e-24
"""Squared error, as a share of the variance, that is rounding of float64."""
SMALLEST = 1e-150
"""Largest value of f over the range below which its squares are lost."""
CAUTIOUS, BOLDER, SHYER, STUCK = 1e-3, 5.0, 6.0, 1e5
"""Damping at the start, what a good step divides it by, what a bad one multiplies it by, and where a fit gives up."""

Sides = tuple[Array, Array, Array, Array]


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves (E, N) of mean 0 and standard deviation 1 under their weights (E, N), and the families to fit."""

    y: Array
    weights: Array
    families: Sequence[Family]


@dataclass(slots=True)
class Problems:
    """Fits under way, sorted by family; all arrays (P,) but ``moves``.

    Attributes
    ----------
    family, which : ndarray of int
        Which family and which curve.
    a, b : ndarray
        Where each fit is.
    moves : ndarray of bool, shape (P, 2)
        Whether a and b may move by themselves.
    origin : ndarray
        Where ``tied``: the t at which the argument stays 0, so that b follows a. 0 elsewhere.
    tied : ndarray of bool
        Whether b follows a.
    """

    family: IntArray
    which: IntArray
    a: Array
    b: Array
    moves: BoolArray
    origin: Array
    tied: BoolArray


def polish(problems: Problems, curves: Curves, *, steps: int = STEPS, thin: bool = False) -> Array:
    """Move a and b in place to the least squares; gives what is left, 1 - R^2, infinite where f is not defined.

    With ``thin``, fits that fall behind another of the same family and curve stop early.
    """
    t = np.linspace(-1.0, 1.0, curves.y.shape[1])
    f, slope, good = _values(curves.families, problems.family, problems.a, problems.b, t)
    centred, c, left, rest = _projected(f, curves.y[problems.which], curves.weights[problems.which], good)
    damping = np.full(len(rest), CAUTIOUS)
    going = np.isfinite(rest) & (rest > EXACT) & problems.moves.any(1)
    for step in range(steps):
        at = np.flatnonzero(going)
        if not len(at):
            break
        y, w = curves.y[problems.which[at]], curves.weights[problems.which[at]]
        da, db = _step(_sides(problems, at, (centred[at], slope[at], c[at], left[at]), w), left[at], w, damping[at])
        a, b = problems.a[at] + da, problems.b[at] + db
        b = np.where(problems.tied[at], -a * problems.origin[at], b)
        f, new_slope, good = _values(curves.families, problems.family[at], a, b, t)
        new = _projected(f, y, w, good)
        better = new[3] < rest[at]
        taken = at[better]
        gain = 1 - new[3][better] / rest[taken]
        problems.a[taken], problems.b[taken], slope[taken] = a[better], b[better], new_slope[better]
        centred[taken], c[taken], left[taken], rest[taken] = (part[better] for part in new)
        damping[taken] /= BOLDER
        damping[at[~better]] *= SHYER
        going[taken] = (gain > SETTLED) & (rest[taken] > EXACT)
        going[at] &= damping[at] < STUCK
        if thin and step >= THIN_AFTER:
            worth = WORTH if step < ONE_AFTER else 1.0
            going &= rest <= worth * _best_of(problems, rest, len(curves.y))
    return rest


def _values(
    families: Sequence[Family], family: IntArray, a: Array, b: Array, t: Array
) -> tuple[Array, Array, BoolArray]:
    """The function and its slope at a t + b, (P, N), and whether it is defined over the range; families are sorted."""
    u = a[:, None] * t + b[:, None]
    f, slope, good = np.zeros_like(u), np.zeros_like(u), np.zeros(len(a), dtype=bool)
    size = np.abs(a)
    ends = np.append(np.flatnonzero(np.diff(family)) + 1, len(family))
    first = 0
    with np.errstate(all="ignore"):
        for end in ends.tolist():
            rows = slice(first, end)
            first = end
            one = families[int(family[rows.start])]
            good[rows] = one.defined(b[rows] - size[rows], b[rows] + size[rows])
            if good[rows].all():
                f[rows], slope[rows] = one.function(u[rows]), one.derivative(u[rows])
            elif good[rows].any():
                here = np.arange(rows.start, end)[good[rows]]
                f[here], slope[here] = one.function(u[here]), one.derivative(u[here])
        good &= np.isfinite(f.sum(1)) & np.isfinite(slope.sum(1))
    return f, slope, good


def _mean(weights: Array, values: Array) -> Array:
    """Weighted means of the rows, (P,)."""
    return np.asarray(np.einsum("pn,pn->p", weights, values))


def _projected(f: Array, y: Array, w: Array, good: BoolArray) -> Sides:
    """What c and d make of f: f without its mean and size, c, what is left of y, and its mean square."""
    size = np.where(good, np.abs(f).max(1, initial=0.0), 1.0)
    f = np.where(good[:, None], f / np.where(size > 0, size, 1.0)[:, None], 0.0)
    whole = _mean(w, f * f)
    centred = f - _mean(w, f)[:, None]
    weighted = w * centred
    square = _mean(weighted, centred)
    usable = good & (square > FLAT**2 * whole) & (size > SMALLEST)
    c = np.where(usable, _mean(weighted, y) / np.where(usable, square, 1.0), 0.0)
    left = y - c[:, None] * centred
    rest = np.where(usable, _mean(w, left * left), np.inf)
    return centred, c / np.where(usable, size, 1.0), left, rest


def _sides(problems: Problems, at: IntArray, state: Sides, w: Array) -> tuple[Array, Array]:
    """How the fitted curve moves with a and with b, less what c and d make up for."""
    centred, slope, c, left = state
    t = np.linspace(-1.0, 1.0, left.shape[1])
    weighted = w * centred
    square = _mean(weighted, centred)
    moved = c[:, None] * slope
    found = []
    for axis, along in enumerate((moved * (t - problems.origin[at][:, None]), moved)):
        free = along * problems.moves[at, axis][:, None]
        free -= _mean(w, free)[:, None]
        free -= centred * (_mean(weighted, free) / square)[:, None]
        found.append(free)
    return found[0], found[1]


def _step(sides: tuple[Array, Array], left: Array, w: Array, damping: Array) -> tuple[Array, Array]:
    """Change of a and b: two equations each, solved in closed form."""
    one, two = (w * side for side in sides)
    aa, bb, ab = _mean(one, sides[0]), _mean(two, sides[1]), _mean(one, sides[1])
    right_a, right_b = _mean(one, left), _mean(two, left)
    floor = FLAT**2 * (aa + bb)
    aa, bb = aa + damping * aa + floor, bb + damping * bb + floor
    bound = aa * bb - ab**2
    safe = np.where(bound > 0, bound, 1.0)
    return (
        np.where(bound > 0, (right_a * bb - right_b * ab) / safe, 0.0),
        np.where(bound > 0, (right_b * aa - right_a * ab) / safe, 0.0),
    )


def _best_of(problems: Problems, rest: Array, curves: int) -> Array:
    """What the best start of the same curve and family has left."""
    group = problems.family * curves + problems.which
    best = np.full(int(group.max()) + 1, np.inf)
    np.minimum.at(best, group, rest)
    return np.asarray(best[group])
