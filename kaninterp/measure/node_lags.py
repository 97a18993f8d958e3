"""Which lag of which column moves every node of a KAN: by gradients, or by occlusion where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.adapters import ModelView
from kaninterp.core.frozen import Array
from kaninterp.data import Batch
from kaninterp.measure.host import output_tensor, run, watched
from kaninterp.measure.rows import Rows
from kaninterp.measure.sampled import occluded
from kaninterp.measure.tracing import PROGRESS_DELAY

__all__ = ["column_means", "node_lags"]

NODE_ROWS = 64
"""Rows whose gradients are averaged for each node of the KAN."""


def node_lags(model: nn.Module, view: ModelView, held: Rows, progress: bool) -> tuple[Array, ...]:
    """Which lag of which column moves every node of the KAN: one (n_l, T, F) per layer.

    Mean |gradient x deviation from the column's mean|; where a node that columns move has no gradient, the mean change
    of every node when the cell takes its column's mean. A node that integer inputs alone move has zeros.
    """
    few = replace(held, batch=held.batch.rows(slice(None, None, max(1, held.n // NODE_ROWS))))
    means = column_means(held)
    found, flat = _node_slopes(model, view, few, means, progress)
    return _node_changes(model, view, few, means) if flat and _moved(model, view, few, means, flat) else found


def _node_slopes(
    model: nn.Module, view: ModelView, few: Rows, means: Sequence[Tensor], progress: bool
) -> tuple[tuple[Array, ...], list[tuple[int, int]]]:
    """By gradients; and the nodes, (layer, index), that vary and have none."""
    batch = few.batch
    inputs = tuple(x.detach().clone().requires_grad_(x.is_floating_point()) for x in batch.inputs)
    floats = [x for x in inputs if x.is_floating_point()]
    away = [x.detach() - mean for x, mean in zip(floats, means, strict=True)]
    flat = []
    with torch.enable_grad(), watched(view) as seen:
        output_tensor(Batch(inputs=inputs, keys=batch.keys, target=None).call(model))
        nodes = view.activations(torch.cat([view.read(x) for x in seen]))
        every = [(layer, index) for layer, values in enumerate(nodes) for index in range(values.shape[1])]
        result = [np.zeros((values.shape[1], few.columns.lags, len(few.columns.names))) for values in nodes]
        for layer, index in tqdm(every, desc="nodes", delay=PROGRESS_DELAY, leave=False, disable=not progress):
            node = nodes[layer][:, index]
            if node.requires_grad:
                slopes = torch.autograd.grad(node.sum(), floats, retain_graph=True, materialize_grads=True)
                parts = [g * d for g, d in zip(slopes, away, strict=True)]
                effects = few.columns.effects(parts).abs().mean(0).flip(0).double().cpu().numpy()
                # one that is no number, as of pykan's grids of no width, is none
                result[layer][index] = effects if np.isfinite(effects).all() else 0.0
            if not result[layer][index].any() and bool((node != node[0]).any()):
                flat.append((layer, index))
    return tuple(result), flat


def _moved(
    model: nn.Module, view: ModelView, few: Rows, means: Sequence[Tensor], flat: Sequence[tuple[int, int]]
) -> bool:
    """Whether some of these nodes change when all columns take their means."""
    usual, held = _nodes(model, view, few.batch, _floats(few.batch)), _nodes(model, view, few.batch, _wide(few, means))
    return any(bool((usual[layer][:, i] != held[layer][:, i]).any()) for layer, i in flat)


def _node_changes(model: nn.Module, view: ModelView, few: Rows, means: Sequence[Tensor]) -> tuple[Array, ...]:
    """By occlusion."""
    columns, floats = few.columns, _floats(few.batch)

    def nodes(*values: Tensor) -> tuple[Tensor, ...]:
        return _nodes(model, view, few.batch, values)

    starts = np.cumsum([0, *(x.shape[-1] for x in floats)])
    with torch.no_grad():
        result = [np.zeros((v.shape[1], columns.lags, len(columns.names))) for v in nodes(*floats)]
        for (which, step, column), moved in occluded(nodes, floats, _wide(few, means)):
            lag = 0 if step is None else floats[which].shape[1] - 1 - step
            for values, change in zip(result, moved, strict=True):
                values[:, lag, starts[which] + column] = change
    return tuple(result)


@torch.no_grad()
def _nodes(model: nn.Module, view: ModelView, batch: Batch, floats: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Nodes of all layers with other values of the float inputs."""
    given = iter(floats)
    inputs = tuple(next(given) if x.is_floating_point() else x for x in batch.inputs)
    return view.activations(run(model, view, Batch(inputs=inputs, keys=batch.keys, target=None))[1])


def _floats(batch: Batch) -> list[Tensor]:
    return [x for x in batch.inputs if x.is_floating_point()]


def _wide(few: Rows, means: Sequence[Tensor]) -> list[Tensor]:
    """The float inputs with every column at its mean."""
    return [mean.expand_as(x) for x, mean in zip(_floats(few.batch), means, strict=True)]


def column_means(held: Rows) -> list[Tensor]:
    """Mean of each column over rows and lags, one tensor (F,) per float input."""
    return [x.flatten(0, -2).mean(0) for x in held.batch.inputs if x.is_floating_point()]
