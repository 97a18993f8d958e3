"""Several terms in one input as one function of it: hidden nodes share work that one curve could do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kaninterp.analysis.edge_curve import Curve
from kaninterp.analysis.edge_points import EdgePoints
from kaninterp.analysis.family_fits import fit_families
from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.families import Family
from kaninterp.core.frozen import Array
from kaninterp.symbolic.canonical import canonical
from kaninterp.symbolic.compose import NumericEdge, symbol_of, written
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
    curves = EdgePoints(
        x=grid[None, :, column], curves=curve[None, None], weights=weights[None],
        seen=np.ones(1), numbers=np.full(1, POINTS), constant=np.zeros(1, bool),
    )  # fmt: skip
    rest = fits.rest[:, 0]
    nearest = sorted((rest[place], *place) for place in zip(*np.nonzero(rest < 1), strict=True))
    found = []
    for _, tied, each in nearest[:BEST]:
        a = float(fits.a[tied, 0, each]) / half
        solved = Curve(curves, 0, 0).solved(families[each], a, float(fits.b[tied, 0, each]) - a * middle)
        if solved is not None:
            found.append(_one(canonical(solved[0]), x, column))
    return tuple(found)


def _one(formula: EdgeFormula, x: Array, column: int) -> One:
    numbers = sum(each not in (0.0, 1.0) for each in (formula.a, formula.b, formula.c))  # d joins that of the sum
    return One(written(formula, symbol_of(column)), formula(x[:, column]), numbers)
