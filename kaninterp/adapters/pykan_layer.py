"""Adapter for pykan's ``KANLayer`` in a model of somebody's own: splines without the formulas and scales of a MultKAN.

A layer has ``grid`` (in, G + 1 + 2k), ``coef`` (in, out, G + k), ``scale_base``, ``scale_sp`` and ``mask`` (in, out),
and gives four tensors, of which the first are its nodes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.adapters.basis_layer import BasisLayer, base_kind, numbers
from kaninterp.adapters.splines import inner_knots, spline_and_base
from kaninterp.adapters.structure import attribute, has_tensors

__all__ = ["is_pykan_layer", "spline_weight", "view_pykan_layer"]


def is_pykan_layer(module: nn.Module) -> bool:
    """Whether a layer is built like pykan's ``KANLayer``.

    Examples
    --------
    >>> is_pykan_layer(nn.Linear(2, 1))
    False
    """
    known = has_tensors(module, grid=2, coef=3, scale_base=2, scale_sp=2, mask=2)
    return known and isinstance(attribute(module, "k"), int) and callable(attribute(module, "base_fun"))


def spline_weight(layer: Any) -> Tensor:
    """Coefficients of the splines and of the base branch, (dst, G + k + 1, src), masked edges 0."""
    mask = layer.mask.T.unsqueeze(1)
    spline = layer.coef.permute(1, 2, 0) * layer.scale_sp.T.unsqueeze(1)
    return torch.cat((spline * mask, layer.scale_base.T.unsqueeze(1) * mask), dim=1)


def view_pykan_layer(module: nn.Module) -> BasisLayer:
    """View of one layer."""
    layer: Any = module
    order = int(layer.k)

    def basis(x: Tensor) -> Tensor:
        return spline_and_base(x, layer.grid, order, layer.base_fun)

    return BasisLayer(
        module,
        knots=inner_knots(layer.grid, order),
        order=order,
        basis=basis,
        splines=True,
        weight=lambda: spline_weight(layer),
        base=int(layer.coef.shape[2]),
        base_name=base_kind(layer.base_fun),
        alive=numbers(layer.mask).T != 0,
        call=lambda x: layer(x)[0],
    )
