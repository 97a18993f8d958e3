"""Another grid for a layer, at the same functions: old knots stay knots, cells are added where the data went."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kaninterp.core.errors import InputError
from kaninterp.nn.bspline import knot_basis
from kaninterp.nn.domain import greville
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.projection import continued_basis, quadrature
from kaninterp.nn.start import carried

__all__ = ["MOST", "cells_needed", "regrid", "wanted_grid"]

MOST = 128
"""Intervals of a grid at most."""

FINEST = 16
"""Rounding steps of the number type that a cell is wide at least."""
ROUNDING = 1e-6
"""Part of a cell by which data may lie beyond it and still count as on its end."""


def cells_needed(layer: KANLayer, lo: Tensor, hi: Tensor) -> Tensor:
    """Whole cells of the present width that cover a range, per input: int64 (2, in), first and one past the last.

    Numbers count from the lower end of the domain; negative ones lie below it. They end where the number type of the
    layer tells single cells no longer apart, half a million cells away in float32.
    """
    knots = layer.knots.double()
    low, high = _index(knots, lo.double()) + ROUNDING, _index(knots, hi.double()) - ROUNDING
    far = 1 / (FINEST * torch.finfo(layer.knots.dtype).eps)
    return torch.stack((torch.floor(low), torch.ceil(high))).clamp(-far, layer.grid + far).long()


def wanted_grid(layers: Sequence[KANLayer], ranges: Sequence[tuple[Tensor, Tensor]]) -> int:
    """Smallest number of intervals with which every input has as many where its data lie as its grid has now.

    Parameters
    ----------
    layers : sequence of KANLayer
    ranges : sequence of (Tensor, Tensor)
        Per layer the smallest and largest value of each input, each (in,).

    Returns
    -------
    int
        `MOST`, or the grid there is if it is larger, where no smaller number is enough.

    Examples
    --------
    >>> layer = KANLayer(1, 1, domain=(-1, 1))
    >>> wanted_grid([layer], [(torch.tensor([-0.1]), torch.tensor([0.1]))])
    5
    >>> wanted_grid([layer], [(torch.tensor([-5.0]), torch.tensor([5.0]))])
    25
    """
    wanted = []
    for layer, (lo, hi) in zip(layers, ranges, strict=True):
        first, last = cells_needed(layer, lo, hi)
        wanted.append((torch.maximum(last - first, torch.ones_like(first)), layer.grid))
    least = max((max(int(cells.max()), grid) for cells, grid in wanted), default=1)
    enough = (
        grid
        for grid in range(least, MOST + 1)
        if all(bool((grid // cells * cells >= now).all()) for cells, now in wanted)
    )
    return next(enough, max(MOST, *(layer.grid for layer in layers)))


@torch.no_grad()
def regrid(layer: KANLayer, lo: Tensor, hi: Tensor, *, grid: int) -> KANLayer:
    """Build a layer whose grid lies where data are and that computes the same functions; this one is left unchanged.

    Cells of the present width are laid over [lo, hi] and split evenly as often as ``grid`` allows; cells left over
    widen the domain. Old knots in the new domain thus are new knots, and every function is kept there exactly. Beyond
    the old ends "base" is fitted by least squares to how the functions went on; "clamp" and "linear", which have a kink
    there, go on as they did from as many cells on as the order.

    Parameters
    ----------
    layer : KANLayer
    lo, hi : Tensor, shape (in,)
        Range of the data, ``lo <= hi``.
    grid : int
        Intervals of the new layer. Where fewer than the range needs, cells farthest from the old domain are left out.

    Returns
    -------
    KANLayer

    Raises
    ------
    InputError
        A range that is not finite, or a grid below 1.

    Examples
    --------
    >>> layer = KANLayer(1, 1, grid=4, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    >>> wide = regrid(layer, torch.tensor([-2.0]), torch.tensor([2.0]), grid=8)
    >>> wide.domain[:, 0].tolist()
    [-2.0, 2.0]
    >>> x = torch.linspace(-1, 1, 50)[:, None]
    >>> torch.allclose(wide(x), layer.eval()(x), atol=1e-6)
    True
    """
    if grid < 1 or not bool((torch.isfinite(lo) & torch.isfinite(hi) & (lo <= hi)).all()):
        raise InputError(f"regrid: grid={grid}; allowed: 1 or more, and finite ends with lo <= hi")
    old = layer.knots.double()
    first, last = cells_needed(layer, lo, hi)
    knots = _knots(old, first, last, grid, torch.finfo(layer.knots.dtype).eps)
    new = layer.refine(grid)
    new._move(knots.to(new.knots.dtype))
    # what rounding made of both lattices: the fit makes up for it, so that functions are kept and not their knots
    old, knots = _evaluated(layer), _evaluated(new)
    weight = layer.weight[:, :-1].double()
    for i in range(layer.in_features):
        coefficients = _fitted(layer, old[i : i + 1], knots[i : i + 1], weight[:, :, i])
        new.weight[:, :-1, i] = coefficients.to(new.weight.dtype)
    new.start.copy_(carried(layer.start, layer.coef, new.coef))
    for parameter, source in zip(new.parameters(), layer.parameters(), strict=True):
        parameter.requires_grad_(source.requires_grad)
    return new


def _evaluated(layer: KANLayer) -> Tensor:
    """Knots (in, grid + 1) where the layer's arithmetic has them, in float64."""
    if not layer.spec.uniform:
        return layer.knots.double()
    steps = torch.arange(layer.grid + 1, dtype=torch.float64, device=layer.knots.device)
    where = layer.placement
    return where.lo.double().unsqueeze(1) + steps / where.per_unit.double().unsqueeze(1)


def _index(knots: Tensor, x: Tensor) -> Tensor:
    """Place of x (in,) in cells from the lower end; cells of the mean width beyond the ends."""
    grid = knots.shape[1] - 1
    width = (knots[:, -1] - knots[:, 0]) / grid
    cell = torch.searchsorted(knots[:, 1:-1].contiguous(), x.unsqueeze(1), right=True)
    left, right = knots.gather(1, cell)[:, 0], knots.gather(1, cell + 1)[:, 0]
    inside = cell[:, 0] + (x - left) / (right - left)
    below, above = (x - knots[:, 0]) / width, grid + (x - knots[:, -1]) / width
    return torch.where(below < 0, below, torch.where(x > knots[:, -1], above, inside))


def _knots(old: Tensor, first: Tensor, last: Tensor, grid: int, eps: float) -> Tensor:
    """Knots (in, grid + 1) on the lattice of the old ones; ``eps`` of the number type they will have."""
    cells = old.shape[1] - 1
    # a range on one knot has no cell
    last = torch.maximum(last, first + 1)
    below, above = _too_many(first, last, cells, grid)
    first = first + below
    last = torch.maximum(last - above, first + 1)
    width = (old[:, -1] - old[:, 0]) / cells
    reach = torch.maximum(first.abs(), last.abs()) + old.abs().amax(1) / width
    finest = (1 / (FINEST * eps * reach)).long()
    parts = torch.minimum(grid // (last - first), finest).clamp(min=1)
    pad = (grid - parts * (last - first)).clamp(min=0) // 2
    steps = (first * parts - pad).unsqueeze(1) + torch.arange(grid + 1, device=old.device)
    place = steps.double() / parts.unsqueeze(1)
    cell = place.floor().long().clamp(0, cells - 1)
    inside = torch.lerp(old.gather(1, cell), old.gather(1, cell + 1), place - cell)
    step = width.unsqueeze(1)
    outer = torch.where(place < 0, old[:, :1] + place * step, old[:, -1:] + (place - cells) * step)
    return torch.where((place < 0) | (place > cells), outer, inside)


def _too_many(first: Tensor, last: Tensor, cells: int, grid: int) -> tuple[Tensor, Tensor]:
    """Cells to leave out below and above the old domain, the farthest first."""
    number = last - first
    below, above = (torch.minimum(side.clamp(min=0), number) for side in (-first, last - cells))
    left = (below + above - (number - grid).clamp(min=0)).clamp(min=0)
    kept = torch.minimum(below, torch.maximum(left // 2, left - above))
    return below - kept, above - torch.minimum(above, left - kept)


def _values(layer: KANLayer, points: Tensor, old: Tensor, coefficients: Tensor) -> Tensor:
    """Spline parts (n, out) of one input as they were, in float64."""
    return continued_basis(points, old, layer.order, layer.spec.outside)[:, :, 0] @ coefficients.T


def _fitted(layer: KANLayer, old: Tensor, knots: Tensor, coefficients: Tensor) -> Tensor:
    """Coefficients (out, new K): those that act inside the old domain, exactly, then the others."""
    points, _ = quadrature(knots, layer.order + 2)
    wanted = _values(layer, points, old, coefficients)
    design = knot_basis(points, knots, layer.order)[:, :, 0]
    inside = (points[:, 0] > old[0, 0]) & (points[:, 0] < old[0, -1])
    acts = (design[inside] != 0).any(0)
    result = torch.zeros(design.shape[1], wanted.shape[1], dtype=design.dtype, device=design.device)
    if bool(acts.any()):
        result[acts] = torch.linalg.lstsq(design[inside][:, acts], wanted[inside]).solution
    if layer.spec.outside != "base":
        # a line has its own values at the Greville points for coefficients: beyond the kink there is nothing to fit
        sites = greville(knots, layer.order)[0, ~acts, None]
        result[~acts] = _values(layer, sites, old, coefficients)
    elif bool((~acts).any()):
        left = wanted[~inside] - design[~inside] @ result
        result[~acts] = torch.linalg.lstsq(design[~inside][:, ~acts], left).solution
    return result.T
