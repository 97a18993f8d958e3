"""What removing means: every edge is replaced by its mean over the probed rows, and so moves its node."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kaninterp.core.frozen import Array, BoolArray
from kaninterp.measure.probe_replay import Chunk, Replay

__all__ = ["EdgeMeans"]

ROUNDING = 8
"""Units in the last place of its size within which an edge is constant: the rounding of a sum of basis functions."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeMeans:
    """Means of all edges over the held rows.

    Attributes
    ----------
    replay : Replay
        The intact model on these rows.
    means : tuple of ndarray, one per layer, each (dst, src)
        Mean of every edge; 0 for a masked one.
    moving : tuple of ndarray of bool, one per layer, each (dst, src)
        Edges that are alive and not constant on these rows.
    """

    replay: Replay
    means: tuple[Array, ...]
    moving: tuple[BoolArray, ...]

    @classmethod
    def of(cls, replay: Replay) -> EdgeMeans:
        """Measure them, in one pass."""
        layers = [_over_chunks(replay, depth) for depth in range(len(replay.view.layers))]
        return cls(replay=replay, means=tuple(mean for mean, _ in layers), moving=tuple(moves for _, moves in layers))

    def moved(self, chunk: Chunk, depth: int) -> Tensor:
        """By how much each edge of a layer moves its node on each row when it is removed, (m, dst, src)."""
        edges = _edges(self.replay, chunk, depth)
        return torch.from_numpy(self.means[depth]).to(edges) - edges

    def players(self, depth: int) -> BoolArray:
        """Nodes of a layer whose removal changes anything, shape (src,)."""
        return np.asarray(self.moving[depth].any(0))


def _over_chunks(replay: Replay, depth: int) -> tuple[Array, BoolArray]:
    layer, count = replay.view.layers[depth], 0
    total = np.zeros(layer.alive.shape)
    low, high = total + np.inf, total - np.inf
    for chunk in replay.chunks:
        edges = _edges(replay, chunk, depth)
        total += edges.double().sum(0).cpu().numpy()
        count += len(edges)
        low = np.minimum(low, edges.amin(0).double().cpu().numpy())
        high = np.maximum(high, edges.amax(0).double().cpu().numpy())
    resolution = ROUNDING * torch.finfo(replay.chunks[0].nodes[depth].dtype).eps
    moving = layer.alive & (high - low > resolution * np.maximum(np.abs(low), np.abs(high)))
    return total / count, np.asarray(moving)


def _edges(replay: Replay, chunk: Chunk, depth: int) -> Tensor:
    return replay.view.layers[depth].edges(chunk.nodes[depth])
