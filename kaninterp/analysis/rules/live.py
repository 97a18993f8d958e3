"""Scores of live edges, and the reasons of rules that hold each edge against one number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kaninterp.analysis.plans import reason
from kaninterp.analysis.scores import edge_scores, layer_scores, score_named
from kaninterp.analysis.wording import number
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.plan import Reason
from kaninterp.core.trace import Trace

from .protocol import Scores

__all__ = ["edge_reasons", "live_scores"]


def live_scores(trace: Trace, scores: Scores | None, name: str) -> tuple[Array, ...]:
    """One number >= 0 per edge (see `edge_scores`), 0 for a masked one; (dst, src) per layer."""
    values = edge_scores(layer_scores(trace) if scores is None else scores, name)
    return tuple(np.where(layer.edges.alive, v, 0.0) for layer, v in zip(trace.layers, values, strict=True))


def edge_reasons(
    trace: Trace, values: Sequence[Array], wanted: Sequence[BoolArray], *, score: str, threshold: float, held: str
) -> list[Reason]:
    """Reasons for the live edges that are not wanted; ``held`` says what they were held against."""
    outputs = " for every output" if score_named(score).per_output and len(trace.output_names) > 1 else ""
    return [
        reason(
            "edge",
            (layer, int(dst), int(src)),
            f"{score} {number(value[dst, src])}{outputs}, {held}",
            score=value[dst, src],
            threshold=threshold,
        )
        for layer, (value, keep) in enumerate(zip(values, wanted, strict=True))
        for dst, src in np.argwhere(trace.layers[layer].edges.alive & ~keep)
    ]
