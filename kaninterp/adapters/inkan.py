"""Adapters for inkan and flashkan: cubic splines on equally spaced knots, the same for all inputs.

A layer has ``grid_starts`` (K,), where each basis function begins, ``inv_h``, ``spline_weight`` (out, in, K) and
``base_weight`` (out, in). inkan adds up bumps, flashkan truncated powers, whose rounding shows in float32; each is
read with its own sum. inkan's ``dim=2`` layers are surfaces of two inputs, not sums of curves, and are refused.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.adapters.basis_layer import BasisLayer, base_kind
from kaninterp.adapters.splines import bump_planes, power_planes
from kaninterp.adapters.structure import attribute, has_tensors
from kaninterp.core.errors import ModelError

__all__ = ["is_inkan", "view_inkan"]

ORDER = 3
"""Both libraries have cubic splines only."""


def is_inkan(module: nn.Module) -> bool:
    """Whether a layer is built like the ``KANLayer`` of inkan or flashkan.

    Examples
    --------
    >>> is_inkan(nn.Linear(2, 1))
    False
    """
    known = all(
        attribute(module, name) is not None for name in ("inv_h", "base_activation", "spline_weight", "base_weight")
    )
    return known and has_tensors(module, grid_starts=1)


def view_inkan(module: nn.Module) -> BasisLayer:
    """View of one layer.

    Raises
    ------
    ModelError
        A layer of surfaces (``dim=2``), or not of cubic splines.
    """
    layer: Any = module
    if getattr(layer, "dim", 1) != 1:
        raise ModelError(
            f"{type(module).__name__} has dim={layer.dim}: each output is a surface over both inputs, not a sum of one "
            "curve per input, so it has no edges. Build it with dim=1"
        )
    if int(layer.spline_order) != ORDER:
        raise ModelError(f"{type(module).__name__} has spline_order={layer.spline_order}; allowed: {ORDER}")
    _, src, count = layer.spline_weight.shape
    packed = has_tensors(module, weight=2)  # inkan keeps one matrix, flashkan two tensors

    def basis(x: Tensor) -> Tensor:
        if packed:
            spline = bump_planes(x, layer.grid_starts[0], layer.inv_h, count)
        else:
            spline = power_planes(x, layer.grid_starts, layer.inv_h)
        return torch.cat((spline, layer.base_activation(x).unsqueeze(1)), dim=1)

    def weight() -> Tensor:
        return torch.cat((layer.spline_weight.transpose(1, 2), layer.base_weight.unsqueeze(1)), dim=1)

    first = layer.grid_starts[0].double() + ORDER / layer.inv_h
    knots = first + torch.arange(count - ORDER + 1, dtype=torch.float64, device=first.device) / layer.inv_h
    return BasisLayer(
        module,
        knots=knots.expand(src, len(knots)),
        order=ORDER,
        basis=basis,
        splines=True,
        weight=weight,
        base=count,
        base_name=base_kind(layer.base_activation),
    )
