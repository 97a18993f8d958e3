"""Grids moved to where data lie, in whole cells, so that every function is kept as it was inside the old domain.

New knots contain the old ones that lie in the new domain: a domain is extended by whole cells, cropped to whole cells,
and its cells are split evenly. Each of these keeps a spline as it is; moving knots to the range of the data does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kaninterp.core.errors import InputError
from kaninterp.nn.bspline import end_slopes, knot_basis
from kaninterp.nn.domain import greville, uniform_knots
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.projection import transfer_operator
from kaninterp.nn.start import carried

__all__ = ["GRIDS", "regrid", "wanted_grid"]

GRIDS = (6, 12, 24, 36, 48, 60, 72, 96, 120)
"""Numbers of intervals to choose from; they have many divisors, for every input splits its cells by one of its own."""

Ends = tuple[Tensor, Tensor]


def wanted_grid(layers: Sequence[KANLayer], ranges: Sequence[Ends]) -> int:
    """Smallest number of intervals that gives every input as many where its data lie as its grid has now.

    Parameters
    ----------
    layers
        With equally spaced knots.
    ranges
        Per layer the smallest and largest value of each input, each (in,).

    Returns
    -------
    int
        One of `GRIDS`; the largest of them where none is enough.

    Examples
    --------
    >>> import torch
    >>> layer = KANLayer(1, 1, domain=(-1, 1))
    >>> wanted_grid([layer], [(torch.tensor([-0.1]), torch.tensor([0.1]))])
    6
    >>> wanted_grid([layer], [(torch.tensor([-4.0]), torch.tensor([4.0]))])
    24
    """
    spans = [(_cells(layer, ends), layer.grid) for layer, ends in zip(layers, ranges, strict=True)]
    for grid in GRIDS:
        if all(_enough(cells, grid, now) for cells, now in spans):
            return grid
    return GRIDS[-1]


@torch.no_grad()
def regrid(layer: KANLayer, lo: Tensor, hi: Tensor, grid: int) -> KANLayer:
    """Build a layer whose grid lies where data are; the given one is left unchanged.

    Parameters
    ----------
    layer
        With equally spaced knots.
    lo, hi : Tensor, shape (in,)
        Smallest and largest value of each input.
    grid : int
        Number of intervals, see `wanted_grid`.

    Returns
    -------
    KANLayer
        Every function is the same where the old and the new domain overlap. Beyond the old domain, ``outside="base"``
        is kept too; "clamp" and "linear", which have a kink at its ends, are reached within as many cells as the order.
        Data that more than `grid` old cells would be needed for stay outside in part.

    Raises
    ------
    InputError
        The layer has free knots.

    Examples
    --------
    >>> import torch
    >>> layer = KANLayer(2, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0)).double()
    >>> wide = regrid(layer, torch.tensor([-3.0, -0.1]), torch.tensor([2.0, 0.1]), 24)
    >>> x = torch.stack((torch.linspace(-1, 1, 50), torch.linspace(-0.1, 0.1, 50)), 1).double()
    >>> bool((wide.edges(x) - layer.edges(x)).abs().max() < 1e-6)
    True
    """
    if not layer.spec.uniform:
        raise InputError("regrid: the layer has free knots; allowed: equally spaced ones (uniform=True)")
    new = layer.refine(grid)
    starts, splits = _placed(layer, (lo, hi), grid)
    a, b = layer.domain.double()
    cell = (b - a) / layer.grid
    counts = grid // splits
    new.set_domain(a + cell * starts, a + cell * (starts + counts))
    for i in range(layer.in_features):
        new.weight[:, :-1, i] = _coefficients(layer, i, int(starts[i]), int(counts[i]), grid).to(new.weight.dtype)
    new.seen.copy_(torch.stack((torch.full_like(lo, torch.inf), torch.full_like(hi, -torch.inf))))
    new.start.copy_(carried(layer.start, layer.coef, new.coef))
    for parameter, source in zip(new.parameters(), layer.parameters(), strict=True):
        parameter.requires_grad_(source.requires_grad)
    return new


def _cells(layer: KANLayer, ends: Ends) -> tuple[Tensor, Tensor]:
    """First and one past the last old cell that data of each input lie in, counted from the domain's lower end."""
    a, b = layer.domain.double()
    cell = (b - a) / layer.grid
    first = ((ends[0].double() - a) / cell).floor()
    return first, torch.maximum(((ends[1].double() - a) / cell).ceil(), first + 1)


def _enough(cells: tuple[Tensor, Tensor], grid: int, now: int) -> bool:
    needed = cells[1] - cells[0]
    splits = torch.tensor([_split(int(count), grid) for count in needed.tolist()])
    return bool((needed <= grid).all()) and bool((splits * needed >= now).all())


def _split(needed: int, grid: int) -> int:
    """Largest even split of old cells that leaves room for the needed ones."""
    return max((d for d in range(1, grid + 1) if grid % d == 0 and grid // d >= needed), default=1)


def _placed(layer: KANLayer, ends: Ends, grid: int) -> tuple[Tensor, Tensor]:
    """First old cell of each new domain, and how often its cells are split."""
    first, last = _cells(layer, ends)
    splits = torch.tensor([_split(int(count), grid) for count in (last - first).tolist()], device=first.device)
    spare = grid // splits - (last - first)
    # spare cells on both sides; where there are too few the middle of the data is kept
    return first - (spare / 2).floor(), splits


def _coefficients(layer: KANLayer, i: int, start: int, count: int, grid: int) -> Tensor:
    """Coefficients (out, grid + order) of input i on ``count`` old cells from the start on, evenly split."""
    order, knots = layer.order, layer.knots[i : i + 1].double()
    a, cell = float(knots[0, 0]), float(knots[0, -1] - knots[0, 0]) / layer.grid
    old = layer.weight[:, :-1, i].double()
    place = torch.arange(start, start + count + order, device=old.device)
    kept = ((place >= 0) & (place < old.shape[1])).to(old.dtype)
    held = old[:, place.clamp(0, old.shape[1] - 1)] * kept + _beyond(layer, i, place) * (1 - kept)
    ends = torch.tensor([[a + cell * start], [a + cell * (start + count)]], dtype=old.dtype, device=old.device)
    coarse, fine = uniform_knots(ends[0], ends[1], count), uniform_knots(ends[0], ends[1], grid)
    return torch.einsum("nm,om->on", transfer_operator(coarse, fine, order, "base")[0], held)


def _beyond(layer: KANLayer, i: int, place: Tensor) -> Tensor:
    """What coefficients outside the old ones have to be for the spline to go on as it does, (out, places)."""
    old, knots = layer.weight[:, :-1, i].double(), layer.knots[i : i + 1].double()
    if layer.spec.outside == "base":
        return torch.zeros(old.shape[0], len(place), dtype=old.dtype, device=old.device)
    below = place < 0
    values = torch.einsum("nm,om->on", knot_basis(knots[:, [0, -1]].T, knots, layer.order)[:, :, 0], old)
    tail = torch.where(below, values[:, :1], values[:, 1:])
    if layer.spec.outside == "clamp":
        return tail
    slopes = torch.einsum("nm,om->on", end_slopes(knots, layer.order)[:, :, 0], old)
    cell = (knots[0, -1] - knots[0, 0]) / layer.grid
    sites = greville(knots, layer.order)[0, 0] + cell * place
    distance = sites - torch.where(below, knots[0, 0], knots[0, -1])
    return tail + torch.where(below, slopes[:, :1], slopes[:, 1:]) * distance
