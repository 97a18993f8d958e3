"""Where the inputs of each layer fell: trained zone, fringe, dead zone, and how much of the grid was used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kaninterp.core.range_card import RangeCard, SeenLayer
from kaninterp.core.trace import LayerTrace, Trace

from .bundle import LayerRanges
from .grid_use import effective_intervals, grid_states, spread

__all__ = ["layer_ranges", "ranges_of"]


def layer_ranges(trace: Trace, reference: Trace | RangeCard | None = None) -> tuple[LayerRanges, ...]:
    """Zones and coverage of every source node, with the same for reference data beside it.

    Parameters
    ----------
    trace : Trace
        Of the data in question.
    reference : Trace or RangeCard, optional
        Of the same model over other data, usually those it was trained on.

    Raises
    ------
    ShapeError
        The reference is of another model.
    NamesError
        The raw columns are not those of the card, in its order.
    """
    here = tuple(ranges_of(layer) for layer in trace.layers)
    if reference is None:
        return here
    trace.card.check_reference(reference.card)
    if isinstance(reference, RangeCard) and trace.raw is not None:
        reference.check_columns(trace.raw.names)
    there = tuple(ranges_of(layer) for layer in reference.layers)
    return tuple(replace(mine, reference=theirs) for mine, theirs in zip(here, there, strict=True))


def ranges_of(layer: LayerTrace | SeenLayer) -> LayerRanges:
    """Zones and use of the grid of one layer."""
    table, nodes = layer.ranges, layer.inputs
    trained, fringe, dead = table.zones.T
    rows = np.maximum(table.count, 1)[:, None]
    return LayerRanges(
        knots=table.knots,
        intervals=table.intervals / rows,
        trained=trained,
        fringe=fringe,
        dead=dead,
        sides=table.outside / rows,
        coverage=table.coverage,
        effective=effective_intervals(table),
        spread=spread(table, nodes),
        state=grid_states(table, nodes),
        seen=np.stack([nodes.low, nodes.high], axis=1),
    )
