"""Measures against functions whose importance is known, and what each asks for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

import kaninterp as ki
from kaninterp.analysis import SCORES, layer_scores, measured, score_named
from kaninterp.analysis.norms import absolute_norm, coefficient_norm, spline_basis
from kaninterp.core import DataError, InputError, NodeTable, PlanError
from tests.probes import random_probe
from tests.traces import Net, random_inputs, random_net, zero

seeds = st.integers(0, 2**16)
HEAD = [s for s in SCORES if s.level != "column"]
edge_measures = [s for s in HEAD if s.level == "edge"]
WIDTHS = (4, 3, 2)


def case(seed=0, dead=0.3):
    trace = random_net(WIDTHS, seed, dead=dead).trace(random_inputs(4, 100, seed))
    return trace, random_probe(trace, seed)


@pytest.mark.parametrize("measure", edge_measures, ids=lambda m: m.name)
@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_every_measure_has_one_finite_value_per_edge_and_none_for_masked_ones(measure, seed):
    trace, probe = case(seed)
    found = measured(measure.name, trace, probe, seed=seed)
    assert (found.level, found.unit) == ("edge", measure.unit)
    for values, layer in zip(found.values, trace.layers, strict=True):
        assert values.shape == layer.edges.alive.shape
        assert not values[~layer.edges.alive].any()
        assert measure.signed or (values >= 0).all()
    assert (found.outputs is not None) == measure.per_output
    if found.outputs is not None:
        for values, outputs in zip(found.values, found.outputs, strict=True):
            np.testing.assert_array_equal(values, np.abs(outputs).max(0))


@pytest.mark.parametrize("measure", HEAD, ids=lambda m: m.name)
def test_every_measure_speaks_of_nodes(measure):
    trace, probe = case(1)
    found = measured(measure.name, trace, probe, level="node")
    assert [v.shape for v in found.values] == [(4,), (3,)]


def test_scores_are_those_of_the_analysis():
    trace, _ = case(2)
    scores = layer_scores(trace)
    for name in ("strength", "kan2", "share", "path"):
        for given_scores in (None, scores):
            found = measured(name, trace, scores=given_scores)
            for values, layer in zip(found.outputs or found.values, scores, strict=True):
                expected = getattr(layer, name)
                np.testing.assert_array_equal(values, expected if found.outputs else np.abs(expected))
    for values, layer in zip(measured("l2", trace).values, scores, strict=True):
        np.testing.assert_array_equal(values, layer.norm)


def test_nodes_that_add_up_and_nodes_that_do_not():
    trace, probe = case(3, dead=0.0)
    scores = layer_scores(trace)
    for name, field in (("kan2", "nodes_kan2"), ("path", "nodes_path")):
        found = measured(name, trace, level="node")
        for values, layer in zip(found.values, scores, strict=True):
            np.testing.assert_allclose(values, np.abs(getattr(layer, field)).max(0), rtol=1e-12)
    taylor = measured("taylor", trace, probe, level="node").values
    np.testing.assert_allclose(taylor[1], np.abs(probe.node_taylor[1]), rtol=1e-12)
    hidden = measured("fisher", trace, probe, level="node").values[1]
    np.testing.assert_array_equal(hidden, np.minimum(probe.fisher[0].max(1), probe.fisher[1].max(0)))
    np.testing.assert_array_equal(measured("fisher", trace, probe, level="node").values[0], probe.fisher[0].max(0))


def test_the_loss_is_taken_from_the_probe_with_its_error():
    trace, probe = case(4, dead=0.0)
    ablation = measured("ablation", trace, probe)
    np.testing.assert_array_equal(ablation.values[1], np.abs(probe.ablation[1]))
    np.testing.assert_array_equal(ablation.errors[1], probe.ablation_error[1])
    np.testing.assert_array_equal(measured("taylor", trace, probe).values[0], np.abs(probe.taylor[0]))
    shapley = measured("shapley", trace, probe)
    np.testing.assert_array_equal(shapley.values[1], probe.shapley[1])
    np.testing.assert_array_equal(shapley.errors[0], probe.shapley_error[0])


def test_norms_of_known_functions():
    """On [-1, 1] about their means: x has L1 1/2, x^2 has L1 4 sqrt(3) / 27; constants have none."""
    functions = [lambda x: x + 5, lambda x: x**2, zero, lambda x: 0 * x + 3]
    net = Net.of([[functions]], domains=[np.tile([-1.0, 1.0], (4, 1))])
    trace = net.trace(random_inputs(4))
    np.testing.assert_allclose(absolute_norm(trace)[0], [[0.5, 4 * np.sqrt(3) / 27, 0, 0]], atol=2e-3)
    assert not absolute_norm(trace)[0][0, 2:].any()
    assert not coefficient_norm(trace)[0][0, 2:].any()


@given(seed=seeds, grid=st.integers(2, 8), order=st.integers(1, 4), uniform=st.booleans())
@settings(max_examples=25, deadline=None)
def test_coefficients_of_a_head_are_its_own(seed, grid, order, uniform):
    """Without a base branch the coefficients fitted to the curve are the trained ones."""
    generator = torch.Generator().manual_seed(seed)
    head = ki.KANHead(
        3, 2, grid=grid, order=order, uniform=uniform, base="zero", noise=1.0, dtype=torch.float64, generator=generator
    )
    x = torch.randn(100, 3, dtype=torch.float64, generator=generator)
    head.calibrate(x)
    found = coefficient_norm(ki.trace(head, x))[0]
    np.testing.assert_allclose(found, head.layers[0].coef.detach().numpy().std(0), rtol=1e-5)


@given(seed=seeds, order=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_the_basis_is_that_of_scipy(seed, order):
    rng = np.random.default_rng(seed)
    knots = np.cumsum(rng.uniform(0.2, 1, 6))
    steps = np.arange(1, order + 1) * (knots[-1] - knots[0]) / 5
    full = np.concatenate([knots[0] - steps[::-1], knots, knots[-1] + steps])
    x = np.linspace(knots[0], knots[-1], 40)
    expected = BSpline.design_matrix(x, full, order).toarray()
    np.testing.assert_allclose(spline_basis(x, knots, order), expected, atol=1e-10)


def test_shares_of_the_loss_sum_to_one_unless_nothing_is_lost():
    trace, probe = case(9)
    probe = replace(probe, shapley=(np.array([3.0, -1.0, 2.0, 0.0]), np.array([-1.0, 0.5, 0.0])))
    first, second = measured("loss_share", trace, probe, level="node").values
    assert first.tolist() == [0.75, -0.25, 0.5, 0.0]
    assert not second.any()


def test_signs_stay_beside_the_sizes():
    trace, probe = case(10, dead=0.0)
    for name in ("share", "taylor", "ablation"):
        found = measured(name, trace, probe)
        assert any((signed < 0).any() for signed in found.signed)
        for signed, size in zip(found.signed, found.values, strict=True):
            np.testing.assert_array_equal(np.abs(signed), size)


def test_scores_of_columns_are_not_those_of_a_head():
    trace, probe = case(11)
    with pytest.raises(InputError, match="no score 'column_total'"):
        measured("column_total", trace, probe)


def test_chance_is_uniform_repeatable_and_belongs_to_the_original_numbers():
    trace = random_net((60, 50, 1), 0).trace(random_inputs(60, 20))
    draws = measured("random", trace, seed=3).values[0]
    ranks = np.sort(draws.ravel())
    assert np.abs(ranks - (np.arange(3000) + 0.5) / 3000).max() < 1.63 / np.sqrt(3000)  # Kolmogorov, 1 %
    assert abs(np.corrcoef(draws[:-1].ravel(), draws[1:].ravel())[0, 1]) < 0.06
    assert abs(np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]) < 0.06
    np.testing.assert_array_equal(measured("random", trace, seed=3).values[0], draws)
    assert not np.array_equal(measured("random", trace, seed=4).values[0], draws)
    ids = (tuple(range(0, 60, 2)), tuple(range(0, 50, 5)), (0,))
    smaller = random_net((30, 10, 1), 0).trace(random_inputs(30, 20), node_ids=ids)
    np.testing.assert_array_equal(measured("random", smaller, seed=3).values[0], draws[::5, ::2])


def test_every_probe_measure_asks_for_its_probe():
    trace, probe = case(5)
    for measure in HEAD:
        if measure.needs != "probe":
            continue
        kind = "shapley" if measure.name == "loss_share" else measure.name
        with pytest.raises(InputError, match=r"give probe=probe\(model, data\)"):
            measured(measure.name, trace)
        with pytest.raises(InputError, match=f"kinds=.'{kind}'"):
            measured(measure.name, trace, replace(probe, **{kind: None}))


def test_a_probe_of_another_head_is_refused():
    trace, probe = case(6)
    with pytest.raises(PlanError, match="other weights"):
        measured("fisher", trace, replace(probe, fingerprint="0" * 64))
    other = random_net((2, 1)).trace(random_inputs(2))
    with pytest.raises(PlanError, match=r"widths \(2, 1\)"):
        measured("fisher", trace, random_probe(other))


def test_a_gradient_without_a_target_is_refused():
    trace, probe = case(7)
    with pytest.raises(InputError, match="with a target"):
        measured("taylor", trace, replace(probe, loss="output change", base=0.0))
    assert measured("ablation", trace, replace(probe, loss="output change", base=0.0)).values


def test_wrong_questions_are_answered():
    trace, probe = case(8)
    with pytest.raises(InputError, match="did you mean 'strength'"):
        score_named("strenght")
    with pytest.raises(InputError, match="known are: strength"):
        measured("zzz", trace)
    with pytest.raises(InputError, match="not for single edges"):
        measured("shapley", trace, probe, level="edge")
    with pytest.raises(InputError, match="'edge' or 'node'"):
        measured("kan2", trace, level="input")
    with pytest.raises(InputError, match="whole number"):
        measured("random", trace, seed=-1)
    with pytest.raises(DataError, match="no rows"):
        measured("l1", replace(trace, outputs=NodeTable.of(np.zeros((0, 2)))))
