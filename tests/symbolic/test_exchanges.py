"""What may stand in for a part of a formula, and the numbers that are fitted once more."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.families import FAMILIES, families_of
from kaninterp.symbolic.common_factor import factors_out
from kaninterp.symbolic.compose import NumericEdge, symbol_of, written
from kaninterp.symbolic.dag import Graph
from kaninterp.symbolic.exchanges import exchanges
from kaninterp.symbolic.expressions import Formula, evaluated
from kaninterp.symbolic.merging import as_one
from kaninterp.symbolic.trimming import trimmed

A, B = symbol_of(0), symbol_of(1)
FACTORS = st.floats(0.1, 5.0) | st.floats(-5.0, -0.1)


def of(expression, numeric=None):
    return Formula(expressions=(expression,), input_names=("a", "b"), output_names=("y",), numeric=numeric or {})


def cut(expression, x, y, numeric=None):
    return trimmed(of(expression, numeric), x, lambda outputs: (outputs[:, 0] - y) ** 2)


def rows(n=400, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, 2))


def found(expression, x, numeric=None, *, thorough=True):
    graph = Graph(expression, x, numeric or {})

    def ones(total):
        return as_one(total, 0 if A in total.free_symbols else 1, x, numeric or {}, families_of(None))

    return list(exchanges(expression, graph, numeric or {}, ones=ones if thorough else None))


def test_values_are_those_of_what_stands_in():
    x = rows()
    edge = {"phi_0_0_1": NumericEdge(np.tanh, 8)}
    expression = 1.02 * sympy.sin(3.1 * A + 0.2) + sympy.Function("phi_0_0_1")(B) + 2.01 * sympy.exp(0.4 * B) + 0.3
    every = found(expression, x, edge)
    assert len(every) > 10
    for each in every:
        assert each.saved >= 1
        for part, new in each.new.items():
            expected = evaluated(new, x, edge)
            np.testing.assert_allclose(np.broadcast_to(each.values[part], len(x)), expected, atol=1e-9)


def test_only_terms_and_splines_are_tried_where_there_is_much():
    x = rows()
    few = found(sympy.sin(3.1 * A + 0.2) + 0.5, x, thorough=False)
    assert all(each.gone for each in few)


@pytest.mark.parametrize("seed", range(3))
def test_a_line_stands_in_for_a_spline_that_says_no_more(seed):
    """A spline with eleven numbers is worth none of them here, a line is worth its one."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300, 2))
    y = 2 * x[:, 0] - x[:, 1] + 2 * rng.normal(size=300)
    wiggle = {"phi_0_0_1": NumericEdge(lambda v: -v + 0.3 * np.sin(5 * v), 11)}
    result = cut(2.0 * A + sympy.Function("phi_0_0_1")(B), x, y, wiggle)
    assert result.formula.numeric == {}
    assert set(result.formula.inputs_of()) == {0, 1}
    slope = float(result.formula.sympy().coeff(B))
    assert slope == pytest.approx(-1.0, abs=0.15)


def test_a_straight_stretch_of_a_function_is_a_line():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 2))
    y = x[:, 0] + 0.5 * rng.normal(size=500)
    assert cut(9.0 * sympy.sin(0.11 * A + 0.02) - 0.2, x, y).formula.text() == "a"


def test_constants_that_the_rows_do_not_support_go():
    x = rows()
    y = np.sin(np.pi * x[:, 0]) + x[:, 1] ** 2 + 0.05 * np.random.default_rng(1).normal(size=400)
    result = cut(0.99 * sympy.sin(3.15 * A - 0.004) + 1.01 * (B + 0.004) ** 2 - 0.003, x, y)
    assert result.formula.text() == "b**2 + sin(pi*a)"


def test_what_the_rows_do_support_stays():
    x = rows()
    y = 1.05 * np.sin(3.0 * x[:, 0] + 0.3) + 0.2 + 0.01 * np.random.default_rng(1).normal(size=400)
    result = cut(1.05 * sympy.sin(3.0 * A + 0.3) + 0.2, x, y)
    amplitude, pace, phase, constant = (float(each) for each in (1.05, 3.0, 0.3, 0.2))
    np.testing.assert_allclose(
        result.formula(x)[:, 0], amplitude * np.sin(pace * x[:, 0] + phase) + constant, atol=0.01
    )


def test_numbers_are_fitted_once_more():
    x = rows()
    y = np.exp(0.7 * x[:, 0]) + 0.3 * x[:, 1]
    result = cut(1.003 * sympy.exp(0.71 * A) + 0.31 * B + 0.001 * sympy.sin(5 * B), x, y)
    assert result.formula.text() == "0.3*b + exp(0.7*a)"
    assert result.loss < 1e-20


@settings(deadline=None)
@given(FACTORS, FACTORS, FACTORS, st.sampled_from([sympy.Rational(-1, 2), sympy.Integer(3), sympy.Integer(-2), "log"]))
def test_a_common_factor_taken_out_changes_nothing(a, b, c, outer):
    inside = a * A + b * B**2 + c
    expression = 0.7 * (sympy.log(inside) if outer == "log" else inside**outer) + 0.1
    x = rows(50, 3)
    before, after = (evaluated(each, x, {}) for each in (expression, factors_out(expression)))
    np.testing.assert_allclose(after, before, rtol=1e-7, atol=1e-9)


