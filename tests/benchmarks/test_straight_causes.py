"""How often the cause of a straight edge is named right, on edges made for it and on edges trained into it.

    python -m pytest tests/benchmarks/test_straight_causes.py -q -s -p no:xdist

Printed: a confusion matrix for 200 and for 20,000 rows over seeds 0 to 4 (40 edges each), then trained heads.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.analysis import layer_straightness
from tests.straight_edges import SET, made

INPUTS = 6


@pytest.mark.parametrize("rows", [200, 20_000])
def test_edges_made_for_a_cause(rows):
    print(f"\n{rows} rows: cause, edges that are straight (curved for the first), named right, all names")
    for cause in SET:
        found, total = Counter(), 0
        for seed in range(5):
            edges, sample = made(cause, np.random.default_rng(seed), rows)
            truly = edges.straight(sample) == bool(cause)
            names = layer_straightness(ki.trace(edges.head, edges.data(), progress=False))[0].cause[0]
            found.update(name for name, counts in zip(names, truly, strict=True) if counts)
            total += int(truly.sum())
        print(f"{cause or 'curved':>14} {total:4d} {found[cause] / total:.3f} {dict(found)}")


def trained(cause, seed):
    """A head trained into a cause, and what to look at it with."""
    generator = torch.Generator().manual_seed(seed)
    wide = {"under-used": 0.05}.get(cause, 1.0)
    x = (2 * torch.rand(1000, INPUTS, generator=generator) - 1) * wide
    bent = {"linear": 0.0, "drowned": 0.05}.get(cause, 1.0)
    line = 0.0 if cause in {"curved", "out-of-domain"} else 1.0
    y = (line * x + bent * torch.sin(3 * x)).sum(1, keepdim=True)
    base = "identity" if cause in {"untrained", "shrunk", "drowned"} else "silu"
    head = ki.KANHead(INPUTS, 1, domain=(-1, 1), base=base, outside="base", generator=generator)
    layer = head.kan_layers[0]
    if cause == "drowned":
        with torch.no_grad():
            layer.base_weight.fill_(1.0)  # as found by a linear model before
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(400):
        optimizer.zero_grad()
        penalty = 30 * layer.coef.square().sum() if cause == "shrunk" else 0
        ((head(x) - y).square().mean() + penalty).backward()
        if cause == "untrained":
            layer.weight.grad[:, :-1] = 0
        optimizer.step()
    return head, x + 4 if cause == "out-of-domain" else x


@pytest.mark.parametrize("cause", ["curved", "out-of-domain", "under-used", "drowned", "untrained", "shrunk", "linear"])
def test_edges_trained_into_a_cause(cause):
    found = Counter()
    for seed in range(5):
        head, x = trained(cause, seed)
        found.update(layer_straightness(ki.trace(head, x, progress=False))[0].cause[0])
    print(f"\ntrained into {cause}: {dict(found)}", end="")
