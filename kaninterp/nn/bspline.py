"""Exact B-splines of order 1 to 5: pure functions of tensors, no state.

One input has `grid` intervals between `grid + 1` inner knots; the outer two are the ends of its domain. The
knots go on for `order` more cells of width ``(hi - lo) / grid`` on each side (the *fringe*), which makes
``K = grid + order`` basis functions. Basis arrays are ordered ``(n, K, in)``.

On equally spaced knots every basis function is the same bump, moved: with ``d`` the distance from its centre,
in cells, a half sum of truncated powers gives its value without recursion (Schoenberg 1946; de Boor, A
Practical Guide to Splines, ch. IX). Any other knots take the recursion of Cox and de Boor.

Outside the domain three continuations are offered, see `OUTSIDE`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kaninterp.nn.domain import extend_knots

__all__ = [
    "HALF_SUMS",
    "MAX_ORDER",
    "OUTSIDE",
    "UNIFORM_END_SLOPES",
    "bump",
    "clamp_to_domain",
    "de_boor",
    "de_boor_slope",
    "end_slopes",
    "knot_basis",
    "knot_slope",
    "uniform_basis",
    "uniform_slope",
    "with_tails",
]

MAX_ORDER = 5
"""Highest order offered: quintic. Beyond it float32 cancellation costs more than the smoothness gives."""

OUTSIDE = ("base", "linear", "clamp")
"""How the spline part goes on outside the domain (the base branch always sees the true x).

``"base"`` fades to 0 through the fringe, as in the KAN paper; ``"linear"`` keeps the value and slope of the
end; ``"clamp"`` keeps the value of the end.
"""


def _half_sum(order: int) -> tuple[tuple[float, float], ...]:
    half, scale = (order + 1) / 2, 1 / math.factorial(order)
    terms = ((half - i, (-1) ** i * math.comb(order + 1, i) * scale) for i in range(order + 1))
    return tuple((offset, coefficient) for offset, coefficient in terms if offset > 0)


HALF_SUMS = {order: _half_sum(order) for order in range(1, MAX_ORDER + 1)}
"""Offsets and coefficients of the closed form, per order.

