"""What the splines of a layer started from: enough to tell one that was never trained, without a copy of them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["carried", "started", "untouched"]

ROUNDING = 4
"""Rounding steps, of float32 or what is coarser, by which the sum may differ after a change of the number type."""


def started(coef: Tensor) -> Tensor:
    """Take two numbers per spline: a weighted sum of its coefficients, and their root mean square.

    Parameters
    ----------
    coef : Tensor, shape (K, out, in)
        Spline coefficients.

    Returns
    -------
    Tensor, shape (2, out, in)

    Notes
    -----
    The weights are cos(1), cos(2), ...: a change of the coefficients that leaves the sum as it is has to lie in one
    plane of K dimensions, which no training step does but by accident.

    Examples
    --------
    >>> import torch
    >>> coef = torch.ones(8, 2, 3)
    >>> start = started(coef)
    >>> start.shape, bool(untouched(coef, start).all()), bool(untouched(coef + 1e-3, start).any())
    (torch.Size([2, 2, 3]), True, False)
    """
    total = torch.einsum("moi,m->oi", coef.double(), _weights(coef))
    return torch.stack((total, coef.double().square().mean(0).sqrt())).to(coef.dtype)


def untouched(coef: Tensor, start: Tensor) -> Tensor:
    """Say which splines still are what they started from, up to rounding; (out, in), bool."""
    weights, values = _weights(coef), coef.double()
    total = torch.einsum("moi,m->oi", values, weights)
    step = max(torch.finfo(coef.dtype).eps, torch.finfo(torch.float32).eps)
    slack = ROUNDING * step * torch.einsum("moi,m->oi", values.abs(), weights.abs())
    return (total - start[0].double()).abs() <= slack


def carried(start: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Take the start over to other coefficients of the same functions: what was never trained still was not.

    Parameters
    ----------
    start : Tensor, shape (2, out, in)
    old, new : Tensor, shapes (K, out, in), (new K, out, in)
        Coefficients before and after a change of the knots, of the number type or of the device.

    Returns
    -------
    Tensor, shape (2, out, in)
        Of the kind of the new coefficients.
    """
    kept = untouched(old, start).to(new.device)
    total = torch.where(kept, started(new)[0], torch.inf)
    return torch.stack((total, start[1].to(total)))


def _weights(coef: Tensor) -> Tensor:
    return torch.arange(1, coef.shape[0] + 1, dtype=torch.float64, device=coef.device).cos()
