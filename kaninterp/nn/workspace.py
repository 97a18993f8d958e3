"""Buffers of a thread, kept from call to call, and every view of them a chunk of points needs.

Kept buffers matter: the C library gives large blocks back to the system on every free, and faulting their pages
in again costs more than the arithmetic.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from kaninterp.nn.inplace import Ramps, mixes, ramp_count
from kaninterp.nn.planes import SplineSpec

__all__ = ["KEPT_CHUNKS", "WORKSPACE_BYTES", "Chunk", "Group", "chunk_of", "kept"]

RAMP_POINTS = 2**13
"""Points whose ramps are held at once: their rows stay in cache, and an operation costs more than its call."""

SHARED = 8
"""Ramps are this many times longer if threads share the work: torch divides no operation below some 2^15 values, and
every divided one ends with all threads waiting for the slowest."""

WORKSPACE_BYTES = 2**25
"""Upper limit of the kept buffers of a thread, per dtype."""

KEPT_CHUNKS = 32
"""Chunks whose views a thread remembers: two per layer, and more layers than most models have."""

Products = list[tuple[Tensor, Tensor, Tensor]]
"""Arguments of `torch.mm` and where its result goes."""


class Group(NamedTuple):
    """Some points of a chunk.

    Attributes
    ----------
    ramps : Ramps
        Of these points.
    to_planes, to_slopes : list of tuple of Tensor
        Products with the ramps that write the spline planes and their slopes.
    slope : Tensor, shape (K, n)
        Where the slopes go.
    grad : Tensor, shape (K, n)
        Gradients of the spline planes.
    grad_u : Tensor, shape (n,)
        Where the gradient of the positions goes: over that of the first plane.
    """

    ramps: Ramps
    to_planes: Products
    to_slopes: Products
    slope: Tensor
    grad: Tensor
    grad_u: Tensor


class Chunk:
    """Buffers for a number of points, and every view of them: making views anew would cost small inputs dearly.

    Attributes
    ----------
    u : Tensor, shape (points,)
        Positions in cells.
    planes, grad : Tensor, shape (K + 1, points)
        Planes, and the gradients of planes.
    groups : list of Group
        The points in portions; empty if knots are not uniform.
    """

    def __init__(self, shapes: tuple[tuple[int, ...], ...], spec: SplineSpec, block: Tensor) -> None:
        sizes = [math.prod(shape) for shape in shapes]
        pieces = torch.split(block[: sum(sizes)], sizes)
        self.u, self.planes, self.grad, ramps, slope = (
            piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)
        )
        self.groups = list(self._grouped(ramps, slope, spec)) if spec.uniform else []

    def _grouped(self, ramps: Tensor, slope: Tensor, spec: SplineSpec) -> Iterator[Group]:
        of_values, of_slopes = mixes(spec, self.u.dtype)
        at_once = ramps.shape[1]
        for first in range(0, len(self.u), at_once):
            some = slice(first, first + at_once)
            u = self.u[some]
            made, part = Ramps(u, spec, ramps[:, : len(u)]), slope[:, : len(u)]
            planes, grad = self.planes[:-1, some], self.grad[:-1, some]
            yield Group(made, made.products(of_values, planes), made.products(of_slopes, part), part, grad, grad[0])


class _Kept(threading.local):
    """What a thread keeps: a block of values per dtype, and chunks made of it."""

    def __init__(self) -> None:
        self.blocks: dict[torch.dtype, Tensor] = {}
        self.chunks: dict[tuple[int, int, torch.dtype, SplineSpec], Chunk] = {}


kept = _Kept()


def chunk_of(points: int, dtype: torch.dtype, spec: SplineSpec) -> Chunk:
    """Uninitialised buffers for a number of points; the same as last time if that is.

    Examples
    --------
    >>> spec = SplineSpec(grid=1, order=1, outside="base", base="zero", uniform=True)
    >>> chunk = chunk_of(10, torch.float32, spec)
    >>> chunk.planes.shape, chunk is chunk_of(10, torch.float32, spec)
    (torch.Size([3, 10]), True)
    """
    at_once = min(points, RAMP_POINTS if torch.get_num_threads() == 1 else SHARED * RAMP_POINTS)
    key = (points, at_once, dtype, spec)
    found = kept.chunks.get(key)
    if found is not None:
        return found
    with torch.inference_mode(False), torch.no_grad():  # inference tensors could not be written to outside
        shapes = _shapes(points, at_once, spec)
        block = _block(sum(math.prod(shape) for shape in shapes), dtype)
        chunk = Chunk(shapes, spec, block)
    if block is kept.blocks.get(dtype):
        if len(kept.chunks) >= KEPT_CHUNKS:
            kept.chunks.clear()
        kept.chunks[key] = chunk
    return chunk


def _shapes(points: int, at_once: int, spec: SplineSpec) -> tuple[tuple[int, ...], ...]:
    """Shapes of u, planes, grad, ramps, slope."""
    planes = (spec.size + 1, points)
    return (points,), planes, planes, (ramp_count(spec), at_once), (spec.size, at_once)


def _block(count: int, dtype: torch.dtype) -> Tensor:
    """Values of a thread, grown when needed."""
    block = kept.blocks.get(dtype)
    if block is None or block.shape[0] < count:
        block = torch.empty(count, dtype=dtype)
        if block.nbytes <= WORKSPACE_BYTES:
            kept.chunks.clear()  # they would keep the old block alive
            kept.blocks[dtype] = block
    return block
