"""Is one number lower than others of its kind? Student's t with a prediction error, and plain counting beside it."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, log, log1p, sqrt

import numpy as np

from kaninterp.core.frozen import Array, IntArray

__all__ = ["Prediction", "predict", "t_bound", "t_tail"]

TAIL = 0.05
"""One shadow in twenty lies beyond the floor: the level everybody knows."""
ROUNDING = 1e-9
"""Part of the loss below which its changes are the rounding of single precision, averaged over a few hundred rows."""
STEPS = 500
"""Terms of the continued fraction at most; a few dozen settle it for any number of shadows."""
SETTLED = 1e-15
"""Relative change of the continued fraction at which it has settled: the resolution of a double."""
TINY = 1e-300
"""Stands in for a denominator of 0 in the continued fraction (Lentz 1976)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """Real losses against those of shadows, each of shape (m,).

    Attributes
    ----------
    benefit : ndarray
        Mean loss of the shadows minus the real loss.
    floor : ndarray
        Benefit from which the p-value is below `TAIL`.
    as_good : ndarray of int
        Shadows with a loss not above the real one.
    p_value : ndarray
        Chance of a loss as low as the real one if it were that of one more shadow.
    """

    benefit: Array
    floor: Array
    as_good: IntArray
    p_value: Array


def predict(real: Array, shadows: Array) -> Prediction:
    """Hold real losses against the losses of S shadows.

    Under "the real one is one more shadow" t = (mean - real) / (sd sqrt(1 + 1/S)) has Student's law with S - 1
    degrees of freedom if losses are normal: they are means over rows, and rows of several pieces of the series add
    up to them. The exact p-value of ranks, (1 + as_good) / (1 + S), cannot get below 1 / (1 + S), too coarse for a
    false discovery rate over a dozen columns; it is used only where all shadows are equal.

    Parameters
    ----------
    real : ndarray, shape (m,)
        Losses of the intact model.
    shadows : ndarray, shape (S, m)
        Losses with a shadow in place, S of at least 2.

    Examples
    --------
    >>> found = predict(np.array([0.0, 1.0]), np.array([[0.9, 0.9], [1.0, 1.0], [1.1, 1.1]]))
    >>> found.p_value.round(4), found.as_good.tolist()
    (array([0.0065, 0.5   ]), [0, 2])
    """
    copies = len(shadows)
    benefit = shadows.mean(0) - real
    error = shadows.std(0, ddof=1) * sqrt(1 + 1 / copies)
    as_good = (shadows <= real).sum(0)
    p_value = np.ones(len(real))
    for i, (gain, spread) in enumerate(zip(benefit, error, strict=True)):
        if max(abs(gain), spread) <= ROUNDING * abs(real[i]):
            continue
        p_value[i] = t_tail(gain / spread, copies - 1) if spread > 0 else (1 + as_good[i]) / (1 + copies)
    return Prediction(benefit=benefit, floor=t_bound(TAIL, copies - 1) * error, as_good=as_good, p_value=p_value)


def t_tail(t: float, freedom: int) -> float:
    """Chance that Student's t with so many degrees of freedom is above ``t``.

    Half the regularised incomplete beta function I_x(freedom/2, 1/2) at x = freedom / (freedom + t^2), by its
    continued fraction (Press et al. 2007, section 6.4).

    Examples
    --------
    >>> round(t_tail(2.0, 10), 6), t_tail(0.0, 3)
    (0.036694, 0.5)
    """
    if t < 0:
        return 1.0 - t_tail(-t, freedom)
    half = freedom / 2
    return 0.5 * _incomplete_beta(half, 0.5, freedom / (freedom + t * t), t * t / (freedom + t * t))


def t_bound(tail: float, freedom: int) -> float:
    """Value that Student's t exceeds with chance ``tail`` (below one half), by bisection.

    Examples
    --------
    >>> round(t_bound(0.05, 29), 4)
    1.6991
    """
    low, high = 0.0, 1.0
    while t_tail(high, freedom) > tail:
        low, high = high, 2 * high
    while high - low > SETTLED * high and low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if t_tail(middle, freedom) > tail else (low, middle)
    return high


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """I_x(a, b), with ``rest`` = 1 - x given apart so that none of it is rounded away."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * (log1p(-x) if x < 0.5 else log(rest)))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, rest) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Continued fraction of the incomplete beta function, by Lentz's method."""
    value, c, d = 1.0, 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d if abs(d) > TINY else TINY)
    value = d
    for m in range(1, STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 + term * d
            c = 1.0 + term / c
            d = 1.0 / (d if abs(d) > TINY else TINY)
            c = c if abs(c) > TINY else TINY
            value *= d * c
        if abs(d * c - 1.0) < SETTLED:
            break
    return value
