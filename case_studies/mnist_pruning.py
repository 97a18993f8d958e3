"""Prune a KAN and a CNN + KANHead on MNIST by every rule: accuracy kept, and what it saves.

The figure has a row per network and a column per question: edges removed at once; whole inputs (pixels of the KAN,
units of the CNN) removed at once; edges removed with training in between. Random choice is the control in each. The
networks learn from 20 000 of the 60 000 training images, for minutes instead of hours; the rules measure on the last
5 000, which no network learns from; the test images choose nothing, they only give the numbers.

Data: MNIST (LeCun, Cortes; CC BY-SA 3.0), from ``$KANINTERP_DATA/mnist`` or downloaded once, with checksums. Writes
``reports/mnist_pruning.png``.
"""

from __future__ import annotations

import gzip
import os
import time
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pooch
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import kaninterp as ki
from kaninterp.analysis import Fraction, ScoreRule
from kaninterp.core.errors import PlanError
from kaninterp.measure.probe import probe
from kaninterp.pruning import measure_efficiencies
from kaninterp.pruning.schedules import adaptive, dynamic, iterative, one_shot

ROWS, HELD, EPOCHS, SEED = 20_000, 5_000, 24, 0
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98)
RANDOM = 3  # draws of the control
EDGES = ("l1", "l2", "coefficients", "strength", "share", "kan2", "path", "taylor", "fisher", "ablation")
INPUTS = ("l2", "strength", "kan2", "taylor", "ablation", "shapley")
BY_LOSS = ("taylor", "fisher", "ablation", "shapley")
OUT = Path(__file__).resolve().parent.parent / "reports" / "mnist_pruning.png"

Rows = tuple[Tensor, Tensor]
Shares = tuple[float, ...]


class Digits(NamedTuple):
    """Images as rows of pixels from 0 to 1 with their labels, and which pixels never change in the training images."""

    train: Rows
    held: Rows
    test: Rows
    constant: np.ndarray


SOURCE = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
"""Names and SHA-256 of the files as they were published."""


def folder() -> Path:
    """Where the idx files lie; without ``KANINTERP_DATA`` in the user's cache, downloaded if they are not there yet."""
    given = os.environ.get("KANINTERP_DATA")
    if given:
        return Path(given) / "mnist"
    cache = pooch.create(path=pooch.os_cache("kaninterp") / "mnist", base_url=SOURCE, registry=FILES)
    try:
        for name in FILES:
            cache.fetch(name)
    except (OSError, ValueError) as error:  # no network; a file that is not the one that was published
        raise SystemExit(
            f"MNIST could not be downloaded from {SOURCE}: {error}\nPut {', '.join(FILES)} into a folder mnist/, "
            "and set KANINTERP_DATA to the folder that holds it."
        ) from error
    return Path(cache.path)


def read(pattern: str) -> np.ndarray:
    """One array from idx files, parts joined in the order of their names."""
    place = folder()
    parts = []
    for file in sorted(place.glob(pattern)):
        raw = gzip.decompress(file.read_bytes())
        shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
        parts.append(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape.tolist()))
    if not parts:
        raise SystemExit(f"No {pattern} in {place}; it should hold {', '.join(FILES)}, from {SOURCE}.")
    return np.concatenate(parts)


def digits() -> Digits:
    """MNIST: the first rows to learn from, the last of the training images held out, the test images."""
    images = [read(f"{part}-images*.gz").reshape(-1, 784) for part in ("train", "t10k")]
    x, x_test = (torch.tensor(pixels, dtype=torch.float32) / 255 for pixels in images)
    y, y_test = (torch.tensor(read(f"{part}-labels*.gz"), dtype=torch.long) for part in ("train", "t10k"))
    constant = (images[0] == images[0][0]).all(0)
    return Digits((x[:ROWS], y[:ROWS]), (x[-HELD:], y[-HELD:]), (x_test, y_test), constant)


