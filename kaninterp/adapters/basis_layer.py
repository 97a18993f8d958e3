"""A layer of any library whose edges of one input share a basis: the basis, its weights, and the layer's own output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kaninterp.adapters.view import LayerView
from kaninterp.core.frozen import Array, BoolArray

__all__ = ["BasisLayer", "base_kind", "numbers", "usable_knots"]

LONE_DOMAIN = 0.5
"""Half the width of the domain shown for an input whose knots all coincide: pykan gives that to a constant node."""


class BasisLayer(LayerView):
    """y = sum_i sum_k weight_jki basis_k(x_i) + bias, as some library computes it.

    Parameters
    ----------
    module : Module
        What is called with the layer's input.
    knots : Tensor, shape (src, G + 1)
        Inner knots.
    order : int
        Degree of the pieces; the fringe is that many cells wide.
    basis : callable, (n, src) -> (n, K, src)
        Planes in the number type of its argument.
    weight : callable, () -> (dst, K, src)
        Weights as they are now, masked edges 0.
    base : int
        Plane of the base branch, or -1 if there is none.
    base_name : str
        "silu", "identity" or "zero", or "other" for any other function.
    outside : str
        How the functions go on outside the domain: "base" (they fade), "linear" or "clamp".
    splines : bool
        Whether all but the base branch are B-splines of this order on these knots.
    alive : ndarray of bool, shape (dst, src), optional
        None: all.
    bias : callable, () -> (dst,), optional
        None: zeros.
    call : callable, (n, src) -> (n, dst), optional
        The layer's own output; None: the module is called.

    Examples
    --------
    >>> linear = nn.Linear(2, 1, bias=False)
    >>> layer = BasisLayer(linear, knots=torch.tensor([[-1.0, 1.0]] * 2), order=1, basis=lambda x: x.unsqueeze(1),
    ...                    weight=lambda: linear.weight.unsqueeze(1), outside="linear")
    >>> layer.edges(torch.ones(3, 2)).shape
    torch.Size([3, 1, 2])
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        knots: Tensor,
        order: int,
        basis: Callable[[Tensor], Tensor],
        weight: Callable[[], Tensor],
        base: int = -1,
        base_name: str = "zero",
        outside: str = "base",
        splines: bool = False,
        alive: BoolArray | None = None,
        bias: Callable[[], Tensor] | None = None,
        call: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._module = module
        self._basis, self._weight, self._call = basis, weight, call
        self._base = base
        dst, _, src = weight().shape
        self.knots = usable_knots(numbers(knots))
        self.order = int(order)
        self.alive = np.ones((dst, src), bool) if alive is None else alive
        self.bias = np.zeros(dst) if bias is None else numbers(bias())
        self.slots = 0  # edges with a function of their own beside the splines
        self.base_name, self.outside, self.splines = base_name, outside, splines
        self.facts = (
            ("grid intervals", str(self.knots.shape[1] - 1)),
            ("spline order", str(self.order)),
            ("outside the domain", outside),
            ("base function", base_name),
        )

    @property
    def module(self) -> nn.Module:
        """What is called with the layer's input."""
        return self._module

    def edges(self, x: Tensor) -> Tensor:
        """Every edge at ``x`` (n, src): (n, dst, src)."""
        return self._combined(x, self._weight())

    def base_edges(self, x: Tensor) -> Tensor:
        """The base branch of every edge, (n, dst, src)."""
        return self._combined(x, self.base_coefficients())

    def __call__(self, x: Tensor) -> Tensor:
        """The layer's own output, ``(n, src) -> (n, dst)``."""
        result: Tensor = self._module(x) if self._call is None else self._call(x)
        return result.reshape(-1, result.shape[-1])

    def planes(self, x: Tensor) -> Tensor:
        """The basis at ``x``, (n, K, src)."""
        return self._basis(x)

    def coefficients(self) -> Tensor:
        """Weights of the planes, (dst, K, src)."""
        return self._weight().detach()

    def base_coefficients(self) -> Tensor:
        """The same with all planes but that of the base branch at 0."""
        weight = self.coefficients()
        only = torch.zeros_like(weight)
        if self._base >= 0:
            only[:, self._base] = weight[:, self._base]
        return only

    def _combined(self, x: Tensor, weight: Tensor) -> Tensor:
        planes = self._basis(x)
        return torch.einsum("nki,oki->noi", planes, weight.to(planes.dtype))


def usable_knots(knots: Array) -> Array:
    """Strictly increasing knots: an input whose knots coincide gets equal cells, on a domain that is not empty.

    Examples
    --------
    >>> usable_knots(np.array([[2.0, 2.0, 2.0], [0.0, 0.3, 1.0]]))
    array([[1.5, 2. , 2.5],
           [0. , 0.3, 1. ]])
    """
    knots = np.array(knots, dtype=np.float64)
    for row in knots:
        if not np.all(np.diff(row) > 0):
            a, b = row[0], row[-1]
            if not b > a:
                a, b = a - LONE_DOMAIN, a + LONE_DOMAIN
            row[:] = np.linspace(a, b, len(row))
    return knots


def base_kind(function: Any) -> str:
    """Which base function of a `KANHead` a callable is: "silu", "identity", or "other".

    Examples
    --------
    >>> base_kind(nn.SiLU()), base_kind(nn.Identity()), base_kind(nn.GELU())
    ('silu', 'identity', 'other')
    """
    if isinstance(function, nn.SiLU) or function is F.silu:
        return "silu"
    return "identity" if isinstance(function, nn.Identity) else "other"


def numbers(tensor: Tensor) -> Array:
    """Float64 copy on the CPU, as numpy."""
    array: Array = tensor.detach().cpu().double().numpy().copy()
    return array
