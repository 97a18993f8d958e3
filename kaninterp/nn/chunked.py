"""The fast twin of `kaninterp.nn.planes` on a CPU: rows in chunks that stay in cache, one matrix product each.

A chunk's planes fill one buffer ``(rows, K + 1, in)`` that is kept from call to call and multiplied once with the
whole weight. Nothing but the input is saved for backward; the planes are computed again there.
Kept buffers matter: the C library gives large blocks back to the system on every free, and faulting their pages
in again costs more than the arithmetic.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from kaninterp.nn.inplace import fill_planes, fill_planes_and_slopes, pull_back, to_cells
from kaninterp.nn.planes import Placement, SplineSpec, planes, slope_planes

__all__ = ["backward_chunks", "forward_chunks", "linear_of"]

CHUNK_VALUES = 2**18
"""Plane values per chunk (1 MB of float32): about the second-level cache of a core. Between 2^17 and 2^19 the time
per value changes by less than 10 %."""

LEAST_ROWS = 256
"""Rows per chunk, at least: below, the matrix product spends its time on packing the weight."""

WORKSPACE_BYTES = 2**25
"""Upper limit of the kept buffers of a thread."""

BUFFERS = 5
"""Buffers of a chunk: the planes, their slopes and three for the steps between."""

Linear: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]

_kept = threading.local()


def _workspace(shape: tuple[int, int, int], like: Tensor) -> list[Tensor]:
    """Uninitialised buffers, kept per thread and grown when needed."""
    count = math.prod(shape)
    buffers: dict[torch.dtype, Tensor] = _kept.__dict__.setdefault("buffers", {})
    block = buffers.get(like.dtype)
    if block is None or block.shape[1] < count:
        with torch.inference_mode(False):  # an inference tensor could not be written to outside
            block = torch.empty(BUFFERS, count, dtype=like.dtype)
        if block.nbytes <= WORKSPACE_BYTES:
            buffers[like.dtype] = block
    return [buffer[:count].view(shape) for buffer in block]


def _rows_per_chunk(x: Tensor, spec: SplineSpec) -> int:
    width = max(1, (spec.size + 1) * x.shape[1])
    rows = max(CHUNK_VALUES // width, LEAST_ROWS)
    most = WORKSPACE_BYTES // (BUFFERS * x.element_size() * width)
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
    matrix, multiply = weight.flatten(1), linear_of(x)
    step = _rows_per_chunk(x, spec)
    slots = _workspace((step, spec.size + 1, x.shape[1]), x)
    out = x.new_empty(x.shape[0], weight.shape[0])
    for start in range(0, x.shape[0], step):
        rows = x[start : start + step]
        basis, _, *spare = (slot[: len(rows)] for slot in slots)
        if spec.uniform:
            fill_planes(to_cells(rows, spec, where), spec, basis, spare)
        else:
            basis.copy_(planes(rows, spec, where))
        out[start : start + step] = multiply(basis.flatten(1), matrix, bias)
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
    step = _rows_per_chunk(x, spec)
    slots = _workspace((step, spec.size + 1, x.shape[1]), x)
    grad_x = torch.empty_like(x) if of_x else None
    grad_matrix = torch.zeros_like(matrix) if of_weight else None
    for start in range(0, x.shape[0], step):
        rows, g = x[start : start + step], grad[start : start + step]
        basis, slope, *spare = (slot[: len(rows)] for slot in slots)
        in_place = spec.uniform and spec.order > 1
        if in_place:
            cells = to_cells(rows, spec, where)
            if of_x:
                fill_planes_and_slopes(cells, spec, basis, slope, spare)
            else:
                fill_planes(cells, spec, basis, spare)
        else:
            basis.copy_(planes(rows, spec, where))
        if grad_matrix is not None:
            grad_matrix.addmm_(g.t(), basis.flatten(1))
        if grad_x is not None:
            torch.mm(g, matrix, out=basis.flatten(1))
            part = grad_x[start : start + step]
            if in_place:
                pull_back(cells, spec, slope, basis, part)
            else:
                torch.sum(basis.mul_(slope_planes(rows, spec, where)), dim=1, out=part)
    return grad_x, None if grad_matrix is None else grad_matrix.view_as(weight)


def linear_of(x: Tensor) -> Linear:
    """Matrix product for this input: oneDNN's where it works, else `F.linear`.

    Examples
    --------
    >>> import torch
    >>> linear_of(torch.ones(1, 1, dtype=torch.float64)) is torch.nn.functional.linear
    True
    """
    if x.dtype == torch.float32 and torch._C._get_mkldnn_enabled() and _onednn_works():
        return _onednn_linear
    return F.linear


def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], None)
    return result


@cache
def _onednn_works() -> bool:
    """Whether torch's private oneDNN product exists in this build and gives what `F.linear` gives."""
    if not (torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    with torch.inference_mode(False), torch.no_grad():
        x = torch.arange(48, dtype=torch.float32).view(6, 8) / 48
        try:
            same = torch.allclose(_onednn_linear(x, x[:4], x[0, :4]), F.linear(x, x[:4], x[0, :4]), atol=1e-5)
        except (RuntimeError, TypeError, NotImplementedError):
            return False  # a private operation may change its signature: then it is not used
    return same
