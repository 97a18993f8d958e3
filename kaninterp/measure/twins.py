"""Edges into one node that undo each other on these rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from kaninterp.core.frozen import BoolArray
from kaninterp.measure.probe_means import ROUNDING

__all__ = ["moving", "summed", "twins"]

UNDONE = 0.1
"""Of the variance of the weaker edge: two edges are twins if their sum keeps no more. A tenth is a correlation of -0.95
for edges of one size; the same limit calls an edge cancelled."""
MAX_WIDTH = 64
"""Edges of a node that are compared, strongest first: an undone edge that is weak beside them hides nothing."""
MAX_TWINS = 32
"""Pairs per layer, strongest first."""


def moving(edges: Tensor, alive: BoolArray) -> BoolArray:
    """Edges that are alive and vary by more than rounding, ``(rows, dst, src) -> (dst, src)``."""
    low, high = edges.amin(0).double().cpu().numpy(), edges.amax(0).double().cpu().numpy()
    resolution = ROUNDING * torch.finfo(edges.dtype).eps
    return np.asarray(alive & (high - low > resolution * np.maximum(np.abs(low), np.abs(high))))


def summed(moved: Tensor) -> Tensor:
    """Sum over the last axis, ``(rows, ..., k) -> (rows, ...)``; 0 where parts undo each other but for rounding.

    Examples
    --------
    >>> summed(torch.tensor([[[0.3, -0.3], [0.1, 0.2]], [[0.1, -0.1 - 1e-8], [0.1, 0.1]]]))[:, 0].tolist()
    [0.0, 0.0]
    """
    total, size = moved.sum(-1), moved.abs().amax((0, -1))
    felt = total.abs().amax(0) > ROUNDING * torch.finfo(moved.dtype).eps * size
    return torch.where(felt, total, torch.zeros_like(total))


def twins(edges: Tensor, moves: BoolArray) -> Iterator[tuple[int, int, int]]:
    """Pairs of edges whose sum hardly moves: (dst, src, src), the strongest of the layer first.

    Each edge is in one pair at most. Such a pair is invisible in the node, and each edge alone looks indispensable.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 50)
    >>> edges = torch.stack([x, x**2, -x], 1)[:, None]
    >>> list(twins(edges, moving(edges, np.ones((1, 3), bool))))
    [(0, 0, 2)]
    """
    found = []
    for dst, row in enumerate(moves):
        values = edges[:, dst, torch.from_numpy(np.flatnonzero(row)).to(edges.device)].double().cpu().numpy()
        spread = values.var(0)
        strongest = np.argsort(-spread, kind="stable")[:MAX_WIDTH]
        sources, values = np.flatnonzero(row)[strongest], values[:, strongest]
        co = np.atleast_2d(np.cov(values, rowvar=False, bias=True)) if len(sources) > 1 else np.zeros((0, 0))
        own = np.diag(co)
        left = (own[:, None] + own + 2 * co) / np.minimum(own[:, None], own) if len(own) else co
        pairs = np.argwhere(np.triu(left <= UNDONE, 1))
        used: set[int] = set()
        for a, b in sorted(pairs.tolist(), key=lambda pair: (left[pair[0], pair[1]], pair)):
            if not used & {a, b}:
                used |= {a, b}
                first, second = sorted((int(sources[a]), int(sources[b])))
                found.append((-float(min(own[a], own[b])), dst, first, second))
    return iter([pair[1:] for pair in sorted(found)[:MAX_TWINS]])
