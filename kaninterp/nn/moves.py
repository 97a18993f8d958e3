"""Moves of uniform grids by a cell or by a part of one: maps between coefficients, and what they change on a batch."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kaninterp.nn.decayed import centres
from kaninterp.nn.domain import greville, uniform_knots
from kaninterp.nn.planes import SplineSpec, place, planes
from kaninterp.nn.projection import continued_basis, quadrature
from kaninterp.nn.room import whole_cells
from kaninterp.nn.start import carried

if TYPE_CHECKING:
    from kaninterp.nn.layer import KANLayer

__all__ = ["TOLERANCE", "Move", "move_operators"]

TOLERANCE = 5e-5
"""Largest change that a move may make: root mean square over a batch, in standard deviations of each node."""


FLOOR = 1e-4
"""Weight of the uniform measure on the new domain beside that of the data: it keeps the rank full."""


def move_operators(spec: SplineSpec, ends: Tensor, shares: Tensor) -> Tensor:
    """Maps from the coefficients of each input to those of the same function after its domain has moved.

    Parameters
    ----------
    spec : SplineSpec
        With uniform knots.
    ends : Tensor, shape (2, in)
        How far the ends move, in cells of the old domain, below and above; the new width must be positive.
    shares : Tensor, shape (in, bins)
        Where the data lie, see `kaninterp.nn.decayed.count`.

    Returns
    -------
    Tensor, shape (in, K, K)
        A move of both ends by one cell keeps every function where the domains overlap, bit by bit, and goes on beyond
        as the old tail did from as many cells on as the order. Any other is the least-squares best where data lie, with
        `FLOOR` of their weight spread over the new domain. float64.

    Examples
    --------
    >>> spec = SplineSpec(grid=2, order=1, outside="clamp", base="silu", uniform=True)
    >>> one_up = move_operators(spec, torch.tensor([[1.0], [1.0]]), torch.ones(1, 98))
    >>> one_up[0] @ torch.tensor([7.0, 8.0, 9.0]).double()
    tensor([8., 9., 9.], dtype=torch.float64)
    """
    maps = torch.empty(ends.shape[1], spec.size, spec.size, dtype=torch.float64, device=ends.device)
    for cells in (-1, 1):
        maps[whole_cells(ends, cells)] = _shift(spec.grid, spec.order, spec.outside, cells).to(ends.device)
    part = ~whole_cells(ends, -1, 1)
    if bool(part.any()):
        maps[part] = _fitted(spec, ends[:, part].double(), shares[part].double())
    return maps


@lru_cache(maxsize=64)
def _shift(grid: int, order: int, outside: str, cells: int) -> Tensor:
    """Coefficients wander by ``cells`` places; new ones lie on the tail (on a line they are its values)."""
    with torch.device("cpu"):
        old = torch.arange(grid + 1, dtype=torch.float64).unsqueeze(0)
        operator = torch.diag(torch.ones(grid + order - 1, dtype=torch.float64), cells)
        sites = greville(old + cells, order).t()
        new = -1 if cells > 0 else 0
        if outside != "base":
            operator[new] = continued_basis(sites[[new]], old, order, outside)[0, :, 0]
        return operator


def _fitted(spec: SplineSpec, ends: Tensor, shares: Tensor) -> Tensor:
    """Weighted least squares in cells of the new domain: normal equations, well-conditioned for B-splines."""
    grid, (below, above) = spec.grid, ends
    unit = torch.arange(grid + 1, dtype=torch.float64, device=ends.device).unsqueeze(0)
    spread, weight = quadrature(unit, spec.order + 2)
    data = centres(grid, device=ends.device).unsqueeze(1)
    stretch = (grid + above - below) / grid
    before = _basis(torch.cat(((below + spread * stretch), data.expand(-1, len(below)))), unit, spec)
    after = _basis(torch.cat((spread.expand(-1, len(below)), (data - below) / stretch)), unit, spec)
    weights = torch.cat((FLOOR * weight.t().expand(len(below), -1), shares / shares.sum(1, keepdim=True)), 1)
    weighted = after * weights.unsqueeze(1)
    operator: Tensor = torch.linalg.solve(weighted @ after.mT, weighted @ before.mT)
    return operator


def _basis(points: Tensor, knots: Tensor, spec: SplineSpec) -> Tensor:
    """Basis (in, K, p) at points (p, in), as it goes on outside."""
    knots = knots.expand(points.shape[1], -1)
    return continued_basis(points, knots, spec.order, spec.outside).permute(2, 1, 0)


class Move:
    """New domains of some inputs of a layer, not yet written, and what they change on a batch.

    Parameters
    ----------
    layer : KANLayer
        With uniform knots.
    inputs : Tensor, shape (m,)
        Which inputs, int64.
    ends : Tensor, shape (2, m)
        How far the ends of their domains move, in cells, below and above.
    shares : Tensor, shape (m, bins)
        Where their data lie.
    rows : Tensor, shape (n, in)
        The batch.
    """

    def __init__(self, layer: KANLayer, inputs: Tensor, ends: Tensor, shares: Tensor, rows: Tensor) -> None:
        self.inputs, self.ends = inputs, ends
        old = layer.knots[inputs].double()
        lo, hi = torch.stack((old[:, 0], old[:, -1])) + ends * (old[:, -1] - old[:, 0]) / layer.grid
        self.knots = uniform_knots(lo, hi, layer.grid)
        self.before = layer.weight.detach()[..., inputs].double()
        spline = torch.einsum("inm,omi->oni", move_operators(layer.spec, ends, shares), self.before[:, :-1])
        self.after = torch.cat((spline, self.before[:, -1:]), 1).to(layer.weight.dtype)
        x = rows[:, inputs].double()
        old_planes, new_planes = (planes(x, layer.spec, place(knots, layer.spec)) for knots in (old, self.knots))
        self._planes = torch.cat((new_planes, -old_planes), 1)
        live = layer.mask[:, inputs].double().unsqueeze(1)
        self._weight = torch.cat((self.after.double(), self.before), 1) * live
        spread = layer._evaluate(rows).double().std(0, correction=0)
        self._allowed = TOLERANCE * spread

    def change_of_each(self) -> Tensor:
        """Change by the move of one input alone, of the node it changes most, in multiples of `TOLERANCE`; (m,)."""
        products = torch.einsum("nki,nli->ikl", self._planes, self._planes) / self._planes.shape[0]
        square = torch.einsum("oki,ikl,oli->oi", self._weight, products, self._weight)
        return _ratio(square.clamp(min=0).sqrt(), self._allowed.unsqueeze(1)).amax(0)

    def change_of_all(self, fine: Tensor) -> float:
        """Change by the chosen moves together, of the node they change most, in multiples of `TOLERANCE`."""
        change = torch.einsum("nki,oki->no", self._planes[..., fine], self._weight[..., fine])
        return float(_ratio(change.square().mean(0).sqrt(), self._allowed).amax())

    def make(self, layer: KANLayer, fine: Tensor) -> None:
        """Write the chosen moves into the layer."""
        inputs, knots, before = self.inputs[fine], layer.knots.clone(), layer.coef.clone()
        knots[inputs] = self.knots[fine].to(knots.dtype)
        layer.weight[..., inputs] = self.after[..., fine]
        layer.start.copy_(carried(layer.start, before, layer.coef))
        layer._move(knots)


def _ratio(change: Tensor, allowed: Tensor) -> Tensor:
    """Change over what is allowed; 0 where nothing changes (a dead node), inf where it cannot be told."""
    ratio = torch.where(change > 0, change / allowed, change)
    return torch.nan_to_num(ratio, nan=math.inf, posinf=math.inf)
