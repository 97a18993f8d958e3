"""What it costs to replace single edges by the line that fits them best: whether a bend pays."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kaninterp.adapters import as_view
from kaninterp.core.frozen import Array
from kaninterp.data import Batch
from kaninterp.measure.edges import changed_outputs, head_score
from kaninterp.measure.host import by_row, row_axis, run, untouched
from kaninterp.measure.losses import Loss

__all__ = ["Place", "straightened"]

Place = tuple[int, int, int]
"""Layer, dst, src of an edge."""


def straightened(
    model: nn.Module, batch: Batch, places: Sequence[Place], *, loss: Loss = None, path: str | None = None
) -> tuple[list[Array], str]:
    """Rise of the loss of every row when an edge becomes its best line on these rows; the model is not changed.

    A KAN that reads several steps of every row has one rise per step; those of a row are averaged, since they are no
    independent samples.

    Parameters
    ----------
    batch
        Rows, with their target.
    places
        Edges, one after the other.

    Returns
    -------
    rises : list of ndarray, each (rows,)
        Only their mean, (1,), where it cannot be told to which row of the data the rows of the KAN belong.
    name : str
        Of the loss; that of a change of the output where the model does not return the head's own outputs.
    """
    view = as_view(model, path)
    with untouched(model):
        output, head = run(model, view, batch)
        nodes = view.activations(head)
        score, name = head_score(output, nodes[-1], batch.target, loss)
        axis = row_axis(model, view, batch)
        base = score(nodes[-1])
        rises = []
        for depth, dst, src in places:
            x, edge = nodes[depth][:, src], view.layers[depth].edges(nodes[depth])[:, dst, src]
            rise = score(changed_outputs(view, nodes, (depth, dst), _line(x, edge) - edge)) - base
            rises.append(_of_rows(rise, batch.n_rows, axis))
    return rises, name


def _of_rows(rise: Array, rows: int, axis: int | None) -> Array:
    """Means over the steps of each row."""
    if len(rise) == rows:
        return rise
    known = axis is not None and len(rise) % rows == 0
    values = by_row(torch.as_tensor(rise).unsqueeze(1), rows if known else 1, axis or 0)
    means: Array = values.mean((1, 2)).numpy()
    return means


def _line(x: Tensor, y: Tensor) -> Tensor:
    dx, dy = x.double() - x.double().mean(), y.double() - y.double().mean()
    scale = dx.square().sum()
    slope = (dx * dy).sum() / scale if scale > 0 else torch.zeros_like(scale)
    return (y.double().mean() + slope * dx).to(y.dtype)
