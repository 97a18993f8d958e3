"""How often `would_bend` says that a planted wave bends, and that a planted line does not.

    python -m pytest tests/benchmarks/test_would_bend.py -q -s -p no:xdist

Heads trained on a grid that does not fit their data: all rows beyond it, or in a sliver of it. Noise of a tenth of a
standard deviation, 600 rows, seeds 0 to 4. Printed per problem: verdicts, and the held-out loss before, trained on the
old grid and trained on the new one (means over the seeds).
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

import kaninterp as ki

ROWS = 600
GRIDS = {
    "beyond the grid": {"scale": 4.0, "offset": 6.5, "wave": 2.0, "outside": "base", "base": "identity"},
    "beyond the grid, clamped": {"scale": 4.0, "offset": 6.5, "wave": 2.0, "outside": "clamp", "base": "identity"},
    "in a sliver": {"scale": 0.1, "offset": 0.0, "wave": 60.0, "outside": "clamp", "base": "silu"},
    "in a sliver off centre": {"scale": 0.1, "offset": 0.6, "wave": 60.0, "outside": "clamp", "base": "silu"},
}


def problem(kind, grid, seed):
    options = dict(grid)
    scale, offset, wave = (options.pop(name) for name in ("scale", "offset", "wave"))
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(ROWS, 2, generator=generator) - 1
    y = x[:, :1] + (torch.sin(wave * scale * x[:, 1:]) if kind == "wave" else x[:, 1:])
    y = y + 0.1 * torch.randn(ROWS, 1, generator=generator)
    x = scale * x + offset
    head = ki.KANHead(2, 1, domain=(-1, 1), generator=generator, **options)
    ki.fit(head, (x, y), epochs=20, lr=1e-2, domain_updates=0.0, seed=seed, progress=False)
    return head, x, y


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("kind", ["wave", "line"])
def test_verdicts(kind, name):
    found, losses, moved = Counter(), [], []
    for seed in range(5):
        head, x, y = problem(kind, GRIDS[name], seed)
        trial = ki.would_bend(head, (x, y), epochs=60, lr=2e-2, seed=seed, progress=False)
        found.update((edge.name[:2], edge.verdict) for edge in trial.edges)
        losses.append([estimate.value for estimate in trial.losses])
        moved.append(trial.moved)
    means = ", ".join(f"{value:.4f}" for value in np.mean(losses, axis=0))
    print(f"\n{kind} in x1 (x0 is a line), {name}: {dict(found)}; loss {means}; moved {max(moved):.1e}", end="")
