"""Levenberg-Marquardt on small KANs against pykan's L-BFGS, on laws of its tutorials: seconds, and loss reached.

`python -m pytest tests/benchmarks/test_small_training.py -q -s` prints the tables; about five minutes. Both are trained
on the same 1000 rows, one after the other in every round, on one thread; the test error is of 1000 other rows.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import kaninterp as ki
from kaninterp.nn import KANHead
from kaninterp.training import Sparsity

SEEDS = range(5)
ROWS = 1000
GRID = 5
STEPS = 50
FIRST_STEPS = 20


@dataclass(frozen=True)
class Law:
    """A law of the tutorials, the widths it is learnt with, and where its inputs are."""

    widths: tuple[int, ...]
    lo: float
    hi: float
    of: Callable[[Tensor], Tensor]


def _deep(x: Tensor) -> Tensor:
    waves = torch.sin(torch.pi * x.square().unflatten(1, (2, 2)).sum(2)).sum(1, keepdim=True)
    return (waves / 2).exp()


LAWS = {
    "exp(sin(pi x) + y^2)": Law((2, 5, 1), -1, 1, lambda x: (torch.sin(torch.pi * x[:, :1]) + x[:, 1:] ** 2).exp()),
    "x y": Law((2, 5, 1), -1, 1, lambda x: x[:, :1] * x[:, 1:]),
    "sin(2 (log x + log y))": Law((2, 5, 1), 0.2, 5, lambda x: torch.sin(2 * x.log().sum(1, keepdim=True))),
    "exp((sin(pi (x1^2 + x2^2)) + sin(pi (x3^2 + x4^2))) / 2)": Law((4, 5, 1), -1, 1, _deep),
}
GETTING_STARTED = "exp(sin(pi x) + y^2)"
PUSH = Sparsity(head=0.01, edge=1.0, entropy=10.0, inputs=0.0, warmup=0.0, ramp=0.0)


@dataclass(frozen=True)
class Trained:
    """One run: seconds, root mean squared errors, and when it was first at another's training error."""

    seconds: float
    train: float
    test: float
    at: Callable[[float], float | None] = lambda _: None


