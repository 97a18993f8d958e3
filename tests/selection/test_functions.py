"""Smooth functions of a column: orthonormal on the data, smoothest first, splines, the same on new rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BSpline

from kaninterp.selection.functions import FUNCTIONS, LEVELS, SmoothFunctions

LAWS = {
    "uniform": lambda rng: rng.uniform(-1, 1, 500),
    "normal": lambda rng: rng.normal(size=500),
    "heavy tails": lambda rng: rng.standard_t(1, size=500),
    "skewed": lambda rng: np.exp(2 * rng.normal(size=500)),
    "huge": lambda rng: 1e12 * (5 + rng.uniform(size=500)),
    "tiny": lambda rng: 1e-12 * rng.normal(size=500),
    "mostly zero": lambda rng: np.where(rng.uniform(size=500) < 0.9, 0.0, rng.normal(size=500)),
    "one outlier": lambda rng: np.append(rng.normal(size=499), 1e9),
    "rounded": lambda rng: np.round(rng.normal(size=500), 1),
}


@pytest.mark.parametrize("law", LAWS)
def test_functions_are_orthonormal_and_centred_on_the_data(law):
    x = LAWS[law](np.random.default_rng(0))
    values = SmoothFunctions.of(x)(x)
    assert 1 <= values.shape[1] <= FUNCTIONS
    np.testing.assert_allclose(values.T @ values / len(x), np.eye(values.shape[1]), atol=1e-6)
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-7)


@pytest.mark.parametrize("law", LAWS)
def test_new_rows_are_evaluated_as_the_rows_they_were_made_from(law):
    x = LAWS[law](np.random.default_rng(1))
    functions = SmoothFunctions.of(x)
    some = np.random.default_rng(2).permutation(len(x))[:37]
    np.testing.assert_allclose(functions(x[some]), functions(x)[some], rtol=0, atol=1e-12)


def test_values_beyond_the_domain_count_as_its_end():
    x = np.random.default_rng(0).normal(size=400)
    functions = SmoothFunctions.of(x)
    far = functions(np.array([functions.lo, -1e300, functions.hi, 1e300]))
    assert (far[0] == far[1]).all()
    assert (far[2] == far[3]).all()


def test_smoothest_first():
    """Roughness as mathematics has it, the integral of the squared second derivative, on a fine grid."""
    x = np.linspace(0, 1, 2001)
    functions = SmoothFunctions.of(x)
    fine = functions(np.linspace(functions.lo, functions.hi, 5001))
    roughness = np.square(np.diff(fine, n=2, axis=0)).sum(0)
    assert (np.diff(roughness) > 0).all()
    turns = (np.diff(np.sign(np.diff(fine, axis=0)), axis=0) != 0).sum(0)
    np.testing.assert_array_equal(turns, np.arange(FUNCTIONS))  # the line has none, every next function one more


def test_every_function_is_a_cubic_spline_on_its_knots():
    x = np.random.default_rng(0).normal(size=800)
    functions = SmoothFunctions.of(x)
    inside = np.clip(x, functions.lo, functions.hi)
    knots = np.concatenate((np.repeat(functions.knots[0], 3), functions.knots, np.repeat(functions.knots[-1], 3)))
    splines = BSpline.design_matrix(inside, knots, 3).toarray()
    values = functions(x)
    fitted = splines @ np.linalg.lstsq(splines, values, rcond=None)[0]
    np.testing.assert_allclose(fitted, values, atol=1e-7)


@pytest.mark.parametrize("curve", [lambda x: x, np.square, lambda x: x**3 - x, np.sin, lambda x: np.cos(3 * x)])
def test_a_smooth_curve_is_a_sum_of_the_functions(curve):
    x = np.random.default_rng(0).uniform(-1, 1, 800)
    functions = SmoothFunctions.of(x)
    values, y = functions(x), curve(np.clip(x, functions.lo, functions.hi))
    y = y - y.mean()
    left = y - values @ (values.T @ y) / len(x)
    assert left @ left < 2e-3 * (y @ y)


def test_a_constant_column_has_no_function():
    functions = SmoothFunctions.of(np.full(50, 3.0))
    assert functions(np.array([3.0, 4.0])).shape == (2, 0)


def test_a_binary_column_is_itself_standardised():
    x = (np.random.default_rng(0).uniform(size=200) < 0.3) * 7.0
    values = SmoothFunctions.of(x)(x)
    assert values.shape == (200, 1)
    np.testing.assert_allclose(np.abs(values[:, 0]), np.abs(x - x.mean()) / x.std(), atol=1e-10)


@pytest.mark.parametrize("levels", range(2, LEVELS + 1))
def test_few_levels_any_function_of_the_levels_can_be_made(levels):
    rng = np.random.default_rng(levels)
    x = rng.integers(0, levels, size=400) ** 1.5
    values = SmoothFunctions.of(x)(x)
    assert values.shape[1] == min(levels - 1, FUNCTIONS)
    if levels - 1 <= FUNCTIONS:
        y = rng.normal(size=levels)[np.unique(x, return_inverse=True)[1]]
        y = y - y.mean()
        np.testing.assert_allclose(values @ (values.T @ y) / len(x), y, atol=1e-8)


@pytest.mark.parametrize(("scale", "shift"), [(3.0, -2.0), (-2.0, 3.0), (1e9, 1e9), (-1e-9, 0.0)])
@pytest.mark.parametrize("levels", [None, 4])
def test_rescaling_a_column_changes_nothing_but_signs(scale, shift, levels):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 500) if levels is None else rng.integers(0, levels, 500).astype(float)
    moved = scale * x + shift
    one, two = SmoothFunctions.of(x)(x), SmoothFunctions.of(moved)(moved)
    np.testing.assert_allclose(np.abs((one * two).mean(0)), 1, atol=1e-5)
