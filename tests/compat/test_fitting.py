"""Domains before the first step of `fit`: they are where the training rows are, as after pykan's grid update."""

from __future__ import annotations

import pytest
import torch

from kaninterp.compat import KAN, create_dataset
from kaninterp.core.errors import InputError


def wide(x):
    return torch.sin(0.3 * x[:, [0]]) + (x[:, [1]] / 10) ** 2


@pytest.fixture(scope="module")
def dataset():
    return create_dataset(wide, ranges=[-10, 10])


def numbers(model):
    return {key: value.clone() for key, value in model.head.state_dict().items()}


@pytest.mark.parametrize(("opt", "most"), [("LBFGS", 0.05), ("LM", 0.15)])
def test_a_few_steps_are_enough_on_a_wide_range(dataset, opt, most):
    for seed in range(3):
        model = KAN([2, 5, 1], grid=5, seed=seed)
        losses = model.fit(dataset, opt=opt, steps=4, log=0)
        assert losses["test_loss"][-1] < most  # of a standard deviation of about 0.8
        assert float(model.head.kan_layers[0].domain[1].min()) > 9.5


def test_without_updates_domains_stay(dataset):
    for options in ({"update_grid": False}, {"stop_grid_update_step": 0}):
        model = KAN([2, 5, 1], grid=5, seed=0)
        model.fit(dataset, steps=2, log=0, **options)
        assert set(model.head.kan_layers[0].domain.flatten().tolist()) == {-1.0, 1.0}


def test_functions_stay_where_domains_move(dataset):
    model = KAN([2, 5, 1], grid=5, seed=0)
    x = dataset["train_input"]
    model.fit(dataset, steps=10, log=0)
    before = model(x).detach()
    nearer = {name: part[(x.abs().amax(1) < 3)] for name, part in dataset.items() if name.startswith("train")}
    seen = []

    def first_error():
        seen.append(model(nearer["train_input"]).detach())
        return 0.0

    model.fit(nearer, steps=1, opt="Adam", lr=1e-12, log=0, metrics=[first_error])
    assert float(model.head.kan_layers[0].domain[1].max()) < 3.5
    torch.testing.assert_close(seen[0], before[x.abs().amax(1) < 3], atol=0.02, rtol=0.0)


def test_rows_that_fit_change_nothing_before_the_first_step():
    """A model in [-1, 1] on rows there: the same numbers with and without updates until one is due."""
    data = create_dataset(lambda x: torch.sin(2 * x[:, [0]]) + x[:, [1]], n_var=2)
    losses = [
        KAN([2, 3, 1], seed=0).fit(data, steps=3, log=0, update_grid=update_grid) for update_grid in (True, False)
    ]
    assert losses[0] == losses[1]


def test_an_error_before_the_first_step_leaves_the_model_as_it_was(dataset):
    model = KAN([2, 5, 1], grid=5, seed=0)
    before = numbers(model)

    def interrupted(output, target):
        raise KeyboardInterrupt

    for options, error in (({"loss_fn": interrupted}, KeyboardInterrupt), ({"lr": -1.0}, InputError)):
        with pytest.raises(error):
            model.fit(dataset, steps=2, log=0, **options)
        after = numbers(model)
        assert all(torch.equal(value, after[key]) for key, value in before.items())
        assert model._rows is None