``B(d) = sum_i coefficient_i * max(offset_i - |d|, 0) ** order`` with ``d`` in cells from the centre, ``offset_i =
(k+1)/2 - i`` and ``coefficient_i = (-1)**i C(k+1, i) / k!``; the cubic: ``((2-d)_+^3 - 4 (1-d)_+^3) / 6``.
"""


def _end_slopes(order: int) -> tuple[float, ...]:
    # order 1 has its kink at the end itself: any point within the first cell gives the slope from inside
    at = 0.5 if order == 1 else 0.0
    distances = [at - m - (1 - order) / 2 for m in range(order + 1)]
    powers = [
        sum(c * (offset - abs(d)) ** (order - 1) for offset, c in HALF_SUMS[order] if offset > abs(d))
        for d in distances
    ]
    return tuple(
        -math.copysign(order * power, d * power) if d else 0.0 for d, power in zip(distances, powers, strict=True)
    )


UNIFORM_END_SLOPES = {order: _end_slopes(order) for order in range(1, MAX_ORDER + 1)}
"""Slopes, per cell, of the basis functions 0..order at the left end, from inside the domain; by symmetry function
``K - 1 - m`` has minus slope ``m`` at the right end."""


def _from_centres(u: Tensor, grid: int, order: int) -> Tensor:
    """Signed distances ``(n, K, in)``, in cells, of ``u`` from the K basis centres."""
    centres = torch.arange(grid + order, dtype=u.dtype, device=u.device) + (1 - order) / 2
    return u.unsqueeze(-2) - centres.unsqueeze(-1)


def uniform_basis(u: Tensor, grid: int, order: int) -> Tensor:
    """All uniform B-splines at ``u``, in closed form.

    Parameters
    ----------
    u : Tensor, shape (n, in)
        Position in cells: 0 at the left end of the domain, `grid` at the right end.
    grid, order : int
        Number of intervals and polynomial degree.

    Returns
    -------
    Tensor, shape (n, grid + order, in)
        Exactly 0 from `order` cells outside the domain on.

    Examples
    --------
    >>> import torch
    >>> uniform_basis(torch.tensor([[0.0]]), grid=2, order=3)[0, :, 0] * 6
    tensor([1., 4., 1., 0., 0.])
    """
    return bump(_from_centres(u, grid, order).abs(), order)


def bump(distance: Tensor, order: int) -> Tensor:
    """Evaluate the uniform B-spline at distances from its centre.

    Parameters
    ----------
    distance : Tensor
        Distances in cells, at least 0.
    order : int
        Polynomial degree.

    Returns
    -------
    Tensor
        Of the same shape; 0 from ``(order + 1) / 2`` on.

    Examples
    --------
    >>> import torch
    >>> bump(torch.tensor([0.0, 1.0, 2.0]), order=3) * 6
    tensor([4., 1., 0.])
    """
    (offset, coefficient), *rest = HALF_SUMS[order]
    total = (offset - distance).relu().pow(order) * coefficient
    for offset, coefficient in rest:
        total = torch.add(total, (offset - distance).relu().pow(order), alpha=coefficient)
    return total


def uniform_slope(u: Tensor, grid: int, order: int) -> Tensor:
    """First derivative, per cell, of all uniform B-splines at ``u``.

    Parameters
    ----------
    u : Tensor, shape (n, in)
        Position in cells.
    grid, order : int
        Number of intervals and polynomial degree.

    Returns
    -------
    Tensor, shape (n, grid + order, in)
        ``dB/du``; divide by the cell width for ``dB/dx``. Order 1 has kinks at the knots; there it is the
        mean of both sides.

    Examples
    --------
    >>> import torch
    >>> uniform_slope(torch.tensor([[0.5]]), grid=1, order=3)[0, :, 0]
    tensor([-0.1250, -0.6250,  0.6250,  0.1250])
    """
    signed = _from_centres(u, grid, order)
    distance = signed.abs()
    total = torch.zeros_like(signed)
    for offset, coefficient in HALF_SUMS[order]:
        if order == 1:
            power = ((offset > distance).to(u.dtype) + (offset >= distance).to(u.dtype)) / 2
        else:
            power = (offset - distance).relu().pow(order - 1)
        total = total + (order * coefficient) * power
    return -signed.sign() * total


def knot_basis(x: Tensor, knots: Tensor, order: int) -> Tensor:
    """All B-splines on any knots, by the recursion of Cox and de Boor.

    Parameters
    ----------
    x : Tensor, shape (n, in)
        Points.
    knots : Tensor, shape (in, grid + 1)
        Strictly increasing inner knots per input.
    order : int
        Polynomial degree.

    Returns
    -------
    Tensor, shape (n, grid + order, in)

    Examples
    --------
    >>> import torch
    >>> knot_basis(torch.tensor([[0.5]]), torch.tensor([[0.0, 0.5, 2.0]]), 1)[0, :, 0]
    tensor([0., 1., 0.])
    """
    return de_boor(x, extend_knots(knots, order).t(), order)


def de_boor(x: Tensor, t: Tensor, order: int) -> Tensor:
    """All B-splines on given extended knots, see `knot_basis`.

    Parameters
    ----------
    x : Tensor, shape (n, in)
        Points.
    t : Tensor, shape (m, in)
        Strictly increasing knots, fringe included, one column per input.
    order : int
        Polynomial degree, here from 0.

    Returns
    -------
    Tensor, shape (n, m - 1 - order, in)

    Examples
    --------
    >>> import torch
    >>> de_boor(torch.tensor([[0.5]]), torch.tensor([[0.0], [1.0], [2.0]]), 1)
    tensor([[[0.5000]]])
    """
    x = x.unsqueeze(-2)
    basis = ((x >= t[:-1]) & (x < t[1:])).to(x.dtype)
    for k in range(1, order + 1):
        left = (x - t[: -k - 1]) / (t[k:-1] - t[: -k - 1])
        right = (t[k + 1 :] - x) / (t[k + 1 :] - t[1:-k])
        basis = left * basis[..., :-1, :] + right * basis[..., 1:, :]
    return basis


def knot_slope(x: Tensor, knots: Tensor, order: int) -> Tensor:
    """First derivative of all B-splines on any knots.

    Parameters
    ----------
    x : Tensor, shape (n, in)
        Points.
    knots : Tensor, shape (in, grid + 1)
        Strictly increasing inner knots per input.
    order : int
        Polynomial degree.

    Returns
    -------
    Tensor, shape (n, grid + order, in)
        ``dB/dx``; at a kink of order 1 the slope from the right.

    Examples
    --------
    >>> import torch
    >>> knot_slope(torch.tensor([[1.0]]), torch.tensor([[0.0, 0.5, 2.5]]), 1)[0, :, 0]
    tensor([ 0.0000, -0.5000,  0.5000])
    """
    return de_boor_slope(x, extend_knots(knots, order).t(), order)


def de_boor_slope(x: Tensor, t: Tensor, order: int) -> Tensor:
    """First derivatives of `de_boor`.

    Examples
    --------
    >>> import torch
    >>> de_boor_slope(torch.tensor([[0.5]]), torch.tensor([[0.0], [2.0], [4.0]]), 1)
    tensor([[[0.5000]]])
    """
    lower = de_boor(x, t, order - 1)
    ratio = order / (t[order:] - t[:-order])
    return ratio[:-1] * lower[..., :-1, :] - ratio[1:] * lower[..., 1:, :]


def end_slopes(knots: Tensor, order: int) -> Tensor:
    """Slopes of all basis functions at both ends of the domain, taken from inside.

    Parameters
    ----------
    knots : Tensor, shape (in, grid + 1)
        Inner knots.
    order : int
        Polynomial degree.

    Returns
    -------
    Tensor, shape (2, grid + order, in)
        ``dB/dx`` at the left, then at the right end.

    Examples
    --------
    >>> import torch
    >>> end_slopes(torch.tensor([[0.0, 1.0, 2.0]]), 3)[0, :3, 0]
    tensor([-0.5000,  0.0000,  0.5000])
    """
    if order == 1:  # kinked at the end itself; inside the outer cell the slope is constant
        ends = torch.stack(((knots[:, 0] + knots[:, 1]) / 2, (knots[:, -2] + knots[:, -1]) / 2))
    else:
        ends = torch.stack((knots[:, 0], knots[:, -1]))
    return knot_slope(ends, knots, order)


def clamp_to_domain(x: Tensor, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split x into the nearest point of the domain and how far it lies beyond each end.

    Parameters
    ----------
    x : Tensor, shape (n, in)
        Points.
    lo, hi : Tensor, shape (in,) or ()
        Domain ends.

    Returns
    -------
    inside, below, above : Tensor, shape (n, in)
        ``x == inside + below + above`` with ``below <= 0 <= above``.

    Examples
    --------
    >>> import torch
    >>> clamp_to_domain(torch.tensor([-2.0, 0.5, 3.0]), torch.tensor(0.0), torch.tensor(1.0))
    (tensor([0.0000, 0.5000, 1.0000]), tensor([-2.,  0.,  0.]), tensor([0., 0., 2.]))
    """
    below, above = torch.clamp(x - lo, max=0), torch.clamp(x - hi, min=0)
    return torch.clamp(x, lo, hi), below, above


def with_tails(basis: Tensor, below: Tensor, above: Tensor, slopes: Tensor) -> Tensor:
    """Continue a basis that was evaluated at the nearest point of the domain along its end slopes.

    Parameters
    ----------
    basis : Tensor, shape (n, K, in)
        Values at the nearest point.
    below, above : Tensor, shape (n, in)
        Signed distances beyond the ends, see `clamp_to_domain`.
    slopes : Tensor, shape (2, K, in) or (2, K, 1)
        See `end_slopes`.

    Returns
    -------
    Tensor, shape (n, K, in)

    Examples
    --------
    >>> import torch
    >>> slopes = end_slopes(torch.tensor([[0.0, 1.0]]), 1)
    >>> at_end, below, above = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[0.0]]), torch.tensor([[2.0]])
    >>> with_tails(at_end, below, above, slopes)[0, :, 0]
    tensor([-2.,  3.])
    """
    return torch.addcmul(torch.addcmul(basis, below.unsqueeze(-2), slopes[0]), above.unsqueeze(-2), slopes[1])
