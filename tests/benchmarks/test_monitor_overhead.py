"""What a `RangeMonitor` adds to a forward pass of an LSTM with a KANHead, as a ratio of interleaved medians.

    python -m pytest tests/benchmarks/test_monitor_overhead.py -q -s -p no:xdist

Issue 4 asks for under 3 %.
"""

from __future__ import annotations

import copy

import pytest
import torch

import kaninterp as ki
from kaninterp.core import RangeCard
from kaninterp.measure import RangeMonitor
from tests.benchmarks.conftest import interleaved


@pytest.mark.parametrize("batch", [32, 256])
def test_overhead(threads, batch):
    del threads
    model = ki.Hybrid(torch.nn.LSTM(28, 32, batch_first=True), ki.KANHead(32, 1, (8,))).eval()
    watched = copy.deepcopy(model)
    x = torch.randn(batch, 24, 28)
    card = RangeCard.of(ki.trace(model, x, progress=False))
    sampled = copy.deepcopy(model)
    monitor, other = RangeMonitor(watched, card), RangeMonitor(sampled, card, every=4)

    def twenty(which):
        with torch.no_grad():
            for _ in range(20):
                which(x)

    jobs = {
        "alone": lambda: twenty(model),
        "watched": lambda: twenty(watched),
        "every 4th": lambda: twenty(sampled),
    }
    found = interleaved(jobs, unit="alone", rounds=101, budget=20.0)
    print(f"\nbatch {batch}, {1000 * found['alone'][1] / 20:.3f} ms a pass", end="")
    print(*(f", {name} x {ratio:.4f}" for name, (ratio, _) in found.items()), end="", flush=True)
    assert monitor.failure is other.failure is None
    assert monitor.seen.rows > 0
