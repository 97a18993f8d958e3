"""Bases of other libraries against scipy, numpy and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from kaninterp.adapters import as_view
from kaninterp.adapters.cheby import chebyshev_knots
from kaninterp.adapters.splines import bump_planes, knot_planes, power_planes
from tests.adapters.layers_cheby import ChebyKANLayer
from tests.adapters.peers import kanditioned

seeds = st.integers(100, 10_000)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, order=st.integers(1, 5), cells=st.integers(1, 8))
def test_splines_are_those_of_scipy_on_any_knots(seed, order, cells):
    rng = np.random.default_rng(seed)
    knots = np.cumsum(rng.uniform(0.1, 1.0, (2, cells + 2 * order + 1)), axis=1)
    x = rng.uniform(knots.min() - 1, knots.max() + 1, (20, 2))
    found = knot_planes(torch.tensor(x), torch.tensor(knots), order).numpy()
    for src in range(2):
        for m in range(cells + order):
            element = BSpline.basis_element(knots[src, m : m + order + 2], extrapolate=False)
            np.testing.assert_allclose(found[:, m, src], np.nan_to_num(element(x[:, src])), atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, cells=st.integers(1, 9))
def test_three_ways_to_uniform_cubic_splines_agree(seed, cells):
    rng = np.random.default_rng(seed)
    start, step = rng.normal(), rng.uniform(0.1, 2.0)
    knots = torch.tensor(start + step * np.arange(cells + 7))[None]
    x = torch.tensor(rng.uniform(start - step, start + step * (cells + 7), (30, 1)))
    expected = knot_planes(x, knots, 3)
    found = bump_planes(x, knots[0, 0], 1 / step, cells + 3)
    torch.testing.assert_close(found, expected, atol=1e-11, rtol=0)
    found = power_planes(x, knots[0, : cells + 3], 1 / step)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)  # it writes 1/6 in eight digits


@settings(deadline=None, max_examples=40)
@given(seed=seeds, degree=st.integers(0, 9))
def test_chebyshev_polynomials_and_their_knots(seed, degree):
    t = np.random.default_rng(seed).uniform(-1, 1, (20, 2))
    layer = as_view(ChebyKANLayer(2, 1, degree).double()).layers[0]
    expected = np.polynomial.chebyshev.chebvander(t, degree).transpose(0, 2, 1)
    np.testing.assert_allclose(layer.planes(torch.atanh(torch.tensor(t))).numpy(), expected, atol=1e-12)
    knots = chebyshev_knots(degree).numpy()
    zeros = np.polynomial.chebyshev.chebroots([0] * (max(degree, 1) + 1) + [1])
    np.testing.assert_allclose(np.tanh(knots), zeros, atol=1e-12)
    np.testing.assert_array_equal(layer.knots[0], knots)


@pytest.mark.parametrize("degree", [1, 3, 8])
def test_beyond_the_zones_a_chebyshev_edge_is_flat(degree):
    module = ChebyKANLayer(1, 1, degree).double()
    layer = as_view(module).layers[0]
    cell = float(layer.knots[0, -1] - layer.knots[0, 0]) / degree
    end = float(layer.knots[0, -1]) + layer.order * cell
    last = layer.planes(torch.tensor([[end], [50.0]], dtype=torch.float64))[:, degree, 0]
    assert abs(float(last[0] - last[1])) < 0.02  # a hundredth of the range of a polynomial


def test_polygons_go_through_their_control_points_and_straight_on():
    torch.manual_seed(0)
    layer = as_view(kanditioned([2, 1]).double()).layers[0]
    knots, values = layer.knots[0], layer.coefficients().numpy()
    x = np.linspace(-5, 5, 41)
    edges = layer.edges(torch.tensor(np.stack([x, x], 1))).detach().numpy()
    inside = np.abs(x) <= knots[-1]
    assert inside.any()
    assert not inside.all()
    for src in range(2):
        np.testing.assert_allclose(edges[inside, 0, src], np.interp(x[inside], knots, values[0, :, src]), atol=1e-12)
        slope = (values[0, -1, src] - values[0, -2, src]) / (knots[-1] - knots[-2])
        np.testing.assert_allclose(edges[-1, 0, src], values[0, -1, src] + slope * (5 - knots[-1]), atol=1e-12)
