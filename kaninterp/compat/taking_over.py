"""What one head computes, on the grid of another: pykan's `initialize_from_another_model`."""

from __future__ import annotations

import copy

import torch

from kaninterp.nn import KANHead, KANLayer
from kaninterp.nn.head import rebuilt
from kaninterp.nn.projection import fit_operator
from kaninterp.nn.start import carried

__all__ = ["taken_over"]

KEPT = ("grid", "order", "uniform", "outside", "base", "noise", "moving_domain")
"""Options of the layers that stay one's own."""


@torch.no_grad()
def taken_over(own: KANHead, other: KANHead) -> KANHead:
    """A head with the grid, order, base functions and frozen parameters of one and the functions of another.

    Parameters
    ----------
    own
        Whose layers are the frame; left as it is.
    other
        Of the same widths; left as it is. Its domains, constants, silenced edges and formulas are taken over, and the
        columns that it reads. Each function is fitted by least squares on its domain: exactly if the order is the same
        and the old knots are among the new ones.

    Returns
    -------
    KANHead
        New, in the number type, on the device and in the mode of `own`.
    """
    source = copy.deepcopy(other).to(own.kan_layers[0].weight)
    layers = [_filled(mine, theirs) for mine, theirs in zip(own.kan_layers, source.kan_layers, strict=True)]
    return rebuilt(source, layers, **{name: own.options[name] for name in KEPT}).train(own.training)


def _filled(own: KANLayer, other: KANLayer) -> KANLayer:
    """A copy of a layer with the functions of another one."""
    new = copy.deepcopy(own)
    new.set_domain(*other.domain)
    points, operator = fit_operator(new.knots, new.order)
    weight = other.weight.double()  # without the mask: what was silenced keeps its function, as elsewhere
    planes = other.basis(points)
    if new.spec.base == other.spec.base:
        planes, weight = planes[:, :-1], weight[:, :-1]
        new.base_weight.copy_(other.base_weight)
    else:
        new.base_weight.zero_()  # the whole function becomes a spline
    values = torch.einsum("qmi,omi->qoi", planes, weight)
    new.weight[:, :-1] = torch.einsum("imq,qoi->omi", operator, values).to(new.weight.dtype)
    for name in ("bias", "calibrated", "seen"):
        getattr(new, name).copy_(getattr(other, name))
    new.start.copy_(carried(other.start, other.coef, new.coef))
    new.formulas = copy.deepcopy(other.formulas)
    new.set_mask(other.mask)
    return new
