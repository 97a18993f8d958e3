"""Scores against values known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from kaninterp.analysis import aggregate, edge_scores, layer_scores, remainders, score_named
from kaninterp.core import InputError
from tests.evidence import ladder
from tests.traces import Net, random_inputs

WIDE = [np.tile([-1.0, 1.0], (4, 1))]


def uniform(width, rows=40_000):
    """Equally spread and independent: each column runs through the same values in another order."""
    rng = np.random.default_rng(0)
    values = (np.arange(rows) + 0.5) / rows * 2 - 1
    return np.stack([rng.permutation(values) for _ in range(width)], axis=1)


def test_pykans_fourth_tutorial_meets_theory():
    scores = layer_scores(ladder().trace(uniform(4)))[0]
    np.testing.assert_allclose(scores.kan2[0, 0], [0.8595, 0.4993, 0.1090, 0.0], atol=4e-3)
    np.testing.assert_allclose(scores.share[0], np.array([0.8595, 0.4993, 0.1090, 0.0]) ** 2, atol=1e-2)
    assert scores.kan2[0, 0, 3] == 0


def test_strength_and_norm_of_known_functions():
    net = Net.of([[[lambda x: 2 * x, lambda x: x**2, np.sin, lambda x: 0 * x + 5]]], domains=WIDE)
    scores = layer_scores(net.trace(uniform(4)))[0]
    sine = np.sqrt(0.5 - np.sin(2) / 4)
    expected = [2 / np.sqrt(3), np.sqrt(4 / 45), sine, 0]
    np.testing.assert_allclose(scores.strength[0], expected, rtol=1e-5)
    np.testing.assert_allclose(scores.norm[0], expected, rtol=4e-3)


def test_norm_looks_at_the_domain_and_strength_at_the_data():
    net = Net.of([[[lambda x: x]]], domains=[np.array([[-1.0, 1.0]])])
    narrow = layer_scores(net.trace(0.1 * uniform(1)))[0]
    np.testing.assert_allclose(narrow.norm, 1 / np.sqrt(3), rtol=1e-3)
    np.testing.assert_allclose(narrow.strength, 0.1 / np.sqrt(3), rtol=1e-3)


def test_norm_stops_at_the_ends_of_the_domain():
    """A function that explodes in the fringe, where no data were fitted, is not strong."""
    net = Net.of([[[lambda x: np.where(np.abs(x) <= 1, x, 1e6)]]], domains=[np.array([[-1.0, 1.0]])])
    trace = net.trace(uniform(1))
    knots = trace.layers[0].ranges.knots
    assert trace.layers[0].edges.curve_x.min() < knots.min()
    # 81 points: the last one inside is up to 2.7 % of the domain short of its end
    assert layer_scores(trace)[0].norm[0, 0] < 1e5


def test_cancelling_twins_share_nothing_though_both_are_strong():
    x = random_inputs(1, 1000)
    columns = np.column_stack([x[:, 0], x[:, 0], random_inputs(1, 1000, seed=1)[:, 0]])
    net = Net.of([[[lambda v: 10 * v, lambda v: -10 * v, lambda v: v]]])
    scores = layer_scores(net.trace(columns))[0]
    assert scores.kan2[0, 0, 0] > 9
    np.testing.assert_allclose(scores.share[0, 0] + scores.share[0, 1], 0, atol=0.2)
    np.testing.assert_allclose(scores.share.sum(), 1, rtol=1e-9)


def test_a_node_made_of_exact_twins_is_constant():
    x = np.repeat(random_inputs(1, 500), 2, axis=1)
    net = Net.of([[[lambda v: 1e3 * np.sin(v), lambda v: -1e3 * np.sin(v + 1e-15)]]])
    trace = net.trace(x)
    assert 0 < trace.outputs.std[0] < 1e-11  # rounding only
    scores = layer_scores(trace)[0]
    assert scores.strength.all()
    assert not scores.kan2.any()
    assert not scores.path.any()


def test_float32_dust_on_a_constant_edge_is_no_effect():
    dust = np.random.default_rng(0).uniform(-1, 1, 500).astype(np.float32) * np.float32(2e-7)
    net = Net.of([[[lambda v: 3 + dust[: len(v)] if len(v) == 500 else 3 + 0 * v, lambda v: 3 + 0 * v]]])
    trace = net.trace(random_inputs(2, 500))
    scores = layer_scores(trace)[0]
    assert not scores.strength.any()
    assert not scores.kan2.any()
    assert not scores.share.any()


def test_path_shares_of_a_deep_network_by_hand():
    """Two hidden nodes of independent inputs, added: shares multiply along the way."""
    net = Net.of([[[lambda x: x, lambda x: 2 * x], [lambda x: 0 * x, lambda x: x]], [[lambda h: h, lambda h: 0 * h]]])
    scores = layer_scores(net.trace(uniform(2)))
    np.testing.assert_allclose(scores[0].path[0], [[0.2, 0.8], [0, 0]], atol=0.02)
    np.testing.assert_allclose(scores[0].nodes_path, [[0.2, 0.8]], atol=0.02)
    np.testing.assert_allclose(remainders(scores), 0, atol=1e-9)


def test_five_sums_of_pairs_show_two_inputs_per_output():
    """pykan's Interp_10B: with scores averaged over outputs this cannot be seen."""
    zero = lambda x: 0 * x  # noqa: E731
    rows = [[np.sin if i // 2 == j else zero for i in range(10)] for j in range(5)]
    scores = layer_scores(Net.of([rows]).trace(random_inputs(10)))[0]
    assert [np.flatnonzero(s).tolist() for s in scores.nodes_kan2] == [[2 * j, 2 * j + 1] for j in range(5)]


def test_masked_edges_score_nothing():
    net = Net.of([[[np.sin, np.cos]]], alive=[np.array([[True, False]])])
    scores = layer_scores(net.trace(random_inputs(2)))[0]
    for name in ("norm", "strength", "share", "kan2", "path"):
        values = getattr(scores, name)
        assert values[..., 0, 0].all()
        assert not values[..., 0, 1].any()


def test_norms_over_outputs():
    values = np.array([[3.0, 0.0], [-4.0, 1.0]])
    assert aggregate(values).tolist() == [4, 1]
    assert aggregate(values, "sum").tolist() == [7, 1]
    assert aggregate(values, "l2").tolist() == [5, 1]


def test_scores_by_name():
    scores = layer_scores(ladder().trace(random_inputs(4)))
    assert edge_scores(scores, "kan2")[0].shape == (1, 4)
    assert (edge_scores(scores, "share")[0] >= 0).all()
    with pytest.raises(InputError, match="known are: l2, strength"):
        edge_scores(scores, "l1")
    with pytest.raises(InputError, match="did you mean 'kan2'"):
        score_named("kan")
