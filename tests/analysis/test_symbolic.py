"""Formulas of edges: known functions come back by name and with their numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from kaninterp.analysis import fit_edges
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
