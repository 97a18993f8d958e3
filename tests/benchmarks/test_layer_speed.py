"""A layer against every peer: time as a ratio to `F.linear` with as many parameters. No assertion on time.

``make bench`` prints, per size and number of threads, forward / forward + backward (parameters and input).
"""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from tests.benchmarks.conftest import interleaved
from tests.benchmarks.contestants import GRID, ORDER, build

UNIT = "F.linear"
SIZES = [
    (1000, 2, 5),
    (1000, 64, 64),
    (4096, 64, 64),
    (1024, 784, 64),
    (16384, 128, 64),
    (4096, 256, 256),
    (256, 1024, 1024),
]


def forward(module, x):
    def job():
        with torch.no_grad():
            module(x)

    return job


def both(module, x, grad):
    leaf = x.clone().requires_grad_()
    parameters = list(module.parameters())

    def job():
        leaf.grad = None
        for p in parameters:
            p.grad = None
        module(leaf).backward(grad)

    return job


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_ratios(size, threads):
    batch, n_in, n_out = size
    torch._dynamo.reset()
    source = torch.Generator().manual_seed(0)
    x = torch.rand(batch, n_in, generator=source) * 2 - 1
    wide = torch.rand(batch, n_in * (GRID + ORDER), generator=source)
    grad = torch.randn(batch, n_out, generator=source)
    modules, missing = build(n_in, n_out, batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # compilers and peers; ours are caught by the tests
        inputs = dict.fromkeys(modules, x)
        modules[UNIT], inputs[UNIT] = nn.Linear(wide.shape[1], n_out), wide
        ahead = interleaved({n: forward(m, inputs[n]) for n, m in modules.items()}, unit=UNIT)
        whole = interleaved({n: both(m, inputs[n], grad) for n, m in modules.items()}, unit=UNIT)
    print(f"\n{size}, {threads} thread(s): F.linear {ahead[UNIT][1] * 1e3:.2f} / {whole[UNIT][1] * 1e3:.2f} ms")
    for name in modules:
        if name != UNIT:
            print(f"  {name:28s}{ahead[name][0]:8.2f} /{whole[name][0]:7.2f}")
    for name, reason in missing.items():
        print(f"  {name:28s}   left out: {reason}")
    assert whole["ours"][0] > 0
