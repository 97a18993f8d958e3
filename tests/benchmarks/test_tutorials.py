"""pykan's tutorials on our face: the numbers that it prints, and ours beside them.

    python -m pytest tests/benchmarks/test_tutorials.py -q -s -p no:xdist

Calls and seeds are the tutorials'; where they train by L-BFGS, ours do, and once more by Levenberg-Marquardt. RMSE of
training and test rows.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons

import kaninterp as ki
from kaninterp.compat import KAN, create_dataset

pytestmark = pytest.mark.usefixtures("one_thread")
LOG = {"log": 0}


def wave(x):
    return torch.exp(torch.sin(torch.pi * x[:, [0]]) + x[:, [1]] ** 2)


def last(losses):
    return f"{losses['train_loss'][-1]:.3g} / {losses['test_loss'][-1]:.3g}"


@pytest.mark.parametrize("opt", ["LBFGS", "LM"])
def test_pruning_tutorial(opt):
    data = create_dataset(wave, n_var=2)
    model = KAN(width=[2, 5, 1], grid=5, k=3, seed=0)
    losses = model.train(data, opt=opt, steps=20, lamb=0.01, lamb_entropy=10.0, **LOG)
    widths = model.prune().width, model.prune(threshold=1e-4).width
    print(f"\nAPI_7, {opt}: {last(losses)}, prune() {widths[0]}, 1e-4 {widths[1]}", end="")
    print("; printed .154 / .130, 1 hidden node, 4")


@pytest.mark.parametrize("opt", ["LBFGS", "LM"])
def test_hellokan(opt):
    """In float64, as the tutorial has it."""
    data = create_dataset(wave, n_var=2)
    inputs = {name: data[name].double() for name in ("train_input", "test_input")}
    data = inputs | {name.replace("input", "label"): wave(x) for name, x in inputs.items()}
    model = KAN(width=[2, 5, 1], grid=3, k=3, seed=42).double()
    story = [last(model.fit(data, opt=opt, steps=50, lamb=1e-3, **LOG))]
    model = model.prune()
    story.append(f"{model.width} {last(model.fit(data, opt=opt, steps=50, **LOG))}")
    model = model.refine(10)
    story.append(last(model.fit(data, opt=opt, steps=50, **LOG)))
    x, y = (torch.cat([data[f"train_{what}"], data[f"test_{what}"]]) for what in ("input", "label"))
    found = ki.formula(model.head, (x, y), progress=False)
    print(f"\nhellokan, {opt}: {'; '.join(story)}; formula {found.formula_loss**0.5:.2g}: {found.formula.text()}")
    print("printed .0185 / .0177; [2,1,1] .0179; 4.67e-4 / 4.73e-4; 3.3e-10 exp(x_2**2 + sin(3.1416*x_1))")


@pytest.mark.parametrize("opt", ["LBFGS", "LM"])
def test_scores(opt):
    data = create_dataset(lambda x: x[:, [0]] ** 2 + 0.3 * x[:, [1]] + 0.1 * x[:, [2]] ** 3, n_var=4)
    found = []
    for seed in range(5):
        model = KAN([4, 5, 1], grid=3, k=3, seed=seed)
        model.fit(data, opt=opt, steps=40, lamb=1e-3, **LOG)
        found.append(model.feature_score.numpy())
    middle = np.median(found, 0).round(4)
    print(
        f"\nInterp_4, {opt}, medians of 5 seeds: {middle}; theory .8595 .4993 .1090 0; printed .8916 .5155 .1079 .0040"
    )


def test_a_hundred_inputs():
    data = create_dataset(lambda x: sum(x[:, [i]] ** 2 * 0.5**i for i in range(100)), n_var=100)
    model = KAN([100, 10, 10, 1], grid=3, k=3, seed=2)
    losses = model.fit(data, opt="LBFGS", steps=50, lamb=1e-3, **LOG)
    kept = model.prune_input(3e-2).input_id.tolist()
    print(f"\nInterp_4, 100 inputs: {last(losses)}, keeps {kept}; printed .0320 / .0546, 0-4 and 64")


def test_two_moons():
    points, classes = make_moons(2000, noise=0.1, random_state=0)
    x, y = torch.tensor(points, dtype=torch.float32), torch.tensor(classes)
    head = ki.KANHead(2, 2, grid=3, generator=torch.Generator().manual_seed(0))
    ki.fit(head, (x[:1600], y[:1600]), optimizer="lbfgs", epochs=4, validation=None, seed=0, progress=False)
    found = ki.formula(head, (x, y), progress=False)
    with torch.no_grad():
        model = float((head.eval()(x[1600:]).argmax(1) == y[1600:]).float().mean())
    written = float((found.formula(points[1600:]).argmax(1) == classes[1600:]).mean())
    print(f"\nExample_4: accuracy {model:.4f}, of the formula {written:.4f}; printed 1.0, .887 / .881")


EQUATIONS = {
    "Example_5": (
        lambda x: torch.exp(torch.special.bessel_j0(20 * x[:, [0]]) + x[:, [1]] ** 2),
        (-1, 1),
        20,
        "finds '0'",
    ),
    "Example_9": (lambda x: torch.sin(2 * (torch.log(x[:, [0]]) + torch.log(x[:, [1]]))), (0.2, 5), 10, "2.7e-7"),
    "Example_10": (lambda x: (x[:, [0]] + x[:, [1]]) / (1 + x[:, [0]] * x[:, [1]]), (-0.9, 0.9), 10, "2e-6"),
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_equations(name):
    function, ranges, grid, printed = EQUATIONS[name]
    data = create_dataset(function, n_var=2, ranges=list(ranges))
    x, y = (torch.cat([data[f"train_{what}"], data[f"test_{what}"]]) for what in ("input", "label"))
    found = []
    for seed in range(5):
        model = KAN([2, 1, 1], grid=grid, k=3, seed=seed)
        model.fit(data, opt="LM", steps=60, **LOG)
        found.append(ki.formula(model.head, (x, y), progress=False))
    errors = [each.formula_loss**0.5 if each.whole else np.inf for each in found]
    best = found[int(np.argmin(errors))]
    exact = sum(error < 1e-5 for error in errors)
    print(f"\n{name}: exact in {exact} of 5 starts, best {min(errors):.2g}: {best.formula.text()}; printed {printed}")


def test_each_output_has_its_inputs():
    data = create_dataset(lambda x: torch.stack([x[:, 2 * k] + x[:, 2 * k + 1] for k in range(5)], 1), n_var=10)
    model = KAN([10, 10, 5], grid=3, k=3, seed=1)
    losses = model.fit(data, opt="LBFGS", steps=50, lamb=1e-2, **LOG)
    scores = [np.asarray(model.attribute(2, k, plot=False)) for k in range(5)]
    right = sum(set(np.argsort(each)[-2:]) == {2 * k, 2 * k + 1} for k, each in enumerate(scores))
    print(f"\nInterp_10B: {last(losses)}; the two inputs of an output lead in {right} of 5; printed .083 / .077")
