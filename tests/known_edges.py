"""A KANHead whose splines were fitted to KNOWN functions by least squares, traced: oracles for formulas of edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

import kaninterp as ki
from kaninterp.core import Trace

Function = Callable[[np.ndarray], np.ndarray]
Known = tuple[Function, float, float]
"""A function and the ends of its data."""


def head_of(known: Sequence[Known], *, grid: int = 16, noise: float = 0.0, seed: int = 0, rows: int = 2000):
    """One edge per function, from as many inputs into one output, and the rows (uniform) it was made for.

    ``noise`` is added to the thousand values each spline is fitted to.
    """
    rng = np.random.default_rng(seed)
    x = np.stack([rng.uniform(low, high, rows) for _, low, high in known], axis=1)
    head = ki.KANHead(len(known), 1, grid=grid).double()
    head.calibrate(torch.as_tensor(x))
    layer = head.kan_layers[0]
    at = np.linspace(x.min(0), x.max(0), 1000)
    basis = layer.basis(torch.as_tensor(at)).numpy(force=True)[:, :-1]  # (1000, coefficients, in), no base
    with torch.no_grad():
        layer.base_weight.zero_()
        for i, (function, *_) in enumerate(known):
            wanted = function(at[:, i]) + noise * rng.normal(size=len(at))
            layer.coef[:, 0, i] = torch.as_tensor(np.linalg.lstsq(basis[:, :, i], wanted, rcond=None)[0])
    return head.eval(), torch.as_tensor(x)


def trace_of(known: Sequence[Known], **options) -> Trace:
    head, x = head_of(known, **options)
    return ki.trace(head, x, progress=False)
