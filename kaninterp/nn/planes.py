"""The planes a layer multiplies with its weight: K spline planes and the base branch, in plain operations.

Everything here is differentiable, free of data-dependent branches and of operations without an ONNX twin: this is
the path that is traced, compiled, exported and differentiated twice. `kaninterp.nn.chunked` is its fast twin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from kaninterp.nn.bspline import (
    UNIFORM_END_SLOPES,
    bump,
    clamp_to_domain,
    de_boor,
    de_boor_slope,
    end_slopes,
    uniform_slope,
    with_tails,
)
from kaninterp.nn.domain import extend_knots

__all__ = ["BASES", "Placement", "SplineSpec", "base_function", "base_slope", "place", "planes", "slope_planes"]

BASES = ("silu", "identity", "zero")
"""The functions the base branch can have: ``x * sigmoid(x)``, ``x``, none."""

INSIDE_FIRST_CELL = 1e-3
"""Splines of order 1 have a kink at the ends of the domain; this far inside, in cells, they have one slope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplineSpec:
    """What the splines of a layer have in common.

    Attributes
    ----------
    grid, order : int
        Intervals per input and polynomial degree.
    outside : str
        One of `kaninterp.nn.bspline.OUTSIDE`.
    base : str
        One of `BASES`.
    uniform : bool
        Whether all knots are equally spaced, which allows the closed form.

    Examples
    --------
    >>> SplineSpec(grid=5, order=3, outside="linear", base="silu", uniform=True).size
    8
    """

    grid: int
    order: int
    outside: str
    base: str
    uniform: bool

    @property
    def size(self) -> int:
        """Number of basis functions K."""
        return self.grid + self.order


class Placement(NamedTuple):
    """Where the splines of every input lie, in the form the arithmetic wants: contiguous rows over the inputs.

    Attributes
    ----------
    lo, hi : Tensor, shape (in,)
        Domain ends.
    per_unit : Tensor, shape (in,)
        Cells per unit of x; the mean if the knots are not uniform.
    ladder : Tensor, shape (grid + 1 + 2 order, in), or None
        Extended knots; only if they are not uniform.
    centres : Tensor, shape (K, 1), or None
        Centres of the basis functions in cells; only for uniform knots.
    tails : Tensor, shape (2, K, in), or None
        Slopes of the basis at both ends, per unit of x (uniform knots: (2, K, 1), per cell); only for linear
        continuation.
    """

    lo: Tensor
    hi: Tensor
    per_unit: Tensor
    ladder: Tensor | None
    centres: Tensor | None
    tails: Tensor | None

    def float(self) -> Placement:
        """Convert to float32."""
        lo, hi, per_unit, *rest = self
        ladder, centres, tails = (None if part is None else part.float() for part in rest)
        return Placement(lo.float(), hi.float(), per_unit.float(), ladder, centres, tails)


def place(knots: Tensor, spec: SplineSpec) -> Placement:
    """Derive the placement from inner knots.

    Parameters
    ----------
    knots : Tensor, shape (in, grid + 1)
        Strictly increasing inner knots.
    spec : SplineSpec
        What the splines have in common.

    Examples
    --------
    >>> import torch
    >>> spec = SplineSpec(grid=2, order=1, outside="base", base="silu", uniform=True)
    >>> place(torch.tensor([[0.0, 2.0, 4.0]]), spec).per_unit
    tensor([0.5000])
    """
    lo, hi = knots[:, 0].contiguous(), knots[:, -1].contiguous()
    per_unit = spec.grid / (hi - lo)
    straight = spec.outside == "linear"
    if spec.uniform:
        count = torch.arange(spec.size, dtype=knots.dtype, device=knots.device)
        centres = (count + (1 - spec.order) / 2).unsqueeze(1)
        return Placement(lo, hi, per_unit, None, centres, _uniform_tails(spec, lo) if straight else None)
    ladder = extend_knots(knots, spec.order).t().contiguous()
    return Placement(lo, hi, per_unit, ladder, None, end_slopes(knots, spec.order) if straight else None)


def _uniform_tails(spec: SplineSpec, like: Tensor) -> Tensor:
    left = (*UNIFORM_END_SLOPES[spec.order], *(0.0,) * (spec.grid - 1))
    right = tuple(-slope for slope in reversed(left))
    return torch.tensor((left, right), dtype=like.dtype, device=like.device).unsqueeze(-1)


