"""Edges over their domain, every value alike: the uniform measure, whatever the data look like."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kaninterp.core.frozen import Array
from kaninterp.core.trace import LayerTrace

__all__ = ["over_domain"]

Curves = tuple[Array, Array, Array]


def over_domain(layer: LayerTrace, curves: Array) -> Iterator[Curves]:
    """For each input of a layer: points (P,), traced curves (dst, src, P) at them (dst, P), and weights (P,).

    The weights sum to 1; weighted sums are means over the domain by the trapezoid rule on the traced curve, cut at the
    ends of the domain (the curve goes on into the fringe).
    """
    for src, (low, high) in enumerate(layer.ranges.knots[:, [0, -1]]):
        yield _between(layer.edges.curve_x[src], curves[:, src], float(low), float(high))


def _between(x: Array, curves: Array, low: float, high: float) -> Curves:
    if not low < high:
        return np.array([low]), _at(low, x, curves), np.ones(1)
    inside = (x > low) & (x < high)
    points = np.concatenate([[low], x[inside], [high]])
    values = np.concatenate([_at(low, x, curves), curves[:, inside], _at(high, x, curves)], axis=1)
    steps = np.diff(points) / (2 * (high - low))
    return points, values, np.append(steps, 0.0) + np.append(0.0, steps)


def _at(point: float, x: Array, curves: Array) -> Array:
    """Curves (dst, P) at one point by linear interpolation, shape (dst, 1); held at their ends."""
    right = int(np.clip(np.searchsorted(x, point), 1, len(x) - 1))
    part = np.clip((point - x[right - 1]) / (x[right] - x[right - 1]), 0.0, 1.0)
    return np.asarray(curves[:, right - 1 : right] * (1 - part) + curves[:, right : right + 1] * part)
