"""Exact prices of edges: each alone is replaced by its mean, and the loss is measured again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from kaninterp.adapters import ModelView
from kaninterp.core.frozen import Array, IntArray
from kaninterp.measure.probe_means import EdgeMeans
from kaninterp.measure.probe_replay import Chunk, Replay

__all__ = ["ablation_changes", "groups", "outputs_above"]

VARIANT_VALUES = 2**22
"""Node values of all variants of the KAN that are evaluated at once, at most (16 MB in float32)."""


def ablation_changes(
    replay: Replay, chunk: Chunk, edges: EdgeMeans, depth: int, tick: Callable[[], object]
) -> Iterator[tuple[int, IntArray, Array]]:
    """Loss of every row with one edge of a layer replaced by its mean.

    Parameters
    ----------
    replay, chunk
        The intact model, and the rows.
    edges : EdgeMeans
        What edges are replaced by; constant ones are left out, they cost nothing.
    depth : int
        The layer.
    tick : callable
        Called once for every source node done.

    Yields
    ------
    src : int
    dst : ndarray of int, shape (v,)
    losses : ndarray, shape (v, rows)
    """
    view, last = replay.view, depth + 1 == len(replay.view.layers)
    moved = edges.moved(chunk, depth)
    values = chunk.nodes[depth + 1]
    above = None if last else view.layers[depth + 1].edges(values)
    for src, column in enumerate(edges.moving[depth].T):
        dst = np.flatnonzero(column)
        if len(dst):
            step = (
                moved[:, :, src] if above is None else view.layers[depth + 1].edges(values + moved[:, :, src]) - above
            )
            for part in groups(len(dst), chunk.nodes[-1].numel()):
                places = torch.from_numpy(dst[part]).to(values.device)
                outputs = _one_node(values, step, places) if last else _above(view, chunk, depth + 2, step, places)
                yield src, dst[part], replay.losses(chunk, outputs)
        tick()


def outputs_above(view: ModelView, depth: int, values: Tensor) -> Tensor:
    """The KAN's outputs for v variants of the nodes of one layer, ``(v, m, width) -> (v, m, out)``."""
    flat = values.flatten(0, 1)
    for layer in view.layers[depth:]:
        flat = layer(flat)
    return flat.reshape(*values.shape[:2], -1)


def groups(count: int, values: int) -> Iterator[slice]:
    """Cut ``count`` variants of ``values`` numbers each so that memory stays bounded."""
    size = max(1, VARIANT_VALUES // max(values, 1))
    return (slice(start, start + size) for start in range(0, count, size))


def _one_node(values: Tensor, moved: Tensor, places: Tensor) -> Tensor:
    """Outputs (m, out) with one of them moved in each variant."""
    variants = values.repeat(len(places), 1, 1)
    variants[torch.arange(len(places), device=places.device), :, places] += moved[:, places].T
    return variants


def _above(view: ModelView, chunk: Chunk, depth: int, step: Tensor, places: Tensor) -> Tensor:
    """Outputs when one node below layer ``depth`` moves, which reaches it through edges ``step`` (m, dst, src) only.

    So one evaluation of the layer's edges, each source moved by the edge ablated there, serves all of them.
    """
    return outputs_above(view, depth, chunk.nodes[depth] + step[:, :, places].permute(2, 0, 1))
