"""`initialize_from_another_model`: the functions of the other model, on a grid of one's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kaninterp.compat import KAN, create_dataset
from kaninterp.core.errors import InputError, InputTypeError


@pytest.fixture(scope="module")
def dataset():
    return create_dataset(lambda x: torch.exp(x[:, [0]]) + x[:, [1]] ** 2, n_var=2, train_num=200, test_num=50)


@pytest.fixture(scope="module")
def fitted(dataset):
    model = KAN([2, 3, 1], grid=5, k=3, seed=0)
    model.fit(dataset, steps=5, log=0)
    return model


def error(model, other, x):
    y = other(x).detach()
    return float((model(x).detach() - y).abs().max() / y.std())


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.sampled_from([5, 10, 13]), st.sampled_from(["silu", "identity", "zero"]), st.booleans())
def test_a_models_own_frame_stays(order, grid, base, biases):
    other = KAN([2, 4, 1], grid=5, k=3, seed=3)
    x = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    other.update_grid_from_samples(x)  # beyond their domain functions of another base go on in another way
    before = {name: value.clone() for name, value in other.state_dict().items()}
    model = KAN([2, 4, 1], grid=grid, k=order, base_fun=base, bias_trainable=biases, seed=1)
    assert model.initialize_from_another_model(other, x) is model
    assert (model.grid, model.k, model.head.options["base"]) == (grid, order, base)
    assert all(layer.bias.requires_grad is biases and layer.weight.requires_grad for layer in model.head.layers)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    exact = order == 3 and grid != 13 and base == "silu"
    assert error(model, other, x) < (1e-5 if exact else 0.1 if order > 1 else 0.3)


def test_a_finer_grid_of_another_order_is_near(fitted, dataset):
    x = dataset["test_input"]
    near = [
        error(KAN([2, 3, 1], grid=grid, k=2).initialize_from_another_model(fitted), fitted, x) for grid in (5, 20, 80)
    ]
    assert near[0] > near[1] > near[2]
    assert near[2] < 1e-4
    # another base function becomes part of the splines
    assert error(KAN([2, 3, 1], grid=40, base_fun="zero").initialize_from_another_model(fitted), fitted, x) < 1e-3
    bare = KAN([2, 3, 1], grid=40, base_fun=nn.Identity()).initialize_from_another_model(fitted)
    assert not bare.head.layers[0].base_weight.any()


def test_silenced_edges_and_formulas_are_taken_over(fitted, dataset):
    other = fitted.copy()
    other.remove_edge(0, 1, 2)
    other.fix_symbolic(0, 0, 0, "exp")
    model = KAN([2, 3, 1], grid=10, k=2).initialize_from_another_model(other)
    assert torch.equal(model.head.layers[0].mask, other.head.layers[0].mask)
    assert error(model, other, dataset["test_input"]) < 0.01
    assert "exp" in str(model.symbolic_formula()[0][0])
    torch.testing.assert_close(model.feature_score, other.feature_score, rtol=0.05, atol=0.01)
    model.fit(dataset, steps=2, log=0)  # and it trains on
    assert (model.grid, model.k) == (10, 2)
    assert model.head.config == KAN.copy(model).head.config


def test_what_cannot_be_taken_over_is_refused(fitted):
    model = KAN([2, 3, 1], seed=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for wrong, why in ((KAN([2, 2, 1]), InputError), (fitted.head, InputTypeError)):
        with pytest.raises(why):
            model.initialize_from_another_model(wrong)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
