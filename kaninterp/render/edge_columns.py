"""Edges of the network figure: which are drawn, their scores in columns, their curves as small integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaninterp.analysis.bundle import Analysis, LayerRanges
from kaninterp.analysis.missing import DRAWING_LIMIT
from kaninterp.core.frozen import Array, BoolArray, IntArray
from kaninterp.core.trace import LayerTrace

from .cells import Histogram
from .figure_nouns import Edges, LayerAxes
from .readings import DEFAULT, KEYS, edge_values

__all__ = ["CURVE_POINTS", "CURVE_STEPS", "edge_columns", "grid_histogram", "layer_axes", "window"]

MAX_DRAWN = 400
"""Edges drawn one by one: 400 thumbnails and lines are about half a megabyte."""
MAX_NEAR = 60
NEAR = 1.5
"""Edges within this factor of the plan's threshold are drawn too: they are the decisions to check."""
MAX_LISTED = 2500
"""Edges listed with their scores: about 60 bytes each."""
MAX_CURVES = MAX_DRAWN + MAX_NEAR
"""Edges whose curve is in the file: all that are drawn one by one; about 110 bytes each."""
CURVE_POINTS = 33
CURVE_STEPS = 1000
DIGITS = 4
Q_DIGITS = 2


@dataclass(frozen=True, slots=True, eq=False)
class _Flat:
    """Live edges of all layers in one row each, before sorting."""

    place: IntArray
    values: dict[str, Array]
    kept: BoolArray


def edge_columns(analysis: Analysis, axes: tuple[LayerAxes, ...]) -> Edges:
    """Live edges in columns: the drawn ones first, then by falling KAN 2.0 score."""
    flat = _flatten(analysis)
    order, drawn = _choose(analysis, flat)
    order = order[:MAX_LISTED]
    place = flat.place[order]
    curves = [_curve(analysis, axes, *map(int, row)) for row in place[:MAX_CURVES]]
    blank = len(order) - len(curves)
    straight = [analysis.straightness[layer] for layer, _, _ in place]
    available = tuple(key for key in KEYS if key in flat.values)
    return Edges(
        layer=tuple(map(int, place[:, 0])),
        dst=tuple(map(int, place[:, 1])),
        src=tuple(map(int, place[:, 2])),
        kept=tuple(map(bool, flat.kept[order])),
        readings=tuple(_column(flat.values[key][order]) for key in available),
        share=tuple(_share(analysis, *map(int, row)) for row in place),
        r2=tuple(_brief(st.linear_r2[d, s]) for st, (_, d, s) in zip(straight, place, strict=True)),
        cause=tuple(st.cause[d][s] for st, (_, d, s) in zip(straight, place, strict=True)),
        low=tuple(c[0] for c in curves) + (0.0,) * blank,
        high=tuple(c[1] for c in curves) + (0.0,) * blank,
        curve=tuple(c[2] for c in curves) + ((),) * blank,
        drawn=drawn,
        q=_q_values(analysis, place),
    )


def _column(values: Array) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else _brief(value) for value in values)


def _q_values(analysis: Analysis, place: IntArray) -> tuple[float | None, ...]:
    shadows = analysis.shadows
    if shadows is None or not shadows.edge_family:
        return ()
    q = shadows.edge_q_value
    return tuple(
        float(f"{q[layer][d, s]:.{Q_DIGITS}g}") if shadows.edge_tested[layer][d, s] else None for layer, d, s in place
    )