def drawn(law: Law, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(2 * ROWS, law.widths[0], generator=generator) * (law.hi - law.lo) + law.lo
    y = law.of(x)
    return {
        "train_input": x[:ROWS], "train_label": y[:ROWS], "test_input": x[ROWS:], "test_label": y[ROWS:],
    }  # fmt: skip


@torch.no_grad()
def error(model: torch.nn.Module, data: dict[str, Tensor], part: str) -> float:
    return float((model(data[f"{part}_input"]) - data[f"{part}_label"]).square().mean().sqrt())


def by_pykan(law: Law, data: dict[str, Tensor], seed: int, *, pushed: bool) -> Trained:
    from kan import KAN

    with torch.random.fork_rng(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stderr(io.StringIO()):
            model = KAN(width=list(law.widths), grid=GRID, k=3, seed=seed, auto_save=False)
            began = time.perf_counter()
            if pushed:
                model.fit(data, opt="LBFGS", steps=FIRST_STEPS, lamb=0.01, lamb_entropy=10.0)
            model.fit(data, opt="LBFGS", steps=STEPS)
            seconds = time.perf_counter() - began
        return Trained(seconds, error(model, data, "train"), error(model, data, "test"))


def by_us(law: Law, data: dict[str, Tensor], seed: int, *, pushed: bool) -> Trained:
    """The options that a law without noise asks for: no rows held back, straight on outside the domain."""
    generator = torch.Generator().manual_seed(seed)
    model = KANHead(law.widths[0], 1, law.widths[1:-1], grid=GRID, outside="linear", generator=generator)
    rows = data["train_input"], data["train_label"]
    options = {"optimizer": "lm", "validation": None, "seed": seed, "progress": False}
    began = time.perf_counter()
    if pushed:
        ki.fit(model, rows, epochs=FIRST_STEPS, sparsity=PUSH, **options)
    result = ki.fit(model, rows, epochs=STEPS, **options)
    seconds = time.perf_counter() - began
    clock = seconds - result.history["seconds"].sum() + result.history["seconds"].cumsum()

    def at(wanted: float) -> float | None:
        there = (result.history["train_loss"] <= wanted**2).to_numpy()
        return float(clock[there.argmax()]) if there.any() else None

    model.eval()
    return Trained(seconds, error(model, data, "train"), error(model, data, "test"), at)


def compared(law: Law, *, pushed: bool) -> list[tuple[Trained, Trained]]:
    rounds = []
    for seed in SEEDS:
        data = drawn(law, seed)
        jobs = [by_pykan, by_us] if seed % 2 else [by_us, by_pykan]
        found = {job: job(law, data, seed, pushed=pushed) for job in jobs}
        rounds.append((found[by_pykan], found[by_us]))
    return rounds


def told(name: str, rounds: list[tuple[Trained, Trained]]) -> None:
    middle = statistics.median
    print(f"\n{name}")
    for who, place in (("pykan", 0), ("ours", 1)):
        runs = [pair[place] for pair in rounds]
        print(
            f"  {who:6} {middle(r.seconds for r in runs):6.2f} s   train {middle(r.train for r in runs):.1e} "
            f"(worst {max(r.train for r in runs):.1e})   test {middle(r.test for r in runs):.1e} "
            f"(worst {max(r.test for r in runs):.1e})"
        )
    there = [(peer.seconds, own.at(peer.train)) for peer, own in rounds]
    reached = [peer / own for peer, own in there if own is not None]
    level = f"{middle(reached):.0f} times" if reached else "never"
    print(
        f"  all steps {middle(peer.seconds / own.seconds for peer, own in rounds):.0f} times faster; at pykan's final "
        f"training error {level} sooner, reached in {len(reached)} of {len(rounds)} runs; lower test error in "
        f"{sum(own.test < peer.test for peer, own in rounds)} of {len(rounds)}"
    )


@pytest.fixture(scope="module", autouse=True)
def one_thread_and_warm():
    pytest.importorskip("kan", reason="pykan is not installed", exc_type=ImportError)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    law = Law((2, 1), -1, 1, lambda x: x[:, :1])
    by_pykan(law, drawn(law, 0), 0, pushed=False)  # imports and allocators settle
    by_us(law, drawn(law, 0), 0, pushed=False)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", LAWS)
def test_fifty_steps(name):
    rounds = compared(LAWS[name], pushed=False)
    told(f"{name}, {list(LAWS[name].widths)}, {STEPS} steps", rounds)
    assert statistics.median(own.train for _, own in rounds) <= statistics.median(peer.train for peer, _ in rounds)


def test_getting_started():
    """Twenty steps with the penalty of either, then fifty without."""
    rounds = compared(LAWS[GETTING_STARTED], pushed=True)
    told(f"getting started: {FIRST_STEPS} steps with a penalty, then {STEPS}", rounds)
    assert statistics.median(own.train for _, own in rounds) <= statistics.median(peer.train for peer, _ in rounds)


def test_the_penalised_loss_of_both_our_optimisers():
    """The same penalty and as many epochs: what is left of loss plus penalty, and how many edges."""
    law = LAWS[GETTING_STARTED]
    found: dict[str, list[tuple[float, float, float]]] = {"lbfgs": [], "lm": []}
    for seed in SEEDS:
        data = drawn(law, seed)
        for optimizer, rows in found.items():
            model = KANHead(2, 1, (5,), grid=GRID, outside="linear", generator=torch.Generator().manual_seed(seed))
            began = time.perf_counter()
            result = ki.fit(
                model, (data["train_input"], data["train_label"]), optimizer=optimizer, epochs=FIRST_STEPS,
                sparsity=PUSH, validation=None, seed=seed, progress=False,
            )  # fmt: skip
            seconds = time.perf_counter() - began
            model.eval()
            penalty = float(PUSH.head * model.penalty(edge=PUSH.edge, entropy=PUSH.entropy).detach())
            rows.append((seconds, error(model, data, "train") ** 2 + penalty, result.history["edges"].iloc[-1]))
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    for name, (seconds, left, edges) in medians.items():
        print(
            f"\n{name:6} {FIRST_STEPS} epochs {seconds:.2f} s   loss plus penalty {left:.3f}   {edges:.1f} edges",
            end="",
        )
    assert medians["lm"][1] < medians["lbfgs"][1]
