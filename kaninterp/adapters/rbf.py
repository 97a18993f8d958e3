"""Adapter for fast-kan's ``FastKANLayer`` and copies of it: Gaussians at equal distances and a base branch.

A layer has ``rbf`` (with ``grid`` (K,) and ``denominator``), ``spline_linear`` (in * K -> out), optionally
``base_linear`` with ``base_activation``, and optionally ``layernorm``. With the LayerNorm every function sees all
columns of a row at once, so the layer is no sum of functions of one column each, and it is refused.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.adapters.basis_layer import BasisLayer, base_kind
from kaninterp.adapters.structure import attribute, has_tensors
from kaninterp.core.errors import ModelError

__all__ = ["is_rbf", "view_rbf"]

REACH = 3
"""Cells beyond the outer centres that count as fringe: a Gaussian one cell wide is down to exp(-9) there."""


def is_rbf(module: nn.Module) -> bool:
    """Whether a layer is built like fast-kan's ``FastKANLayer``.

    Examples
    --------
    >>> is_rbf(nn.Linear(2, 1))
    False
    """
    rbf: Any = attribute(module, "rbf")
    linear = attribute(module, "spline_linear")
    if not (isinstance(linear, nn.Linear) and has_tensors(rbf, grid=1)):
        return False
    count = len(rbf.grid)
    return count > 1 and attribute(rbf, "denominator") is not None and linear.in_features % count == 0


def view_rbf(module: nn.Module) -> BasisLayer:
    """View of one layer.

    Raises
    ------
    ModelError
        It normalises its rows.
    """
    layer: Any = module
    if getattr(layer, "layernorm", None) is not None:
        raise ModelError(
            f"{type(module).__name__} puts a LayerNorm in front of its functions, so every function sees all columns "
            "of a row and the layer is not a sum of functions of single columns; nothing said about an edge would be "
            "true. Build it with use_layernorm=False (and put nn.LayerNorm in front of the KAN if you need one)"
        )
    centres, linear = layer.rbf.grid, layer.spline_linear
    src, dst, count = linear.in_features // len(centres), linear.out_features, len(centres)
    with_base = bool(getattr(layer, "use_base_update", True)) and isinstance(
        getattr(layer, "base_linear", None), nn.Linear
    )

    def basis(x: Tensor) -> Tensor:
        away = (x.unsqueeze(1) - layer.rbf.grid.to(x).unsqueeze(-1)) / layer.rbf.denominator
        planes = torch.exp(-(away**2))
        return torch.cat((planes, layer.base_activation(x).unsqueeze(1)), dim=1) if with_base else planes

    def weight() -> Tensor:
        spline = linear.weight.view(dst, src, count).transpose(1, 2)
        return torch.cat((spline, layer.base_linear.weight.unsqueeze(1)), dim=1) if with_base else spline

    def bias() -> Tensor:
        parts = [linear.bias, layer.base_linear.bias if with_base else None]
        return sum((part for part in parts if part is not None), torch.zeros(dst, device=linear.weight.device))

    return BasisLayer(
        module,
        knots=centres.detach().expand(src, count),
        order=REACH,
        basis=basis,
        weight=weight,
        base=count if with_base else -1,
        base_name=base_kind(layer.base_activation) if with_base else "zero",
        bias=bias,
    )
