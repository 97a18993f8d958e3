"""Decayed histograms of the inputs of a layer, in cells of its grid, and the room they leave at both ends."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["BINS", "centres", "count", "gaps", "rebinned"]

BINS = 16
"""Bins per cell. The domain and its width on each side are covered; one bin at each end holds all beyond."""


def count(rows: Tensor, lo: Tensor, per_unit: Tensor, grid: int) -> Tensor:
    """Histogram of a batch on bins that go with the cells.

    Parameters
    ----------
    rows : Tensor, shape (n, in)
        NaN and infinite values are left out.
    lo, per_unit : Tensor, shape (in,)
        Lower ends of the domains, cells per unit of x.
    grid : int
        Cells.

    Returns
    -------
    Tensor, shape (in, 3 * grid * BINS + 2)
        Shares of the n rows, float32.

    Examples
    --------
    >>> x = torch.tensor([[0.5], [9.0], [float("nan")], [0.5]])
    >>> shares = count(x, torch.tensor([0.0]), torch.tensor([1.0]), grid=1)
    >>> shares.shape, shares[0, 1 + BINS + BINS // 2].item(), shares[0, -1].item()
    (torch.Size([1, 50]), 0.5, 0.25)
    """
    last = 3 * grid * BINS + 1
    place = ((rows - lo) * (per_unit * BINS)).add_(grid * BINS + 1)
    fine = place.isfinite().to(torch.float32).div_(rows.shape[0])
    index = torch.nan_to_num_(place).clamp_(0, last).long()
    return torch.zeros(rows.shape[1], last + 1, device=rows.device).scatter_add_(1, index.t(), fine.t())


def gaps(shares: Tensor, grid: int, tail: float) -> Tensor:
    """Cells between the ends of the domain and the data, negative where data lie outside.

    Parameters
    ----------
    shares : Tensor, shape (in, 3 * grid * BINS + 2)
        Histogram, of any total.
    grid : int
        Cells.
    tail : float
        Share of the total that is cut off at each end.

    Returns
    -------
    Tensor, shape (2, in)
        Below and above, in cells; whole bins, so data never reach into a gap. NaN where nothing was counted.

    Examples
    --------
    >>> rows = torch.linspace(0.5, 0.99, 100)[:, None]
    >>> gaps(count(rows, torch.tensor([0.0]), torch.tensor([1.0]), grid=1), grid=1, tail=0.0)
    tensor([[0.5000],
            [0.0000]])
    """
    sums = torch.stack((shares, shares.flip(1))).cumsum(2)
    total = sums[0, :, -1]
    empty = (sums <= tail * total.unsqueeze(1)).sum(2)
    return torch.where(total > 0, (empty - 1 - grid * BINS) / BINS, torch.nan)


def centres(grid: int, *, device: torch.device | None = None) -> Tensor:
    """Where the bins lie, in cells from the lower end of the domain; the open ones half a bin beyond; (bins,), float64.

    Examples
    --------
    >>> centres(grid=1)[[0, 1, -1]].tolist()
    [-1.03125, -0.96875, 2.03125]
    """
    return (torch.arange(3 * grid * BINS + 2, dtype=torch.float64, device=device) - 0.5) / BINS - grid


def rebinned(shares: Tensor, ends: Tensor, grid: int) -> Tensor:
    """Histogram after the domain has moved.

    Parameters
    ----------
    shares : Tensor, shape (in, bins)
    ends : Tensor, shape (2, in)
        How far the ends went, in cells of the old domain.
    grid : int
        Cells.

    Returns
    -------
    Tensor, shape (in, bins)
        The same total, each bin as a whole where its centre lies now; exact after a move by whole cells.

    Examples
    --------
    >>> shares = torch.zeros(1, 50)
    >>> shares[0, 17] = 1.0  # in the first bin of the only cell
    >>> gaps(rebinned(shares, torch.tensor([[-1.0], [-1.0]]), grid=1), grid=1, tail=0.0)[:, 0].tolist()
    [1.0, -0.0625]
    """
    below, above = ends.double().unsqueeze(2)
    place = (centres(grid, device=shares.device) - below) * grid / (grid + above - below)
    index = ((place + grid) * BINS + 1).floor().clamp_(0, shares.shape[1] - 1).long()
    return torch.zeros_like(shares).scatter_add_(1, index, shares)
