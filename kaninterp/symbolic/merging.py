"""Several terms in one input as one function of it: hidden nodes share work that one curve could do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kaninterp.analysis.family_fits import fit_families
from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import InputError
from kaninterp.core.families import Family
from kaninterp.core.frozen import Array
from kaninterp.symbolic.canonical import canonical
from kaninterp.symbolic.compose import NumericEdge, written
from kaninterp.symbolic.expressions import evaluated

__all__ = ["One", "as_one"]

POINTS = 129
"""Points of the curve over the range of the rows: every turn of a dozen shows smoothly."""
BEST = 3
"""Families that are given, the nearest first."""
FASTEST = 12.0
"""Largest number of radians per half of the range that is looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class One:
    """A function in place of a sum: its expression, its values at the rows, and the numbers that it has."""

    expression: Any
    values: Array
    numbers: int


def as_one(
    total: Any, column: int, x: Array, numeric: Mapping[str, NumericEdge], families: Sequence[Family]
) -> tuple[One, ...]:
    """The families nearest to a sum of terms in one input.

    Parameters
    ----------
    total : sympy.Expr
        In the symbol of one input, ``x_<column>``.
    column : int
    x : ndarray, shape (n, inputs)
        Rows.
    numeric : mapping of str to NumericEdge
        Functions in it that are splines.
    families : sequence of Family
        What to try.

    Returns
    -------
    tuple of One
        At most three, the nearest first; none where the sum is constant or not finite over the range of the rows.
    """
    low, high = float(x[:, column].min()), float(x[:, column].max())
    middle, half = (low + high) / 2, (high - low) / 2
    if not (half > 0 and math.isfinite(half)):
        return ()
    t = np.linspace(-1, 1, POINTS)
    grid = np.zeros((POINTS, x.shape[1]))
    grid[:, column] = middle + half * t
    curve = evaluated(total, grid, numeric)
    if not np.isfinite(curve).all() or not np.ptp(curve) > 0:
        return ()
    weights = np.bincount(np.rint((x[:, column] - low) / half * (POINTS - 1) / 2).astype(int), minlength=POINTS)
    weights = weights / weights.sum()
    fits = fit_families(curve[None], weights[None], families, fastest=FASTEST, origins=np.array([-middle / half]))
    found = []
    for tied, each in np.argwhere(np.isfinite(fits.rest[:, 0])):
        if fits.rest[tied, 0, each] < 1:
            found.append((float(fits.rest[tied, 0, each]), int(tied), int(each)))
    ones = (
        _one(
            families[each],
            fits.a[tied, 0, each] / half,
            fits.b[tied, 0, each],
            middle,
            (curve, weights, grid),
            x,
            column,
        )
        for _, tied, each in sorted(found)[:BEST]
    )
    return tuple(one for one in ones if one is not None)


def _one(  # noqa: PLR0917 (internal)
    family: Family,
    a: float,
    b: float,
    middle: float,
    points: tuple[Array, Array, Array],
    x: Array,
    column: int,
) -> One | None:
    """The function with its factor and constant, by weighted least squares on the curve."""
    from kaninterp.symbolic.compose import symbol_of

    curve, weights, grid = points
    bare = EdgeFormula(family=family, a=float(a), b=float(b - a * middle), c=1.0, d=0.0)
    values = bare(grid[:, column])
    if not np.isfinite(values[weights > 0]).all():
        return None
    values = np.where(weights > 0, values, 0.0)
    off = values - weights @ values
    spread = float(weights @ off**2)
    if not spread > 0:
        return None
    c = float(weights @ (off * curve)) / spread
    d = float(weights @ curve) - c * float(weights @ values)
    try:
        formula = canonical(EdgeFormula(family=family, a=bare.a, b=bare.b, c=c, d=d))
    except InputError:  # numbers too large to be written
        return None
    numbers = sum(
        number not in (0.0, 1.0) for number in (formula.a, formula.b, formula.c)
    )  # d joins the sum's constant
    return One(written(formula, symbol_of(column)), formula(x[:, column]), numbers)