def test_the_factor_that_leaves_whole_numbers_is_the_one():
    written = factors_out(sympy.sqrt(0.378 * A**2 + 0.756 * B**2 + 0.378))
    inside = next(iter(written.atoms(sympy.Pow) - {A**2, B**2})).base
    assert inside.evalf(6) == (A**2 + 2.0 * B**2 + 1.0).evalf(6)


def test_terms_that_make_one_function_become_it():
    x = rows()
    y = np.sin(2 * x[:, 0]) + x[:, 1] + 0.01 * np.random.default_rng(0).normal(size=400)
    two = 0.6 * sympy.sin(2.1 * A + 0.1) + 0.41 * sympy.sin(1.85 * A - 0.15) + 1.0 * B
    result = cut(two, x, y)
    assert result.formula.text() == "b + sin(2*a)"
    lines = trimmed(of(two), x, lambda outputs: (outputs[:, 0] - y) ** 2, families=["x"])
    assert lines.formula.text() != result.formula.text()


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(["sin", "exp", "x^2", "tanh", "x"]), st.floats(0.3, 3.0), st.floats(-1.0, 1.0), FACTORS)
def test_one_function_is_found_as_itself(name, a, b, c):
    x = np.random.default_rng(1).uniform(-1, 2, (200, 1))
    truth = EdgeFormula(family=FAMILIES[name], a=a, b=b, c=c, d=0.5)
    [one, *_] = as_one(written(truth, A), 0, x, {}, families_of(None))
    rest = one.values - truth(x[:, 0])
    assert rest.std() <= 1e-3 * truth(x[:, 0]).std()
    np.testing.assert_allclose(one.values, evaluated(one.expression, x, {}), atol=1e-8 * max(1, abs(c)))


def test_a_constant_sum_has_no_function():
    x = rows()
    assert as_one(0.0 * A + 1.0, 0, x, {}, families_of(None)) == ()
    assert as_one(sympy.log(A), 0, x, {}, families_of(None)) == ()


def test_powers_near_a_root_are_roots():
    x = rows() + 2.0
    y = 1.5 * np.sqrt(x[:, 0]) * x[:, 1] + 0.01 * np.random.default_rng(0).normal(size=400)
    assert cut(1.5 * A**0.502 * B**0.996, x, y).formula.text() == "1.5*sqrt(a)*b"


def test_an_argument_may_be_a_product():
    x = rows()
    y = np.sin(2 * x[:, 0] * np.exp(x[:, 0]) + 1)
    found = cut(1.5 * sympy.sin(2.1 * A * sympy.exp(A) + 1.03), x, y)
    assert found.loss <= found.loss_before


def test_numbers_that_stand_elsewhere_are_not_saved():
    x = np.random.default_rng(0).uniform(-1, 1, (300, 8))
    sizes = [0.83, 0.37, -0.54, 0.71, 0.29, -0.63, 0.47, 0.58]
    inner = sum(sympy.Float(c) * sympy.sin((1.1 + 0.1 * i) * symbol_of(i)) for i, c in enumerate(sizes)) + 0.123
    h = sum(c * np.sin((1.1 + 0.1 * i) * x[:, i]) for i, c in enumerate(sizes)) + 0.123
    noise = 0.05 * np.random.default_rng(1).normal(size=300)
    y = 2.3 * np.sin(1.3 * h) + 0.03 * np.cos(4.1 * h) + noise
    formula = Formula(
        expressions=(2.3 * sympy.sin(1.3 * inner) + 0.03 * sympy.cos(4.1 * inner),),
        input_names=tuple("abcdefgh"), output_names=("y",),
    )  # fmt: skip
    assert "cos" in trimmed(formula, x, lambda outputs: (outputs[:, 0] - y) ** 2).formula.text()


@pytest.mark.parametrize("shift", [-7.0, 0.0, 5.0])
def test_the_zero_of_a_likelihood_decides_nothing(shift):
    x = rows()
    y = 2.123456 * x[:, 0] + 0.01 * np.random.default_rng(0).normal(size=400)
    found = trimmed(of(2.1 * A + 0.3), x, lambda o: (o[:, 0] - y) ** 2 / 2e-4 + shift, kind="nats")
    assert found.formula.text() in ("2.12*a", "2.123*a", "2.124*a")


def test_a_loss_that_falls_below_zero_on_the_way_is_a_likelihood():
    x = rows()
    y = 2 * x[:, 0] + 0.1 * np.random.default_rng(0).normal(size=400)
    rough = 2.3 * A + 0.5 * sympy.sin(1.2 * B)
    start = float(((of(rough)(x)[:, 0] - y) ** 2 / 0.02).mean())
    found = trimmed(of(rough), x, lambda o: (o[:, 0] - y) ** 2 / 0.02 - start + 0.1, kind="absolute")
    assert found.formula.text() == "2*a"


@pytest.mark.parametrize("size", [1.0, 1e6, 1e12])
def test_digits_do_not_depend_on_units(size):
    x = rows()
    y = size * (2.1234567 * x[:, 0] + 0.5 * np.random.default_rng(0).normal(size=400))
    slope = float(cut(2.1 * size * A, x, y).formula.sympy().coeff(A)) / size
    assert slope == round(slope, 2)
