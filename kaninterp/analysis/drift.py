"""Whether distributions changed: of raw columns, and of the nodes of every KAN layer, against a card."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.range_card import RangeCard, SeenColumns, SeenLayer
from kaninterp.core.shapes import Shapes
from kaninterp.core.tables import NodeTable, RangeTable, zone_ends
from kaninterp.core.trace import LayerTrace, Trace
from kaninterp.core.watch import Watched, WatchedColumns

from .exceedance import exceedance
from .two_samples import ks_chance, mean_chance, psi_limit
from .wording import became

__all__ = [
    "ALPHA",
    "CUT",
    "DISTANCE",
    "SHIFT",
    "ShapeDrift",
    "ShapeDrifts",
    "column_drift",
    "layer_drift",
    "shape_drifts",
]

ALPHA = 0.01
"""Chance at which one column, or one node, of an unchanged law is named."""

SHIFT = 0.25
"""Shift of a mean, in standard deviations of the reference, from which it counts."""

DISTANCE = 0.1
"""Kolmogorov-Smirnov distance from which a changed distribution counts: a tenth of the rows lie elsewhere."""

WIDTH = 0.15
"""Wasserstein distance, in standard deviations of the reference, from which it counts too: a spread half as wide again
has .4, though its Kolmogorov-Smirnov distance is just .1."""

CUT = 0.1
"""Share of the rows of the reference beyond the present range from which a column is said to be cut."""

STRAYS = 0.01
"""Share of the present rows outside the range of the reference up to which a column may be called cut."""


ROUNDED = 1e-5
"""Part of a column's range to which a card knows its quantiles (`kaninterp.measure.sketch`)."""

