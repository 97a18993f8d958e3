"""Graphs of arrays give what the whole expression gives, with and without numbers in place of parts."""

from __future__ import annotations

import numpy as np
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.symbolic.compose import NumericEdge, symbol_of
from kaninterp.symbolic.dag import Graph
from kaninterp.symbolic.expressions import evaluated

X = np.random.default_rng(0).uniform(-2, 2, size=(40, 2))
NUMERIC = {"phi_0_0_0": NumericEdge(lambda x: x**2 - 1, 5)}
U = sympy.Symbol("u")
FORMS = (
    "u**2", "u**3", "1/u", "1/u**2", "sqrt(u)", "u**Rational(3, 2)", "1/sqrt(u)", "exp(u)", "log(u)", "Abs(u)",
    "sin(u)", "cos(u)", "tan(u)", "tanh(u)", "1/(1 + exp(-u))", "sign(u)", "asin(u)", "acos(u)", "atan(u)", "atanh(u)",
    "exp(-u**2)", "besselj(0, u)", "phi_0_0_0(u)",
)  # fmt: skip
NUMBERS = st.floats(-2, 2).map(lambda value: round(value, 3))


def grown(children):
    applied = st.tuples(st.sampled_from(FORMS), children, NUMBERS, NUMBERS).map(
        lambda each: (
            each[2] * sympy.sympify(each[0], {"phi_0_0_0": sympy.Function("phi_0_0_0")}).subs(U, each[1]) + each[3]
        )
    )
    return applied | st.tuples(children, children).map(sum)


EXPRESSIONS = st.recursive(st.sampled_from([symbol_of(0), symbol_of(1)]), grown, max_leaves=5).filter(
    lambda expression: bool(expression.free_symbols) and not expression.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I)
)


@given(EXPRESSIONS)
@settings(deadline=None, max_examples=60)
def test_a_graph_is_the_expression(expression):
    same(Graph(expression, X, NUMERIC).values(), evaluated(expression, X, NUMERIC))


@given(EXPRESSIONS, NUMBERS, st.data())
@settings(deadline=None, max_examples=60)
def test_a_number_in_place_of_a_part_is_the_expression_without_it(expression, number, data):
    parts = [part for part in sympy.preorder_traversal(expression) if part.free_symbols]
    part = data.draw(st.sampled_from(parts))
    without = expression.xreplace({part: sympy.Float(number)})
    if without.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
        return  # a number no program has
    graph = Graph(expression, X, NUMERIC)
    before = graph.values()
    found = graph.values({part: number})
    same(found, evaluated(without, X, NUMERIC))
    np.testing.assert_array_equal(graph.values(), before)
    graph.put({part: number})
    np.testing.assert_array_equal(graph.values(), found)
    same(Graph(without, X, NUMERIC, before=Graph(expression, X, NUMERIC)).values(), found)


def same(found, expected):
    there = np.isfinite(expected) & (np.abs(expected) < 1e12)
    np.testing.assert_allclose(found[there], expected[there], rtol=1e-6, atol=1e-9)
    assert (np.isnan(found) == np.isnan(expected)).all()
