"""Effects of single rows lifted from a model's KAN to its inputs: secants within the KAN, path integrals around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.adapters import ModelView
from kaninterp.core.errors import ModelError
from kaninterp.data import Batch, called
from kaninterp.measure.host import by_row, output_tensor, row_axis, run
from kaninterp.measure.probe_replay import replaced
from kaninterp.measure.rescale import carried_down

__all__ = ["Lift", "lifted"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lift:
    """What every part of every input of some rows does to one output.

    Attributes
    ----------
    parts : tuple of Tensor
        Effects in units of the output, each of the shape of its input; 0 for indices.
    units : Tensor, shape (n, steps, src)
        Effects of the inputs of the KAN.
    gap : Tensor, shape (n,)
        Output minus output of the baseline: what the effects should sum to.
    """

    parts: tuple[Tensor, ...]
    units: Tensor
    gap: Tensor


def lifted(
    model: nn.Module, view: ModelView, here: Batch, base: Batch, *, chosen: Callable[[Tensor], Tensor], steps: int
) -> Lift:
    """Lift effects of some rows; call it inside `untouched`, with gradients enabled.

    Parameters
    ----------
    model, view
        The model and its KAN.
    here, base : Batch
        The rows, and what they are held against; the same number and shapes.
    chosen : callable
        Output of the model -> the values to explain, (n,).
    steps : int
        Gauss-Legendre points of each integral.

    Raises
    ------
    ModelError
        No gradient flows, rows of the KAN cannot be told apart, or the KAN is fed its own outputs.
    """
    # with gradients, as later: some layers take another path without them, and round otherwise
    (output, head), (output_base, head_base) = (_values(model, view, batch) for batch in (here, base))
    with torch.no_grad():
        axis = row_axis(model, view, here)
    if axis is None:
        raise ModelError(
            "the KAN reads rows that do not come one after the other from rows of the data, so effects cannot be "
            "lifted to them; call it on (rows, features) or (rows, steps, features)"
        )

    def slope(outputs: Tensor) -> Tensor:
        """Slope of the output in what the KAN returns."""
        outputs = outputs.requires_grad_()
        with replaced(view, head, outputs):
            output = output_tensor(called(model, here))
        return _gradients(chosen(output), [outputs])[0]

    with torch.no_grad():
        end, start = (view.activations(rows)[-1] for rows in (head, head_base))
    # a unit of an output of the KAN does what it does on average on the way from the baseline
    above = sum(
        (weight * slope(torch.lerp(start, end, part)) for part, weight in _points(steps)), torch.zeros_like(end)
    )
    slopes = by_row(carried_down(view, head, head_base, above), here.n_rows, axis)
    units = slopes * by_row(head - head_base, here.n_rows, axis)

    def value(batch: Batch) -> Tensor:
        return (by_row(run(model, view, batch)[1], batch.n_rows, axis) * slopes).flatten(1).sum(1)

    return Lift(parts=_below(value, here, base, steps), units=units, gap=chosen(output) - chosen(output_base))


def _values(model: nn.Module, view: ModelView, batch: Batch) -> tuple[Tensor, Tensor]:
    output, head = run(model, view, batch)
    return output.detach(), head.detach()


def _below(value: Callable[[Batch], Tensor], here: Batch, base: Batch, steps: int) -> tuple[Tensor, ...]:
    """Integrated Gradients of a value of each row (Sundararajan, Taly & Yan 2017)."""
    floats = [i for i, x in enumerate(here.inputs) if x.is_floating_point()]
    totals = [torch.zeros_like(x, dtype=torch.float32 if i not in floats else None) for i, x in enumerate(here.inputs)]
    for part, weight in _points(steps):
        inputs = list(here.inputs)
        for i in floats:
            inputs[i] = torch.lerp(base.inputs[i], here.inputs[i], part).requires_grad_()
        slopes = _gradients(
            value(Batch(inputs=tuple(inputs), keys=here.keys, target=None)), [inputs[i] for i in floats]
        )
        for i, slope in zip(floats, slopes, strict=True):
            totals[i] += weight * slope * (here.inputs[i] - base.inputs[i])
    return tuple(totals)


def _gradients(values: Tensor, sources: Sequence[Tensor]) -> Sequence[Tensor]:
    if not values.requires_grad:
        raise ModelError(
            "no gradient flows from the output back to the inputs (a tree, a rounding or torch.no_grad inside the "
            "model); use a perturbation method instead: kaninterp.measure.ablate, or captum's FeatureAblation"
        )
    return torch.autograd.grad(values.sum(), sources, materialize_grads=True)


def _points(steps: int) -> list[tuple[float, float]]:
    """Gauss-Legendre points and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return [(float(node + 1) / 2, float(weight) / 2) for node, weight in zip(nodes, weights, strict=True)]
