"""Edges to expressions: the same function, in canonical numbers, in the user's units, whatever the names are."""

from __future__ import annotations

import re
from itertools import permutations

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import InputError, InputTypeError, ShapeError
from kaninterp.core.families import FAMILIES, Family
from kaninterp.symbolic import Formula, LayerFormula, canonical, composed, in_units
from kaninterp.symbolic.compose import NumericEdge, symbol_of

NUMBERS = st.floats(-3, 3).filter(lambda value: abs(value) > 1e-2)
X = np.linspace(-0.9, 0.9, 41)


@given(family=st.sampled_from(sorted(FAMILIES)), a=NUMBERS, b=NUMBERS, c=NUMBERS, d=NUMBERS)
def test_canonical_numbers_are_the_same_function(family, a, b, c, d):
    given_ = EdgeFormula(family=FAMILIES[family], a=a, b=b, c=c, d=d)
    found = canonical(given_)
    expected, values = given_(X), found(X)
    finite = np.isfinite(expected)
    np.testing.assert_allclose(values[finite], expected[finite], rtol=1e-7, atol=1e-7)
    again = canonical(found)
    np.testing.assert_allclose([again.a, again.b, again.c, again.d], [found.a, found.b, found.c, found.d], rtol=1e-12)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"0"}))
def test_at_most_as_many_numbers_as_data_can_tell_apart(family):
    found = canonical(EdgeFormula(family=FAMILIES[family], a=-1.3, b=0.7, c=2.1, d=0.4))
    free = sum(value not in {0.0, 1.0, -1.0} for value in (found.a, found.b, found.c, found.d))
    assert free <= FAMILIES[family].parameters


def edge(family, a=1.0, b=0.0, c=1.0, d=0.0):
    return EdgeFormula(family=FAMILIES[family], a=a, b=b, c=c, d=d)


def network():
    """exp(sin(pi x0) + x1^2), and a second output with an edge that is no formula."""
    first = LayerFormula(
        bias=np.zeros(1), src=2, formulas={(0, 0): edge("sin", a=np.pi), (0, 1): edge("x^2")}, numeric={}
    )
    second = LayerFormula(
        bias=np.array([0.0, 1.0]), src=1, formulas={(0, 0): edge("exp")}, numeric={(1, 0): NumericEdge(np.cbrt, 8)}
    )
    return first, second


def test_composition():
    expressions, numeric = composed(network())
    formula = Formula(expressions=tuple(expressions), input_names=("a", "b"), output_names=("y", "z"), numeric=numeric)
    x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    inner = np.sin(np.pi * x[:, 0]) + x[:, 1] ** 2
    np.testing.assert_allclose(formula(x), np.stack([np.exp(inner), np.cbrt(inner) + 1], 1), rtol=1e-12)
    assert "phi_1_1_0" in formula.text(1)
    with pytest.raises(InputError, match="phi_1_1_0"):
        formula.python(0)


@given(st.integers(0, 10**6))
def test_units(seed):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=2), rng.uniform(0.5, 2, 2)
    outputs = rng.normal(size=2), rng.uniform(0.5, 2, 2)
    x = rng.uniform(-1, 1, (20, 2))
    as_trained, numeric = composed(network())
    expected = Formula(expressions=tuple(as_trained), input_names=("a", "b"), output_names=("y", "z"), numeric=numeric)(
        (x - inputs[0]) / inputs[1]
    )
    in_own, numeric = composed(in_units(network(), inputs, outputs))
    found = Formula(expressions=tuple(in_own), input_names=("a", "b"), output_names=("y", "z"), numeric=numeric)(x)
    np.testing.assert_allclose(found, expected * outputs[1] + outputs[0], rtol=1e-9, atol=1e-9)


def test_units_that_do_not_fit():
    with pytest.raises(ShapeError, match="2 of each"):
        in_units(network(), inputs=(np.zeros(3), np.ones(3)))
    with pytest.raises(ShapeError, match="above 0"):
        in_units(network(), outputs=(np.zeros(2), np.zeros(2)))


@pytest.mark.parametrize("name", ["__import__('os').abort()", "a\nb", "x_1", "lambda", "}{\\end", "$(x)"])
def test_hostile_names_are_only_shown(name):
    expressions, _ = composed(network()[:1])
    formula = Formula(expressions=tuple(expressions), input_names=(name, "b"), output_names=("y",))
    x = np.array([[0.5, 2.0]])
    np.testing.assert_allclose(formula(x), [[5.0]])
    scope = {}
    exec(formula.python(), scope)
    np.testing.assert_allclose(scope["formula"](*x.T), [5.0])
    assert "\n" not in formula.text()
    assert "\\end" not in formula.latex()
    with pytest.raises(InputError, match="name of a Python"):
        formula.python(name="f(x): pass #")


def test_program_of_a_bessel_function():
    expressions, _ = composed([LayerFormula(bias=np.zeros(1), src=1, formulas={(0, 0): edge("J0", a=20)}, numeric={})])
    formula = Formula(expressions=tuple(expressions), input_names=("r",), output_names=("y",))
    scope = {}
    exec(formula.python(), scope)
    np.testing.assert_allclose(scope["formula"](X), formula(X[:, None])[:, 0], atol=1e-12)


