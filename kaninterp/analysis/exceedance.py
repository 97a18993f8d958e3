"""Whether more of the new values lie beyond the old ones than chance explains, whatever the distribution."""

from __future__ import annotations

from math import exp, lgamma

__all__ = ["exceedance"]


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
