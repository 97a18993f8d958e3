"""Where the inputs of each layer fell: trained zone, fringe, dead zone, and how much of the grid was used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kaninterp.core.errors import ShapeError
from kaninterp.core.trace import LayerTrace, Trace

from .bundle import LayerRanges
from .grid_use import effective_intervals, grid_states, spread

__all__ = ["check_reference", "layer_ranges", "ranges_of"]


def layer_ranges(trace: Trace, reference: Trace | None = None) -> tuple[LayerRanges, ...]:
    """Zones and coverage of every source node, with the same for reference data beside it.

    Parameters
    ----------
    trace : Trace
        Of the data in question.
    reference : Trace, optional
        Of the same model over other data, usually those it was trained on.

    Raises
    ------
    ShapeError
        The reference is a trace of another model.
    """
    here = tuple(ranges_of(layer) for layer in trace.layers)
    if reference is None:
        return here
    check_reference(trace, reference)
    there = tuple(ranges_of(layer) for layer in reference.layers)
    return tuple(replace(mine, reference=theirs) for mine, theirs in zip(here, there, strict=True))


def check_reference(trace: Trace, reference: Trace) -> None:
    """Raise `ShapeError` unless both traces are of one model (same weights, hence same knots)."""
    if trace.card.fingerprint != reference.card.fingerprint or trace.card.widths != reference.card.widths:
        raise ShapeError(
            f"reference: traced on another model ({reference.card.head} {list(reference.card.widths)} "
            f"{reference.card.fingerprint[:12]}) than the data ({trace.card.head} {list(trace.card.widths)} "
            f"{trace.card.fingerprint[:12]}); trace both data sets with the same model"
        )


def ranges_of(layer: LayerTrace) -> LayerRanges:
    """Zones and use of the grid of one layer."""
    table, nodes = layer.ranges, layer.inputs
    trained, fringe, dead = table.zones.T
    return LayerRanges(
        trained=trained,
        fringe=fringe,
        dead=dead,
        sides=table.outside / np.maximum(table.count, 1)[:, None],
        coverage=table.coverage,
        effective=effective_intervals(table),
        spread=spread(table, nodes),
        state=grid_states(table, nodes),
        domain=table.knots[:, [0, -1]],
        seen=np.stack([nodes.low, nodes.high], axis=1),
    )