ATOM = 1 / 32
"""Share of the rows at one value from which it is a bin of its own: half of what lies between two quantiles."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShapeDrift:
    """Distributions then and now, one entry per column or node.

    Attributes
    ----------
    names : tuple of str
    shift : ndarray
        Difference of the means, in standard deviations of the reference; 0 where that was constant.
    ks : ndarray
        Largest difference of the distribution functions at the quantiles of the reference and just below them, or at
        its knots.
    wasserstein : ndarray
        Mean distance that values have moved, in standard deviations of the reference.
    psi, limit : ndarray
        Population stability index, and what it exceeds by chance in 1 % of cases.
    cut : ndarray
        Share of the rows of the reference below the smallest or above the largest present value; 0 for nodes.
    chance : ndarray
        Of so large a shift or distance, if nothing changed.
    before, now : ndarray
        Independent rows of both.
    kind : tuple of str
        "cut", "moved", "changed", or "".
    became : tuple of str
        What became of a constant, "was constant at 2, now at 3"; "" of one that still is, and of all others. There is
        no standard deviation then to tell a shift in.
    large : ndarray of bool
        Whether there is a change that would matter, proven or not.
    sure : ndarray of bool
        Whether chance does not explain it for any of all entries together (Bonferroni).
    """

    names: tuple[str, ...]
    shift: Array
    ks: Array
    wasserstein: Array
    psi: Array
    limit: Array
    cut: Array
    chance: Array
    before: Array
    now: Array
    kind: tuple[str, ...]
    became: tuple[str, ...]
    large: BoolArray
    sure: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShapeDrifts:
    """Distributions then and now of everything that a card knows.

    Attributes
    ----------
    columns : ShapeDrift or None
        Of the raw columns; None where the card or the data have none.
    layers : tuple of ShapeDrift
        Of the input nodes of every KAN layer.
    """

    columns: ShapeDrift | None
    layers: tuple[ShapeDrift, ...]


def shape_drifts(trace: Trace, card: RangeCard, watched: Watched) -> ShapeDrifts:
    """Distributions of raw columns and of nodes, once for the findings and for the page."""
    return ShapeDrifts(columns=column_drift(card, watched, trace), layers=layer_drift(trace, card, watched))


def column_drift(card: RangeCard, watched: Watched, trace: Trace) -> ShapeDrift | None:
    """Distributions of the raw columns; None where the card or the data have none.

    Notes
    -----
    A column is named if the change is large enough to matter (`SHIFT`, `DISTANCE`, `WIDTH`, `CUT`), which does not
    depend on the number of rows, and if chance explains it in `ALPHA` of cases at most. Chance counts independent rows:
    a slow series is worth few, by the slower of both periods, since a short one looks faster than it is.
    """
    raw, columns = card.raw, watched.columns
    if raw is None or columns is None or raw.shapes is None or columns.shapes is None or trace.raw is None:
        return None
    before, now = _worth(raw.effective, card.rows, columns.effective, columns.shapes.rows, columns.steps)
    before = np.minimum(before, raw.shapes.rows)
    std = raw.nodes.std
    known, given = raw.shapes, columns.shapes
    moved = np.abs(_inner(known.quantiles) - _inner(given.quantiles))
    return _judged(
        names=raw.names,
        shift=_per(trace.raw.nodes.mean - raw.nodes.mean, std),
        ks=_distance(known, given),
        wasserstein=_per((moved[:, 1:] + moved[:, :-1]).mean(1) / 2, std),
        shares=_shares(known, given),
        cut=_cut(raw, columns),
        rows=(before, now),
        ends=(raw.nodes, trace.raw.nodes),
        looked=(raw.shapes.rows, columns.shapes.rows),
    )


def layer_drift(trace: Trace, card: RangeCard, watched: Watched) -> tuple[ShapeDrift, ...]:
    """Distributions of the input nodes of every KAN layer, counted on its own knots."""
    return tuple(
        _layer(card, depth, then, layer, worth)
        for depth, (then, layer, worth) in enumerate(zip(card.layers, trace.layers, watched.effective, strict=True))
    )


def _layer(card: RangeCard, depth: int, then: SeenLayer, layer: LayerTrace, worth: Array) -> ShapeDrift:
    counts = layer.inputs.count
    rows = _worth(then.effective, then.inputs.count, worth, counts, counts)
    old, new = _binned(then.ranges), _binned(layer.ranges)
    std = then.inputs.std
    gap = np.abs(np.cumsum(old, axis=1) - np.cumsum(new, axis=1))[:, :-1]
    return _judged(
        names=tuple(card.node_name(depth, i) for i in range(len(std))),
        shift=_per(layer.inputs.mean - then.inputs.mean, std),
        ks=gap.max(1),
        wasserstein=_per(_area(gap, then.ranges, then.inputs, layer.inputs), std),
        shares=(old, new),
        cut=np.zeros(len(std)),
        rows=rows,
        ends=(then.inputs, layer.inputs),
        looked=(then.inputs.count, counts),
    )


def _worth(before: Array, rows: int, now: Array, looked: int, seen: int) -> tuple[Array, Array]:
    """Independent rows on both sides, at the smaller worth of a row: a short series looks less slow than it is."""
    each = np.minimum(before / max(rows, 1), now / max(seen, 1))
    return np.minimum(before, each * rows), np.clip(each * seen, min(1, looked), looked)


def _per(values: Array, std: Array) -> Array:
    return np.divide(values, std, out=np.zeros(len(std)), where=std > 0)


def _inner(quantiles: Array) -> Array:
    """Quantiles with the two extremes drawn halfway in: the mean of a tail lies much nearer to its inner end."""
    ends = (quantiles[:, [0, -1]] + quantiles[:, [1, -2]]) / 2
    return np.concatenate([ends[:, :1], quantiles[:, 1:-1], ends[:, 1:]], axis=1)


def _distance(known: Shapes, given: Shapes) -> Array:
    """Largest difference of the distribution functions at the points, and just below them."""
    at: Array = np.abs(known.below - given.below).max(1)
    if known.under is None or given.under is None:
        return at
    under: Array = np.abs(known.under - given.under).max(1)
    return np.maximum(at, under)


def _shares(known: Shapes, given: Shapes) -> tuple[Array, Array]:
    """Shares between the points, and beyond the last; a point that many rows share is a bin of its own."""
    old, new = known.below, given.below
    if known.under is not None and given.under is not None:
        alone = np.maximum(old - known.under, new - given.under) >= ATOM
        old, new = (
            np.stack([np.where(alone, under, below), below], axis=2).reshape(len(alone), -1)
            for under, below in ((known.under, old), (given.under, new))
        )
    levels = (np.maximum.accumulate(side, axis=1) for side in (old, new))  # points repeat where many rows are at one
    first, second = (np.diff(side, axis=1, prepend=0.0, append=1.0) for side in levels)
    return first, second


def _cut(raw: SeenColumns, columns: WatchedColumns) -> Array:
    """Share of the reference that for sure lies outside what is seen now, on the side where more of it does.

    None where values lie outside the range of the reference: that is no cut but another place.
    """
    assert raw.shapes is not None  # noqa: S101 - for the type checker
    points, below = raw.shapes.quantiles, raw.shapes.below
    before = below if raw.shapes.under is None else raw.shapes.under
    size = np.where(np.ptp(points, axis=1) > 0, np.ptp(points, axis=1), np.abs(points[:, 0]))
    # points are rounded, the present range is not: an atom at its end is no part that was cut off
    low, high = columns.counts.low - ROUNDED * size, columns.counts.high + ROUNDED * size
    under = np.where(points < low[:, None], below, 0.0).max(1)
    beyond = points > high[:, None]
    over = 1.0 - np.minimum(np.where(beyond, before, 1.0), np.where(points >= high[:, None], below, 1.0)).min(1)
    return np.where(columns.counts.outside > STRAYS, 0.0, np.maximum(under, over))


def _binned(table: RangeTable) -> Array:
    """Shares of the rows below the fringe, in it, in each knot interval, and on the other side, (src, G + 4)."""
    counts = np.concatenate([table.outside[:, :2], table.intervals, table.outside[:, 2:]], axis=1)
    return np.asarray(counts / np.maximum(table.count, 1)[:, None])


def _area(gap: Array, table: RangeTable, then: NodeTable, now: NodeTable) -> Array:
    """Integral of the difference of the distribution functions, known at the ends of the bins, straight in between."""
    ends = zone_ends(table.knots, table.order)
    low, high = np.minimum(then.low, now.low)[:, None], np.maximum(then.high, now.high)[:, None]
    points = np.concatenate([np.minimum(low, ends[:, :1]), ends, np.maximum(high, ends[:, -1:])], axis=1)
    heights = np.pad(gap, ((0, 0), (1, 1)))
    area: Array = (np.diff(points, axis=1) * (heights[:, 1:] + heights[:, :-1]) / 2).sum(1)
    return area


def _judged(
    *, names: tuple[str, ...], shift: Array, ks: Array, wasserstein: Array, shares: tuple[Array, Array],
    cut: Array, rows: tuple[Array, Array], looked: tuple[int, int], ends: tuple[NodeTable, NodeTable],
) -> ShapeDrift:  # fmt: skip
    before, now = rows
    count = len(names)
    of_mean = np.array([mean_chance(*map(float, item)) for item in zip(shift, before, now, strict=True)])
    of_shape = np.array([ks_chance(*map(float, item)) for item in zip(ks, before, now, strict=True)])
    # so much of the old rows beyond all of the new ones, at either end
    of_cut = np.array([2 * exceedance(n, m, c * m) for c, m, n in zip(cut.tolist(), before, now, strict=True)])
    tests = {
        "cut": (of_cut, cut >= CUT),
        "moved": (of_mean, np.abs(shift) >= SHIFT),
        "changed": (of_shape, (ks >= DISTANCE) | (wasserstein >= WIDTH)),
    }
    chances = np.stack([np.where(matters, chance, 1.0) for chance, matters in tests.values()])
    chance = np.minimum(len(tests) * chances.min(0, initial=1.0), 1.0) if count else np.zeros(0)
    first = [int(i) for i in (chances * len(tests) <= ALPHA).argmax(0)] if count else []
    kind = tuple(list(tests)[k] if chance[i] <= ALPHA else "" for i, k in enumerate(first))
    psi, limit = _psi(shares, looked, rows)
    matters = np.any([large for _, large in tests.values()], axis=0)
    return ShapeDrift(
        names=names, shift=shift, ks=ks, wasserstein=wasserstein, psi=psi, limit=limit, cut=cut, chance=chance,
        before=before, now=now, kind=kind, became=_became(*ends), large=matters, sure=chance <= ALPHA / max(count, 1),
    )  # fmt: skip


def _became(then: NodeTable, now: NodeTable) -> tuple[str, ...]:
    both = ((side.low.tolist(), side.high.tolist()) for side in (then, now))
    return tuple(became(*ends) for ends in zip(*(list(zip(*side, strict=True)) for side in both), strict=True))


def _psi(shares: tuple[Array, Array], looked: tuple[int, int], rows: tuple[Array, Array]) -> tuple[Array, Array]:
    """Index over the bins that either side visited, half a row in an empty one, and its limit under chance."""
    used = (shares[0] > 0) | (shares[1] > 0)
    old, new = (np.where(used, np.maximum(share, 0.5 / n), 1.0) for share, n in zip(shares, looked, strict=True))
    psi: Array = ((new - old) * np.log(new / old)).sum(1)
    limit = np.array([psi_limit(int(k), float(m), float(n)) for k, m, n in zip(used.sum(1), *rows, strict=True)])
    return psi, limit
