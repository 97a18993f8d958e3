"""Uniform B-spline planes and their slopes in place: the inner arithmetic of `kaninterp.nn.chunked`.

Each step is one pass over a buffer that stays in cache, and the passes are few. The half sum
``sum_i c_i (offset_i - |d|)_+ ** k`` is rewritten for that:

- positions are scaled by ``s = c_0 ** (1/k)``, which makes the first coefficient 1;
- the factors of the other terms go inside their powers;
- the distance to the edge of the support is kept with a minus sign, so that ``abs, subtract, clamp`` suffice.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from kaninterp.nn.bspline import HALF_SUMS, UNIFORM_END_SLOPES
from kaninterp.nn.planes import Placement, SplineSpec

__all__ = ["Cells", "fill_planes", "fill_planes_and_slopes", "pull_back", "to_cells"]


class Cells(NamedTuple):
    """Rows of inputs in cell coordinates.

    Attributes
    ----------
    x : Tensor, shape (n, in)
        The inputs themselves.
    u : Tensor, shape (n, in)
        Their position in cells, 0 to `grid` within the domain.
    inside : Tensor, shape (n, in)
        Where the splines are evaluated: `u`, or the nearest point of the domain.
    per_unit : Tensor, shape (in,)
        Cells per unit of x.
    leaves : bool
        Whether `inside` differs from `u` somewhere.
    """

    x: Tensor
    u: Tensor
    inside: Tensor
    per_unit: Tensor
    leaves: bool


def to_cells(x: Tensor, spec: SplineSpec, where: Placement) -> Cells:
    """Convert rows ``x`` (n, in) to cell coordinates.

    Examples
    --------
    >>> import torch
    >>> from kaninterp.nn.planes import place
    >>> spec = SplineSpec(grid=2, order=3, outside="clamp", base="silu", uniform=True)
    >>> to_cells(torch.tensor([[0.5], [7.0]]), spec, place(torch.tensor([[0.0, 1.0, 2.0]]), spec)).inside
    tensor([[0.5000],
            [2.0000]])
    """
    u = (x - where.lo).mul_(where.per_unit)
    if spec.outside == "base" or not u.numel():
        return Cells(x, u, u, where.per_unit, False)
    least, most = torch.aminmax(u)
    # written so that NaN counts as leaving and stays NaN on the general way
    if float(least) >= 0 and float(most) <= spec.grid:
        return Cells(x, u, u, where.per_unit, False)
    return Cells(x, u, u.clamp(0, spec.grid), where.per_unit, True)


class _Term(NamedTuple):
    shift: float
    factor: float
    sign: int


@cache
def _terms(order: int) -> tuple[float, float, tuple[_Term, ...]]:
    """Scale s, scaled half support, and the terms after the first: see the module's docstring."""
    (support, first), *rest = HALF_SUMS[order]
    scale = first ** (1 / order)
    terms = []
    for offset, coefficient in rest:
        factor = abs(coefficient / first) ** (1 / order)
        terms.append(_Term(factor * scale * (support - offset), factor, 1 if coefficient > 0 else -1))
    return scale, scale * support, tuple(terms)


def _from_centres(at: Tensor, spec: SplineSpec, out: Tensor) -> None:
    """Write scaled signed distances from all centres; the last plane only keeps its place for the base branch."""
    scale, _, _ = _terms(spec.order)
    centres = torch.arange(spec.size + 1, dtype=at.dtype).add_((1 - spec.order) / 2).mul_(scale)
    torch.sub((at * scale).unsqueeze(1), centres.unsqueeze(1), out=out)


def _to_edges(at: Tensor, spec: SplineSpec, out: Tensor) -> None:
    """Write minus the scaled distances to the edge of the support, 0 beyond it."""
    _, half_support, _ = _terms(spec.order)
    _from_centres(at, spec, out)
    out.abs_().sub_(half_support).clamp_(max=0)


def _to_inner_edges(edges: Tensor, term: _Term, out: Tensor) -> None:
    torch.add(edges.new_tensor(term.shift), edges, alpha=term.factor, out=out).clamp_(max=0)


def _raise(t: Tensor, exponent: int, out: Tensor, scratch: Tensor) -> None:
    """Write ``t ** exponent``; torch has fast kernels for 2 and 3 only. `out` may be `t`."""
    if exponent == 1:
        out.copy_(t)
    elif exponent in {2, 3}:
        torch.pow(t, exponent, out=out)
    elif exponent == 4:
        torch.square(t, out=out).square_()
    else:
        torch.mul(t, torch.square(t, out=scratch).square_(), out=out)


def _accumulate(total: Tensor, power: Tensor, term: _Term, *, first: bool, order: int) -> None:
    """Add a term; with odd powers everything carries a minus sign, which the first addition takes away."""
    if order % 2 and first:
        torch.sub(power, total, out=total)  # the first inner term is always negative
    else:
        total.add_(power, alpha=term.sign * (-1) ** order)


