"""Edges that one reading draws thin although they do much: a single one, which no rank correlation would notice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bundle import Analysis
from .scores import edge_scores

__all__ = ["FAINT", "STRONG", "Understated", "understated"]

FAINT = 0.1
"""Of the largest edge of the layer: a line drawn at a tenth of the width is taken for none."""
STRONG = 0.5
"""Of the largest effect of the layer: such an edge is among the first that a reader should see."""
SIZES = {"norm": "l2", "strength": "strength"}
"""Readings of a function alone, which say nothing of the layers above, and their scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Understated:
    """One edge.

    Attributes
    ----------
    layer, dst, src : int
        Its place.
    reading : str
        "norm" or "strength": where it is faint.
    size, effect : float
        Its reading and its KAN 2.0 score, in parts of the largest of the layer.
    score : float
        The KAN 2.0 score itself, the largest over the outputs.
    """

    layer: int
    dst: int
    src: int
    reading: str
    size: float
    effect: float
    score: float


def understated(analysis: Analysis) -> tuple[Understated, ...]:
    """Live edges that are faint by the size of their function and strong by their effect on an output.

    Parameters
    ----------
    analysis : Analysis
        Its scores.

    Returns
    -------
    tuple of Understated
        The worst first: by effect over size. An edge that both sizes understate is told by the smaller one.

    Notes
    -----
    A small function into a node that the next layer amplifies has a large effect; so has one that is steep just where
    the data are. Its rank may be wrong while the ranks of all others agree, so a rank correlation does not show it.
    """
    found: dict[tuple[int, int, int], Understated] = {}
    effects = edge_scores(analysis.scores, "kan2")
    for reading, name in SIZES.items():
        sizes = edge_scores(analysis.scores, name)
        for layer, (size, effect, table) in enumerate(zip(sizes, effects, analysis.trace.layers, strict=True)):
            alive = table.edges.alive
            top, most = np.max(size, where=alive, initial=0.0), np.max(effect, where=alive, initial=0.0)
            if not (top > 0 and most > 0):
                continue
            for dst, src in np.argwhere(alive & (size <= FAINT * top) & (effect >= STRONG * most)).tolist():
                edge = Understated(
                    layer=layer,
                    dst=dst,
                    src=src,
                    reading=reading,
                    size=float(size[dst, src] / top),
                    effect=float(effect[dst, src] / most),
                    score=float(effect[dst, src]),
                )
                before = found.get((layer, dst, src))
                if before is None or edge.size < before.size:
                    found[layer, dst, src] = edge
    return tuple(sorted(found.values(), key=lambda e: (e.size / e.effect, e.layer, e.dst, e.src)))
