"""Adapter for ChebyKAN-style layers: Chebyshev polynomials of ``tanh(x)``.

A layer has ``cheby_coeffs`` (in, out, degree + 1) and computes ``sum_d c_iod T_d(tanh(x_i))``. It has no knots. Shown
as knots are the ``degree + 1`` Chebyshev points, taken back through tanh: a polynomial of that degree is fixed by its
values there, and beyond the outer ones tanh is nearly flat, so every function is. ``degree`` cells further out count as
fringe, after which tanh no longer moves.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.adapters.basis_layer import BasisLayer
from kaninterp.adapters.structure import attribute, has_tensors

__all__ = ["chebyshev_knots", "is_cheby", "view_cheby"]

COEFFICIENTS = ("cheby_coeffs", "cheby_coeff", "coeffs")
"""Names under which copies of the layer keep (in, out, degree + 1); the first is the published one."""


def is_cheby(module: nn.Module) -> bool:
    """Whether a layer is built like ChebyKAN's ``ChebyKANLayer``.

    Examples
    --------
    >>> is_cheby(nn.Linear(2, 1))
    False
    """
    name = _name(module)
    degree = attribute(module, "degree")
    return name is not None and isinstance(degree, int) and getattr(module, name).shape[2] == degree + 1


def chebyshev_knots(degree: int) -> Tensor:
    """Chebyshev points of the first kind, one more than the degree, taken back through tanh.

    Examples
    --------
    >>> chebyshev_knots(2)
    tensor([-1.3170,  0.0000,  1.3170], dtype=torch.float64)
    """
    count = max(degree, 1) + 1
    angles = (torch.arange(count, dtype=torch.float64) + 0.5) * (torch.pi / count)
    points = torch.atanh(torch.cos(angles)).flip(0)
    return (points - points.flip(0)) / 2  # symmetric, and exactly 0 in the middle


def view_cheby(module: nn.Module) -> BasisLayer:
    """View of one layer."""
    layer: Any = module
    name = _name(module)
    assert name is not None  # noqa: S101 - `is_cheby` said so
    degree = int(layer.degree)

    def basis(x: Tensor) -> Tensor:
        angle = torch.acos(torch.tanh(x)).unsqueeze(1)
        return torch.cos(angle * torch.arange(degree + 1, dtype=x.dtype, device=x.device).unsqueeze(-1))

    def weight() -> Tensor:
        coefficients: Tensor = getattr(layer, name)
        return coefficients.permute(1, 2, 0)

    src = int(getattr(layer, name).shape[0])
    knots = chebyshev_knots(degree)
    return BasisLayer(
        module,
        knots=knots.expand(src, len(knots)),
        order=max(degree, 1),
        basis=basis,
        weight=weight,
        outside="clamp",
    )


def _name(module: nn.Module) -> str | None:
    return next((name for name in COEFFICIENTS if has_tensors(module, **{name: 3})), None)
