"""What it costs to replace edges of the head by their means, one or all of a node, measured on the loss itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.adapters import ModelView, as_view
from kaninterp.core import EdgeAblation, Estimate, Twins
from kaninterp.core.evidence import Z95
from kaninterp.core.frozen import Array, BoolArray, IntArray
from kaninterp.measure.host import run, untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.probe_error import RunningError
from kaninterp.measure.rows import Rows, held_rows
from kaninterp.measure.tracing import prepared
from kaninterp.measure.twins import moving, summed, twins

__all__ = ["ablate_edges", "changed_outputs", "head_score"]

EDGE_ROWS = 512
"""Rows used: an edge's price is a number to compare edges by, not one to bet on."""
EDGE_VALUES = 2**25
"""Values of one layer's edges over all rows, at most: 134 MB in float32, of which a few copies are held at a time."""
FEWEST_ROWS = 32
"""Rows are not cut below this: a standard error needs some blocks."""
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
    """Rise of the loss when edges are replaced by their means: one, all out of a node, all into it, two twins.

    The model is not changed.

    Parameters
    ----------
    model, data, target, loss, feature_names, path
        As for `ablate`.
    rows : int
        Rows used at most, evenly spaced; fewer where a layer's edges would fill the memory (`EDGE_VALUES`).

    Returns
    -------
    EdgeAblation
        Standard errors are those of a mean over blocks of rows (see `RunningError`), paired with the intact model.

    Raises
    ------
    ModelError, DataError, InputTypeError
        As for `ablate`.

    Notes
    -----
    The edges' values are taken out of their nodes and the layers above are evaluated again. Where the model does
    not return the head's own output, the change of the head's outputs is measured instead of the loss.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> head = ki.KANHead(2, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    >>> x = torch.rand(100, 2, generator=torch.Generator().manual_seed(0))
    >>> found = ablate_edges(head, (x, head(x).detach()))
    >>> found.node(0, 1, "out").low > 0  # a single layer: the node's only edge
    True
    """
    view = as_view(model, path)
    held = held_rows(prepared(model, data, target=target, feature_names=feature_names), rows)
    with untouched(model):
        held = _bounded(model, view, held)
        output, head = run(model, view, held.batch)
        nodes = view.activations(head)
        score, name = head_score(output, nodes[-1], held.batch.target, loss)
        intact = score(nodes[-1])
        rise = Rise(score=score, intact=intact, block=held.block * max(1, len(intact) // held.n))
        parts = [_layer(view, depth, nodes, rise) for depth in range(len(view.layers))]
    names = ("change", "error", "out", "out_error", "into", "into_error")
    return EdgeAblation(
        loss=name,
        rows=held.n,
        base=float(intact.mean()),
        twins=tuple(pair for part in parts for pair in part.pop("twins")),
        **{key: tuple(part[key] for part in parts) for key in names},
    )


def _bounded(model: nn.Module, view: ModelView, held: Rows) -> Rows:
    """As many of the rows, evenly spaced, as `EDGE_VALUES` allows."""
    few = held.batch.rows(slice(0, 1))
    values = len(run(model, view, few)[1]) * max(layer.dst * layer.src for layer in view.layers)
    rows = max(FEWEST_ROWS, EDGE_VALUES // max(values, 1))
    if rows >= held.n:
        return held
    places = torch.linspace(0, held.n - 1, rows, dtype=torch.float64).round().long()
    return replace(held, batch=held.batch.rows(places), spacing=held.spacing * held.n / rows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rise:
    """Rise of the loss over that of the intact model on the same rows.

    Attributes
    ----------
    score : callable
        Loss of every row, given the head's outputs.
    intact : ndarray, shape (rows,)
        Loss of the intact model.
    block : int
        Neighbouring rows that are drawn together.
    """

    score: RowLoss
    intact: Array
    block: int

    def of(self, outputs: Tensor) -> tuple[float, float]:
        """Mean rise for other outputs, and its standard error."""
        running = RunningError(len(self.intact), self.block)
        running.add(self.score(outputs) - self.intact)
        return float(running.mean), float(running.error)


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
    return _above(view, depth, values)


def _above(view: ModelView, depth: int, values: Tensor) -> Tensor:
    """Outputs of the head for other values of the nodes above layer ``depth``."""
    for layer in view.layers[depth + 1 :]:
        values = layer(values)
    return values


def _layer(view: ModelView, depth: int, nodes: tuple[Tensor, ...], rise: Rise) -> dict[str, Any]:
    """All removals of one layer's edges."""
    layer = view.layers[depth]
    edges = layer.edges(nodes[depth])
    moves = moving(edges, layer.alive)
    moved = (edges.mean(0) - edges) * torch.from_numpy(moves).to(edges)
    found: dict[str, Any] = {}
    found["change"], found["error"] = np.where(moves, np.nan, 0.0), np.where(moves, np.nan, 0.0)
    for dst, src in _strongest(edges, moves):
        outputs = changed_outputs(view, nodes, (depth, dst), moved[:, dst, src])
        found["change"][dst, src], found["error"][dst, src] = rise.of(outputs)
    nothing = (0.0, 0.0)
    out = [rise.of(_above(view, depth, nodes[depth + 1] + c)) if bool(c.any()) else nothing for c in moved.unbind(2)]
    into = [
        rise.of(changed_outputs(view, nodes, (depth, dst), c)) if bool(c.any()) else nothing
        for dst, c in enumerate(summed(moved).unbind(1))
    ]
    for name, pairs in (("out", out), ("into", into)):
        found[name], found[f"{name}_error"] = np.array(pairs).T
    found["twins"] = []
    for dst, first, second in twins(edges, moves):
        outputs = changed_outputs(view, nodes, (depth, dst), summed(moved[:, dst, [first, second]]))
        value, error = rise.of(outputs)
        together = Estimate(value=value, low=value - Z95 * error, high=value + Z95 * error)
        found["twins"].append(Twins(layer=depth, dst=dst, src=(first, second), together=together))
    return found


def _strongest(edges: Tensor, moves: BoolArray) -> IntArray:
    """Places (dst, src) of the edges to measure, strongest first."""
    places = np.argwhere(moves)
    spread = edges.std(0, unbiased=False).double().cpu().numpy()
    return places[np.argsort(-spread[moves], kind="stable")[:MAX_EDGES]]
