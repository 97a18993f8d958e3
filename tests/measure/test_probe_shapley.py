"""Shapley values by their axioms, and against the definition carried out over all subsets."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.measure import probe, probe_shapley
from kaninterp.measure.probe_shapley import drawn_orders, from_orders, from_subsets
from tests.measure.test_probe import mse, pruned_loss, random_head, uniform


@pytest.fixture
def always_drawn(monkeypatch):
    """Draw orders even where all subsets would be cheaper."""
    monkeypatch.setattr(probe_shapley, "MOST_SUBSETS", 0)


def data_for(head, rows=300):
    x = uniform(head.widths[0], rows=rows)
    return x, torch.sin(3 * x @ torch.ones(x.shape[1], head.out_features, dtype=torch.float64))


def removed_loss(head, found, depth, nodes, data):
    """Loss of the pruned model: all outgoing edges of these nodes cut."""
    edges = [(depth, dst, src) for src in nodes for dst in range(found.means[depth].shape[0])]
    return pruned_loss(head, "", found, edges, data, mse)


def by_definition(head, found, depth, data):
    """The mean over all orders, written as the weighted sum over subsets (Shapley 1953)."""
    count = found.widths[depth]
    value = np.zeros(count)
    for node in range(count):
        others = [other for other in range(count) if other != node]
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for gone in combinations(others, size):
                with_node = removed_loss(head, found, depth, (*gone, node), data)
                value[node] += weight * (with_node - removed_loss(head, found, depth, gone, data))
    return value


def test_few_nodes_are_exact():
    head = random_head(3, 4, 2, dead=0.2)
    data = data_for(head)
    found = probe(head, data, kinds=["shapley"])
    for depth in range(2):
        np.testing.assert_allclose(found.shapley[depth], by_definition(head, found, depth, data), atol=1e-12)
        assert not found.shapley_error[depth].any()


@pytest.mark.usefixtures("always_drawn")
def test_drawn_orders_are_within_their_error():
    head = random_head(3, 4, 2, seed=1)
    data = data_for(head)
    found = probe(head, data, kinds=["shapley"], permutations=64)
    for depth in range(2):
        exact = by_definition(head, found, depth, data)
        np.testing.assert_array_less(np.abs(found.shapley[depth] - exact), 4 * found.shapley_error[depth] + 1e-12)
    assert (found.shapley_error[0] > 1e-6).all()


@pytest.mark.usefixtures("always_drawn")
def test_a_quadratic_loss_is_exact_from_two_pairs():
    head = random_head(4, 1)
    data = data_for(head)
    found = probe(head, data, kinds=["shapley"], permutations=4)
    np.testing.assert_allclose(found.shapley[0], by_definition(head, found, 0, data), atol=1e-12)
    np.testing.assert_allclose(found.shapley_error[0], 0, atol=1e-12)


@pytest.mark.usefixtures("always_drawn")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_values_of_a_layer_sum_to_the_price_of_all_of_it(seed):
    head = random_head(5, 4, 3, 2, dead=0.3, seed=seed)
    data = data_for(head)
    found = probe(head, data, kinds=["shapley"], permutations=4, seed=seed)
    for depth in range(3):
        price = removed_loss(head, found, depth, range(found.widths[depth]), data) - found.base
        assert found.shapley[depth].sum() == pytest.approx(price, abs=1e-12)


@given(
    st.integers(1, 7).flatmap(
        lambda k: st.tuples(st.just(k), st.lists(st.floats(-5, 5), min_size=2**k, max_size=2**k), st.integers(0, 99))
    )
)
@settings(max_examples=40)
def test_every_single_order_is_efficient(game):
    count, losses, seed = game
    losses = np.array(losses)
    orders = drawn_orders(count, 6, np.random.default_rng(seed))
    numbers = np.concatenate([np.zeros((6, 1), int), np.cumsum(1 << orders, axis=1)], axis=1)
    for first in range(0, 6, 2):  # any pair would do, the error wants two
        pair = np.r_[first, first + 1, first, first + 1]
        value, _ = from_orders(orders[pair], losses[numbers[pair]])
        assert value.sum() == pytest.approx(losses[-1] - losses[0], abs=1e-12)
    assert from_subsets(losses).sum() == pytest.approx(losses[-1] - losses[0], abs=1e-12)
    assert (np.sort(orders, axis=1) == np.arange(count)).all()
    assert (orders[1::2] == orders[::2, ::-1]).all()


def test_the_standard_error_is_that_of_the_draws():
    rng = np.random.default_rng(0)
    losses = rng.normal(size=2**6)
    exact, values, errors = from_subsets(losses), [], []
    for _ in range(300):
        orders = drawn_orders(6, 16, rng)
        numbers = np.concatenate([np.zeros((16, 1), int), np.cumsum(1 << orders, axis=1)], axis=1)
        value, error = from_orders(orders, losses[numbers])
        values.append(value)
        errors.append(error)
    np.testing.assert_allclose(np.std(values, axis=0), np.sqrt(np.mean(np.square(errors), axis=0)), rtol=0.15)
    np.testing.assert_array_less(np.abs(np.mean(values, axis=0) - exact), 4 * np.std(values, axis=0) / np.sqrt(300))


def test_drawn_orders_are_exact_where_the_model_adds_up_and_the_loss_is_squared():
    """A quadratic game: the value is the mean of the first and the last place, in closed form."""
    head = random_head(12, 1)
    x, y = data_for(head)
    found = probe(head, (x, y), kinds="shapley", permutations=4)
    with torch.no_grad():
        moved = head.kan_layers[0].edges(x)[:, 0]
        moved = moved - moved.mean(0)
        rest = (y - head(x))[:, 0]
    # removing set S leaves rest + sum of S: rise = 2 E[rest sum_S] + E[(sum_S)^2]
    second = (moved.T @ moved / len(x)).numpy()
    expected = 2 * (rest[:, None] * moved).mean(0).numpy() + second.sum(1)
    np.testing.assert_allclose(found.shapley[0], expected, atol=1e-10)
    np.testing.assert_allclose(found.shapley_error[0], 0, atol=1e-10)


def test_a_dead_node_is_worth_nothing_and_equal_nodes_the_same():
    head = random_head(12, 3, 1)
    first = head.kan_layers[0]
    mask = first.mask.clone()
    mask[:, 4] = 0
    first.set_mask(mask)
    with torch.no_grad():
        first.weight[:, :, 7] = first.weight[:, :, 2]
        first.weight[:, :, 9] = 0
    x, y = data_for(head)
    x[:, 7] = x[:, 2]
    x[:, 11] = 0.3  # constant in this data
    found = probe(head, (x, y), kinds=["shapley", "ablation"], permutations=32)
    assert found.shapley[0][[4, 9, 11]].tolist() == [0, 0, 0]
    assert found.ablation[0][:, [4, 9, 11]].any() == np.False_
    error = np.hypot(found.shapley_error[0][2], found.shapley_error[0][7])
    assert error > 0
    assert abs(found.shapley[0][2] - found.shapley[0][7]) < 4 * error
    np.testing.assert_allclose(found.ablation[0][:, 2], found.ablation[0][:, 7], atol=1e-12)


def test_a_head_without_a_live_edge_costs_nothing():
    head = random_head(3, 2, 1, dead=1.1)
    found = probe(head, data_for(head))
    for name in ("taylor", "fisher", "ablation", "shapley", "shapley_error", "node_taylor"):
        assert not any(values.any() for values in getattr(found, name))


def test_orders_depend_on_the_seed_only():
    head = random_head(12, 2, 1)
    first, second, other = (probe(head, data_for(head), kinds="shapley", seed=s, permutations=4) for s in (1, 1, 2))
    assert first.equals(second)
    assert not np.array_equal(first.shapley[0], other.shapley[0])
