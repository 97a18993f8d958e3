"""The functions of `kaninterp.core.families` on tensors, finite everywhere, with their gradients.

A formula may be trained, and training may carry its argument out of where f is defined. There f goes on as a constant
from the edge of its domain, with slope 0, so values and gradients stay finite. The rows that are still inside go on
training a and b; where there are none, c and d alone are trained, and the edge stays a constant. Each edge of a domain
is a named constant below. Formulas fed by formulas multiply their slopes: there a step too large can still overflow
float32, as with any steep model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from kaninterp.core.families import FAMILIES, STEP, Family
from kaninterp.core.frozen import Array

__all__ = ["NATIVE", "on_tensors"]

POLE = 1e6
"""Next to a pole (1/x, tan) f goes on from where it is this large; its slope, squared, still is a number in float32."""
NEAREST = 1e-12
"""Least argument of roots: there the slope of sqrt is 5e5 and 1/sqrt is `POLE`."""
LOGARITHM = 1e-6
"""Least argument of log: there its slope is `POLE`."""
INSIDE_ONE = 1e-7
"""arcsin, arccos and arctanh stop this far inside of 1, the least distance that float32 can tell."""
ROOF = 1e18
"""exp and the powers go on from where they are this large: their squares still are numbers in float32."""
FLAT = 1e-4
"""Below this argument J1(u)/u is its series: the next term, u^4/384, is below rounding."""

Elementwise = Callable[[Tensor], Tensor]


class _Given(Function):
    """An elementwise function whose slope is given as another one; differentiable as often as that is."""

    @staticmethod
    def forward(u: Tensor, value: Elementwise, slope: Elementwise) -> Tensor:
        del slope
        return value(u)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        u, _, ctx.slope = inputs
        ctx.save_for_backward(u)
        ctx.save_for_forward(u)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad * ctx.slope(ctx.saved_tensors[0]), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *rest: Any) -> Tensor:
        del rest
        result: Tensor = tangent * ctx.slope(ctx.saved_tensors[0])
        return result

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], u: Tensor, value: Elementwise, slope: Elementwise) -> Any:
        del info
        return _given(u, value, slope), in_dims[0]


def _given(u: Tensor, value: Elementwise, slope: Elementwise) -> Tensor:
    result: Tensor = _Given.apply(u, value, slope)  # type: ignore[no-untyped-call]
    return result


def _bessel_0(u: Tensor) -> Tensor:
    return _given(u, torch.special.bessel_j0, lambda at: -_bessel_1(at))


def _bessel_1(u: Tensor) -> Tensor:
    return _given(u, torch.special.bessel_j1, _slope_of_bessel_1)


def _slope_of_bessel_1(u: Tensor) -> Tensor:
    near = u.abs() < FLAT
    safe = torch.where(near, torch.ones_like(u), u)
    return _bessel_0(u) - torch.where(near, 0.5 - u.square() / 16, _bessel_1(safe) / safe)


def _power(n: float) -> Elementwise:
    most = ROOF ** (1 / n)
    return lambda u: u.clamp(-most, most) ** n


def _inverse(n: int) -> Elementwise:
    least = POLE ** (-1 / n)

    def function(u: Tensor) -> Tensor:
        edge = torch.where(u < 0, -least, least).to(u.dtype)
        result: Tensor = torch.where(u.abs() < least, edge, u) ** -n
        return result

    return function


def _from(least: float, function: Elementwise, most: float = math.inf) -> Elementwise:
    return lambda u: function(u.clamp(least, most))


def _tan(u: Tensor) -> Tensor:
    middle = torch.round(u.detach() / math.pi) * math.pi
    reach = math.pi / 2 - 1 / POLE
    return torch.tan((u - middle).clamp(-reach, reach))


def _table() -> dict[str, Elementwise]:
    within = 1 - INSIDE_ONE
    return {
        "x": lambda u: u,
        **{f"x^{n}": _power(n) for n in (2, 3, 4, 5)},
        "1/x": _inverse(1),
        **{f"1/x^{n}": _inverse(n) for n in (2, 3, 4)},
        "sqrt": _from(NEAREST, torch.sqrt),
        "x^1.5": _from(NEAREST, lambda u: u**1.5, ROOF ** (1 / 1.5)),
        "1/sqrt(x)": _from(NEAREST, torch.rsqrt),
        "exp": _from(-math.inf, torch.exp, math.log(ROOF)),
        "log": _from(LOGARITHM, torch.log),
        "abs": torch.abs,
        "sin": torch.sin,
        "cos": torch.cos,
        "tan": _tan,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "sgn": torch.sign,
        "arcsin": _from(-within, torch.asin, within),
        "arccos": _from(-within, torch.acos, within),
        "arctan": torch.atan,
        "arctanh": _from(-within, torch.atanh, within),
        "gaussian": lambda u: torch.exp(-u.square()),
        "J0": _bessel_0,
        "0": torch.zeros_like,
    }


NATIVE: Mapping[str, Elementwise] = MappingProxyType(_table())
"""The families of `kaninterp.core.families.FAMILIES` as operations of torch, by name."""


def on_tensors(family: Family) -> Elementwise:
    """Give the function of a family for tensors.

    Parameters
    ----------
    family : Family
        One of `FAMILIES` runs as operations of torch, on any device, and can be compiled and exported. One of the
        user's own runs its numpy function and slope, on the CPU; second derivatives are central differences. Where it
        is not defined, or not finite, it is 0 with slope 0: its edge is the constant d there.

    Returns
    -------
    callable
        Elementwise on float32 and float64; NaN only where its argument is.

    Examples
    --------
    >>> u = torch.tensor([-1.0, 4.0], requires_grad=True)
    >>> on_tensors(FAMILIES["sqrt"])(u).sum().backward()
    >>> u.grad
    tensor([0.0000, 0.2500])
    """
    if FAMILIES.get(family.name) is family:
        return NATIVE[family.name]
    return _own(family, 0)


def _own(family: Family, order: int) -> Elementwise:
    """Derivative of a family of the user's own, by its numpy functions."""

    def value(u: Tensor) -> Tensor:
        at = u.detach().double().cpu().numpy()
        return torch.from_numpy(_derivative(family, at, order)).to(u)

    return lambda u: _given(u, value, _own(family, order + 1))


def _derivative(family: Family, at: Array, order: int) -> Array:
    def plain(u: Array, n: int) -> Array:
        if n < 2:
            return np.asarray(family.derivative(u) if n else family.function(u), dtype=np.float64)
        step = STEP ** (1 / n) * np.maximum(np.abs(u), 1.0)
        return np.asarray((plain(u + step, n - 1) - plain(u - step, n - 1)) / (2 * step))

    with np.errstate(all="ignore"):
        found = np.broadcast_to(plain(at, order), at.shape)
        fine = np.broadcast_to(family.defined(at, at), at.shape) & np.isfinite(found)
    return np.where(np.isnan(at), np.nan, np.where(fine, found, 0.0))