class ConvKAN(nn.Module):
    """A small CNN with a KANHead on top."""

    def __init__(self, side: int, nodes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Unflatten(1, (1, side, side)),
            *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.Tanh(), nn.Flatten()),
        )
        self.head = ki.KANHead(16 * (side // 4) ** 2, 10, (nodes,), domain=(-1, 1), grid=3, order=2)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the ten digits."""
        out: Tensor = self.head(self.features(x))
        return out


def models(side: int = 28, nodes: int = 32) -> dict[str, nn.Module]:
    """The two networks, untrained."""
    torch.manual_seed(SEED)  # a script may seed; the library never does
    kan = ki.KANHead(side * side, 10, (nodes,), domain=(0, 1), grid=3, order=2)
    return {"KAN": kan, "CNN + KANHead": ConvKAN(side, nodes // 2)}


def accuracy(model: nn.Module, rows: Rows) -> float:
    """Share of right answers."""
    with torch.no_grad():
        return float((model.eval()(rows[0]).argmax(1) == rows[1]).float().mean())


def edges(model: nn.Module) -> int:
    """Edges of the KAN inside that are alive."""
    return sum(int(m.mask.sum()) for m in model.modules() if isinstance(m, ki.KANLayer))


class Point(NamedTuple):
    """One pruned model: how it came about, what is left of it, and what it still knows."""

    network: str
    panel: str
    rule: str
    level: float
    removed: float  # share of the edges, those included that closure takes along
    accuracy: float
    constant_pixels: int = -1  # how many of those that never change are still read; -1: a CNN reads all pixels
    seed: int = 0


class Bench(NamedTuple):
    """A trained network with the data; every pruned copy becomes a `Point`."""

    network: str
    model: nn.Module
    data: Digits

    @property
    def whole(self) -> str:
        """What a structured rule removes: pixels of a KAN that reads them itself, else units of the CNN and nodes."""
        return "input" if isinstance(self.model, ki.KANHead) else "node"

    def point(self, pruned: nn.Module, panel: str, rule: str, level: float, seed: int = 0) -> Point:
        """Look at a pruned copy."""
        pixels = list(pruned.node_ids[0]) if isinstance(pruned, ki.KANHead) and pruned.node_ids else None
        dead = -1 if pixels is None else int(self.data.constant[pixels].sum())
        removed = 1 - edges(pruned) / edges(self.model)
        return Point(self.network, panel, rule, level, removed, accuracy(pruned, self.data.test), dead, seed)


def one_shot_curves(bench: Bench, levels: Shares = LEVELS, rows: int = 500) -> list[Point]:
    """Every rule at every level without retraining; one trace and one probe serve all of them."""
    trace = ki.trace(bench.model, bench.data.held, progress=False)
    prices = probe(bench.model, bench.data.held, kinds=BY_LOSS, rows=rows, permutations=4, progress=False)
    whole = bench.whole
    runs = [("edges", "edge", name, 0) for name in EDGES] + [("structure", whole, name, 0) for name in INPUTS]
    runs += [(*where, "random", seed) for where in (("edges", "edge"), ("structure", whole)) for seed in range(RANDOM)]
    points = []
    for (panel, level, name, seed), share in product(runs, levels):
        rule = ScoreRule(name, level, amount=Fraction(share), seed=seed)
        with suppress(PlanError):  # no path from an input to an output is left: no point
            pruned, _ = ki.prune(bench.model, rule(trace, probe=prices))
            points.append(bench.point(pruned, panel, name, share, seed))
    return points


def schedule_curves(bench: Bench, epochs: int = 2, rounds: int = 5, shares: Shares = (0.9, 0.95, 0.98)) -> list[Point]:
    """Cut and train: schedules with the KAN 2.0 score, and two of them with random cuts."""
    options: dict[str, Any] = {"held_out": bench.data.held, "efficiency": False, "progress": False, "seed": SEED}
    options["fit_options"] = {"batch_size": 256, "domain_updates": 0.0}
    given = bench.model, bench.data.train
    runs = {}
    for name in ("kan2", "random"):
        for share in shares[::2]:
            rule = ScoreRule(name, amount=Fraction(share))
            runs[f"one shot, {name}", share] = one_shot(*given, rule, epochs=2 * epochs, **options)
        step = ScoreRule(name, amount=Fraction(0.55))
        runs[f"iterative, {name}", 0.55] = iterative(*given, step, rounds=rounds, epochs=epochs, **options)
    step, most = ScoreRule("kan2", amount=Fraction(0.55)), ScoreRule("kan2", amount=Fraction(shares[1]))
    runs["rewound, kan2", 0.55] = iterative(*given, step, rounds=rounds, epochs=epochs, rewind=True, **options)
    runs["adaptive, kan2", 0.55] = adaptive(*given, step, epochs=epochs, rounds=rounds, **options)
    runs["dynamic, kan2", shares[1]] = dynamic(*given, most, rounds=2, epochs=epochs, fine_tune=2 * epochs, **options)
    points = []
    for (name, share), run in runs.items():
        models = [step.model for step in run.steps if step.label.startswith("fine-tuned")]
        shown = models if name.startswith(("iterative", "rewound")) else models[-1:]
        points += [bench.point(model, "schedules", name, share) for model in shown]
    return points


def savings(bench: Bench, some: Shares = (0.9, 0.98), whole: Shares = (0.5, 0.8)) -> pd.DataFrame:
    """What compact models cost against the full one, timed in turns, 512 images a call."""
    trace = ki.trace(bench.model, bench.data.held, progress=False)
    small = {"nothing removed": bench.model}
    for level, share in [("edge", share) for share in some] + [(bench.whole, share) for share in whole]:
        rule = ScoreRule("kan2", level, amount=Fraction(share))
        small[str(rule)] = ki.prune(bench.model, rule(trace))[0]
    costs = measure_efficiencies(list(small.values()), bench.data.test[0], batch=512)
    names = ["parameters", "multiply_adds", "bytes_on_disk", "latency_ms", "latency_best_ms"]
    table = pd.DataFrame([[getattr(cost, name) for name in names] for cost in costs], pd.Index(list(small)), names)
    result: pd.DataFrame = table.assign(accuracy=[accuracy(model, bench.data.test) for model in small.values()])
    return result


LOOK = {
    "random": ("#6b6b6b", "-"), "l1": ("#d98c00", ":"), "l2": ("#d98c00", "-"), "coefficients": ("#d98c00", "--"),
    "strength": ("#009e73", "-"), "share": ("#009e73", "--"), "kan2": ("#0072b2", "-"), "path": ("#0072b2", "--"),
    "taylor": ("#b5478a", "-"), "fisher": ("#b5478a", "--"), "ablation": ("#b5478a", ":"), "shapley": ("#d55e00", "-"),
}  # fmt: skip
WAYS = {"one shot": "^:", "iterative": "o-", "rewound": "s--", "adaptive": "*", "dynamic": "D"}
TITLES = {"edges": "edges, at once", "structure": "pixels or units, at once", "schedules": "edges, with training"}


def curve(axes: Any, rule: str, rows: pd.DataFrame) -> None:
    """One rule; the control as the mean and the range of its draws."""
    way, _, score = rule.rpartition(", ")
    color, style = LOOK[score]
    if rule == "random":
        groups = rows.groupby("level")
        left, spread = 1 - groups.removed.mean(), groups.accuracy
        axes.fill_between(left, spread.min(), spread.max(), color=color, alpha=0.2, lw=0)
        axes.plot(left, spread.mean(), color=color, lw=3, label=f"random ({rows.seed.nunique()} draws)")
        return
    axes.plot(1 - rows.removed, rows.accuracy, WAYS[way] if way else "." + style, color=color, lw=1.5, label=rule,
              ms={"adaptive": 13, "": 6}.get(way, 5.5), zorder=3)  # fmt: skip


def draw(points: pd.DataFrame, full: dict[str, float], out: Path) -> None:
    """Accuracy against sparsity: a row per network, a column per question."""
    figure = Figure(figsize=(16, 10), layout="constrained")
    grid = figure.subplots(len(full), len(TITLES), squeeze=False)
    for line, (network, best) in zip(grid, full.items(), strict=True):
        for axes, (panel, title) in zip(line, TITLES.items(), strict=True):
            part = points[(points.network == network) & (points.panel == panel)]
            axes.axhline(best, color="black", lw=0.8, label="nothing removed")
            for rule, rows in part.groupby("rule", sort=False):
                curve(axes, str(rule), rows)
            # a log axis of what is left, so that 90, 95 and 98 % do not fall on one spot
            axes.set(xscale="log", xlim=(0.6, 0.012), ylim=(0, 1.02), xlabel="edges removed", ylabel="test accuracy")
            axes.set_xticks([1 - share for share in LEVELS], [f"{share:.0%}" for share in LEVELS])
            axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
            axes.set_title(f"{network}: {title}", loc="left", fontsize=11)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[-1]:
        axes.legend(
            fontsize=9, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, columnspacing=1
        )
    figure.suptitle("MNIST: what each way of pruning leaves of the accuracy; grey is random choice, the control")
    figure.savefig(out, dpi=110)


def main() -> None:
    """Train both networks, prune them in every way, print the tables and draw the figure."""
    start, data, full = time.time(), digits(), {}
    found: list[Point] = []
    for network, model in models().items():
        ki.fit(model, data.train, validation=data.held, epochs=EPOCHS, batch_size=256, seed=SEED, domain_updates=0.0)
        bench, full[network] = Bench(network, model, data), accuracy(model, data.test)
        print(f"\n{network}: test accuracy {full[network]:.4f}\n{savings(bench).round(3).to_string()}", flush=True)
        found += one_shot_curves(bench) + schedule_curves(bench)
    points = pd.DataFrame(found)
    draw(points, full, OUT)
    for (network, panel), part in points.groupby(["network", "panel"], sort=False):
        print(f"\n{network}: {TITLES[str(panel)]}")
        if panel == "schedules":
            print(part[["rule", "removed", "accuracy"]].round(3).to_string(index=False))
        else:  # the share that was asked for; more edges may go, for what leads nowhere goes along
            print(part.pivot_table(index="rule", columns="level", values="accuracy").round(3).to_string())
    kept = points[(points.constant_pixels >= 0) & (points.panel == "edges")].pivot_table(
        index="rule", columns="level", values="constant_pixels"
    )
    print(f"\nOf {data.constant.sum()} pixels that never change in training, this many survive a cut of edges at once")
    print(kept.round(1).to_string())
    print(f"\n{OUT}, {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