def test_wrong_rows_and_outputs():
    formula = Formula(expressions=tuple(composed(network()[:1])[0]), input_names=("a", "b"), output_names=("y",))
    with pytest.raises(ShapeError, match="rows, 2"):
        formula(np.zeros((3, 5)))
    with pytest.raises(InputError, match="output=1"):
        formula.text(1)


@pytest.mark.parametrize("names", [("a\nb", "a b"), ("", ""), ("a", "a"), ("a (2)", "a"), ("é", "é")])
def test_names_that_look_alike_stay_two_inputs(names):
    formula = Formula(expressions=(symbol_of(0) - symbol_of(1),), input_names=names, output_names=("y",))
    assert formula.text() != "0"
    first, second = formula.latex().split(" - ")
    assert first != second


@pytest.mark.parametrize("name", ["pi", "E", "I"])
def test_a_column_is_told_from_a_constant(name):
    formula = Formula(expressions=(sympy.pi * symbol_of(0),), input_names=(name,), output_names=("y",))
    assert formula.text() == f"pi*`{name}`"


ODD = [
    "lambda", "None", "exp", "sin", "E", "N", "S", "beta", "abs", "max", "id", "arcsin", "sgn", "J0", "phi_0_0_0",
    "1st", "a b", "ﬁ", "a`*`b", "`", "nan", "",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_a_name_with_a_meaning_of_its_own_is_in_backticks(name):
    formula = Formula(
        expressions=(symbol_of(0) + sympy.exp(symbol_of(1)),), input_names=("t", name), output_names=("y",)
    )
    quoted = "`" + name.replace("`", "``") + "`"
    assert formula.text() in (f"t + exp({quoted})", f"exp({quoted}) + t")


@pytest.mark.parametrize("name", ["x_1", "x", "π", "temp", "T2m", "power", "wind_speed", "_", "class_", "Temp"])
def test_a_plain_name_stays_plain(name):
    formula = Formula(expressions=(sympy.sin(symbol_of(0)),), input_names=(name,), output_names=("y",))
    assert formula.text() == f"sin({name})"


NAMES = st.lists(st.one_of(st.text(max_size=8), st.sampled_from([*ODD, "x_0", "x_1", "x_2"])), min_size=3, max_size=3)


@settings(max_examples=100, deadline=None)
@given(NAMES)
def test_whatever_the_names_text_can_be_read_back_and_the_program_gives_the_same_numbers(names):
    a, b, c = (symbol_of(i) for i in range(3))
    expression = 2 * a + sympy.exp(b) * c**2 - sympy.pi
    formula = Formula(expressions=(expression,), input_names=tuple(names), output_names=("y",))
    rows = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -3.0]])
    scope = {}
    exec(compile(formula.python(), "formula.py", "exec"), scope)
    np.testing.assert_allclose(scope["formula"](*rows.T), formula(rows)[:, 0], rtol=1e-12)
    # names in backticks, doubled within them, become words of ours; all others are read as they stand
    quoted = list(dict.fromkeys(re.findall(r"`(?:[^`]|``)*`", formula.text())))
    words = {each: f"word{i}" for i, each in enumerate(quoted)}
    text = re.sub(r"`(?:[^`]|``)*`", lambda found: words[found.group()], formula.text())
    read = sympy.parse_expr(text)
    assert len(read.free_symbols) == 3
    shown = [sympy.Dummy(), sympy.Dummy(), sympy.Dummy()]
    pattern = 2 * shown[0] + sympy.exp(shown[1]) * shown[2] ** 2 - sympy.pi
    assert any(
        read == pattern.xreplace(dict(zip(shown, order, strict=True))) for order in permutations(read.free_symbols)
    )


@pytest.mark.parametrize("name", ["class", "None", "numpy", "scipy"])
def test_names_that_no_program_can_have(name):
    formula = Formula(expressions=(sympy.sin(symbol_of(0)),), input_names=("a",), output_names=("y",))
    with pytest.raises(InputError, match="name of a Python"):
        formula.python(name=name)


@pytest.mark.parametrize(("family", "a"), [("x^4", 1e80), ("1/x^4", 1e-100), ("1/x", 1e-320)])
def test_numbers_too_extreme_to_be_rewritten_stay(family, a):
    found = canonical(edge(family, a=a))
    assert (found.a, found.c) == (a, 1.0)


@pytest.mark.parametrize("text", ["foo(u)", "u +", "v * u", "'text'", "[u]", "u > 0"])
def test_a_family_that_is_no_expression(text):
    own = Family(name="own", function=lambda u: u, sympy=text)
    formulas = {(0, 0): EdgeFormula(family=own, a=1, b=0, c=1, d=0)}
    layer = LayerFormula(bias=np.zeros(1), src=1, formulas=formulas, numeric={})
    with pytest.raises(InputError, match="expression of u"):
        composed([layer])


def test_odd_arguments_of_a_formula():
    formula = Formula(expressions=(symbol_of(0),), input_names=("a",), output_names=("y",))
    with pytest.raises(InputError, match="output='a'"):
        formula.text("a")
    with pytest.raises(InputTypeError, match="rows of numbers"):
        formula([["a"]])
