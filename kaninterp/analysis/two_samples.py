"""Whether two samples differ by more than chance explains, from a few numbers and the rows that each is worth."""

from __future__ import annotations

from math import erfc, exp, log, sqrt

__all__ = ["ks_chance", "mean_chance", "psi_limit"]

TERMS = 100
NORMAL = 2.326348
"""99 % of a normal distribution lie below so many standard deviations."""


def ks_chance(distance: float, before: float, now: float) -> float:
    """Chance of so large a Kolmogorov-Smirnov distance between two samples of one continuous law.

    The limit law with the correction for small samples of Stephens, "Use of the Kolmogorov-Smirnov, Cramer-von Mises
    and related statistics without extensive tables" (1970).

    Parameters
    ----------
    distance : float
        Largest difference of the two distribution functions; of their values at some points only, the chance is
        overstated.
    before, now : float
        Independent rows of the two samples.

    Examples
    --------
    >>> round(ks_chance(0.0, 100, 100), 3), round(ks_chance(0.192, 100, 100), 2)
    (1.0, 0.04)
    """
    root = sqrt(before * now / (before + now))
    x = (root + 0.12 + 0.11 / root) * distance
    if x < 0.2:  # the series is 1 here to more digits than a float has
        return 1.0
    total = sum((1.0 if k % 2 else -1.0) * exp(-2 * (k * x) ** 2) for k in range(1, TERMS))
    return min(max(2 * total, 0.0), 1.0)


def mean_chance(shift: float, before: float, now: float) -> float:
    """Chance of so large a difference of two means of one law, two-sided.

    Student's t, with the standard deviation and the degrees of freedom of the first sample, by the normal
    approximation of Wallace, "Bounds on normal approximations to Student's and the chi-square distributions" (1959).

    Parameters
    ----------
    shift : float
        Difference of the means in standard deviations of the first sample.
    before, now : float
        Independent rows of the two samples.

    Examples
    --------
    >>> round(mean_chance(0.3, 1000, 50), 3), mean_chance(5.0, 1.0, 100)
    (0.039, 1.0)
    """
    free = before - 1
    if free < 1:
        return 1.0
    t = abs(shift) / sqrt(1 / before + 1 / now)
    z = (8 * free + 1) / (8 * free + 3) * sqrt(free * log(1 + t * t / free))
    return erfc(z / sqrt(2))


def psi_limit(bins: int, before: float, now: float) -> float:
    """Population stability index that one law exceeds in 1 % of cases.

    The index is about (1/m + 1/n) times chi square with ``bins - 1`` degrees of freedom (Yurdakul, "Statistical
    properties of population stability index", 2018); its quantile by Wilson and Hilferty (1931).

    Examples
    --------
    >>> round(psi_limit(10, 1000, 1000), 4), round(psi_limit(10, 100, 100), 3)
    (0.0434, 0.434)
    """
    free = max(bins - 1, 1)
    part = 2 / (9 * free)
    return (1 / before + 1 / now) * free * (1 - part + NORMAL * sqrt(part)) ** 3
