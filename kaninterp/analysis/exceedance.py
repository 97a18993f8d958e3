"""Whether more of the new values lie beyond the old ones than chance explains, whatever the distribution."""

from __future__ import annotations

from math import erfc, exp, lgamma, sqrt

__all__ = ["exceedance", "more_than"]


def exceedance(before: float, now: float, beyond: float) -> float:
    """Chance that so many of the new values exceed all of the old ones, if both are drawn from one law.

    P(at least j of k beyond the largest of m) = C(m + k - j, m) / C(m + k, m), for any continuous law (Gumbel and von
    Schelling 1950); factorials of numbers that are not whole by the gamma function.

    Parameters
    ----------
    before, now : float
        Independent values m and k.
    beyond : float
        How many j of the new ones lie beyond.

    Examples
    --------
    >>> round(exceedance(1, 1, 1), 9)
    0.5
    >>> exceedance(1000, 200, 0)
    1.0
    >>> exceedance(1000, 200, 6) < 1e-4
    True
    """
    j = min(max(beyond, 0.0), now)
    return min(
        exp(lgamma(before + now - j + 1) + lgamma(now + 1) - lgamma(now - j + 1) - lgamma(before + now + 1)), 1.0
    )


def more_than(before: float, share: float, rows: float, now: float) -> float:
    """Chance that a share rises so far from one sample to the next, if both are drawn from one law.

    From no share at all by `exceedance`, else by the test of two proportions with a continuity correction, one-sided.

    Parameters
    ----------
    before, share : float
        The two shares.
    rows, now : float
        Independent rows of the two samples.

    Examples
    --------
    >>> more_than(0.0, 0.03, 1000, 200) < 1e-4, more_than(0.3, 0.4, 2000, 30) > 0.05
    (True, True)
    """
    if before <= 0:
        return exceedance(rows, now, share * now)
    pooled = (before * rows + share * now) / (rows + now)
    error = sqrt(pooled * (1 - pooled) * (1 / rows + 1 / now))
    rise = share - before - 0.5 * (1 / rows + 1 / now)
    return 1.0 if rise <= 0 else 0.0 if error == 0 else 0.5 * erfc(rise / error / sqrt(2))