def _brief(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _flatten(analysis: Analysis) -> _Flat:
    layers = analysis.trace.layers
    places = [np.argwhere(layer.edges.alive) for layer in layers]
    place = np.concatenate([np.c_[np.full(len(p), i), p] for i, p in enumerate(places)]).astype(np.int64)
    values = {}
    for key in KEYS:
        per_layer = edge_values(analysis, key)
        if per_layer is not None:
            values[key] = np.concatenate(
                [v[layer.edges.alive] for v, layer in zip(per_layer, layers, strict=True)]
            ).astype(np.float64)
    kept = np.concatenate([m[layer.edges.alive] for m, layer in zip(analysis.plan.mask.layers, layers, strict=True)])
    return _Flat(place, values, kept)


def _share(analysis: Analysis, layer: int, dst: int, src: int) -> float:
    paths = analysis.scores[layer].path[:, dst, src]
    return _brief(paths[np.abs(paths).argmax()])


def _choose(analysis: Analysis, flat: _Flat) -> tuple[IntArray, int]:
    """Order of the edges, and how many of the first are drawn.

    Drawn are those from the drawing limit on, at most `MAX_DRAWN`, and those near the plan's cut.
    """
    score = flat.values[DEFAULT]
    order = np.lexsort((*flat.place.T[::-1], -score))
    visible = int((score[order] >= DRAWING_LIMIT).sum())
    if visible <= MAX_DRAWN:
        return order, visible
    near_places = {
        reason.place
        for reason in analysis.plan.reasons
        if reason.kind == "edge" and reason.threshold > 0 and reason.score >= reason.threshold / NEAR
    }
    later = order[MAX_DRAWN:]
    near = np.array([tuple(map(int, flat.place[i])) in near_places for i in later], dtype=bool)
    extra = later[near][:MAX_NEAR]
    rest = later[~np.isin(later, extra)]
    return np.concatenate([order[:MAX_DRAWN], extra, rest]), MAX_DRAWN + len(extra)


def layer_axes(layer: LayerTrace, ranges: LayerRanges, most: int) -> LayerAxes:
    """Window, trained zone and rug of the source nodes of a layer; rugs of the ``most`` strongest only."""
    domain, spans = ranges.domain, window(layer)
    strongest = set(map(int, np.argsort(-layer.edges.strength.max(0), kind="stable")[:most]))
    return LayerAxes(
        window=tuple((_brief(a), _brief(b)) for a, b in spans),
        domain=tuple((_brief(a), _brief(b)) for a, b in domain),
        rug=tuple(_rug(ranges, i, spans[i]) if i in strongest else () for i in range(len(spans))),
    )


def grid_histogram(ranges: LayerRanges, src: int, span: tuple[float, float]) -> Histogram:
    """Where data fell on the grid of a node, drawn over a span of its axis."""
    knots, before = ranges.knots[src], ranges.reference
    return Histogram(
        edges=tuple(map(_brief, (min(span[0], knots[0]), *knots, max(span[1], knots[-1])))),
        shares=_shares(ranges, src),
        seen=(float(ranges.seen[src, 0]), float(ranges.seen[src, 1])),
        reference=() if before is None else _shares(before, src),
    )


def _shares(ranges: LayerRanges, src: int) -> tuple[float, ...]:
    sides = ranges.sides[src]
    return tuple(map(_brief, (sides[:2].sum(), *ranges.intervals[src], sides[2:].sum())))


def window(layer: LayerTrace) -> Array:
    """What a thumbnail shows of the axis, shape (src, 2): the domain, one cell each side, and all that was seen."""
    knots, drawn = layer.ranges.knots, layer.edges.curve_x
    cell = (knots[:, -1] - knots[:, 0]) / (knots.shape[1] - 1)
    low = np.maximum(np.minimum(knots[:, 0] - cell, np.minimum(layer.inputs.low, knots[:, 0])), drawn[:, 0])
    high = np.minimum(np.maximum(knots[:, -1] + cell, np.maximum(layer.inputs.high, knots[:, -1])), drawn[:, -1])
    return np.stack([low, high], axis=1)


def _rug(ranges: LayerRanges, src: int, span: Array) -> tuple[tuple[float, float, float], ...]:
    """(low, high, share of rows) of each visited knot interval, and of what is drawn on each side of the domain."""
    rows = grid_histogram(ranges, src, (float(span[0]), float(span[1])))
    bins = zip(rows.edges[:-1], rows.edges[1:], rows.shares, strict=True)
    return tuple((low, high, share) for low, high, share in bins if share and high > low)


def _curve(
    analysis: Analysis, axes: tuple[LayerAxes, ...], layer: int, dst: int, src: int
) -> tuple[float, float, tuple[int, ...]]:
    """Range and quantised curve around the edge's mean over the data."""
    edges = analysis.trace.layers[layer].edges
    low, high = axes[layer].window[src]
    points = np.linspace(low, high, CURVE_POINTS)
    y = np.interp(points, edges.curve_x[src], edges.curves[dst, src]) - edges.mean[dst, src]
    bottom, top = float(y.min()), float(y.max())
    scale = (top - bottom) or 1.0
    steps = np.rint((y - bottom) / scale * CURVE_STEPS).astype(int)
    return _brief(bottom), _brief(top), tuple(map(int, steps))
