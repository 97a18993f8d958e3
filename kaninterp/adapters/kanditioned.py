"""Adapter for kanditioned's ``KANLayer``: straight pieces between control points, going on straight outside.

A layer has ``num_control_points`` P over ``spline_width`` around 0, and ``get_interp_tensor()`` (in * P, out), the
values of every function at them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.adapters.basis_layer import BasisLayer
from kaninterp.adapters.structure import attribute

__all__ = ["is_kanditioned", "view_kanditioned"]


def is_kanditioned(module: nn.Module) -> bool:
    """Whether a layer is built like kanditioned's ``KANLayer``.

    Examples
    --------
    >>> is_kanditioned(nn.Linear(2, 1))
    False
    """
    return callable(attribute(module, "get_interp_tensor")) and all(
        isinstance(attribute(module, name), (int, float))
        for name in ("num_control_points", "spline_width", "in_features", "out_features")
    )


def view_kanditioned(module: nn.Module) -> BasisLayer:
    """View of one layer."""
    layer: Any = module
    src, dst = int(layer.in_features), int(layer.out_features)
    count, width = int(layer.num_control_points), float(layer.spline_width)

    def basis(x: Tensor) -> Tensor:
        at = (x + width / 2) * (count - 1) / width
        lower = at.floor().clamp(0, count - 2)
        share = at - lower
        planes = torch.zeros(x.shape[0], count, x.shape[1], dtype=x.dtype, device=x.device)
        index = lower.long().unsqueeze(1)
        return planes.scatter(1, index, (1 - share).unsqueeze(1)).scatter(1, index + 1, share.unsqueeze(1))

    def weight() -> Tensor:
        values: Tensor = layer.get_interp_tensor()
        return values.view(src, count, dst).permute(2, 1, 0)

    knots = torch.linspace(-width / 2, width / 2, count, dtype=torch.float64)
    return BasisLayer(
        module,
        knots=knots.expand(src, count),
        order=1,
        basis=basis,
        splines=True,
        weight=weight,
        outside="linear",
    )
