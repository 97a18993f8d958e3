"""Domains and knots: from the range of some data to the knots of a spline."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "DOMAIN_MARGIN",
    "FLAT_HALF_WIDTH",
    "FLAT_RATIO",
    "QUANTILE_SHARE",
    "extend_knots",
    "greville",
    "interpolate_knots",
    "quantile_knots",
    "rescale_knots",
    "uniform_knots",
    "widen",
]

DOMAIN_MARGIN = 0.01
"""Share of the width added on each side of a range seen in data, so that its ends lie within the domain."""

FLAT_RATIO = 1e-6
"""A range narrower than this, relative to its largest absolute end, counts as constant: float32 cannot tell
its points apart (its resolution is 1.2e-7)."""

FLAT_HALF_WIDTH = 1.0
"""Half width of the domain of a constant column, around its value; at least a thousandth of the value, so
that float32 still resolves the cells."""

QUANTILE_SHARE = 0.5
"""How far non-uniform knots follow the data quantiles; the rest is uniform, so no cell is narrower than half
of a uniform one and ties cannot make knots coincide (pykan's `grid_eps` plays this part, there .98)."""


def widen(lo: Tensor, hi: Tensor, margin: float = DOMAIN_MARGIN) -> tuple[Tensor, Tensor]:
    """Domain for a seen range: a margin on each side, a usable width for constant columns.

    Parameters
    ----------
    lo, hi : Tensor, shape (in,)
        Finite smallest and largest values per column, ``lo <= hi``.
    margin : float
        Share of the width to add on each side.

    Returns
    -------
    lo, hi : Tensor, shape (in,)
        ``lo < hi`` in every column. A constant column (see `FLAT_RATIO`) gets its value +- `FLAT_HALF_WIDTH`
        or +- a thousandth of its value, whichever is wider.

    Examples
    --------
    >>> import torch
    >>> widen(torch.tensor([0.0, 7.0]), torch.tensor([1.0, 7.0]), margin=0.1)
    (tensor([-0.1000,  6.0000]), tensor([1.1000, 8.0000]))
    """
    centre, largest = lo / 2 + hi / 2, torch.maximum(lo.abs(), hi.abs())
    half = (hi / 2 - lo / 2) * (1 + 2 * margin)
    # the second test keeps 1 / width finite for columns of denormal numbers
    flat = (half * 2 <= FLAT_RATIO * largest) | (half < torch.finfo(lo.dtype).tiny * 1e6)
    half = torch.where(flat, torch.clamp(largest * 1e-3, min=FLAT_HALF_WIDTH), half)
    return centre - half, centre + half


def uniform_knots(lo: Tensor, hi: Tensor, grid: int) -> Tensor:
    """Equally spaced inner knots.

    Parameters
    ----------
    lo, hi : Tensor, shape (in,)
        Domain ends.
    grid : int
        Number of intervals.

    Returns
    -------
    Tensor, shape (in, grid + 1)
        The outer two are exactly the ends.

    Examples
    --------
    >>> import torch
    >>> uniform_knots(torch.tensor([0.0]), torch.tensor([1.0]), 4)
    tensor([[0.0000, 0.2500, 0.5000, 0.7500, 1.0000]])
    """
    part = torch.arange(grid + 1, dtype=lo.dtype, device=lo.device) / grid
    return torch.lerp(lo.unsqueeze(-1), hi.unsqueeze(-1), part)


def quantile_knots(x: Tensor, lo: Tensor, hi: Tensor, grid: int) -> Tensor:
    """Knots that are denser where the data are, see `QUANTILE_SHARE`.

    Parameters
    ----------
    x : Tensor, shape (n, in)
        Data, n >= 1.
    lo, hi : Tensor, shape (in,)
        Domain ends; they become the outer knots.
    grid : int
        Number of intervals.

    Returns
    -------
    Tensor, shape (in, grid + 1)
        Strictly increasing.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
    >>> quantile_knots(x, torch.tensor([0.0]), torch.tensor([1.0]), 2)
    tensor([[0.0000, 0.2500, 1.0000]])
    """
    rows = torch.arange(grid + 1, device=x.device) * (x.shape[0] - 1) // grid
    quantiles = torch.sort(x, dim=0).values[rows].t()
    quantiles = torch.clamp(quantiles, lo.unsqueeze(1), hi.unsqueeze(1))
    knots = torch.lerp(uniform_knots(lo, hi, grid), quantiles, QUANTILE_SHARE)
    return torch.cat((lo.unsqueeze(1), knots[:, 1:-1], hi.unsqueeze(1)), dim=1)


def rescale_knots(knots: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
    """Move knots to another domain, keeping the ratios of their cells.

    Parameters
    ----------
    knots : Tensor, shape (in, grid + 1)
        Inner knots.
    lo, hi : Tensor, shape (in,)
        New domain ends.

    Returns
    -------
    Tensor, shape (in, grid + 1)

    Examples
    --------
    >>> import torch
    >>> rescale_knots(torch.tensor([[0.0, 1.0, 4.0]]), torch.tensor([1.0]), torch.tensor([3.0]))
    tensor([[1.0000, 1.5000, 3.0000]])
    """
    part = (knots - knots[:, :1]) / (knots[:, -1:] - knots[:, :1])
    return torch.lerp(lo.unsqueeze(1), hi.unsqueeze(1), part)


def extend_knots(knots: Tensor, order: int) -> Tensor:
    """Add `order` cells of the mean width on each side.

    Parameters
    ----------
    knots : Tensor, shape (in, grid + 1)
        Strictly increasing inner knots.
    order : int
        Cells to add on each side.

    Returns
    -------
    Tensor, shape (in, grid + 1 + 2 * order)

    Examples
    --------
    >>> import torch
    >>> extend_knots(torch.tensor([[0.0, 0.5, 2.0]]), 1)
    tensor([[-1.0000,  0.0000,  0.5000,  2.0000,  3.0000]])
    """
    lo, hi = knots[:, :1], knots[:, -1:]
    width = (hi - lo) / (knots.shape[1] - 1)
    steps = torch.arange(1, order + 1, dtype=knots.dtype, device=knots.device)
    return torch.cat((lo - width * steps.flip(0), knots, hi + width * steps), dim=1)


def interpolate_knots(knots: Tensor, grid: int) -> Tensor:
    """Knots of another grid with the same local density; a multiple of the old grid splits every cell evenly.

    Parameters
    ----------
    knots : Tensor, shape (in, old grid + 1)
        Inner knots.
    grid : int
        New number of intervals.

    Returns
    -------
    Tensor, shape (in, grid + 1)

    Examples
    --------
    >>> import torch
    >>> interpolate_knots(torch.tensor([[0.0, 1.0, 3.0]]), 4)
    tensor([[0.0000, 0.5000, 1.0000, 2.0000, 3.0000]])
    """
    old = knots.shape[1] - 1
    # integer arithmetic: a shared knot is found exactly, not up to rounding
    steps = torch.arange(grid + 1, device=knots.device) * old
    cell = torch.clamp(steps // grid, max=old - 1)
    part = (steps - cell * grid).to(knots.dtype) / grid
    return torch.lerp(knots[:, cell], knots[:, cell + 1], part)


def greville(knots: Tensor, order: int) -> Tensor:
    """Greville points: where a coefficient sits, so that coefficients on a line give that line.

    Parameters
    ----------
    knots : Tensor, shape (in, grid + 1)
        Inner knots.
    order : int
        Polynomial degree.

    Returns
    -------
    Tensor, shape (in, grid + order)

    Examples
    --------
    >>> import torch
    >>> greville(torch.tensor([[0.0, 1.0, 2.0]]), 3)
    tensor([[-1.,  0.,  1.,  2.,  3.]])
    """
    return extend_knots(knots, order)[:, 1:-1].unfold(1, order, 1).mean(-1)
