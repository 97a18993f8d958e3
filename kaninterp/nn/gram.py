"""The basis Gram matrix: standard deviations of edge functions without a row of data."""

from __future__ import annotations

import torch
from torch import Tensor

from kaninterp.nn.planes import SplineSpec, place, planes
from kaninterp.nn.projection import quadrature

__all__ = ["GRAM_POINTS", "basis_gram", "matrix_root"]

GRAM_POINTS = 16
"""Gauss points per interval: exact for products of splines of any order offered (6 would do), and within .1 % for
silu in cells so wide that it has a kink there."""


def basis_gram(spec: SplineSpec, knots: Tensor) -> Tensor:
    """Covariances of all planes of each input under the uniform measure on its domain.

    Parameters
    ----------
    spec : SplineSpec
        What the splines have in common.
    knots : Tensor, shape (in, grid + 1)
        Inner knots.

    Returns
    -------
    Tensor, shape (in, K + 1, K + 1)
        Centred before the products are taken: the difference of large moments would lose all digits.

    Examples
    --------
    >>> spec = SplineSpec(grid=1, order=1, outside="base", base="identity", uniform=True)
    >>> gram = basis_gram(spec, torch.tensor([[0.0, 1.0]], dtype=torch.float64))
    >>> round(gram[0, 2, 2].item() * 12, 9)  # the variance of x is 1 / 12
    1.0
    """
    points, weights = quadrature(knots, GRAM_POINTS)
    basis = planes(points, spec, place(knots, spec))
    centred = basis - (weights.unsqueeze(1) * basis).sum(0)
    return torch.einsum("qi,qmi,qni->imn", weights, centred, centred)


def matrix_root(gram: Tensor) -> Tensor:
    """Factor positive semidefinite matrices: ``R`` with ``R R' = gram``.

    With it ``sqrt(c' gram c)`` is the norm of ``R' c``: never the root of a rounded negative number.

    Parameters
    ----------
    gram : Tensor, shape (..., m, m)
        Symmetric; singular ones too (the splines of an input sum to a constant, which has no variance).

    Returns
    -------
    Tensor, shape (..., m, m)

    Examples
    --------
    >>> root = matrix_root(torch.tensor([[4.0, 0.0], [0.0, 0.0]]))
    >>> root @ root.mT
    tensor([[4., 0.],
            [0., 0.]])
    """
    values, vectors = torch.linalg.eigh(gram)
    root: Tensor = vectors * values.clamp(min=0).sqrt().unsqueeze(-2)
    return root
