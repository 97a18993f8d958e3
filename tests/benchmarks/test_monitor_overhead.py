"""What a `RangeMonitor` adds to a forward pass of an LSTM with a KANHead, as a ratio of interleaved medians.

    python -m pytest tests/benchmarks/test_monitor_overhead.py -q -s -p no:xdist

Issue 4 asks for under 3 %. Every round runs eight passes of each model in turns, so that one of them is counted where
one of eight is. "hooks" are two that do nothing, and "twin" is a second copy of the model alone: what noise looks like.
"""

from __future__ import annotations

import copy
import time

import pytest
import torch

import kaninterp as ki
from kaninterp.core import RangeCard
from kaninterp.measure import RangeMonitor
from tests.benchmarks.conftest import interleaved

PASSES = 8


@pytest.mark.parametrize("batch", [32, 256])
def test_overhead(threads, batch):
    model = ki.Hybrid(torch.nn.LSTM(28, 32, batch_first=True), ki.KANHead(32, 1, (8,))).eval()
    x = torch.randn(batch, 24, 28)
    card = RangeCard.of(ki.trace(model, x, progress=False))
    models = {name: copy.deepcopy(model) for name in ("twin", "hooks", "watched", "every 4th", "every pass")}
    for layer in models["hooks"].head.layers:
        layer.register_forward_pre_hook(lambda *_: None)
    monitors = [
        RangeMonitor(models["watched"], card),
        RangeMonitor(models["every 4th"], card, every=4),
        RangeMonitor(models["every pass"], card, every=1),
    ]

    def passes(which):
        with torch.no_grad():
            for _ in range(PASSES):
                which(x)

    jobs = {name: lambda which=which: passes(which) for name, which in {"alone": model, **models}.items()}
    clocks = {"wall": time.perf_counter} if threads > 1 else {"wall": time.perf_counter, "process": time.process_time}
    for kind, clock in clocks.items():
        found = interleaved(jobs, unit="alone", rounds=301, budget=15.0, clock=clock)
        print(f"\nbatch {batch}, {1000 * found['alone'][1] / PASSES:.3f} ms a pass ({kind} time)", end="")
        print(*(f", {name} x {ratio:.4f}" for name, (ratio, _) in found.items()), end="", flush=True)
    assert all(monitor.failure is None and monitor.seen.rows > 0 for monitor in monitors)
