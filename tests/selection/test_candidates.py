"""Scores of candidates against least squares done by hand."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from kaninterp.selection.candidates import Edges, Extensions, Model, best, highest, minus_log_p
from kaninterp.selection.expansion import product
from kaninterp.selection.functions import SmoothFunctions
from kaninterp.selection.products import Products

ROWS = 150


def made(columns):
    return [SmoothFunctions.of(column)(column) for column in columns.T]


@pytest.fixture(params=["empty", "grown"])
def setting(request):
    """Values of five columns (one a copy, one binary, one constant), a model, and its residual of unit length."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, size=(ROWS, 6))
    x[:, 3] = x[:, 0]
    x[:, 4] = x[:, 4] > 0
    x[:, 5] = 2.0
    values = made(x)
    model = Model(values, ROWS)
    if request.param == "grown":
        for term in (((0, 0),), ((1, 1),), ((0, 0), (1, 0)), ((2, 0),), ((1, 0), (4, 0))):
            assert model.add(term)
    residual = model.outside(rng.normal(size=ROWS) + x[:, 2] * x[:, 1])
    return values, model, residual / np.linalg.norm(residual)


def gain(model, residual, columns):
    """Fall of the residual sum of squares when columns join the model; 0 for what the model spans."""
    design = np.column_stack((model.basis, columns))
    left = residual - design @ np.linalg.lstsq(design, residual, rcond=1e-8)[0]
    return 1 - left @ left


def test_edges_score_what_least_squares_gains(setting):
    values, model, residual = setting
    family = Edges(values)
    family.watch(model)
    (squares,) = family.squares(residual[:, None])
    for feature, own in enumerate(values):
        for place, size in enumerate(family.sizes):
            by_hand = gain(model, residual, own[:, :size]) if own.shape[1] else 0.0
            assert squares[feature, place] == pytest.approx(ROWS * by_hand, abs=1e-8)


def test_products_score_the_sum_of_what_each_function_gains_alone(setting):
    values, model, residual = setting
    family = Products(values)
    family.watch(model)
    (squares,) = family.squares(residual[:, None])
    seen = set()
    for index in range(len(squares)):
        for place, size in enumerate(family.sizes):
            terms = family.terms(index, size)
            features = {feature for term in terms for feature, _ in term}
            seen.add(frozenset(features))
            inside = [t for t in terms if all(number < values[feature].shape[1] for feature, number in t)]
            by_hand = sum(gain(model, residual, product(values, term)[:, None]) for term in inside)
            assert squares[index, place] == pytest.approx(ROWS * by_hand, rel=1e-3, abs=1e-4)
    # every pair but that of the two copies; nothing with the constant
    pairs = {frozenset({a, b}) for a in range(5) for b in range(a)}
    assert seen == pairs - {frozenset({0, 3})}


@pytest.mark.parametrize(("functions", "sizes"), [(1, (1,)), (2, (1, 3, 4)), (3, (1, 3, 6, 8, 9))])
def test_all_functions_of_a_product_are_tried_however_few(functions, sizes):
    rng = np.random.default_rng(0)
    values = made(rng.uniform(-1, 1, (ROWS, 3)))
    family = Products(values, functions=functions)
    assert family.sizes == sizes
    orders = [(a, b) for ((_, a), (_, b)) in family.terms(0, sizes[-1])]
    assert sorted(orders) == [(a, b) for a in range(functions) for b in range(functions)]
    assert [sum(order) for order in orders] == sorted(sum(order) for order in orders)  # smoothest first


def test_extensions_score_the_very_term_they_add(setting):
    values, model, residual = setting
    family = Extensions()
    family.watch(model)
    (squares,) = family.squares(residual[:, None])
    known = {tuple(sorted(term)) for term in model.terms}
    for index in range(len(squares)):
        (term,) = family.terms(index, 1)
        assert len({feature for feature, _ in term}) >= 3
        assert term not in known
        by_hand = gain(model, residual, product(values, term)[:, None])
        assert squares[index, 0] == pytest.approx(ROWS * by_hand, abs=1e-8)
    assert (len(squares) > 0) == (len(model.terms) > 1)


def test_copies_of_what_the_model_has_score_nothing():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (ROWS, 2))
    values = made(np.column_stack((x, x[:, 0], 3 - 2 * x[:, 0])))
    model = Model(values, ROWS)
    for number in range(6):
        assert model.add(((0, number),))
    assert not model.add(((2, 1),))
    model.add(((0, 0), (1, 0)))
    residual = model.outside(rng.normal(size=ROWS))[:, None]
    edges, products = Edges(values), Products(values)
    edges.watch(model)
    products.watch(model)
    (of_edges,) = edges.squares(residual)
    (of_products,) = products.squares(residual)
    assert (of_edges[[0, 2, 3]] == 0).all()
    assert of_edges[1, 0] > 0
    smallest = {tuple(f for f, _ in products.terms(i, 1)[0]): of_products[i, 0] for i in range(len(of_products))}
    assert [smallest[0, 1], smallest[1, 2], smallest[1, 3]] == [0, 0, 0]


def test_watching_step_by_step_is_watching_at_once():
    rng = np.random.default_rng(0)
    values = made(rng.uniform(-1, 1, (ROWS, 4)))
    model = Model(values, ROWS)
    slow = [Edges(values), Products(values)]
    for term in (((0, 0),), ((1, 0), (2, 0)), ((3, 2),)):
        model.add(term)
        for family in slow:
            family.watch(model)
    residual = model.outside(rng.normal(size=(ROWS, 3)))
    for family, fresh in zip(slow, (Edges(values), Products(values)), strict=True):
        fresh.watch(model)
        np.testing.assert_allclose(
            np.array(list(family.squares(residual))), np.array(list(fresh.squares(residual))), rtol=1e-4, atol=1e-6
        )
        at_once = highest(fresh, residual)
        assert at_once == pytest.approx([best(fresh, one).score for one in residual.T], rel=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 8, 9])
@pytest.mark.parametrize("square", [0.0, 0.3, 5.0, 80.0, 599.0, 601.0, 1500.0, 4000.0, 1e6])
def test_minus_log_p_is_that_of_the_chi_squared_law(square, size):
    with mpmath.workdps(40):
        exact = -mpmath.log(mpmath.gammainc(mpmath.mpf(size) / 2, mpmath.mpf(square) / 2, regularized=True))
    assert float(minus_log_p(np.array(square), np.array(size))) == pytest.approx(float(exact), rel=1e-7, abs=1e-12)


def test_of_several_overwhelming_candidates_the_right_one_is_taken():
    """Neighbours of the right column explain so much that their p-values are below the smallest float."""
    rng = np.random.default_rng(0)
    right = rng.normal(size=4000)
    columns = [right + 0.3 * rng.normal(size=4000) for _ in range(4)]
    values = made(np.column_stack((*columns, right)))
    model = Model(values, 4000)
    family = Edges(values)
    family.watch(model)
    y = right - right.mean()
    (first, *_) = best(family, y / np.linalg.norm(y)).terms
    assert first == ((4, 0),)
