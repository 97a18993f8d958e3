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
from kaninterp.measure.lookups import Lookup, given_lookups, lookups, place_of
from kaninterp.measure.probe_replay import replaced
from kaninterp.measure.rescale import carried_down

__all__ = ["Lift", "lifted"]

NO_GRADIENT = (
    "no gradient flows from the output back to the inputs (a tree, a rounding or torch.no_grad inside the model); use "
    "a perturbation method instead: kaninterp.attribute, which samples then, kaninterp.measure.ablate, or captum's "
    "FeatureAblation"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lift:
    """What every part of every input of some rows does to one output.

    Attributes
    ----------
    parts : tuple of Tensor
        Effects in units of the output, each of the shape of its input; of indices those of their embeddings.
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

    return Lift(parts=_below(model, value, here, base, steps), units=units, gap=chosen(output) - chosen(output_base))


def _values(model: nn.Module, view: ModelView, batch: Batch) -> tuple[Tensor, Tensor]:
    output, head = run(model, view, batch)
    return output.detach(), head.detach()


def _below(
    model: nn.Module, value: Callable[[Batch], Tensor], here: Batch, base: Batch, steps: int
) -> tuple[Tensor, ...]:
    """Integrated Gradients of a value of each row (Sundararajan, Taly & Yan 2017); of embeddings for indices."""
    floats = [i for i, x in enumerate(here.inputs) if x.is_floating_point()]
    found, found_base = _looked_up(model, value, here), _looked_up(model, value, base)
    starts = [*(base.inputs[i] for i in floats), *(values for _, values in found_base)]
    ends = [*(here.inputs[i] for i in floats), *(values for _, values in found)]
    totals = [torch.zeros_like(end) for end in ends]
    for part, weight in _points(steps):
        points = [torch.lerp(start, end, part).requires_grad_() for start, end in zip(starts, ends, strict=True)]
        inputs = list(here.inputs)
        for i, point in zip(floats, points, strict=False):
            inputs[i] = point
        with given_lookups(model, points[len(floats) :]):
            slopes = _gradients(value(Batch(inputs=tuple(inputs), keys=here.keys, target=None)), points)
        for total, slope, start, end in zip(totals, slopes, starts, ends, strict=True):
            total.add_(weight * slope * (end - start))
    if not any(bool(total.any()) for total in totals):
        with torch.no_grad():
            if not torch.equal(value(here), value(base)):
                raise ModelError(NO_GRADIENT)
    return _by_input(here, dict(zip(floats, totals, strict=False)), found, totals[len(floats) :])


def _by_input(
    here: Batch, floats: dict[int, Tensor], found: Sequence[Lookup], looked_up: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Effects in the shape of each input: those of embeddings at the indices they were looked up for."""
    parts = [floats.get(i, torch.zeros(x.shape, device=x.device)) for i, x in enumerate(here.inputs)]
    for (indices, _), effects in zip(found, looked_up, strict=True):
        place = place_of(indices, here.inputs)
        if place is not None:
            number, column = place
            parts[number][... if column is None else (..., column)] += effects.sum(-1)
    return tuple(parts)


def _looked_up(model: nn.Module, value: Callable[[Batch], Tensor], batch: Batch) -> list[Lookup]:
    with torch.no_grad(), lookups(model) as found:
        value(batch)
    return found


def _gradients(values: Tensor, sources: Sequence[Tensor]) -> Sequence[Tensor]:
    if not values.requires_grad:
        raise ModelError(NO_GRADIENT)
    return torch.autograd.grad(values.sum(), sources, materialize_grads=True)


def _points(steps: int) -> list[tuple[float, float]]:
    """Gauss-Legendre points and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return [(float(node + 1) / 2, float(weight) / 2) for node, weight in zip(nodes, weights, strict=True)]
