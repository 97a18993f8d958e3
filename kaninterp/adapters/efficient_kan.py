"""Adapter for the ``KANLinear`` of efficient-kan, known by its structure: copied into projects, rarely installed.

A layer has ``grid`` (in, G + 1 + 2k) with the extended knots, ``spline_weight`` (out, in, G + k), ``base_weight``
(out, in), optionally ``spline_scaler`` (out, in), and computes
``base_weight @ act(x) + sum_m scaler * spline_weight_m B_m(x)``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.adapters.basis_layer import BasisLayer, base_kind
from kaninterp.adapters.splines import inner_knots, spline_and_base
from kaninterp.adapters.structure import attribute, has_tensors

__all__ = ["is_efficient_kan", "view_efficient_kan"]


def is_efficient_kan(module: nn.Module) -> bool:
    """Whether a layer is built like efficient-kan's ``KANLinear``.

    Examples
    --------
    >>> is_efficient_kan(nn.Linear(2, 1))
    False
    """
    if not has_tensors(module, grid=2, spline_weight=3, base_weight=2):
        return False
    layer: Any = module
    out, src, count = layer.spline_weight.shape
    order = attribute(layer, "spline_order")
    known = isinstance(order, int) and callable(attribute(layer, "base_activation"))
    return known and layer.grid.shape == (src, count + order + 1) and layer.base_weight.shape == (out, src)


def view_efficient_kan(module: nn.Module) -> BasisLayer:
    """View of one layer."""
    layer: Any = module
    order = int(layer.spline_order)

    def basis(x: Tensor) -> Tensor:
        return spline_and_base(x, layer.grid, order, layer.base_activation)

    def weight() -> Tensor:
        spline = layer.spline_weight
        scaler = getattr(layer, "spline_scaler", None)
        if isinstance(scaler, Tensor):
            spline = spline * scaler.unsqueeze(-1)
        return torch.cat((spline.transpose(1, 2), layer.base_weight.unsqueeze(1)), dim=1)

    bias = next(
        (b for b in (getattr(layer, name, None) for name in ("bias", "base_bias")) if isinstance(b, Tensor)), None
    )
    return BasisLayer(
        module,
        knots=inner_knots(layer.grid, order),
        order=order,
        basis=basis,
        splines=True,
        weight=weight,
        base=int(layer.spline_weight.shape[2]),
        base_name=base_kind(layer.base_activation),
        bias=None if bias is None else lambda: bias,
    )
