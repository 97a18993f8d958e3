"""Domains while inputs drift during training: left alone, refitted every ten steps, moved by `moving_domain`.

Prints held-out error in the last regime (in standard deviations of the target), the largest relative jump of the
training loss at a move and the number of runs that went NaN. Run with::

    python -m pytest tests/benchmarks/test_moving_domain.py -q -s

The periodic way is `KANHead.update` on the batch at hand: refits follow the range of the batch, every 10 steps of the
first half of training, in the manner of pykan's ``update_grid`` (not pykan's code). What a training step costs with
and without the option is printed too.
"""

from __future__ import annotations

import statistics
import sys
import time

import pytest
import torch
from torch.nn import functional as F

from kaninterp.nn.head import KANHead

STEPS, ROWS, EVERY = 1500, 128, 10
WAYS = ("none", "periodic", "moving")


def _target(x):
    return torch.sin(1.5 * x[:, :1]) + 0.2 * x[:, 1:2].square() + x[:, 2:3].abs()


def _inputs(kind, t, rows, generator):
    x = torch.randn(rows, 4, generator=generator)
    return {"mean": x + 4 * t, "scale": x * (1 + 3 * t), "still": x, "far values": _spoilt(x, generator)}[kind]


def _spoilt(x, generator):
    far = torch.rand(x.shape, generator=generator) < 1e-3
    return torch.where(far, 30 * x, x)


PROBLEMS = {
    "mean moves": ("mean", ()),
    "scale grows": ("scale", ()),
    "far values": ("far values", ()),
    "mean moves, deep": ("mean", (5,)),
    "inputs stay, deep": ("still", (5,)),
}


def _jump(before, after):
    return float(abs(after - before) / before)


def train(kind, hidden, way, seed):
    """Return held-out error, largest jump and moves of one run."""
    generator = torch.Generator().manual_seed(seed)
    head = KANHead(4, 1, hidden, generator=generator, moving_domain=way == "moving")
    optimiser = torch.optim.Adam(head.parameters(), 0.01)
    jump = 0.0
    for step in range(STEPS):
        x = _inputs(kind, min(step / (0.8 * STEPS), 1.0), ROWS, generator)
        y = _target(x) + 0.1 * torch.randn(ROWS, 1, generator=generator)
        if step:
            with torch.no_grad():
                before = F.mse_loss(head.eval()(x), y)
                if way == "periodic" and step % EVERY == 0 and step < STEPS / 2:
                    jump = max(jump, _jump(before, F.mse_loss(head.update(x)(x), y)))
        loss = F.mse_loss(head.train()(x), y)
        if step and way == "moving":
            jump = max(jump, _jump(before, loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x = _inputs("still" if kind == "far values" else kind, 1.0, 4000, generator)
    with torch.no_grad():
        error = float((head.eval()(x) - _target(x)).square().mean().sqrt() / _target(x).std())
    return error, jump, sum(layer._mover.moves for layer in head.kan_layers) if way == "moving" else 0


@pytest.mark.parametrize("name", PROBLEMS)
def test_drifting_inputs(name):
    compare(name, range(5))


def compare(name, seeds):
    for way in WAYS:
        runs = [train(*PROBLEMS[name], way, seed) for seed in seeds]
        nans = sum(error != error for error, *_ in runs)
        median, worst = statistics.median(r[0] for r in runs), max(r[0] for r in runs)
        print(
            f"{name:18} {way:9} error {median:.3f} (worst {worst:.3f})  largest jump {max(r[1] for r in runs):.1e}  "
            f"NaN {nans}  moves {statistics.median(r[2] for r in runs):.0f}",
            flush=True,
        )


def _alone(moving):
    return KANHead(64, 1, (8,), moving_domain=moving, generator=torch.Generator().manual_seed(0))


def _hybrid(moving):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lstm = torch.nn.LSTM(8, 32, batch_first=True)
    head = KANHead(32, 1, (8,), moving_domain=moving, generator=torch.Generator().manual_seed(0))
    return torch.nn.ModuleDict({"lstm": lstm, "head": head})


def _output(model, x):
    return model["head"](model["lstm"](x)[0][:, -1]) if isinstance(model, torch.nn.ModuleDict) else model(x)


COSTS = {"head (64, 8, 1)": (_alone, (64,)), "LSTM 32, 24 steps, head (32, 8, 1)": (_hybrid, (24, 8))}


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("rows", [64, 1024])
def test_cost_of_a_step(name, rows):
    """Interleaved, mean of 600 steps: inputs that stay and inputs that move all the time."""
    make, shape = COSTS[name]
    for speed in (0.0, 0.002):
        generator, times = torch.Generator().manual_seed(1), {False: [], True: []}
        models = {moving: make(moving) for moving in times}
        optimisers = {moving: torch.optim.Adam(model.parameters(), 1e-3) for moving, model in models.items()}
        for step in range(600):
            x = torch.randn(rows, *shape, generator=generator) + speed * step
            y = torch.sin(x.flatten(1)[:, :1])
            for moving, model in models.items():
                start = time.perf_counter()
                optimisers[moving].zero_grad()
                F.mse_loss(_output(model, x), y).backward()
                optimisers[moving].step()
                times[moving].append(time.perf_counter() - start)
        cost = statistics.mean(times[True]) / statistics.mean(times[False])
        print(f"{name}, {rows} rows, drift {speed} per step: a step takes {cost:.2f} times as long", flush=True)


if __name__ == "__main__":  # tuning: seeds 100 and above
    for problem in sys.argv[1:] or PROBLEMS:
        compare(problem, range(100, 102))
