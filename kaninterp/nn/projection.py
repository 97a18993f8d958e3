"""Least squares between splines, at fixed points of the domain, never at data rows: fits, changes of knots."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kaninterp.nn.bspline import clamp_to_domain, end_slopes, knot_basis, with_tails

__all__ = ["continued_basis", "fit_operator", "quadrature", "transfer_operator"]


def quadrature(knots: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre points in every interval, for the uniform measure on each input's domain.

    Parameters
    ----------
    knots : Tensor, shape (in, grid + 1)
        Inner knots.
    count : int
        Points per interval; polynomials up to degree ``2 count - 1`` are integrated exactly.

    Returns
    -------
    points, weights : Tensor, shape (grid * count, in)
        The weights of an input sum to 1.

    Examples
    --------
    >>> import torch
    >>> x, w = quadrature(torch.tensor([[0.0, 1.0, 3.0]]), 2)
    >>> round(float((w * x**3).sum()), 4)  # mean of x^3 on [0, 3]
    6.75
    """
    nodes, weights = np.polynomial.legendre.leggauss(count)
    at = torch.as_tensor((nodes + 1) / 2, dtype=knots.dtype, device=knots.device)
    share = torch.as_tensor(weights / 2, dtype=knots.dtype, device=knots.device)
    width = knots.diff(dim=1)
    points = knots[:, :-1, None] + width[..., None] * at
    relative = width / (knots[:, -1:] - knots[:, :1])
    return points.flatten(1).t(), (relative[..., None] * share).flatten(1).t()


def fit_operator(knots: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Least-squares fit of a spline to any function, at fixed points of the domain.

    The points are Gauss points of every interval, so the fit is always of full rank: no data enter, and
    constant, dead or duplicated columns cannot hurt it. It minimises the mean squared error over the domain
    and returns a function that already is such a spline unchanged.

    Parameters
    ----------
    knots : Tensor, shape (in, grid + 1)
        Inner knots.
    order : int
        Polynomial degree.

    Returns
    -------
    points : Tensor, shape (q, in)
        Where to evaluate the function. float64.
    operator : Tensor, shape (in, K, q)
        ``coefficients = operator @ values``. float64.

    Examples
    --------
    >>> import torch
    >>> knots = torch.tensor([[-1.0, 0.0, 1.0]], dtype=torch.float64)
    >>> points, operator = fit_operator(knots, order=3)
    >>> coefficients = operator[0] @ points[:, 0] ** 2
    >>> at_half = knot_basis(torch.tensor([[0.5]], dtype=torch.float64), knots, order=3)[0, :, 0]
    >>> round(float(at_half @ coefficients), 9)
    0.25
    """
    knots = knots.double()
    points, weights = quadrature(knots, order + 2)
    root = weights.t().sqrt().unsqueeze(-1)
    design = knot_basis(points, knots, order).permute(2, 0, 1) * root
    # QR rather than the normal equations: half the digits are not thrown away
    q, r = torch.linalg.qr(design)
    return points, torch.linalg.solve_triangular(r, (q * root).mT, upper=True)


def transfer_operator(old: Tensor, new: Tensor, order: int, outside: str) -> Tensor:
    """Linear map from the coefficients on one set of knots to those of the same function on another.

    Parameters
    ----------
    old, new : Tensor, shapes (in, grid + 1), (in, new grid + 1)
        Inner knots before and after.
    order : int
        Polynomial degree of both.
    outside : {"base", "linear", "clamp"}
        How the old spline goes on where the new domain is wider.

    Returns
    -------
    Tensor, shape (in, new K, old K)
        Exact when every old inner knot within the new domain is a new knot too; else the least-squares
        best on the new domain. float64.

    Examples
    --------
    >>> import torch
    >>> same = torch.tensor([[0.0, 1.0, 2.0]])
    >>> torch.allclose(transfer_operator(same, same, 3, "base"), torch.eye(5, dtype=torch.float64))
    True
    """
    points, operator = fit_operator(new, order)
    return operator @ continued_basis(points, old.double(), order, outside).permute(2, 0, 1)


def continued_basis(x: Tensor, knots: Tensor, order: int, outside: str) -> Tensor:
    """Evaluate the basis of a spline as it goes on outside its domain.

    Parameters
    ----------
    x : Tensor, shape (n, in)
        Points.
    knots : Tensor, shape (in, grid + 1)
        Inner knots.
    order : int
        Polynomial degree.
    outside : {"base", "linear", "clamp"}
        How it goes on, see `kaninterp.nn.bspline.OUTSIDE`.

    Returns
    -------
    Tensor, shape (n, K, in)

    Examples
    --------
    >>> import torch
    >>> beyond, end = torch.tensor([[5.0]]), torch.tensor([[2.0]])
    >>> knots = torch.tensor([[0.0, 1.0, 2.0]])
    >>> torch.equal(continued_basis(beyond, knots, 3, "clamp"), continued_basis(end, knots, 3, "clamp"))
    True
    """
    if outside == "base":
        return knot_basis(x, knots, order)
    inside, below, above = clamp_to_domain(x, knots[:, 0], knots[:, -1])
    basis = knot_basis(inside, knots, order)
    return with_tails(basis, below, above, end_slopes(knots, order)) if outside == "linear" else basis
