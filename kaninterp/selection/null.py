"""How high the best of many candidates scores when there is nothing to find.

The residual is moved against the inputs, and the whole family is searched again. Rows without order are shuffled;
rows in time are rotated, which keeps the autocorrelation of both sides. A Gumbel law, the limit law of maxima, fitted
to these scores gives p-values beyond their number (Knijnenburg et al. 2009 do the same with the general tail).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaninterp.core.frozen import Array, IntArray

from .candidates import Family, Model, highest

__all__ = ["Null", "moved"]

EULER = 0.5772156649015329


@dataclass(frozen=True)
class Null:
    """The law of the highest score of a family under no effect.

    Attributes
    ----------
    location, scale : float
        Of the Gumbel law.
    """

    location: float
    scale: float

    @classmethod
    def of(cls, family: Family, model: Model, residual: Array, moves: list[IntArray]) -> Null:
        """Search the family once per move.

        Parameters
        ----------
        family, model
            What is searched, and what the residual must stay outside of.
        residual : ndarray, shape (n,)
            Of the model.
        moves : list of ndarray of int, each (n,)
            Orders of the rows, see `moved`.
        """
        at_random = model.outside(residual[np.array(moves)].T)
        scores = highest(family, at_random / np.linalg.norm(at_random, axis=0))
        spread = float(np.std(scores)) * 6**0.5 / np.pi
        return cls(float(np.mean(scores)) - EULER * spread, max(spread, 1e-9))

    def p_value(self, score: float) -> float:
        """Chance of a score as high as this without an effect.

        Examples
        --------
        >>> round(Null(location=5.0, scale=1.0).p_value(5.0), 3)
        0.632
        """
        return float(-np.expm1(-np.exp(-(score - self.location) / self.scale)))


def moved(rows: int, count: int, rng: np.random.Generator, *, in_time: bool) -> list[IntArray]:
    """Random orders of the rows: shuffled, or rotated by at least a twentieth of their number.

    Examples
    --------
    >>> (order,) = moved(40, 1, np.random.default_rng(0), in_time=True)
    >>> bool(((order - order[0]) % 40 == np.arange(40)).all())
    True
    """
    if in_time:
        least = max(rows // 20, 1)
        return [(np.arange(rows) + shift) % rows for shift in rng.integers(least, max(rows - least, least + 1), count)]
    return [rng.permutation(rows) for _ in range(count)]
