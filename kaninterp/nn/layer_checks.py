"""What a layer refuses, before anything is changed: options, inputs and saved states that do not fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from kaninterp.core.errors import InputError, InputTypeError, ShapeError, StateError
from kaninterp.nn.bspline import MAX_ORDER, OUTSIDE
from kaninterp.nn.domain import uniform_knots
from kaninterp.nn.planes import BASES, SplineSpec

__all__ = ["check_input", "check_kind", "check_moving", "check_noise", "check_sizes", "check_spec", "state_problems"]

UNEVEN_SHARE = 0.01
"""Knots of a uniform layer may deviate this share of a cell from equal spacing, besides the rounding of their
dtype; more means that they come from a layer with knots of its own."""


def _check_integer(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name}={value!r}; allowed: an integer of at least {least}")


def check_sizes(in_features: object, out_features: object) -> None:
    """Raise `InputError` unless both are integers of at least 0."""
    _check_integer("in_features", in_features, 0)
    _check_integer("out_features", out_features, 0)


def check_noise(noise: float) -> None:
    """Raise `InputError` unless the noise scale is finite and at least 0."""
    if not (math.isfinite(noise) and noise >= 0):
        raise InputError(f"noise={noise!r}; allowed: a finite number of at least 0")


def check_moving(moving_domain: object, uniform: bool) -> None:
    """Raise `InputError` unless it is True or False; True goes with uniform knots only."""
    if not isinstance(moving_domain, bool):
        raise InputError(f"moving_domain={moving_domain!r}; allowed: True (domains follow their inputs) or False")
    if moving_domain and not uniform:
        raise InputError("moving_domain=True moves cells of one width; allowed with uniform=True only")


def check_spec(spec: SplineSpec) -> None:
    """Raise `InputError` unless every option of the splines is allowed."""
    _check_integer("grid", spec.grid, 1)
    _check_integer("order", spec.order, 1)
    if spec.order > MAX_ORDER:
        raise InputError(f"order={spec.order!r}; allowed: an integer from 1 to {MAX_ORDER}")
    if spec.outside not in OUTSIDE:
        raise InputError(f"outside={spec.outside!r}; allowed: {', '.join(OUTSIDE)}")
    if spec.base not in BASES:
        raise InputError(f"base={spec.base!r}; allowed: {', '.join(BASES)}")


def check_input(x: Tensor, width: int) -> None:
    """Raise `ShapeError` or `InputTypeError` unless x is a floating-point tensor (..., width)."""
    if x.dim() == 0 or x.shape[-1] != width:
        raise ShapeError(f"input has shape {tuple(x.shape)}; allowed: (..., {width}), the width of this layer")
    if not x.is_floating_point():
        raise InputTypeError(f"input is {x.dtype}; allowed: floating point. Convert it with x.float()")


def check_kind(x: Tensor, weight: Tensor) -> None:
    """Raise `StateError` or `InputTypeError` unless x has the device and, outside autocast, dtype of the weight."""
    if x.device != weight.device:
        raise StateError(f"input is on {x.device}, the layer on {weight.device}; move one of them with .to(device)")
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise InputTypeError(
            f"input is {x.dtype}, the layer {weight.dtype}; allowed: the same. Convert one of them with .to(dtype)"
        )


def state_problems(
    spec: SplineSpec, shapes: Mapping[str, torch.Size], state: Mapping[str, Any], prefix: str
) -> Iterator[str]:
    """Name what in a state dict does not fit a layer.

    Parameters
    ----------
    spec : SplineSpec
        Of the layer.
    shapes : mapping of str to torch.Size
        Of its parameters and buffers.
    state, prefix
        As given to ``load_state_dict``; missing names are not a problem here.

    Yields
    ------
    str
        One message per problem.
    """
    for name, shape in shapes.items():
        given = state.get(prefix + name)
        if given is not None and given.shape != shape:
            yield (
                f"{prefix}{name} has shape {tuple(given.shape)}, this layer has {tuple(shape)}; "
                "build the layer with the widths, grid and order of the saved one"
            )
            return
    knots, mask = state.get(prefix + "knots"), state.get(prefix + "mask")
    if knots is not None and not (bool(torch.isfinite(knots).all()) and bool((knots.diff(dim=1) > 0).all())):
        yield f"{prefix}knots are not finite and increasing"
    elif knots is not None and spec.uniform and not _evenly_spaced(knots.double(), knots.dtype):
        yield f"{prefix}knots are not equally spaced; build this layer with uniform=False"
    if mask is not None and not bool(((mask == 0) | (mask == 1)).all()):
        yield f"{prefix}mask has values other than 0 and 1"


def _evenly_spaced(knots: Tensor, saved_as: torch.dtype) -> bool:
    lo, hi = knots[:, :1], knots[:, -1:]
    rounding = 2 * torch.finfo(saved_as).eps * torch.maximum(lo.abs(), hi.abs())
    slack = UNEVEN_SHARE * (hi - lo) / (knots.shape[1] - 1) + rounding
    even = uniform_knots(lo[:, 0], hi[:, 0], knots.shape[1] - 1)
    return bool(((knots - even).abs() <= slack).all())