def fill_planes(cells: Cells, spec: SplineSpec, basis: Tensor, spare: list[Tensor]) -> None:
    """Write all planes into ``basis`` (n, K + 1, in); `spare` holds three more buffers like it.

    Examples
    --------
    >>> import torch
    >>> from kaninterp.nn.planes import place
    >>> spec = SplineSpec(grid=1, order=2, outside="base", base="identity", uniform=True)
    >>> basis, *spare = torch.empty(4, 1, 4, 1)
    >>> fill_planes(to_cells(torch.tensor([[0.5]]), spec, place(torch.tensor([[0.0, 1.0]]), spec)), spec, basis, spare)
    >>> basis.flatten()
    tensor([0.1250, 0.7500, 0.1250, 0.5000])
    """
    edges, inner, scratch = spare
    _, _, terms = _terms(spec.order)
    _to_edges(cells.inside, spec, edges)
    _raise(edges, spec.order, basis, scratch)
    for index, term in enumerate(terms):
        _to_inner_edges(edges, term, inner)
        _raise(inner, spec.order, inner, scratch)
        _accumulate(basis, inner, term, first=index == 0, order=spec.order)
    if not terms:
        basis.neg_()  # order 1: no inner term takes the minus sign away
    _finish(cells, spec, basis)


def fill_planes_and_slopes(cells: Cells, spec: SplineSpec, basis: Tensor, slope: Tensor, spare: list[Tensor]) -> None:
    """Write all planes and, up to the constant of `pull_back`, their slopes; orders 2 to 5.

    Examples
    --------
    >>> import torch
    >>> from kaninterp.nn.planes import place
    >>> spec = SplineSpec(grid=1, order=2, outside="base", base="identity", uniform=True)
    >>> basis, slope, *spare = torch.empty(5, 1, 4, 1)
    >>> cells = to_cells(torch.tensor([[0.5]]), spec, place(torch.tensor([[0.0, 1.0]]), spec))
    >>> fill_planes_and_slopes(cells, spec, basis, slope, spare)
    >>> basis.flatten()
    tensor([0.1250, 0.7500, 0.1250, 0.5000])
    """
    edges, inner, lower = spare
    _, _, terms = _terms(spec.order)
    _to_edges(cells.inside, spec, edges)
    _raise(edges, spec.order - 1, slope, lower)
    torch.mul(slope, edges, out=basis)
    for index, term in enumerate(terms):
        _to_inner_edges(edges, term, inner)
        _raise(inner, spec.order - 1, lower, lower)
        slope.add_(lower, alpha=term.sign * term.factor)
        _accumulate(basis, inner.mul_(lower), term, first=index == 0, order=spec.order)
    _from_centres(cells.inside, spec, edges)
    slope.mul_(edges.sign_())
    _finish(cells, spec, basis)


def pull_back(cells: Cells, spec: SplineSpec, slope: Tensor, grad: Tensor, out: Tensor) -> None:
    """Write the gradient of the rows, ``sum_m grad_m dB_m/dx`` over all planes, into ``out`` (n, in).

    Parameters
    ----------
    cells, spec
        As given to `fill_planes_and_slopes`.
    slope : Tensor, shape (n, K + 1, in)
        What that wrote; overwritten.
    grad : Tensor, shape (n, K + 1, in)
        Gradient of the planes.
    out : Tensor, shape (n, in)
        Result.

    Examples
    --------
    >>> import torch
    >>> from kaninterp.nn.planes import place
    >>> spec = SplineSpec(grid=1, order=2, outside="base", base="zero", uniform=True)
    >>> basis, slope, *spare = torch.empty(5, 1, 4, 1)
    >>> cells = to_cells(torch.tensor([[0.5]]), spec, place(torch.tensor([[0.0, 2.0]]), spec))
    >>> fill_planes_and_slopes(cells, spec, basis, slope, spare)
    >>> grad, out = torch.tensor([1.0, 0.0, 0.0, 9.0]).view(1, 4, 1), torch.empty(1, 1)
    >>> pull_back(cells, spec, slope, grad, out)  # B_0(u) = (1 - u)^2 / 2, u = x / 2
    >>> out
    tensor([[-0.3750]])
    """
    scale, _, _ = _terms(spec.order)
    torch.sum(slope.mul_(grad)[:, :-1], dim=1, out=out)
    out.mul_(cells.per_unit * ((-1) ** spec.order * spec.order * scale))
    if spec.outside == "clamp" and cells.leaves:
        out.mul_(cells.u == cells.inside)
    if spec.base == "silu":
        out.add_(torch.ops.aten.silu_backward(grad[:, -1], cells.x))
    elif spec.base == "identity":
        out.add_(grad[:, -1])


def _finish(cells: Cells, spec: SplineSpec, basis: Tensor) -> None:
    """Write the base branch and the straight tails."""
    if spec.base == "silu":
        torch.ops.aten.silu.out(cells.x, out=basis[:, -1])
    else:
        basis[:, -1] = cells.x if spec.base == "identity" else 0
    if spec.outside != "linear" or not cells.leaves:
        return
    below = cells.u.clamp(max=0)
    above = (cells.u - spec.grid).clamp_(min=0)
    for m, slope in enumerate(UNIFORM_END_SLOPES[spec.order]):
        if slope:
            basis[:, m].add_(below, alpha=slope)
            basis[:, spec.size - 1 - m].add_(above, alpha=-slope)
