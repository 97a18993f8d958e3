"""Which continuation outside the domain errs least under drift: the measurement behind `DEFAULT_OUTSIDE`.

    python -m pytest tests/benchmarks/test_outside_domain.py -q -s

Small KANs are trained on three planted problems and asked about a held-out sample of the training law, a mildly
wider one (inputs spread by 15 % about their mean) and a drifted one. Printed: median over seeds of the root mean
squared error against the noise-free target, in units of the target's training standard deviation.
"""

from __future__ import annotations

import statistics

import numpy as np
import pytest
import torch
from torch import nn

from kaninterp.nn.bspline import OUTSIDE
from kaninterp.nn.layer import KANLayer

SEEDS = range(7)
STEPS = 300
HIDDEN = 5
SPREAD = 1.15


def out_of_grid(rng, n):
    """Seven input laws, heavy tails among them (P11); drift: half a standard deviation up and 1.5 times as wide."""
    spikes = np.where(rng.uniform(size=n) < 0.01, 10.0, 0.0) + 0.01 * rng.normal(size=n)
    columns = [
        rng.uniform(-1, 1, n),
        rng.normal(size=n),
        rng.uniform(-3, 3, n),
        np.exp(rng.normal(size=n)),
        rng.standard_t(2, size=n),
        rng.uniform(-0.1, 0.1, n),
        spikes,
        rng.normal(size=n),
        rng.uniform(5, 7, n),
    ]
    return np.column_stack(columns)


def out_of_grid_target(x):
    return np.tanh(x[:, :5]).sum(1) + 10 * x[:, 5] + 0.3 * np.minimum(x[:, 6], 3) + (x[:, 8] - 6)


def out_of_grid_drift(x):
    return x * [1.5, 1.5, 1.5, 1.5, 1.0, 1.5, 1.0, 1.5, 1.0] + [0.5, 0.5, 0.9, 0.5, 0.0, 0.03, 0.0, 0.5, 0.3]


def drift_menu(rng, n):
    """Uniform inputs (P12); drift: one shifted by half, one twice as wide, one an irrelevant shift."""
    x = rng.uniform(-1, 1, size=(n, 8))
    x[:, 5] = x[:, 4]
    return x


def drift_menu_target(x):
    return np.sin(np.pi * x[:, 0] / 2) + x[:, 1] + x[:, 2] ** 2 + x[:, 3] + 0.5 * (x[:, 4] + x[:, 5]) + x[:, 6]


def drift_menu_drift(x):
    return x * [1, 1, 2, 0.5, 1, 1, 1, 1] + [0, 0.5, 0, 0, 0, 0, 0, 0.5]


def sequence(rng, n, length=4, width=6):
    """Windows of a sequence, flattened (T06); drift: one relevant column three times as wide, one shifted."""
    u = rng.uniform(-1, 1, size=(n + length - 1, width))
    return np.lib.stride_tricks.sliding_window_view(u, length, axis=0).transpose(0, 2, 1).reshape(n, -1).copy()


def sequence_target(x):
    window = x.reshape(len(x), 4, 6)
    return window[:, -2, 0] + np.tanh(window[:, -3, 1])


def sequence_drift(x):
    window = x.reshape(len(x), 4, 6).copy()
    window[:, :, 1] *= 3
    window[:, :, 4] += 4
    window[:, :, 5] = 0
    return window.reshape(len(x), -1)


PROBLEMS = {
    "P11 out of grid": (out_of_grid, out_of_grid_target, out_of_grid_drift),
    "P12 drift menu": (drift_menu, drift_menu_target, drift_menu_drift),
    "T06 sequence": (sequence, sequence_target, sequence_drift),
}


def train(x, y, outside, seed):
    source = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        KANLayer(x.shape[1], HIDDEN, outside=outside, generator=source),
        KANLayer(HIDDEN, 1, outside=outside, generator=source),
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(STEPS):
        if step in {STEPS // 10, STEPS // 2}:
            model[1].update()  # the hidden range has grown since the first batch
        optimiser.zero_grad()
        (model(x)[:, 0] - y).square().mean().backward()
        optimiser.step()
    return model.eval()


def as_tensor(array):
    return torch.tensor(array, dtype=torch.float32)


def errors(problem, outside, seed):
    """Relative error in range, mildly out of range and under drift."""
    law, target, drift = problem
    rng = np.random.default_rng(seed)
    x = law(rng, 2000)
    y = target(x)
    noisy = y + rng.normal(size=y.shape) * y.std() / 20**0.5
    scale = y.std()
    model = train(as_tensor(x), as_tensor((noisy - y.mean()) / scale), outside, seed)
    held = law(rng, 4000)
    centre = x.mean(0)
    found = []
    for sample in (held, centre + SPREAD * (held - centre), drift(held)):
        with torch.no_grad():
            predicted = model(as_tensor(sample))[:, 0].numpy() * scale + y.mean()
        found.append(float(np.sqrt(np.mean((predicted - target(sample)) ** 2)) / scale))
    return found


@pytest.mark.parametrize("name", PROBLEMS)
def test_error_outside_the_domain(name):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    print(f"\n{name}: median over {len(SEEDS)} seeds, in range / mildly wider / drifted")
    for outside in OUTSIDE:
        runs = [errors(PROBLEMS[name], outside, seed) for seed in SEEDS]
        medians = [statistics.median(column) for column in zip(*runs, strict=True)]
        worst = max(run[-1] for run in runs)
        print(f"  {outside:7s}" + " / ".join(f"{m:6.3f}" for m in medians) + f"   (worst drifted seed {worst:.3f})")
        assert all(np.isfinite(medians))
    torch.set_num_threads(before)
