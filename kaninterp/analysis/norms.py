"""Magnitude of edge functions, whatever the data: norms of the traced curve over its domain.

The uniform measure on the domain stands for the data, so these are what a penalty on the function shrinks. Each is
taken about the function's own mean, for a constant may be moved to another edge of the node and means nothing
(law 6); what is left of a constant by rounding counts as 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kaninterp.core.frozen import Array
from kaninterp.core.trace import LayerTrace, Trace

from .attribution import ROUNDING
from .over_domain import over_domain

__all__ = ["absolute_norm", "coefficient_norm", "spline_basis"]


def absolute_norm(trace: Trace) -> tuple[Array, ...]:
    """Mean absolute value of each edge function about its mean, uniform on its domain; shape (dst, src) per layer.

    The L1 companion of `kaninterp.analysis.attribution.function_norm` (trapezoid rule on the traced curve).
    """
    return tuple(_per_source(layer, _mean_absolute) for layer in trace.layers)


def coefficient_norm(trace: Trace) -> tuple[Array, ...]:
    """Root mean square of each edge's B-spline coefficients about their mean; shape (dst, src) per layer.

    The coefficients are fitted to the traced curve inside the domain, base branch included, on the layer's knots:
    for a `KANHead` without base branch they are its own. So an edge that lives on its base branch counts, and edges
    of any family of KAN can be compared. Coefficients bound the function (de Boor, "A Practical Guide to
    Splines", 2001, XI): the norm is small only where the function is nearly constant.
    """
    return tuple(_per_source(layer, _rms_of_coefficients) for layer in trace.layers)


def spline_basis(x: Array, knots: Array, order: int) -> Array:
    """B-splines of an order on inner knots, shape (points, intervals + order), by the Cox-de Boor recursion.

    Parameters
    ----------
    x : ndarray, shape (points,)
        Inside the domain.
    knots : ndarray, shape (G + 1,)
        Inner knots, ascending; extended on both sides by cells of the mean width, as in a `KANLayer`.
    order : int
        Degree of the polynomials.

    Examples
    --------
    >>> basis = spline_basis(np.linspace(0, 1, 9), np.linspace(0, 1, 5), 3)
    >>> basis.shape, bool(np.allclose(basis.sum(1), 1))
    ((9, 7), True)
    """
    steps = np.arange(1, order + 1) * (knots[-1] - knots[0]) / (len(knots) - 1)
    t = np.concatenate([knots[0] - steps[::-1], knots, knots[-1] + steps])
    # the last knot belongs to the last cell
    cell = np.clip(np.searchsorted(t, x, side="right") - 1, order, len(t) - order - 2)
    basis = (np.arange(len(t) - 1) == cell[:, None]).astype(float)
    for k in range(1, order + 1):
        rising = (x[:, None] - t[: -k - 1]) / (t[k:-1] - t[: -k - 1])
        falling = (t[k + 1 :] - x[:, None]) / (t[k + 1 :] - t[1:-k])
        basis = rising * basis[:, :-1] + falling * basis[:, 1:]
    return np.asarray(basis)


Size = Callable[[Array, Array, Array, Array, int], Array]
"""From points (P,), curves (dst, P), weights (P,), knots and order to one number per curve."""


def _per_source(layer: LayerTrace, size: Size) -> Array:
    columns = []
    for (x, curves, weights), knots in zip(over_domain(layer, layer.edges.curves), layer.ranges.knots, strict=True):
        values = size(x, curves, weights, knots, layer.ranges.order)
        columns.append(np.where(values > ROUNDING * np.abs(curves).max(1), values, 0.0))
    return np.where(layer.edges.alive, np.stack(columns, axis=1), 0.0)


def _mean_absolute(x: Array, curves: Array, weights: Array, knots: Array, order: int) -> Array:
    del x, knots, order
    return np.asarray(np.abs(curves - (curves @ weights)[:, None]) @ weights)


def _rms_of_coefficients(x: Array, curves: Array, weights: Array, knots: Array, order: int) -> Array:
    del weights
    solution = np.linalg.lstsq(spline_basis(x, knots, order), curves.T, rcond=None)[0]
    return np.asarray(solution.std(0))
