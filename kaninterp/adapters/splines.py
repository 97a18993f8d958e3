"""B-spline planes as other libraries compute them, on knots that go on beyond the domain."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["bump_planes", "inner_knots", "knot_planes", "power_planes", "spline_and_base"]

FLASHKAN_SIXTH = 0.16666667
"""What flashkan multiplies its sums with: a sixth to eight digits, which float64 tells from a sixth."""


def knot_planes(x: Tensor, ladder: Tensor, order: int) -> Tensor:
    """All B-splines on given knots, by the recursion of Cox and de Boor.

    Parameters
    ----------
    x : Tensor, shape (n, src)
        Points.
    ladder : Tensor, shape (src, G + 1 + 2 order)
        Knots, the extended ones too.
    order : int
        Degree.

    Returns
    -------
    Tensor, shape (n, G + order, src)
        0 outside the ladder. Where knots coincide, 0/0 counts as 0.

    Examples
    --------
    >>> knot_planes(torch.tensor([[0.25]]), torch.tensor([[-1.0, 0.0, 1.0, 2.0]]), 1)[0, :, 0]
    tensor([0.7500, 0.2500])
    """
    at, knots = x.unsqueeze(-1), ladder.to(x)
    values = ((at >= knots[:, :-1]) & (at < knots[:, 1:])).to(x.dtype)
    for k in range(1, order + 1):
        rising = (at - knots[:, : -k - 1]) / (knots[:, k:-1] - knots[:, : -k - 1])
        falling = (knots[:, k + 1 :] - at) / (knots[:, k + 1 :] - knots[:, 1:-k])
        values = torch.nan_to_num(rising * values[..., :-1] + falling * values[..., 1:])
    return values.transpose(1, 2)


def spline_and_base(x: Tensor, ladder: Tensor, order: int, base: Callable[[Tensor], Tensor]) -> Tensor:
    """Planes of a layer with a base branch: the splines of `knot_planes`, then the base, (n, G + order + 1, src)."""
    return torch.cat((knot_planes(x, ladder, order), base(x).unsqueeze(1)), dim=1)


def inner_knots(ladder: Tensor, order: int) -> Tensor:
    """The knots of the domain, (src, G + 1), of those with `order` more on each side."""
    return ladder[:, order : ladder.shape[1] - order]


def bump_planes(x: Tensor, start: Tensor, per_unit: float, count: int) -> Tensor:
    """All cubic B-splines on equally spaced knots, from the distance to their centres.

    Parameters
    ----------
    x : Tensor, shape (n, src)
        Points.
    start : Tensor, shape ()
        Where the first one begins.
    per_unit : float
        Cells per unit of x.
    count : int
        How many.

    Returns
    -------
    Tensor, shape (n, count, src)

    Examples
    --------
    >>> bump_planes(torch.tensor([[0.0]]), torch.tensor(-3.0), 1.0, 4)[0, :, 0] * 6
    tensor([1., 4., 1., 0.])
    """
    u = (x - start.to(x)) * per_unit
    reach = 2.0 - (u.unsqueeze(1) - torch.arange(2, count + 2, dtype=x.dtype, device=x.device).unsqueeze(-1)).abs()
    outer, inner = reach.clamp_min(0.0), (reach - 1.0).clamp_min(0.0)
    return (outer**3 - 4.0 * inner**3) / 6.0


def power_planes(x: Tensor, starts: Tensor, per_unit: float) -> Tensor:
    """All cubic B-splines on equally spaced knots, as alternating truncated powers (de Boor, ch. IX).

    Parameters
    ----------
    x : Tensor, shape (n, src)
        Points.
    starts : Tensor, shape (K,)
        Where each one begins.
    per_unit : float
        Cells per unit of x.

    Returns
    -------
    Tensor, shape (n, K, src)
        With the rounding of that sum: far right of the domain float32 leaves a remainder instead of 0.

    Examples
    --------
    >>> power_planes(torch.tensor([[0.0]]), torch.tensor([-3.0, -2.0, -1.0, 0.0]), 1.0)[0, :, 0] * 6
    tensor([1., 4., 1., 0.])
    """
    u = (x.unsqueeze(1) - starts.to(x).unsqueeze(-1)) * per_unit
    a, b, c, d, e = ((u - i if i else u).clamp_min(0.0) for i in range(5))
    # factor by factor and with flashkan's sixth: another order rounds differently by more than law 1 allows
    return (a * a * a - 4.0 * b * b * b + 6.0 * c * c * c - 4.0 * d * d * d + e * e * e) * FLASHKAN_SIXTH
