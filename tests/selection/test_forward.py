"""Forward search and the F-test against ordinary least squares by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f as f_law
from scipy.stats import linregress

from kaninterp.selection.candidates import Model
from kaninterp.selection.forward import forward, removal_p_values, without_needless
from kaninterp.selection.functions import SmoothFunctions
from kaninterp.selection.null import moved


def residual_sum(columns, y):
    design = np.column_stack((np.ones(len(y)), columns))
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return float(left @ left)


def test_one_term_is_the_t_test_of_a_line():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 60))
    y = 0.3 * x + y
    (p_value,) = removal_p_values(x[:, None], y - y.mean(), [frozenset({0})]).values()
    assert p_value == pytest.approx(linregress(x, y).pvalue, rel=1e-9)


def test_an_input_is_tested_with_all_terms_that_read_it():
    rng = np.random.default_rng(1)
    columns, y = rng.normal(size=(80, 4)), rng.normal(size=80)
    y += columns @ [0.5, 0.3, 0.0, 0.2]
    readers = [frozenset({0}), frozenset({0, 1}), frozenset({1}), frozenset({2})]
    found = removal_p_values(columns, y - y.mean(), readers)
    full = residual_sum(columns, y)
    for unit, stay in {0: [2, 3], 1: [0, 3], 2: [0, 1, 2]}.items():
        lost = 4 - len(stay)
        f = (residual_sum(columns[:, stay], y) - full) / lost / (full / (80 - 5))
        assert found[unit] == pytest.approx(f_law.sf(f, lost, 75), rel=1e-9)


def test_a_term_that_others_span_is_worth_nothing():
    rng = np.random.default_rng(2)
    a, b, y = rng.normal(size=(3, 50))
    p_values = removal_p_values(np.column_stack((a, b, a - b)), y - y.mean(), [frozenset({i}) for i in range(3)])
    assert p_values == {0: 1.0, 1: 1.0, 2: 1.0}


def test_needless_inputs_go_and_the_needed_stay():
    rng = np.random.default_rng(3)
    columns = rng.normal(size=(200, 5))
    y = columns[:, 1] + columns[:, 3] + 0.5 * rng.normal(size=200)
    readers = [frozenset({i}) for i in range(5)]
    kept, gone = without_needless(columns, y - y.mean(), readers, alpha=0.05, units=5)
    assert {1, 3} <= set(kept)
    assert set(gone) == set(range(5)) - set(kept)
    assert all(0.05 < p <= 1 for p in gone.values())
    p_values = removal_p_values(columns[:, kept], y - y.mean(), [readers[t] for t in kept])
    assert all(5 * p <= 0.05 for p in p_values.values())


def test_of_noise_nothing_stays():
    rng = np.random.default_rng(4)
    kept, gone = without_needless(
        rng.normal(size=(100, 3)), rng.normal(size=100), [frozenset({i}) for i in range(3)], alpha=1e-6, units=3
    )
    assert kept == []
    assert sorted(gone) == [0, 1, 2]


def searched(x, y, alpha=0.05):
    values = [SmoothFunctions.of(column)(column) for column in x.T]
    model = Model(values, len(y))
    orders = moved(len(y), 60, np.random.default_rng(0), in_time=False)
    steps = forward(model, y - y.mean(), alpha=alpha, moves=orders, nulls={})
    return model, steps


def test_steps_tell_what_the_model_explains():
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 1, (300, 6))
    y = 2 * x[:, 0] + 3 * x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=300)
    model, steps = searched(x, y)
    assert {(step.family, step.features) for step in steps} >= {("edge", (0,)), ("product", (1, 2))}
    explained = [step.explained for step in steps]
    assert explained == sorted(explained)
    by_hand = 1 - residual_sum(np.array(model.columns).T, y) / residual_sum(np.zeros((300, 0)), y)
    assert explained[-1] == pytest.approx(by_hand, abs=1e-9)
    assert all(step.p_value <= 0.05 / 3 for step in steps)


def test_a_product_of_four_bits_is_found_to_the_end():
    """Without noise the search ends when all is explained, through products of three and four inputs."""
    rng = np.random.default_rng(6)
    x = rng.integers(0, 2, size=(512, 6))
    y = ((x[:, 0] & x[:, 1]) | (x[:, 2] & x[:, 3])).astype(float)
    model, steps = searched(x.astype(float), y)
    assert steps[-1].explained == pytest.approx(1.0, abs=1e-9)
    assert {feature for term in model.terms for feature, _ in term} == {0, 1, 2, 3}


def test_a_target_without_noise_ends_the_search():
    x = np.random.default_rng(7).uniform(-1, 1, (400, 5))
    model, steps = searched(x, SmoothFunctions.of(x[:, 2])(x[:, 2])[:, 1])
    assert [step.features for step in steps] == [(2,)]
    assert {feature for term in model.terms for feature, _ in term} == {2}
