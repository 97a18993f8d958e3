"""Uniform B-spline planes and their slopes by one small matrix product: the inner arithmetic of `kaninterp.nn.chunked`.

Within cell c a spline is a polynomial of ``t = u - c``. Clamped to [0, 1], ``t_c`` is 0 before its cell and 1 behind
it, so what a basis function gains in its cells adds up to its value:

``B_m(u) = B_m(start) + sum_c (p_{m-c}(t_c) - p_{m-c}(0))``,  ``p_r`` the pieces of the B-spline.

No sum cancels (the gains are below 1), no value is compared with a cell, and everything outside the domain stays
constant by itself. The powers ``t_c^p`` (*ramps*) take a few passes over memory; a constant matrix turns them into
planes, and another one into slopes, at the speed of a matrix product. Points come last here, ``(ramps, n)``: every
pass runs over contiguous memory, whatever the width of the layer.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.polynomial import polynomial
from numpy.typing import NDArray
from torch import Tensor

from kaninterp.nn.bspline import UNIFORM_END_SLOPES
from kaninterp.nn.planes import SplineSpec

__all__ = ["Mix", "Ramps", "mixes", "ramp_count"]

BLOCK = 16
"""Planes per product: a basis function touches order + 1 cells only, so beyond some ten planes a product of all
planes with all ramps would mostly multiply zeros."""


class Mix(NamedTuple):
    """One block of planes as a matrix times a block of ramps.

    Attributes
    ----------
    planes, ramps : slice
        Rows of the result and of the ramps.
    matrix : Tensor, shape (planes, ramps)
        Constants.
    """

    planes: slice
    ramps: slice
    matrix: Tensor


def _cells(spec: SplineSpec) -> range:
    """Cells that are told apart: of the domain, and of the fringe where splines fade through it."""
    fringe = spec.order if spec.outside == "base" else 0
    return range(-fringe, spec.grid + fringe)


def ramp_count(spec: SplineSpec) -> int:
    """Number of ramps: a constant, the powers of every cell, and for linear continuation the distances beyond the ends.

    Examples
    --------
    >>> ramp_count(SplineSpec(grid=5, order=3, outside="clamp", base="silu", uniform=True))
    16
    """
    return 1 + spec.order * len(_cells(spec)) + (2 if spec.outside == "linear" else 0)


class Ramps:
    """The ramps of a number of points, in a given buffer, and products with them.

    All views are made once: for small inputs making them costs more than the arithmetic.

    Parameters
    ----------
    u : Tensor, shape (n,)
        Positions in cells; read by `fill`.
    spec : SplineSpec
        What the splines have in common.
    buffer : Tensor, shape (`ramp_count`, n)
        Where the ramps go.

    Examples
    --------
    >>> import torch
    >>> spec = SplineSpec(grid=2, order=2, outside="linear", base="silu", uniform=True)
    >>> buffer = torch.empty(ramp_count(spec), 2)
    >>> Ramps(torch.tensor([0.5, 3.0]), spec, buffer).fill()
    >>> buffer.t()  # constant, below, t and its square in both cells, above
    tensor([[1.0000, 0.0000, 0.5000, 0.2500, 0.0000, 0.0000, 0.0000],
            [1.0000, 0.0000, 1.0000, 1.0000, 1.0000, 1.0000, 1.0000]])
    """

    def __init__(self, u: Tensor, spec: SplineSpec, buffer: Tensor) -> None:
        self._u = u
        self._grid = spec.grid
        self._starts = _starts(spec, u.dtype)
        self._one = buffer[0]
        self._tails = (buffer[1], buffer[-1]) if spec.outside == "linear" else None
        inner = buffer[2:-1] if spec.outside == "linear" else buffer[1:]
        self._powers = inner.view(len(_cells(spec)), spec.order, len(u)).unbind(1)
        self._buffer = buffer

    def fill(self) -> None:
        """Write the ramps of the present positions."""
        self._one.fill_(1)
        first, *higher = self._powers
        torch.sub(self._u, self._starts, out=first).clamp_(0, 1)
        power = first
        for out in higher:
            power = torch.mul(power, first, out=out)
        if self._tails is not None:
            below, above = self._tails
            torch.clamp(self._u, max=0, out=below)
            torch.sub(self._u, self._grid, out=above).clamp_(min=0)

    def products(self, parts: tuple[Mix, ...], out: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Prepare ``out`` (K, n) = constants times ramps: arguments for `torch.mm` and where its result goes."""
        return [(part.matrix, self._buffer[part.ramps], out[part.planes]) for part in parts]


@cache
def _starts(spec: SplineSpec, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(list(_cells(spec)), dtype=dtype).unsqueeze(1)


@cache
def mixes(spec: SplineSpec, dtype: torch.dtype) -> tuple[tuple[Mix, ...], tuple[Mix, ...]]:
    """Matrices for the planes and for their slopes per cell; the latter for orders from 2, where slopes have no jumps.

    Examples
    --------
    >>> import torch
    >>> (planes,), _ = mixes(SplineSpec(grid=1, order=1, outside="clamp", base="zero", uniform=True), torch.float32)
    >>> planes.matrix  # constant, t
    tensor([[ 1., -1.],
            [ 0.,  1.]])
    """
    pieces = _pieces(spec.order)
    values = _matrix(spec, pieces)
    if spec.outside == "linear":
        for m, slope in enumerate(UNIFORM_END_SLOPES[spec.order]):
            values[m, 1] += slope
            values[-1 - m, -1] -= slope
    slopes = _matrix(spec, [polynomial.polyder(piece) for piece in pieces])
    return _blocks(values, spec, dtype), _blocks(slopes, spec, dtype) if spec.order > 1 else ()


def _pieces(order: int) -> list[NDArray[Any]]:
    """Polynomials of t within a cell, of the ``order + 1`` basis functions alive there, first to last."""
    alive: list[NDArray[Any]] = [np.ones(1)]
    for k in range(1, order + 1):  # Cox and de Boor on equally spaced knots
        padded = [np.zeros(1), *alive, np.zeros(1)]
        alive = [
            polynomial.polyadd(
                polynomial.polymul([(k - r) / k, 1 / k], padded[r]),
                polynomial.polymul([(1 + r) / k, -1 / k], padded[r + 1]),
            )
            for r in range(k + 1)
        ]
    return alive


def _matrix(spec: SplineSpec, pieces: list[NDArray[Any]]) -> NDArray[Any]:
    cells, before = _cells(spec), 2 if spec.outside == "linear" else 1
    matrix = np.zeros((spec.size, ramp_count(spec)))
    for index, cell in enumerate(cells):
        for r, piece in enumerate(pieces):
            if not 0 <= cell + r < spec.size:
                continue
            row, begin = matrix[cell + r], before + index * spec.order
            row[begin : begin + len(piece) - 1] = piece[1:]
            if index == 0:
                row[0] = piece[0]
    return matrix


def _blocks(matrix: NDArray[Any], spec: SplineSpec, dtype: torch.dtype) -> tuple[Mix, ...]:
    parts = []
    for start in range(0, spec.size, BLOCK):
        planes = slice(start, min(start + BLOCK, spec.size))
        used = np.flatnonzero(matrix[planes].any(axis=0))
        ramps = slice(int(used[0]), int(used[-1]) + 1)
        with torch.inference_mode(False):
            parts.append(Mix(planes, ramps, torch.tensor(matrix[planes, ramps], dtype=dtype)))
    return tuple(parts)
