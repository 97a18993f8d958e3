"""When a domain has too much or too little room, or room on the wrong side, and by how much its ends should move."""

from __future__ import annotations

import torch
from torch import Tensor

from kaninterp.nn.decayed import BINS
from kaninterp.nn.domain import widen

__all__ = ["PACES", "ROOM", "next_pace", "resizes", "room", "wanted_moves", "whole_cells", "with_room"]

ROOM = 2.0
"""Cells that a domain leaves free, both ends together; a third of its cells if that is less. From one cell on, whole
cells can go from one end to the other without touching what lies under data."""

LEAN = 1.0, 1.75
"""Difference of the room at both ends, in cells, from which a cell goes to the other one: in the direction of the last
one, and against it. Afterwards it is two less, so noise does not bring the cell back."""

NEAR = 0.5
"""Cells free at most at the end to which one goes."""

SPREADS = 2.5
"""Standard deviations on each side of the mean of the first batch that its domain covers at least."""

ASTRAY = 0.5
"""Cells by which data lie outside, or are wider than the domain, before something is done about it."""

SLACK = 0.2
"""Room that differs from what it should be by less than this part of it is right."""

PACES = 2.0**-9, 8.0
"""Fewest and most cells by which an end moves at once where one that goes round does not do: many, if no data lie
where the function has to change."""


def room(grid: int) -> float:
    """Cells that a domain of ``grid`` cells leaves free, both ends together."""
    return min(ROOM, grid / 3)


def with_room(rows: Tensor, lo: Tensor, hi: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """Domain for the first batch of inputs that may wander.

    Parameters
    ----------
    rows : Tensor, shape (n, in)
        The batch.
    lo, hi : Tensor, shape (in,)
        Its range, finite.
    grid : int
        Cells, of which `room` are left free.

    Returns
    -------
    lo, hi : Tensor, shape (in,)
        Around the range or `SPREADS` standard deviations, whichever is wider: a small batch has not seen the tails.

    Examples
    --------
    >>> x = torch.tensor([[-1.0], [1.0]])
    >>> lo, hi = with_room(x, x[0], x[1], grid=5)
    >>> [round(float(end), 2) for end in (lo, hi)]
    [-3.75, 3.75]
    """
    reach = SPREADS * rows.std(0, correction=0)
    lo, hi = torch.minimum(lo, rows.mean(0) - reach), torch.maximum(hi, rows.mean(0) + reach)
    return widen(lo, hi, room(grid) / 2 / (grid - room(grid)))


def wanted_moves(free: Tensor, grid: int, *, resizing: Tensor, last: Tensor, refused: Tensor, pace: Tensor) -> Tensor:
    """Say by how many cells each end of each domain should move now.

    Parameters
    ----------
    free : Tensor, shape (2, in)
        Free cells below and above, see `kaninterp.nn.decayed.gaps`.
    grid : int
        Cells.
    resizing : Tensor, shape (in,), bool
        Domains on their way to another width.
    last : Tensor, shape (in,)
        Direction in which a cell went last, 1, -1 or 0.
    refused : Tensor, shape (in,), bool
        Domains for which a whole cell was too much the last time.
    pace : Tensor, shape (in,)
        Part of a cell by which an end moves at most.

    Returns
    -------
    Tensor, shape (2, in)
        One cell up or down (the same for both ends) where one is free at the other end and data come near this one;
        else steps of `pace` towards the middle of the data where the width is wrong or data lie outside; else 0.

    Examples
    --------
    >>> resizing, pace = torch.tensor([False, False, True]), torch.full((3,), 0.25)
    >>> free = torch.tensor([[1.5, 0.5, 0.0], [0.0, 0.5, 0.0]])
    >>> wanted_moves(free, grid=5, resizing=resizing, last=torch.zeros(3), refused=resizing, pace=pace)
    tensor([[ 1.0000,  0.0000, -0.2500],
            [ 1.0000,  0.0000,  0.2500]])
    """
    left, lean = free.sum(0), free[0] - free[1]
    against = lean.sign() * last < 0
    ready = (lean.abs() >= torch.where(against, LEAN[1], LEAN[0])) & (free.amax(0) >= 1) & (free.amin(0) <= NEAR)
    whole = torch.where(ready, lean.sign(), 0.0)
    side = torch.where(_wrong(left, grid, slack=0.0), room(grid), left) / 2
    goal = torch.stack((free[0] - side, side - free[1]))
    part = torch.minimum(torch.maximum(goal, -pace), pace)
    part = torch.where((resizing | refused | (free.amin(0) < -ASTRAY)) & left.isfinite(), part, 0.0)
    return torch.where((whole != 0) & ~refused, whole, part)


def _wrong(left: Tensor, grid: int, slack: float) -> Tensor:
    """Whether the free cells are too few or too many by more than a part of what they should be."""
    return (left < room(grid) * (1 - slack)) | (left > room(grid) * (1 + slack))


def resizes(free: Tensor, grid: int, resizing: Tensor) -> Tensor:
    """Say which domains are to get another width.

    Parameters
    ----------
    free : Tensor, shape (2, in)
        Free cells below and above.
    grid : int
        Cells.
    resizing : Tensor, shape (in,), bool
        Which ones are on their way already.

    Returns
    -------
    Tensor, shape (in,), bool
        Begun where data take half a cell more than the domain or less than half of it, ended where the room is right;
        never for a constant input.

    Examples
    --------
    >>> free = torch.tensor([[-0.9, 0.5, 2.5, 2.45], [0.0, 0.5, 1.7, 2.45]])
    >>> resizes(free, grid=5, resizing=torch.tensor([False, False, False, False]))
    tensor([ True, False,  True, False])
    """
    left = free.sum(0)
    far = (left < -ASTRAY) | (left > max(grid / 2, 2 * room(grid)))
    constant = left > grid - 3 / BINS
    return torch.where(resizing, _wrong(left, grid, slack=SLACK), far) & ~constant


def next_pace(pace: Tensor, change: Tensor) -> Tensor:
    """Half after a step too large, a quarter after one far too large, twice after one below half of what is allowed."""
    factor = torch.where(change > 2, 0.25, torch.where(change > 1, 0.5, torch.where(change < 0.5, 2.0, 1.0)))
    return (pace * factor).clamp(*PACES)


def whole_cells(ends: Tensor, *cells: int) -> Tensor:
    """Say which moves (2, in) carry both ends by one of so many cells, (in,)."""
    return (ends[0] == ends[1]) & torch.stack([ends[0] == number for number in cells]).any(0)
