"""How straight each edge is on the data, and why: most "y = x" edges of a hybrid are no discovery."""

from __future__ import annotations

import numpy as np

from kaninterp.core.frozen import Array
from kaninterp.core.trace import LayerTrace, Trace

from .attribution import strength
from .bundle import LayerStraightness
from .over_domain import over_domain

__all__ = ["OUTSIDE_MOSTLY", "OUTSIDE_PARTLY", "STRAIGHT_R2", "layer_straightness"]

STRAIGHT_R2 = 0.99
"""Straight from here on: what is left over has a tenth of the edge's standard deviation, which no eye tells from a
line. For scale: silu on [-1, 1] has 0.94, tanh on [-1, 1] 0.99, x^3 0.84, sin(pi x) 0.61 (uniform data)."""

OUTSIDE_MOSTLY = 0.5
"""Share of rows outside the trained zone above which a straight edge is blamed on the domain."""

OUTSIDE_PARTLY = 0.05
"""Share of rows outside above which both are to blame ("mixed"): 5 % of rows at the ends can hold half the variance."""


def layer_straightness(trace: Trace) -> tuple[LayerStraightness, ...]:
    """Linear R^2 and cause for every edge.

    ``linear_r2`` is the squared correlation of phi_ji(x_i) with x_i over the data; it comes from co-moments, so it
    is exact and needs no row.
    """
    return tuple(
        _straightness(layer, weights, nodes.m2)
        for layer, weights, nodes in zip(trace.layers, strength(trace), trace.nodes, strict=False)
    )


def _straightness(layer: LayerTrace, weights: Array, input_m2: Array) -> LayerStraightness:
    varies = weights > 0
    scale = np.where(varies, layer.edges.m2 * input_m2[None, :], 1.0)
    # products of tiny moments may underflow to 0 although both vary; then nothing can be said
    known = varies & (scale > 0)
    r2 = np.where(known, np.divide(layer.edges.with_input**2, scale, out=np.zeros(scale.shape), where=known), 0.0)
    r2 = np.clip(r2, 0.0, 1.0)
    straight = r2 >= STRAIGHT_R2
    outside = 1.0 - layer.ranges.zones[:, 0]
    whole = _domain_r2(layer)
    bent = whole < STRAIGHT_R2
    cause = tuple(
        tuple(
            _cause(
                bool(layer.edges.alive[j, i]),
                bool(varies[j, i]),
                bool(straight[j, i]),
                outside=float(outside[i]),
                bent=bool(bent[j, i]),
            )
            for i in range(r2.shape[1])
        )
        for j in range(r2.shape[0])
    )
    r2.flags.writeable = whole.flags.writeable = straight.flags.writeable = False
    return LayerStraightness(linear_r2=r2, domain_r2=whole, cause=cause, straight=straight)


def _domain_r2(layer: LayerTrace) -> Array:
    """Squared correlation of phi_ji with its argument over the domain, every value alike."""
    columns = []
    for points, values, weights in over_domain(layer):
        dx, dy = points - points @ weights, values - (values @ weights)[:, None]
        scale = (dy**2 @ weights) * (dx**2 @ weights)
        columns.append(np.divide((dy * dx @ weights) ** 2, scale, out=np.zeros(len(dy)), where=scale > 0))
    return np.asarray(np.clip(np.stack(columns, axis=1), 0.0, 1.0))


def _cause(alive: bool, varies: bool, straight: bool, *, outside: float, bent: bool) -> str:
    if not alive:
        return "masked"
    if not varies:
        return "constant"
    if not straight:
        return ""
    if outside > OUTSIDE_MOSTLY:
        return "out-of-domain"
    if outside > OUTSIDE_PARTLY:
        return "mixed"
    return "under-used" if bent else "linear"
