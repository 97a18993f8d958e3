"""The numbers of a formula, fitted once more to the rows: those that are left do the work of those that went."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from kaninterp.core.frozen import Array
from kaninterp.symbolic.dag import Graph

__all__ = ["RowsLoss", "polished"]

STEPS = 12
"""Damped Newton steps at most: a formula that is nearly right takes three or four."""
MOST_NUMBERS = 40
"""More numbers are left as they are: each step evaluates the formula once for each."""
ENOUGH = 1e-9
"""Share of the loss by which a step has to lower it for another one."""
NUDGE = 1e-6
"""Change of a number, as a share of it, by which the slope in it is measured: far above rounding, far below bends."""
CHANGE = 0.03
"""Change of an output, in its standard deviations, by which slope and curvature of the losses are measured: any will do
for squared errors, and losses in float32 need a large one."""


class RowsLoss(Protocol):
    """Losses of rows as a function of one output."""

    def rows(self, values: Array) -> Array:
        """Loss of every row (n,) for values (n,) of the output."""

    def of_values(self, values: Array) -> float:
        """Their mean; infinite where it is no number."""

    def graph(self, expression: Any, numbers: Any = None, before: Any = None) -> Graph:
        """The expression at the rows."""


def polished(expression: Any, error: RowsLoss) -> Any:
    """Fit all numbers written in an expression to the rows, by damped Newton steps.

    Parameters
    ----------
    expression : sympy.Expr
    error : RowsLoss
        Loss as a function of the output; each row's loss depends on this row's output alone, so that slope and
        curvature of all rows take three evaluations.

    Returns
    -------
    sympy.Expr
        The same form with a loss that is not larger.
    """
    import sympy

    floats = sorted(expression.atoms(sympy.Float), key=float)
    if not floats or len(floats) > MOST_NUMBERS:
        return expression
    places = [sympy.Symbol(f"p_{k}", real=True) for k in range(len(floats))]
    numbers = np.array([float(each) for each in floats])
    graph = error.graph(
        expression.xreplace(dict(zip(floats, places, strict=True))), dict(zip(places, numbers, strict=True))
    )
    values = graph.values()
    now, damping = error.of_values(values), 1e-3
    if not np.isfinite(now):
        return expression
    for _ in range(STEPS):
        found = _step(graph, places, numbers, values, error, damping, now)
        if found is None:
            break
        moved, values, then, damping = found
        graph.put(dict(zip(places, moved.tolist(), strict=True)))
        numbers, before, now = moved, now, then
        if before - now <= ENOUGH * before:
            break
    return expression.xreplace({old: sympy.Float(float(new)) for old, new in zip(floats, numbers, strict=True)})


def _step(  # noqa: PLR0917 (internal)
    graph: Graph, places: list[Any], numbers: Array, values: Array, error: RowsLoss, damping: float, now: float
) -> tuple[Array, Array, float, float] | None:
    """New numbers, their values and loss, and the damping to go on with; None if no step lowers the loss."""
    slope, curvature = _of_rows(values, error)
    sizes = np.maximum(np.abs(numbers), 1e-3)
    columns = [
        (graph.values({place: number + NUDGE * size}) - values) / NUDGE
        for place, number, size in zip(places, numbers.tolist(), sizes.tolist(), strict=True)
    ]
    jacobian = np.stack(columns, axis=1)
    if not (np.isfinite(jacobian).all() and np.isfinite(slope).all() and np.isfinite(curvature).all()):
        return None
    gradient, hessian = jacobian.T @ slope, jacobian.T @ (np.maximum(curvature, 0.0)[:, None] * jacobian)
    scale = np.maximum(np.diag(hessian), np.finfo(np.float64).tiny)
    for _ in range(8):
        step = np.linalg.lstsq(hessian + np.diag(damping * scale), -gradient, rcond=None)[0]
        with np.errstate(over="ignore"):
            moved = numbers + step * sizes
        there = graph.values(dict(zip(places, moved.tolist(), strict=True)))
        then = error.of_values(there)
        if then < now:
            return moved, there, then, max(damping / 10, 1e-12)
        damping *= 10
    return None


def _of_rows(values: Array, error: RowsLoss) -> tuple[Array, Array]:
    """Slope and curvature of every row's loss in its output."""
    change = CHANGE * (float(values.std()) or 1.0)
    low, middle, high = (error.rows(values + sign * change) for sign in (-1, 0, 1))
    return (high - low) / (2 * change), (high - 2 * middle + low) / change**2
