"""Random heads and random cuts for the laws of pruning: dead nodes, fully cut layers, several outputs, biases."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import strategies as st

from kaninterp.nn import KANHead, prune_head


def rows(n: int, width: int, seed: int = 0, **options) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), **options)


def random_head(widths, seed: int, dtype: torch.dtype = torch.float32) -> KANHead:
    generator = torch.Generator().manual_seed(seed)
    head = KANHead(
        widths[0], widths[-1], widths[1:-1], grid=3, domain=(-2, 2), noise=0.5, dtype=dtype, generator=generator
    )
    with torch.no_grad():
        for layer in head.layers:
            layer.bias.normal_(generator=generator)
    return head.eval()


@st.composite
def cut_heads(draw, deepest: int = 4):
    """A head, its pruned copy (compact or masked) and what was kept."""
    widths = draw(st.lists(st.integers(1, 4), min_size=2, max_size=deepest))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    head = random_head(widths, seed)
    density = draw(st.sampled_from([0.0, 0.3, 0.6, 1.0]))
    keep = [rng.random((dst, src)) < density for src, dst in pairwise(widths)]
    emptied = draw(st.integers(-1, len(keep) - 1))
    if emptied >= 0:
        keep[emptied][:] = False
    compact = draw(st.booleans())
    small, _ = prune_head(head, keep, [rng.normal(size=mask.shape) for mask in keep], compact=compact)
    return head, small, keep
