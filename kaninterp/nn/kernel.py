"""One layer as one matrix product: which way to compute it.

Small inputs, and everything that is traced, compiled, exported, transformed or differentiated forwards, take plain
operations. Large inputs on a CPU take chunks that stay in cache; their gradient is computed from the input alone,
and a gradient of the gradient is recorded through the plain operations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad
from torch.nn import functional as F

from kaninterp.nn.chunked import backward_chunks, forward_chunks, plane_chunks
from kaninterp.nn.planes import Placement, SplineSpec, planes

__all__ = ["PLAIN_VALUES", "function_transform_active", "spline_linear", "write_planes"]

PLAIN_VALUES = 2**11
"""Up to this many plane values a handful of plain operations beats the chunks: there each operation's fixed cost
is all that counts."""


def spline_linear(x: Tensor, weight: Tensor, bias: Tensor, spec: SplineSpec, where: Placement) -> Tensor:
    """Evaluate a layer: ``planes(x) . weight + bias``.

    Parameters
    ----------
    x : Tensor, shape (n, in)
        Points.
    weight : Tensor, shape (out, K + 1, in)
        Spline coefficients and, as the last plane, base weights.
    bias : Tensor, shape (out,)
        Constants.
    spec, where
        See `kaninterp.nn.planes.planes`.

    Returns
    -------
    Tensor, shape (n, out)
        The same on every way, up to rounding. Planes of half-precision inputs are computed in float32.

    Examples
    --------
    >>> import torch
    >>> from kaninterp.nn.planes import place
    >>> spec = SplineSpec(grid=1, order=1, outside="base", base="zero", uniform=True)
    >>> weight, where = torch.tensor([[[2.0], [4.0], [0.0]]]), place(torch.tensor([[0.0, 1.0]]), spec)
    >>> spline_linear(torch.tensor([[0.5]]), weight, torch.tensor([1.0]), spec, where)
    tensor([[4.]])
    """
    if _chunks_pay(x, weight, spec):
        if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad or bias.requires_grad):
            result: Tensor = _SplineLinear.apply(x, weight, bias, *where, spec)  # type: ignore[no-untyped-call]
            return result
        return forward_chunks(x, weight, bias, spec, where)
    return _plain(x, weight, bias, spec, where)


@torch.no_grad()
def write_planes(x: Tensor, weight: Tensor, spec: SplineSpec, where: Placement, out: Tensor) -> None:
    """Write the planes of a layer at points (n, in) over ``out`` (n, K + 1, in), of any float type and memory layout.

    Examples
    --------
    >>> import torch
    >>> from kaninterp.nn.planes import place
    >>> spec = SplineSpec(grid=1, order=1, outside="base", base="zero", uniform=True)
    >>> weight, where, out = torch.zeros(1, 3, 1), place(torch.tensor([[0.0, 1.0]]), spec), torch.empty(1, 3, 1)
    >>> write_planes(torch.tensor([[0.25]]), weight, spec, where, out)
    >>> out[0, :, 0]
    tensor([0.7500, 0.2500, 0.0000])
    """
    if _chunks_pay(x, weight, spec):
        plane_chunks(x, spec, where, out)
    else:
        out.copy_(planes(x, spec, where))


def _plain(x: Tensor, weight: Tensor, bias: Tensor, spec: SplineSpec, where: Placement) -> Tensor:
    if x.dtype in {torch.bfloat16, torch.float16}:
        x, where = x.float(), where.float()
    basis = planes(x, spec, where)
    return F.linear(basis.flatten(1).to(weight.dtype), weight.flatten(1), bias)


def _chunks_pay(x: Tensor, weight: Tensor, spec: SplineSpec) -> bool:
    """Whether the chunked way is allowed and worth it."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return False
    return (
        x.numel() * (spec.size + 1) > PLAIN_VALUES
        and x.device.type == "cpu"
        and x.dtype == weight.dtype
        and x.dtype in {torch.float32, torch.float64}
        and not torch.is_autocast_enabled("cpu")
        and _ordinary(x, weight)
    )


def function_transform_active() -> bool:
    """Whether torch.func (vmap, grad, jacrev, ...) is looking at the operations.

    Examples
    --------
    >>> function_transform_active()
    False
    """
    return not torch.compiler.is_compiling() and torch._C._functorch.maybe_current_level() is not None


def _ordinary(x: Tensor, weight: Tensor) -> bool:
    """No subclass, no function transform, no forward-mode derivative, no dispatch mode looks at the operations."""
    return (
        type(x) is Tensor
        and type(weight) in {Tensor, torch.nn.Parameter}
        and forward_ad._current_level < 0
        and not function_transform_active()
        and torch._C._len_torch_dispatch_stack() == 0
    )


class _SplineLinear(Function):
    """The chunked layer with its gradient; see `spline_linear`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        *rest: Any,
    ) -> Tensor:
        *where, spec = rest
        ctx.save_for_backward(x, weight, bias, *where)
        ctx.spec = spec
        return forward_chunks(x, weight, bias, spec, Placement(*where))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, *rest = ctx.saved_tensors
        where = Placement(*rest)
        if torch.is_grad_enabled():
            return _recorded_backward(ctx, grad, (x, weight, bias), where)
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        grad_x, grad_weight = backward_chunks(
            grad.contiguous(), x, weight, ctx.spec, where, of_x=of_x, of_weight=of_weight
        )
        return grad_x, grad_weight, grad.sum(0) if of_bias else None, *(None,) * 7


def _recorded_backward(
    ctx: Any, grad: Tensor, inputs: tuple[Tensor, Tensor, Tensor], where: Placement
) -> tuple[Tensor | None, ...]:
    """Gradient with a graph of its own, for gradients of gradients."""
    out = _plain(*inputs, ctx.spec, where)
    needed = [t for t, need in zip(inputs, ctx.needs_input_grad[:3], strict=True) if need]
    found = iter(torch.autograd.grad(out, needed, grad, create_graph=True))
    return (*(next(found) if need else None for need in ctx.needs_input_grad[:3]), *(None,) * 7)
