"""The fast twin of `kaninterp.nn.planes` on a CPU: rows in chunks, planes in kept buffers, a product per plane.

A chunk's inputs stay as they lie, ``(rows, in)``, and so does each of its planes: nothing is transposed, every pass
runs over contiguous memory, whatever the widths. Nothing but the input is saved for backward; the planes are computed
again there. The buffers come from `kaninterp.nn.workspace`.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from kaninterp.nn.planes import Placement, SplineSpec, planes, slope_planes
from kaninterp.nn.workspace import WORKSPACE_BYTES, Chunk, chunk_of

__all__ = ["CHUNK_VALUES", "backward_chunks", "forward_chunks", "plane_chunks"]

CHUNK_VALUES = 2**20
"""Plane values per chunk (4 MB of float32). From 2^17 on the time per value falls by some 20 %: few chunks mean few
calls, and few waits of threads for each other."""

LEAST_ROWS = 256
"""Rows per chunk, at least: below, the matrix product spends its time on packing the weight."""


def _rows_per_chunk(x: Tensor, spec: SplineSpec) -> int:
    width = max(1, (spec.size + 1) * x.shape[1])
    rows = max(CHUNK_VALUES // width, LEAST_ROWS)
    most = WORKSPACE_BYTES // (3 * x.element_size() * width)
    return max(1, min(rows, most, x.shape[0]))


def forward_chunks(x: Tensor, weight: Tensor, bias: Tensor, spec: SplineSpec, where: Placement) -> Tensor:
    """Evaluate a layer without recording gradients.

    Parameters
    ----------
    x : Tensor, shape (n, in)
        Points, on the CPU, of the weight's dtype.
    weight : Tensor, shape (out, K + 1, in)
        Coefficients.
    bias : Tensor, shape (out,)
        Constants.
    spec, where
        See `kaninterp.nn.planes.planes`.

    Returns
    -------
    Tensor, shape (n, out)

    Examples
    --------
    >>> import torch
    >>> from kaninterp.nn.planes import place
    >>> spec = SplineSpec(grid=1, order=1, outside="base", base="zero", uniform=True)
    >>> weight, where = torch.tensor([[[2.0], [4.0], [0.0]]]), place(torch.tensor([[0.0, 1.0]]), spec)
    >>> forward_chunks(torch.tensor([[0.5]]), weight, torch.tensor([1.0]), spec, where)
    tensor([[4.]])
    """
    x = x.contiguous()
    by_plane = weight.transpose(0, 1).mT.unbind()
    out = x.new_empty(x.shape[0], weight.shape[0])
    step = _rows_per_chunk(x, spec)
    for start in range(0, x.shape[0], step):
        rows = x[start : start + step]
        chunk = _filled(rows, spec, where)
        part = out[start : start + step]
        part.copy_(bias)
        for plane, matrix in zip(chunk.planes.unbind(), by_plane, strict=True):
            part.addmm_(plane.view(rows.shape), matrix)
    return out


def plane_chunks(x: Tensor, spec: SplineSpec, where: Placement, out: Tensor) -> None:
    """Write the planes to where the caller wants them, in any float type.

    Parameters
    ----------
    x : Tensor, shape (n, in)
        Points, on the CPU.
    spec, where
        See `kaninterp.nn.planes.planes`.
    out : Tensor, shape (n, K + 1, in)
        Written over.

    Examples
    --------
    >>> import torch
    >>> from kaninterp.nn.planes import place
    >>> spec = SplineSpec(grid=1, order=1, outside="base", base="zero", uniform=True)
    >>> out = torch.empty(1, 3, 1, dtype=torch.float64)
    >>> plane_chunks(torch.tensor([[0.25]]), spec, place(torch.tensor([[0.0, 1.0]]), spec), out)
    >>> out[0, :, 0]
    tensor([0.7500, 0.2500, 0.0000], dtype=torch.float64)
    """
    x = x.contiguous()
    step = _rows_per_chunk(x, spec)
    for start in range(0, x.shape[0], step):
        rows = x[start : start + step]
        planes_of_rows = _filled(rows, spec, where).planes.view(-1, *rows.shape)
        out[start : start + step].copy_(planes_of_rows.transpose(0, 1))


def backward_chunks(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    spec: SplineSpec,
    where: Placement,
    *,
    of_x: bool,
    of_weight: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of `forward_chunks` with respect to x and weight.

    Parameters
    ----------
    grad : Tensor, shape (n, out)
        Gradient of the output.
    x, weight, spec, where
        As in the forward pass.
    of_x, of_weight : bool
        Which gradients are needed.

    Returns
    -------
    tuple of Tensor or None
        The gradients, None for one that is not needed.
    """
    x = x.contiguous()
    by_plane = weight.transpose(0, 1)
    grad_x = torch.empty_like(x) if of_x else None
    grad_weight = torch.empty_like(weight, memory_format=torch.contiguous_format) if of_weight else None
    if grad_weight is not None and not x.shape[0]:
        grad_weight.zero_()
    by_ramps = spec.uniform and spec.order > 1  # slopes of order 1 jump
    step = _rows_per_chunk(x, spec)
    for start in range(0, x.shape[0], step):
        rows, g = x[start : start + step], grad[start : start + step]
        chunk = chunk_of(rows.numel(), x.dtype, spec)
        _place(chunk, rows, spec, where)
        grad_planes = chunk.grad.view(-1, *rows.shape)
        if of_x:
            torch.bmm(g.expand(len(by_plane), *g.shape), by_plane, out=grad_planes)
        _fill(chunk, rows, spec, where, values=of_weight, slopes=of_x and by_ramps)
        if grad_weight is not None:
            columns = g.t().expand(len(by_plane), -1, -1)
            grad_weight.transpose(0, 1).baddbmm_(columns, chunk.planes.view(grad_planes.shape), beta=int(start > 0))
        if grad_x is not None:
            part = grad_x[start : start + step]
            if by_ramps:
                _finish_gradient(chunk, rows, spec, where, part)
            else:
                torch.sum(slope_planes(rows, spec, where).mul_(grad_planes.transpose(0, 1)), dim=1, out=part)
    return grad_x, grad_weight


