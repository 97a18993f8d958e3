"""pykan's tutorials with only the import changed."""

from __future__ import annotations

import time

import numpy as np
import pytest
import sympy
import torch
from matplotlib.figure import Figure

from kaninterp.compat import KAN, create_dataset

LIB = ["x", "x^2", "x^3", "x^4", "exp", "log", "sqrt", "tanh", "sin", "abs"]


def wave(x):
    return torch.exp(torch.sin(torch.pi * x[:, [0]]) + x[:, [1]] ** 2)


@pytest.fixture(scope="module")
def dataset():
    return create_dataset(wave, n_var=2)


@pytest.fixture(scope="module")
def story(dataset):
    """The seed tutorial (API_7 of 0.0.x), line by line."""
    model = KAN(width=[2, 5, 1], grid=5, k=3, seed=0)
    model(dataset["train_input"][:20])
    first = model.plot(beta=100, sample=True)
    losses = model.train(dataset, opt="LBFGS", steps=20, lamb=0.01, lamb_entropy=10.0)
    return model, first, losses


def test_training_is_at_least_as_good_as_printed(story):
    _, first, losses = story
    assert isinstance(first, Figure)
    assert {name: len(values) for name, values in losses.items()} == {"train_loss": 20, "test_loss": 20, "reg": 20}
    assert losses["train_loss"][-1] <= 0.154
    assert losses["test_loss"][-1] <= 0.130


def test_losses_are_root_mean_squares_of_the_model_it_leaves(story, dataset):
    model, _, losses = story
    for part in ("train", "test"):
        error = model(dataset[f"{part}_input"]) - dataset[f"{part}_label"]
        assert losses[f"{part}_loss"][-1] == pytest.approx(float(error.detach().square().mean().sqrt()), rel=1e-5)


def test_pruning_keeps_the_node_that_the_tutorial_finds(story, dataset):
    model, *_ = story
    x = dataset["test_input"]
    best = int(model.node_scores[1].argmax())
    for small in (model.prune(), model.prune(threshold=1e-2), model.prune(threshold=1e-4)):
        assert small.width == [2, 1, 1]  # the tutorial keeps four at 1e-4
        assert small.head.node_ids[1] == (best,)
        assert float((small(x) - model(x)).detach().square().mean().sqrt()) < 0.01
    assert model.width == [2, 5, 1]


def test_plots_hide_what_the_last_prune_left_out(story):
    model = story[0].copy()
    small = model.prune()
    model.plot(mask=False)
    assert _curves(model.plot(beta=1e3, mask=False)) > _curves(model.plot(beta=1e3, mask=True)) == small.width[0] + 1


def test_manual_pruning_in_both_spellings(story, dataset):
    model, *_ = story
    old = model.prune(mode="manual", active_neurons_id=[[0, 1], [2], [0]])
    new = model.prune_node(mode="manual", active_neurons_id=[[2]])
    assert old.head.node_ids == new.head.node_ids == ((0, 1), (2,), (0,))
    x = dataset["test_input"]
    torch.testing.assert_close(old(x), new(x))


def test_removing_by_hand(story):
    model = story[0].copy()
    model.remove_node(1, 0)
    model.remove_edge(0, 0, 1)
    masks = [layer.mask for layer in model.head.layers]
    assert not masks[0][0].any()
    assert not masks[1][0, 0]
    assert not masks[0][1, 0]
    assert masks[0][1, 1]
    assert masks[1][0, 1]


def test_formula_to_the_end(story, dataset):
    model = story[0].prune()
    model.train(dataset, opt="LBFGS", steps=50)
    model.auto_symbolic(lib=LIB)
    assert model.symbolic_formula()[0][0].atoms(sympy.sin, sympy.exp)
    r2 = [model.fix_symbolic(0, 0, 0, "sin"), model.fix_symbolic(0, 1, 0, "x^2"), model.fix_symbolic(1, 0, 0, "exp")]
    assert min(r2) > 0.9999
    losses = model.train(dataset, opt="LBFGS", steps=50)
    assert losses["test_loss"][-1] < 1e-4
    [expression], variables = model.symbolic_formula()
    assert [str(each) for each in variables] == ["x_1", "x_2"]
    assert expression == model.symbolic_formula()[0][0]
    x = dataset["test_input"][:100].double().numpy()
    values = sympy.lambdify(variables, expression, "numpy")(*x.T)
    np.testing.assert_allclose(values, wave(torch.from_numpy(x))[:, 0].numpy(), atol=1e-3)


def test_hellokan(dataset):
    """hellokan of 0.2.x: prune, refine, snap, to the precision it prints and beyond."""
    model = KAN(width=[2, 5, 1], grid=3, k=3, seed=42)
    losses = model.fit(dataset, opt="LBFGS", steps=50, lamb=0.001)
    assert losses["train_loss"][-1] <= 0.0185
    assert losses["test_loss"][-1] <= 0.0177
    model = model.prune()
    assert model.width == [2, 1, 1]
    assert model.fit(dataset, opt="LBFGS", steps=20)["test_loss"][-1] <= 0.0179
    model = model.refine(10)
    losses = model.fit(dataset, opt="LBFGS", steps=50)
    assert losses["train_loss"][-1] <= 4.67e-4
    assert losses["test_loss"][-1] <= 4.73e-4
    assert min(model.fix_symbolic(0, 0, 0, "sin"), model.fix_symbolic(0, 1, 0, "x^2")) > 0.999999
    assert model.fix_symbolic(1, 0, 0, "exp") > 0.999999
    assert model.fit(dataset, opt="LM", steps=10)["test_loss"][-1] < 1e-6


def test_plot_is_fast(story):
    times = []
    for _ in range(5):
        began = time.process_time()
        story[0].plot()
        times.append(time.process_time() - began)
    assert min(times) < 0.1  # 15 edges


def _curves(figure: Figure) -> int:
    return len(figure.axes[0].collections[2].get_paths())
