"""Losses with an edge's contribution moved in time: only the layers above it run again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from kaninterp.core.frozen import Array, IntArray
from kaninterp.measure.host import by_row
from kaninterp.measure.probe_ablation import groups, outputs_above
from kaninterp.measure.probe_means import EdgeMeans
from kaninterp.measure.probe_replay import Chunk, Replay
from kaninterp.measure.tracing import PROGRESS_DELAY

__all__ = ["EdgeLosses", "Source", "edge_losses", "row_price", "sources"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """The edges out of one node that are alive and vary; they are measured together.

    Attributes
    ----------
    depth, src : int
        The layer and the node.
    dst : ndarray of int, shape (v,)
        Where the edges end.
    weight : float
        Largest part that one of them has in the spread of its node: sources of large parts go first.
    price : int
        Edges evaluated for one row and one shadow of all of them.
    """

    depth: int
    src: int
    dst: IntArray
    weight: float
    price: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeLosses:
    """Mean losses for the edges of one source.

    Attributes
    ----------
    source : Source
    removed : ndarray, shape (v,)
        Each edge alone at its mean.
    shadows : ndarray, shape (S, v)
        Each edge alone moved in time.
    together : ndarray, shape (S,)
        All of them moved at once, as if the source had moved.
    """

    source: Source
    removed: Array
    shadows: Array
    together: Array


def sources(edges: EdgeMeans, rerun: int) -> tuple[Source, ...]:
    """All sources, those with the largest parts first.

    Parameters
    ----------
    edges : EdgeMeans
        Which edges vary.
    rerun : int
        Price of one row through the whole model where it goes on after its KAN, else 0.
    """
    found = []
    for depth, moving in enumerate(edges.moving):
        spread = _parts(edges, depth)
        for src in np.flatnonzero(moving.any(0)):
            dst = np.flatnonzero(moving[:, src])
            price = row_price(edges.replay, depth, len(dst), rerun)
            weight = float(spread[dst, src].max())
            found.append(Source(depth=depth, src=int(src), dst=dst, weight=weight, price=price))
    return tuple(sorted(found, key=lambda s: (-s.weight, s.depth, s.src)))


def row_price(replay: Replay, depth: int, edges: int, rerun: int) -> int:
    """Edges evaluated for one row and one shadow of ``edges`` edges out of one node of a layer."""
    sizes = [layer.dst * layer.src for layer in replay.view.layers]
    next_layer = sizes[depth + 1] if depth + 1 < len(sizes) else 0
    return next_layer + (edges + 1) * (sum(sizes[depth + 2 :]) + replay.view.layers[-1].dst + rerun)


def edge_losses(
    edges: EdgeMeans, chosen: tuple[Source, ...], orders: IntArray, axis: int, progress: bool
) -> Iterator[EdgeLosses]:
    """Measure the edges of some sources; call it inside `untouched`.

    Parameters
    ----------
    edges : EdgeMeans
        The intact model on its rows.
    chosen : tuple of Source
    orders : ndarray of int, shape (S, rows)
        How the rows are moved.
    axis : int
        How steps are ordered where the KAN reads several of a row, see `kaninterp.measure.host.row_axis`.
    progress : bool
    """
    replay = edges.replay
    index = [torch.from_numpy(order) for order in orders]
    steps = tqdm(chosen, desc="shadow edges", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    for source in steps:
        series = torch.cat([_series(replay, chunk, source, axis) for chunk in replay.chunks])
        mean = torch.from_numpy(edges.means[source.depth][source.dst, source.src]).to(series)
        totals, start = np.zeros((1 + len(index), len(source.dst) + 1)), 0
        for chunk in replay.chunks:
            rows = slice(start, start + chunk.rows)
            here = series[rows]
            for part in groups(1 + len(index), _values(replay, chunk, source)):
                wanted = range(*part.indices(1 + len(index)))
                given = [mean - here if k == 0 else series[index[k - 1][rows]] - here for k in wanted]
                totals[part] += _sums(replay, chunk, source, torch.stack([_flat(g, axis) for g in given]))
            start = rows.stop
        totals /= replay.rows
        yield EdgeLosses(source=source, removed=totals[0, :-1], shadows=totals[1:, :-1], together=totals[1:, -1])


def _series(replay: Replay, chunk: Chunk, source: Source, axis: int) -> Tensor:
    """Contributions of the edges of a source, (rows, steps, v)."""
    values = replay.view.layers[source.depth].edges(chunk.nodes[source.depth])[:, source.dst, source.src]
    return by_row(values, chunk.rows, axis)


def _flat(values: Tensor, axis: int) -> Tensor:
    """Rows and steps in the order of the chunk's nodes, (rows, steps, v) -> (m, v)."""
    return (values if axis == 0 else values.transpose(0, 1)).flatten(0, 1)


def _values(replay: Replay, chunk: Chunk, source: Source) -> int:
    """Numbers held for one variant."""
    layers = replay.view.layers
    wide = 1 if source.depth + 1 == len(layers) else layers[source.depth + 1].dst * layers[source.depth + 1].src
    return len(chunk.nodes[-1]) * max(wide, *(layer.dst for layer in layers))


def _sums(replay: Replay, chunk: Chunk, source: Source, steps: Tensor) -> Array:
    """Summed losses when each edge alone moves its node by ``steps`` (variants, m, v), and then all of them at once.

    Shape (variants, v + 1).
    """
    view, above = replay.view, source.depth + 1
    carried = None if above == len(view.layers) else _carried(replay, chunk, source, steps)
    result = np.zeros((len(steps), len(source.dst) + 1))
    for column, places in enumerate([*([i] for i in range(len(source.dst))), list(range(len(source.dst)))]):
        if carried is None:
            outputs = chunk.nodes[-1].repeat(len(steps), 1, 1)
            outputs[:, :, source.dst[places]] += steps[:, :, places]
        else:
            outputs = outputs_above(view, above + 1, chunk.nodes[above + 1] + carried[:, :, :, places].sum(-1))
        result[:, column] = replay.losses(chunk, outputs).sum(1)
    return result


def _carried(replay: Replay, chunk: Chunk, source: Source, steps: Tensor) -> Tensor:
    """What the next layer's nodes change by, (variants, m, dst of the next layer, v).

    One evaluation of that layer's edges serves all edges of the source: each moves a node of its own.
    """
    layer, nodes = replay.view.layers[source.depth + 1], chunk.nodes[source.depth + 1]
    places = torch.from_numpy(source.dst).to(nodes.device)
    moved = nodes.repeat(len(steps), 1, 1)
    moved[:, :, places] += steps
    after = layer.edges(moved.flatten(0, 1))[:, :, places]
    before = layer.edges(nodes)[:, :, places]
    return after.reshape(*moved.shape[:2], *before.shape[1:]) - before


def _parts(edges: EdgeMeans, depth: int) -> Array:
    """Standard deviation of each edge over that of its node, (dst, src); 0 where nothing varies."""
    replay = edges.replay
    layer = replay.view.layers[depth]
    squares, nodes, count = np.zeros(layer.alive.shape), np.zeros(layer.alive.shape[0]), 0
    centre = np.concatenate([c.nodes[depth + 1].double().cpu().numpy() for c in replay.chunks]).mean(0)
    for chunk in replay.chunks:
        squares += edges.moved(chunk, depth).double().square().sum(0).cpu().numpy()
        nodes += np.square(chunk.nodes[depth + 1].double().cpu().numpy() - centre).sum(0)
        count += len(chunk.nodes[depth])
    return np.sqrt(np.divide(squares, nodes[:, None], out=np.zeros_like(squares), where=nodes[:, None] > 0))
