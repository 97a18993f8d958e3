"""What it costs to replace single edges by the line that fits them best: whether a bend pays."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kaninterp.adapters import as_view
from kaninterp.core.frozen import Array
from kaninterp.data import Batch
from kaninterp.measure.edges import changed_outputs, head_score
from kaninterp.measure.host import run, untouched
from kaninterp.measure.losses import Loss

__all__ = ["Place", "straightened"]

Place = tuple[int, int, int]
"""Layer, dst, src of an edge."""


def straightened(
    model: nn.Module, batch: Batch, places: Sequence[Place], *, loss: Loss = None, path: str | None = None
) -> tuple[list[Array], str]:
    """Rise of the loss of every row when an edge becomes its best line on these rows; the model is not changed.

    Parameters
    ----------
    batch
        Rows, with their target.
    places
        Edges, one after the other.

    Returns
    -------
    rises : list of ndarray, each (rows of the head,)
    name : str
        Of the loss; that of a change of the output where the model does not return the head's own outputs.
    """
    view = as_view(model, path)
    with untouched(model):
        output, head = run(model, view, batch)
        nodes = view.activations(head)
        score, name = head_score(output, nodes[-1], batch.target, loss)
        base = score(nodes[-1])
        rises = []
        for depth, dst, src in places:
            x, edge = nodes[depth][:, src], view.layers[depth].edges(nodes[depth])[:, dst, src]
            rises.append(score(changed_outputs(view, nodes, (depth, dst), _line(x, edge) - edge)) - base)
    return rises, name


def _line(x: Tensor, y: Tensor) -> Tensor:
    dx, dy = x.double() - x.double().mean(), y.double() - y.double().mean()
    scale = dx.square().sum()
    slope = (dx * dy).sum() / scale if scale > 0 else torch.zeros_like(scale)
    return (y.double().mean() + slope * dx).to(y.dtype)
