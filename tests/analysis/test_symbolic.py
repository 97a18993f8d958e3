"""Formulas of edges: known functions come back by name and with their numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from kaninterp.analysis import fit_edges, suggest
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.core.families import FAMILIES, Family
from tests.known_edges import trace_of

PLANTED = [  # name, function, range, and a, b, c, d of its formula
    ("x", lambda x: 2 * x + 1, (-1, 1), (1, 0, 2, 1)),
    ("x^2", lambda x: x**2, (-1, 1), (1, 0, 1, 0)),
    ("x^2", lambda x: 3 * (x - 0.3) ** 2 - 1, (-1, 1), (1, -0.3, 3, -1)),
    ("x^3", lambda x: x**3, (-1, 1), (1, 0, 1, 0)),
    ("x^4", lambda x: x**4, (-1, 1), (1, 0, 1, 0)),
    ("x^5", lambda x: -(x**5), (-1, 1), (1, 0, -1, 0)),
    ("sin", lambda x: np.sin(np.pi * x), (-1, 1), (np.pi, 0, 1, 0)),
    ("sin", lambda x: np.sin(3 * x + 0.7), (-1, 1), (3, 0.7, 1, 0)),
    ("cos", lambda x: np.cos(3 * x), (-1, 1), (3, 0, 1, 0)),
    ("exp", np.exp, (-1, 1), (1, 0, 1, 0)),
    ("exp", lambda x: np.exp(-2.5 * x), (-1, 2), (-2.5, 0, 1, 0)),
    ("log", np.log, (0.2, 5), (1, 0, 1, 0)),
    ("sqrt", np.sqrt, (0.01, 4), (1, 0, 1, 0)),
    ("tanh", lambda x: np.tanh(2 * x), (-2, 2), (2, 0, 1, 0)),
    ("tanh", lambda x: np.tanh(3 * x - 1), (-1, 1), (3, -1, 1, 0)),
    ("abs", np.abs, (-1, 1), (1, 0, 1, 0)),
    ("1/x", lambda x: 1 / x, (0.3, 3), (1, 0, 1, 0)),
    ("1/x^2", lambda x: x**-2.0, (0.5, 3), (1, 0, 1, 0)),
    ("1/sqrt(x)", lambda x: x**-0.5, (0.1, 3), (1, 0, 1, 0)),
    ("x^1.5", lambda x: x**1.5, (0.05, 2), (1, 0, 1, 0)),
    ("gaussian", lambda x: np.exp(-3 * (x - 0.2) ** 2), (-1, 1), (3**0.5, -0.2 * 3**0.5, 1, 0)),
    ("arcsin", np.arcsin, (-0.95, 0.95), (1, 0, 1, 0)),
    ("arctan", lambda x: np.arctan(4 * x), (-1, 1), (4, 0, 1, 0)),
    ("tan", np.tan, (-1.3, 1.3), (1, 0, 1, 0)),
    ("J0", lambda x: special.j0(20 * x), (-1, 1), (20, 0, 1, 0)),
    ("sin", lambda x: np.sin(25 * x), (-1, 1), (25, 0, 1, 0)),
]


def known(planted):
    return [(function, *ends) for _, function, ends, _ in planted]


@pytest.fixture(scope="module")
def fine():
    return trace_of(known(PLANTED), grid=40)


def test_known_functions_come_back_with_their_numbers(fine):
    fits = fit_edges(fine.layers[0])
    assert [fit.name for fit in fits] == [name for name, *_ in PLANTED]
    for fit, (name, *_, numbers) in zip(fits, PLANTED, strict=True):
        assert fit.good, fit
        assert fit.r2 > 0.9999
        found = fit.formula.a, fit.formula.b, fit.formula.c, fit.formula.d
        np.testing.assert_allclose(found, numbers, atol=0.01, rtol=0.01, err_msg=name)


PLAIN = ["x", "x^2", "x^3", "sin", "exp", "log", "tanh", "abs", "1/x", "gaussian", "tan"]


@pytest.mark.parametrize("seed", range(5))
def test_names_stand_noise(seed):
    """Splines fitted to values with noise: a twentieth of the spread of most of these functions, and more."""
    chosen = [next(one for one in PLANTED if one[0] == name) for name in PLAIN]
    trace = trace_of(known(chosen), grid=10, noise=0.05, seed=seed)
    fits = fit_edges(trace.layers[0])
    right = [fit.name == name for fit, name in zip(fits, PLAIN, strict=True)]
    assert sum(right) >= len(PLAIN) - 1, [fit.name for fit in fits]
    assert all(fit.good for fit in fits)


def test_a_curve_that_is_no_family_stays_a_spline():
    trace = trace_of([(lambda x: np.sin(3 * x) + np.abs(x - 0.3) + x**2 * np.cos(9 * x), -1, 1)], grid=20)
    [fit] = fit_edges(trace.layers[0])
    assert not fit.good
    assert fit.why.startswith("keep the spline: R2")


def test_wild_curves_are_alive():
    """Noise is no family, but it is not nothing either."""
    rng = np.random.default_rng(0)
    trace = trace_of([(lambda x: rng.normal(size=x.shape), -1, 1)] * 5, grid=20)
    fits = fit_edges(trace.layers[0])
    assert all(fit.name != "0" and not fit.good for fit in fits)
    assert all(fit.name != "0" for fit in suggest(trace, 0, 0, 0, top=20))


def test_fit_edges_gives_the_first_suggestion(fine):
    fits = fit_edges(fine.layers[0], edges=[(0, 7), (0, 2)])
    for fit in fits:
        first, *others = suggest(fine, 0, 0, fit.src, top=4)
        assert (first.name, first.r2, first.bits) == (fit.name, fit.r2, fit.bits)
        assert len(others) == 3
        assert (np.diff([fit.bits, *(one.bits for one in others)]) > -1e-3).all()
    assert [fit.src for fit in fits] == [7, 2]


def test_same_trace_same_fits(fine):
    one, two = (suggest(fine, 0, 0, 9, top=30) for _ in range(2))
    assert [(fit.formula.a, fit.formula.b, fit.formula.c, fit.bits) for fit in one] == [
        (fit.formula.a, fit.formula.b, fit.formula.c, fit.bits) for fit in two
    ]


def test_fits_are_the_same_alone_and_among_others(fine):
    every = fit_edges(fine.layers[0])
    [alone] = fit_edges(fine.layers[0], edges=[(0, 20)])
    assert alone.name == every[20].name
    assert alone.r2 == pytest.approx(every[20].r2, abs=1e-9)


def test_a_formula_that_can_stand_for_the_edge_goes_before_a_shorter_one():
    """A bow on a grid of one interval: its spline has four numbers, a line two, exp three."""
    bowed = trace_of([(lambda x: x + 0.25 * x**2, -1, 1)], grid=1).layers[0]
    [by_bits] = fit_edges(bowed, families=["x", "exp", "sin"], least_r2=None)
    [good] = fit_edges(bowed, families=["x", "exp", "sin"])
    [close] = fit_edges(bowed, families=["x", "sin"])
    [closest] = fit_edges(bowed, families=["x", "exp", "sin"], least_r2=0.99995)
    assert (by_bits.name, good.name, close.name, closest.name) == ("x", "exp", "sin", "sin")
    assert by_bits.bits < good.bits < closest.bits
    assert by_bits.r2 < 0.99 < good.r2 < 0.99995 < closest.r2


def test_a_family_of_ones_own():
    softplus = Family(name="softplus", function=lambda u: np.logaddexp(u, 0), sympy="log(1 + exp(u))", complexity=3)
    trace = trace_of([(lambda x: np.logaddexp(0, 4 * x - 1), -1, 1)], grid=20)
    [fit] = fit_edges(trace.layers[0], families=[*FAMILIES, softplus])
    assert fit.name == "softplus"
    np.testing.assert_allclose([fit.formula.a, fit.formula.b, fit.formula.c], [4, -1, 1], atol=0.02)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"families": ["sine"]}, InputError, "no 'sine'"),
        ({"families": "sin"}, InputTypeError, "give a list"),
        ({"families": [3]}, InputTypeError, "neither a name nor a Family"),
        ({"edges": [(0, 99)]}, InputError, r"no edge \(0, 99\)"),
        ({"edges": [(-1, 0)]}, InputError, "no edge"),
        ({"edges": [(0.5, 0)]}, InputTypeError, "dst: expected a whole number"),
        ({"edges": (0, 1)}, InputTypeError, "pairs"),
        ({"edges": 3}, InputTypeError, "pairs"),
        ({"least_r2": 2}, InputError, "from 0 to 1"),
        ({"least_r2": "high"}, InputTypeError, "from 0 to 1"),
    ],
)
def test_bad_input(fine, arguments, error, match):
    with pytest.raises(error, match=match):
        fit_edges(fine.layers[0], **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"layer": 1}, InputError, "layer: there is no 1"),
        ({"layer": "first"}, InputTypeError, "layer"),
        ({"dst": 1}, InputError, "no edge"),
        ({"src": None}, InputTypeError, "src"),
        ({"top": 0}, InputError, "top"),
    ],
)
def test_bad_suggestions(fine, arguments, error, match):
    with pytest.raises(error, match=match):
        suggest(fine, **{"layer": 0, "dst": 0, "src": 0} | arguments)
