"""The table of families: values, slopes, domains, and sympy's expression agree."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from scipy import special

from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.core.families import FAMILIES, Family, families_of

POINTS = np.array([0.11, 0.37, 0.52, 0.83])


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_sympy_and_numpy_are_one_function(family):
    u = sympy.Symbol("u", positive=True)  # as the points are: sympy has no slope of Abs otherwise
    expression = sympy.sympify(family.sympy, {"u": u})
    values = [float(expression.subs(u, point)) for point in POINTS]
    np.testing.assert_allclose(family.function(POINTS), values, rtol=1e-12)
    slopes = [float(sympy.diff(expression, u).subs(u, point).evalf()) for point in POINTS]
    np.testing.assert_allclose(family.derivative(POINTS), slopes, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_where_it_is_said_to_be_defined_it_is_finite(family):
    ends = np.sort(np.random.default_rng(0).uniform(-4, 4, (500, 2)), axis=1)
    inside = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * np.linspace(0, 1, 101)
    said = family.defined(*ends.T)
    with np.errstate(all="ignore"):
        values = family.function(inside)
        assert np.isfinite(values[said]).all()
        assert np.isfinite(family.derivative(inside)[said]).all()
    assert said.any()


def test_poles_are_not_inside():
    for name, low, high in [("1/x", -1, 1), ("tan", 1, 2), ("log", 0, 1), ("arctanh", 0.5, 1), ("exp", 0, 1e3)]:
        assert not FAMILIES[name].defined(np.array(float(low)), np.array(float(high)))


def test_bessel_function_is_scipys():
    u = np.linspace(-60, 60, 400)
    np.testing.assert_allclose(FAMILIES["J0"].function(u), special.j0(u), atol=1e-14)
    np.testing.assert_allclose(FAMILIES["J0"].derivative(u), -special.j1(u), atol=1e-14)


def test_a_family_of_ones_own():
    own = Family(name="softplus", function=lambda u: np.logaddexp(u, 0), sympy="log(1 + exp(u))")
    np.testing.assert_allclose(own.derivative(POINTS), 1 / (1 + np.exp(-POINTS)), rtol=1e-9)
    assert families_of(["x", own]) == (FAMILIES["x"], own)


@pytest.mark.parametrize("which", [["sine"], [], ["x", "x"]])
def test_unknown_families(which):
    with pytest.raises(InputError, match="families"):
        families_of(which)


@pytest.mark.parametrize("which", ["sin", [3]])
def test_wrong_kinds(which):
    with pytest.raises(InputTypeError, match="families"):
        families_of(which)
    with pytest.raises(InputTypeError, match="function"):
        Family(name="f", function=3, sympy="u")


def test_edge_formula():
    formula = EdgeFormula(family=FAMILIES["log"], a=-1, b=2, c=3, d=1)
    np.testing.assert_allclose(formula(np.array([0.0, 1.0])), [3 * np.log(2) + 1, 1])
    assert np.isnan(formula(np.array([3.0])))
    assert formula.defined(np.array([-5.0, -5.0]), np.array([1.9, 2.1])).tolist() == [True, False]
    with pytest.raises(InputError, match="finite"):
        EdgeFormula(family=FAMILIES["log"], a=np.nan, b=2, c=3, d=1)