def base_function(x: Tensor, base: str) -> Tensor:
    """Evaluate the base branch, one of `BASES`.

    Examples
    --------
    >>> import torch
    >>> base_function(torch.tensor([0.0, 2.0]), "identity")
    tensor([0., 2.])
    """
    if base == "silu":
        return F.silu(x)
    return x if base == "identity" else torch.zeros_like(x)


def base_slope(x: Tensor, base: str) -> Tensor:
    """First derivative of `base_function`.

    Examples
    --------
    >>> import torch
    >>> base_slope(torch.tensor([0.0, 2.0]), "silu")
    tensor([0.5000, 1.0908])
    """
    if base == "silu":
        part = torch.sigmoid(x)
        return part * (1 + x * (1 - part))
    return torch.ones_like(x) if base == "identity" else torch.zeros_like(x)


def planes(x: Tensor, spec: SplineSpec, where: Placement) -> Tensor:
    """Evaluate all planes.

    Parameters
    ----------
    x : Tensor, shape (n, in)
        Points.
    spec : SplineSpec
        What the splines have in common.
    where : Placement
        See `place`.

    Returns
    -------
    Tensor, shape (n, K + 1, in)
        Spline planes, then the base branch.

    Examples
    --------
    >>> import torch
    >>> spec = SplineSpec(grid=1, order=1, outside="clamp", base="identity", uniform=True)
    >>> where = place(torch.tensor([[0.0, 1.0]]), spec)
    >>> planes(torch.tensor([[0.25], [3.0]]), spec, where)[:, :, 0]
    tensor([[0.7500, 0.2500, 0.2500],
            [0.0000, 1.0000, 3.0000]])
    """
    spline = _uniform_planes(x, spec, where) if spec.uniform else _knot_planes(x, spec, where)
    return torch.cat((spline, base_function(x, spec.base).unsqueeze(-2)), dim=-2)


def slope_planes(x: Tensor, spec: SplineSpec, where: Placement) -> Tensor:
    """Evaluate the first derivatives of all planes.

    Parameters
    ----------
    x : Tensor, shape (n, in)
        Points.
    spec : SplineSpec
        What the splines have in common.
    where : Placement
        See `place`.

    Returns
    -------
    Tensor, shape (n, K + 1, in)
        Outside the domain: of the chosen continuation.

    Examples
    --------
    >>> import torch
    >>> spec = SplineSpec(grid=1, order=1, outside="linear", base="identity", uniform=True)
    >>> slope_planes(torch.tensor([[0.25], [3.0]]), spec, place(torch.tensor([[0.0, 1.0]]), spec))[:, :, 0]
    tensor([[-1.,  1.,  1.],
            [-1.,  1.,  1.]])
    """
    at = x
    if spec.outside != "base":
        inset = INSIDE_FIRST_CELL / where.per_unit if spec.order == 1 else 0.0
        at = torch.clamp(x, where.lo + inset, where.hi - inset)
    if where.ladder is None:
        slope = uniform_slope((at - where.lo) * where.per_unit, spec.grid, spec.order) * where.per_unit
    else:
        slope = de_boor_slope(at, where.ladder, spec.order)
    if spec.outside == "clamp":
        slope = slope * ((x >= where.lo) & (x <= where.hi)).unsqueeze(-2)
    return torch.cat((slope, base_slope(x, spec.base).unsqueeze(-2)), dim=-2)


def _uniform_planes(x: Tensor, spec: SplineSpec, where: Placement) -> Tensor:
    assert where.centres is not None  # noqa: S101 - what `place` promises
    u = (x - where.lo) * where.per_unit
    if spec.outside == "base":
        return bump((u.unsqueeze(-2) - where.centres).abs(), spec.order)
    inside = torch.clamp(u, 0, spec.grid)
    basis = bump((inside.unsqueeze(-2) - where.centres).abs(), spec.order)
    if where.tails is None:
        return basis
    return with_tails(basis, torch.clamp(u, max=0), torch.clamp(u - spec.grid, min=0), where.tails)


def _knot_planes(x: Tensor, spec: SplineSpec, where: Placement) -> Tensor:
    assert where.ladder is not None  # noqa: S101 - what `place` promises
    if spec.outside == "base":
        return de_boor(x, where.ladder, spec.order)
    inside, below, above = clamp_to_domain(x, where.lo, where.hi)
    basis = de_boor(inside, where.ladder, spec.order)
    return basis if where.tails is None else with_tails(basis, below, above, where.tails)