def _filled(rows: Tensor, spec: SplineSpec, where: Placement) -> Chunk:
    """The chunk of these rows with its planes written; they last until the next chunk."""
    chunk = chunk_of(rows.numel(), rows.dtype, spec)
    _place(chunk, rows, spec, where)
    _fill(chunk, rows, spec, where, values=True)
    return chunk


def _place(chunk: Chunk, rows: Tensor, spec: SplineSpec, where: Placement) -> None:
    """Write the positions of the inputs."""
    if spec.uniform:
        torch.sub(rows, where.lo, out=chunk.u.view(rows.shape)).mul_(where.per_unit)


def _fill(
    chunk: Chunk, rows: Tensor, spec: SplineSpec, where: Placement, *, values: bool, slopes: bool = False
) -> None:
    """Write the planes; write the gradient of the positions over that of the first plane."""
    if not spec.uniform:
        if values:
            chunk.planes.view(-1, *rows.shape).copy_(planes(rows, spec, where).transpose(0, 1))
        return
    for group in chunk.groups:
        group.ramps.fill()
        if values:
            for matrix, ramps, out in group.to_planes:
                torch.mm(matrix, ramps, out=out)
        if slopes:
            for matrix, ramps, out in group.to_slopes:
                torch.mm(matrix, ramps, out=out)
            torch.mv(group.slope.mul_(group.grad).t(), _ones(spec, rows.dtype), out=group.grad_u)
    if values:
        _fill_base(chunk.planes[-1].view(rows.shape), rows, spec)


def _fill_base(out: Tensor, rows: Tensor, spec: SplineSpec) -> None:
    if spec.base == "silu":
        torch.ops.aten.silu.out(rows, out=out)
    elif spec.base == "identity":
        out.copy_(rows)
    else:
        out.zero_()


@cache
def _ones(spec: SplineSpec, dtype: torch.dtype) -> Tensor:
    """A sum as a product: twice as fast as the sum."""
    with torch.inference_mode(False):
        return torch.ones(spec.size, dtype=dtype)


def _finish_gradient(chunk: Chunk, rows: Tensor, spec: SplineSpec, where: Placement, out: Tensor) -> None:
    """Write the gradient of the inputs, from that of their positions and that of the base plane."""
    of_u, u, of_base = (part.view(rows.shape) for part in (chunk.grad[0], chunk.u, chunk.grad[-1]))
    if spec.outside == "clamp":  # constant beyond the ends, which themselves belong to the inside
        least, most = _just_outside(spec.grid, u.dtype)
        torch.ops.aten.hardtanh_backward.grad_input(of_u, u, least, most, grad_input=of_u)
    if spec.base == "silu":
        of_base = torch.ops.aten.silu_backward.grad_input(of_base, rows, grad_input=u)
    if spec.base == "zero":
        torch.mul(of_u, where.per_unit, out=out)
    else:
        torch.addcmul(of_base, of_u, where.per_unit, out=out)


@cache
def _just_outside(grid: int, dtype: torch.dtype) -> tuple[float, float]:
    """Last value below 0 and first above `grid`."""
    end = torch.tensor(float(grid), dtype=dtype)
    return -torch.finfo(dtype).tiny, float(torch.nextafter(end, end + 1))
