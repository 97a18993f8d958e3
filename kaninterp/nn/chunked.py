"""The fast twin of `kaninterp.nn.planes` on a CPU: rows in chunks that stay in cache, one matrix product each.

A chunk's planes fill one buffer ``(K + 1, in, rows)`` that is kept from call to call and multiplied once with the
whole weight. Rows come last: passes over a plane are contiguous, and matrix products like this order best.
Nothing but the input is saved for backward; the planes are computed again there.
Kept buffers matter: the C library gives large blocks back to the system on every free, and faulting their pages
in again costs more than the arithmetic.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from kaninterp.nn.inplace import Ramps, mixes, ramp_count
from kaninterp.nn.planes import Placement, SplineSpec, planes, slope_planes

__all__ = ["backward_chunks", "forward_chunks"]

CHUNK_VALUES = 2**17
"""Plane values per chunk (0.5 MB of float32), so that planes and their gradients fit the second-level cache of a
core. Up to 2^19 the time per value changes by less than 10 %."""

SHARED = 8
"""Chunks and ramps are this many times larger if threads share the work. Every operation then ends with all threads
waiting for the slowest; on a busy machine a wait can take milliseconds, so there should be few."""

LEAST_ROWS = 256
"""Rows per chunk, at least: below, the matrix product spends its time on packing the weight."""

RAMP_POINTS = 2**13
"""Inputs whose ramps are held at once: their rows stay in cache, and an operation costs more than its call."""

WORKSPACE_BYTES = 2**25
"""Upper limit of the kept buffers of a thread, per dtype."""

KEPT_CHUNKS = 32
"""Chunks whose views a thread remembers: two per layer, and more layers than most models have."""


class _Group(NamedTuple):
    """Some inputs of a chunk: their ramps, what they are multiplied with, and the gradients of planes and position."""

    ramps: Ramps
    to_planes: list[tuple[Tensor, Tensor, Tensor]]
    to_slopes: list[tuple[Tensor, Tensor, Tensor]]
    slope: Tensor
    grad: Tensor
    grad_u: Tensor


class _Chunk:
    """Buffers for a number of rows, and every view of them: making views anew would cost small inputs dearly."""

    def __init__(self, shapes: tuple[tuple[int, ...], ...], block: Tensor, spec: SplineSpec) -> None:
        sizes = [math.prod(shape) for shape in shapes]
        pieces = torch.split(block[: sum(sizes)], sizes)
        self.x, self.u, self.out, self.basis, self.grad, ramps, slope = (
            piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)
        )
        self.flat_basis, self.flat_grad = self.basis.flatten(0, 1), self.grad.flatten(0, 1)
        self.base, self.grad_base, self.grad_u = self.basis[-1], self.grad[-1], self.grad[0]
        self.groups = list(self._grouped(ramps, slope, spec)) if spec.uniform else []

    def _grouped(self, ramps: Tensor, slope: Tensor, spec: SplineSpec) -> Iterator[_Group]:
        width, rows = self.u.shape
        of_values, of_slopes = mixes(spec, self.u.dtype)
        at_once = _inputs_at_once(rows, width)
        for first in range(0, width, at_once):
            some = slice(first, min(first + at_once, width))
            u = self.u[some].flatten()
            made = Ramps(u, spec, ramps[:, : len(u)])
            basis, grad = self.basis[:-1, some].flatten(1), self.grad[:-1, some].flatten(1)
            part = slope[:, : len(u)]
            yield _Group(made, made.products(of_values, basis), made.products(of_slopes, part), part, grad, grad[0])


class _Kept(threading.local):
    """What a thread keeps from call to call: a block of values per dtype, and chunks made of it."""

    def __init__(self) -> None:
        self.blocks: dict[torch.dtype, Tensor] = {}
        self.chunks: dict[tuple[object, ...], _Chunk] = {}


_kept = _Kept()


def _chunk(rows: int, x: Tensor, n_out: int, spec: SplineSpec) -> _Chunk:
    """Uninitialised buffers for some rows; the same as last time if the sizes are."""
    width = x.shape[1]
    points = rows * _inputs_at_once(rows, width)
    key = (rows, width, points, n_out, x.dtype, spec)
    found = _kept.chunks.get(key)
    if found is not None:
        return found
    planes_shape = (spec.size + 1, width, rows)
    tables = ((ramp_count(spec), points), (spec.size, points))
    shapes = ((width, rows), (width, rows), (n_out, rows), planes_shape, planes_shape, *tables)
    with torch.inference_mode(False), torch.no_grad():  # inference tensors could not be written to outside
        block = _block(sum(math.prod(shape) for shape in shapes), x.dtype)
        chunk = _Chunk(shapes, block, spec)
    if block is _kept.blocks.get(x.dtype):
        if len(_kept.chunks) >= KEPT_CHUNKS:
            _kept.chunks.clear()
        _kept.chunks[key] = chunk
    return chunk


def _block(count: int, dtype: torch.dtype) -> Tensor:
    """Values of a thread, grown when needed."""
    block = _kept.blocks.get(dtype)
    if block is None or block.shape[0] < count:
        block = torch.empty(count, dtype=dtype)
        if block.nbytes <= WORKSPACE_BYTES:
            _kept.chunks.clear()  # they would keep the old block alive
            _kept.blocks[dtype] = block
    return block


def _inputs_at_once(rows: int, width: int) -> int:
    return max(1, min(_shared(RAMP_POINTS) // max(rows, 1), width))


def _shared(size: int) -> int:
    return size if torch.get_num_threads() == 1 else SHARED * size


def _rows_per_chunk(x: Tensor, spec: SplineSpec) -> int:
    width = max(1, (spec.size + 1) * x.shape[1])
    rows = max(_shared(CHUNK_VALUES) // width, LEAST_ROWS)
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
    matrix = weight.flatten(1)
    out = x.new_empty(x.shape[0], weight.shape[0])
    step = _rows_per_chunk(x, spec)
    for start in range(0, x.shape[0], step):
        rows = x[start : start + step]
        chunk = _chunk(len(rows), x, weight.shape[0], spec)
        _place(chunk, rows, spec, where)
        _fill(chunk, rows, spec, where, basis=True)
        torch.addmm(bias.unsqueeze(1), matrix, chunk.flat_basis, out=chunk.out)
        out[start : start + step].copy_(chunk.out.t())
    return out


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
    matrix = weight.flatten(1)
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format) if of_x else None
    grad_matrix = torch.empty_like(matrix, memory_format=torch.contiguous_format) if of_weight else None
    if grad_matrix is not None and not x.shape[0]:
        grad_matrix.zero_()
    by_ramps = spec.uniform and spec.order > 1  # slopes of order 1 jump
    step = _rows_per_chunk(x, spec)
    for start in range(0, x.shape[0], step):
        rows, g = x[start : start + step], grad[start : start + step]
        chunk = _chunk(len(rows), x, weight.shape[0], spec)
        _place(chunk, rows, spec, where)
        columns = chunk.out.copy_(g.t())
        if of_x:
            torch.mm(matrix.t(), columns, out=chunk.flat_grad)
        _fill(chunk, rows, spec, where, basis=of_weight, spline_grad=of_x and by_ramps)
        if grad_matrix is not None:
            torch.addmm(grad_matrix, columns, chunk.flat_basis.t(), beta=int(start > 0), out=grad_matrix)
        if grad_x is not None:
            part = grad_x[start : start + step]
            if by_ramps:
                part.copy_(_finish_gradient(chunk, spec, where).t())
            else:
                torch.sum(slope_planes(rows, spec, where).mul_(chunk.grad.permute(2, 0, 1)), dim=1, out=part)
    return grad_x, None if grad_matrix is None else grad_matrix.view(weight.shape)


def _place(chunk: _Chunk, rows: Tensor, spec: SplineSpec, where: Placement) -> None:
    """Write inputs and their positions as columns."""
    chunk.x.copy_(rows.t())
    if spec.uniform:
        torch.sub(chunk.x, where.lo.unsqueeze(1), out=chunk.u).mul_(where.per_unit.unsqueeze(1))


def _fill(
    chunk: _Chunk, rows: Tensor, spec: SplineSpec, where: Placement, *, basis: bool, spline_grad: bool = False
) -> None:
    """Write the planes; write the gradient of the positions over that of the first plane."""
    if not spec.uniform:
        if basis:
            chunk.basis.copy_(planes(rows, spec, where).permute(1, 2, 0))
        return
    for group in chunk.groups:
        group.ramps.fill()
        if basis:
            for matrix, ramps, out in group.to_planes:
                torch.mm(matrix, ramps, out=out)
        if spline_grad:
            for matrix, ramps, out in group.to_slopes:
                torch.mm(matrix, ramps, out=out)
            torch.mv(group.slope.mul_(group.grad).t(), _ones(spec, rows.dtype), out=group.grad_u)
    if basis:
        _fill_base(chunk, spec)


def _fill_base(chunk: _Chunk, spec: SplineSpec) -> None:
    if spec.base == "silu":
        torch.ops.aten.silu.out(chunk.x, out=chunk.base)
    elif spec.base == "identity":
        chunk.base.copy_(chunk.x)
    else:
        chunk.base.zero_()


@cache
def _ones(spec: SplineSpec, dtype: torch.dtype) -> Tensor:
    """A sum as a product: twice as fast as the sum."""
    with torch.inference_mode(False):
        return torch.ones(spec.size, dtype=dtype)


def _finish_gradient(chunk: _Chunk, spec: SplineSpec, where: Placement) -> Tensor:
    """Gradient (in, n) of the inputs from that of the positions."""
    grad: Tensor = chunk.grad_u
    if spec.outside == "clamp":  # constant beyond the ends, which themselves belong to the inside
        least, most = _just_outside(spec.grid, grad.dtype)
        torch.ops.aten.hardtanh_backward.grad_input(grad, chunk.u, least, most, grad_input=grad)
    grad.mul_(where.per_unit.unsqueeze(1))
    if spec.base == "silu":
        grad.add_(torch.ops.aten.silu_backward.grad_input(chunk.grad_base, chunk.x, grad_input=chunk.u))
    elif spec.base == "identity":
        grad.add_(chunk.grad_base)
    return grad


@cache
def _just_outside(grid: int, dtype: torch.dtype) -> tuple[float, float]:
    """Last value below 0 and first above `grid`."""
    end = torch.tensor(float(grid), dtype=dtype)
    return -torch.finfo(dtype).tiny, float(torch.nextafter(end, end + 1))
