"""What it costs to replace a single edge of the head by its mean, measured on the loss itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.adapters import ModelView, as_view
from kaninterp.core import EdgeAblation
from kaninterp.core.frozen import Array
from kaninterp.measure.host import run, untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.rows import held_rows
from kaninterp.measure.tracing import prepared

__all__ = ["ablate_edges", "changed_outputs", "head_score"]

EDGE_ROWS = 512
"""Rows used: an edge's price is a number to compare edges by, not one to bet on."""
MAX_EDGES = 4096
"""Edges measured at most, strongest first."""

RowLoss = Callable[[Tensor], Array]


def ablate_edges(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    rows: int = EDGE_ROWS,
) -> EdgeAblation:
    """Rise of the loss when one edge is replaced by its mean; the model is not changed.

    Parameters
    ----------
    model, data, target, loss, feature_names, path
        As for `ablate`.
    rows : int
        Rows used at most, evenly spaced.

    Returns
    -------
    EdgeAblation

    Notes
    -----
    The edge's values are taken out of its node and the layers above are evaluated again. Where the model does
    not return the head's own output, the change of the head's outputs is measured instead of the loss.
    """
    view = as_view(model, path)
    held = held_rows(prepared(model, data, target=target, feature_names=feature_names), rows)
    with untouched(model):
        output, head = run(model, view, held.batch)
        nodes = view.activations(head)
        score, name = head_score(output, nodes[-1], held.batch.target, loss)
        base = float(score(nodes[-1]).mean())
        change = tuple(_layer_changes(view, depth, nodes, score, base) for depth in range(len(view.layers)))
    return EdgeAblation(loss=name, rows=held.n, base=base, change=change)


def head_score(output: Tensor, head_output: Tensor, target: Tensor | None, loss: Loss) -> tuple[RowLoss, str]:
    """Loss as a function of the head's outputs, where the model returns just these."""
    is_output = output.numel() == head_output.numel() and torch.equal(output.reshape(head_output.shape), head_output)
    if target is None or not is_output:
        return row_losses(loss, None, head_output)
    losses, name = row_losses(loss, target, output)
    return (lambda y: losses(y.reshape(output.shape))), name


def changed_outputs(view: ModelView, nodes: tuple[Tensor, ...], target: tuple[int, int], change: Tensor) -> Tensor:
    """Outputs of the head when an edge adds ``change`` (n,) to its target node, (layer of the edge, dst)."""
    depth, dst = target
    values = nodes[depth + 1].clone()
    values[:, dst] += change
    for above in view.layers[depth + 1 :]:
        values = above(values)
    return values


def _layer_changes(view: ModelView, depth: int, nodes: tuple[Tensor, ...], score: RowLoss, base: float) -> Array:
    layer = view.layers[depth]
    result = np.where(layer.alive, np.nan, 0.0)
    edges = layer.edges(nodes[depth])
    spread = edges.std(0, unbiased=False)
    moving = (spread > 0).cpu().numpy()
    places = np.argwhere(layer.alive & moving)
    result[layer.alive & ~moving] = 0.0
    strongest = np.argsort([-float(spread[d, s]) for d, s in places], kind="stable")[:MAX_EDGES]
    for dst, src in places[strongest]:
        outputs = changed_outputs(view, nodes, (depth, dst), edges[:, dst, src].mean() - edges[:, dst, src])
        result[dst, src] = float(score(outputs).mean()) - base
    return result
