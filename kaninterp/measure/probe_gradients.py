"""First-order prices of edges: Taylor expansion of the loss, the empirical Fisher matrix, and gradient x input.

Removing an edge moves its node by ``mean - phi(x)``; times the gradient of a row's loss this is the change of that
row's loss to first order. Its mean is the Taylor price (Molchanov et al. 2017, 2019), half its mean square the Fisher
price (Theis et al. 2018; Liu et al. 2021). One backward pass per row whatever the number of edges; with the gradient
of an output in place of the loss (gradient x input, Shrikumar et al. 2016) one per output.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kaninterp.adapters import ModelView
from kaninterp.core.errors import ModelError
from kaninterp.core.frozen import Array
from kaninterp.measure.probe_means import EdgeMeans
from kaninterp.measure.probe_replay import Chunk, Replay

__all__ = ["gradient_prices", "output_gradients"]

OWNER_TOLERANCE = 0.25
"""How far the row number read off two gradients may be from a whole number."""


def gradient_prices(replay: Replay, chunk: Chunk, edges: EdgeMeans, *, fisher: bool) -> tuple[list[Array], list[Array]]:
    """Sums over the rows of a chunk of the Taylor and the Fisher price, each (dst, src) per layer.

    Parameters
    ----------
    replay, chunk
        The intact model, and the rows.
    edges
        What edges are replaced by; the price of a constant one is 0.
    fisher
        Whether the second is wanted; otherwise zeros.

    Raises
    ------
    ModelError
        Rows share in each other's loss, so that there is no gradient of a single row's loss.
    """
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):  # cuDNN has no backward of an RNN in eval mode
        slope, owner = _output_slopes(replay, chunk, fisher)
        slopes = _node_slopes(replay.view, chunk, slope)
    first, second = [], []
    for depth, node in enumerate(slopes):
        moved, moving = edges.moved(chunk, depth), edges.moving[depth]
        linear = torch.einsum("nd,nds->ds", node.double(), moved.double()).cpu().numpy()
        first.append(np.where(moving, linear, 0.0))
        second.append(np.where(moving, _squares(node, moved, owner, chunk.rows) if fisher else 0.0, 0.0))
    return first, second


def output_gradients(replay: Replay, chunk: Chunk, edges: EdgeMeans) -> list[Array]:
    """Sums over the KAN's rows of ``|d y_o / d y_j (phi_ji - mean_ji)|``, each (outputs, dst, src) per layer."""
    outputs = chunk.nodes[-1]
    sums = [np.zeros((outputs.shape[1], *mean.shape)) for mean in edges.means]
    sizes = [edges.moved(chunk, depth).double().abs() for depth in range(len(sums))]
    for output in range(outputs.shape[1]):
        one = torch.zeros_like(outputs)
        one[:, output] = 1.0
        with torch.enable_grad():
            slopes = _node_slopes(replay.view, chunk, one)
        for total, node, size, moving in zip(sums, slopes, sizes, edges.moving, strict=True):
            linear = torch.einsum("nd,nds->ds", node.double().abs(), size).cpu().numpy()
            total[output] = np.where(moving, linear, 0.0)
    return sums


def _output_slopes(replay: Replay, chunk: Chunk, owners: bool) -> tuple[Tensor, Tensor | None]:
    """Gradient of the rows' losses in the KAN's outputs, (m, out), and the row each of the m belongs to.

    None where they are the rows themselves, in order.
    """
    outputs = chunk.nodes[-1].detach().clone().requires_grad_()
    losses = replay.row_loss(chunk, outputs)
    slope = _grad(losses.sum(), outputs, keep=owners)
    if not owners or (replay.direct and len(outputs) == chunk.rows):
        return slope, None
    if replay.direct:  # row after row, as the model returns them
        return slope, torch.arange(len(outputs), device=slope.device) // (len(outputs) // chunk.rows)
    # each row's loss times its number: the quotient of the two gradients is the number
    numbers = torch.arange(1, chunk.rows + 1, dtype=losses.dtype, device=losses.device)
    return slope, _owners(slope, _grad((losses * numbers).sum(), outputs, keep=False))


def _owners(slope: Tensor, numbered: Tensor) -> Tensor:
    largest = slope.abs().argmax(1, keepdim=True)
    one = slope.gather(1, largest).squeeze(1)
    quotient = torch.where(one == 0, torch.ones_like(one), numbered.gather(1, largest).squeeze(1) / one)
    owner = quotient.round()
    if bool(((quotient - owner).abs() > OWNER_TOLERANCE).any()):
        raise ModelError(
            "rows share in each other's loss (statistics over the batch after the KAN would do this), so there is no "
            "gradient of a single row's loss; leave 'fisher' out of kinds"
        )
    return owner.long() - 1


def _node_slopes(view: ModelView, chunk: Chunk, slope: Tensor) -> tuple[Tensor, ...]:
    """Gradients in the nodes of layers 1..L, each (m, width)."""
    values = [chunk.nodes[1].detach().clone().requires_grad_()]
    for layer in view.layers[1:]:
        values.append(layer(values[-1]))
    if len(values) == 1:
        return (slope,)
    if not values[-1].requires_grad:  # nothing that is alive leads to the outputs
        return (*(torch.zeros_like(v) for v in values[:-1]), slope)
    inner = torch.autograd.grad(values[-1], values[:-1], slope, allow_unused=True, materialize_grads=True)
    return (*inner, slope)


def _grad(total: Tensor, inputs: Tensor, *, keep: bool) -> Tensor:
    if not total.requires_grad:  # the loss does not depend on the KAN
        return torch.zeros_like(inputs)
    (slope,) = torch.autograd.grad(total, inputs, retain_graph=keep, allow_unused=True, materialize_grads=True)
    return slope


def _squares(node: Tensor, moved: Tensor, owner: Tensor | None, rows: int) -> Array:
    change = moved * node.unsqueeze(2)
    if owner is not None:
        change = change.new_zeros(rows, *change.shape[1:]).index_add_(0, owner, change)
    halved: Array = (change.double().square().sum(0) / 2).cpu().numpy()
    return halved
