"""The head a KAN starts from: pykan's arguments as those of `KANHead`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from kaninterp.core.errors import InputError
from kaninterp.nn import KANHead

from .spelling import base_of, index

__all__ = ["ends", "started_head"]


def started_head(
    widths: Sequence[int],
    *,
    grid: Any,
    k: Any,
    noise: float,
    base_fun: Any,
    base_mu: Any,
    base_sigma: Any,
    grid_range: Any,
    bias_trainable: bool,
    seed: int,
) -> KANHead:
    """Make a head with its initial weights; no global generator is touched.

    Parameters
    ----------
    widths
        Nodes per layer.
    grid, k, noise, base_fun, grid_range, bias_trainable, seed
        As for `kaninterp.compat.KAN`.
    base_mu, base_sigma
        Weights of the base functions start at ``(base_mu + base_sigma U) / sqrt(inputs)`` with U uniform on [-1, 1],
        as in pykan 0.2.8.

    Raises
    ------
    InputError
        A number that is none or not finite. InputTypeError: something of the wrong kind.
    """
    mean, size = _finite("scale_base_mu", base_mu), _finite("scale_base_sigma", base_sigma)
    low, high = ends(grid_range)
    head = KANHead(
        widths[0], widths[-1], widths[1:-1],
        grid=index("grid", grid), order=index("k", k), base=base_of(base_fun), noise=noise, domain=(low, high),
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    for layer in head.kan_layers:
        with torch.no_grad():
            layer.base_weight.mul_(size).add_(mean / math.sqrt(layer.in_features))
        layer.bias.requires_grad_(bias_trainable)
    return head


def ends(grid_range: Any) -> tuple[float, float]:
    """Low and high end of a range.

    Raises
    ------
    InputError
        Something else than two numbers.
    """
    try:
        low, high = (float(end) for end in grid_range)
    except (TypeError, ValueError):
        raise InputError(f"grid_range={grid_range!r}: expected [low, high]") from None
    return low, high


def _finite(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise InputError(f"{name}={value!r}: expected a finite number")
    return number
