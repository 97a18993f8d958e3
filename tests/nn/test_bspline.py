"""B-splines, knots and fits against scipy and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from kaninterp.nn.bspline import (
    UNIFORM_END_SLOPES,
    end_slopes,
    knot_basis,
    knot_slope,
    uniform_basis,
    uniform_slope,
)
from kaninterp.nn.domain import (
    QUANTILE_SHARE,
    extend_knots,
    greville,
    interpolate_knots,
    quantile_knots,
    rescale_knots,
    uniform_knots,
    widen,
)
from kaninterp.nn.projection import fit_operator, quadrature, transfer_operator

ORDERS = range(1, 6)
F64 = torch.float64


def uneven(n_in=3, grid=4, seed=0):
    widths = torch.rand(n_in, grid, dtype=F64, generator=torch.Generator().manual_seed(seed)) + 0.2
    return torch.cat((torch.zeros(n_in, 1, dtype=F64), widths.cumsum(1)), dim=1) - 1.3


def scipy_basis(x, knots, order, nu=0):
    """(n, K, in) by scipy, on the same extended knots, 0 outside them."""
    full = extend_knots(knots, order).numpy()
    count = full.shape[1] - order - 1
    out = np.zeros((len(x), count, len(full)))
    for i, t in enumerate(full):
        for m in range(count):
            element = BSpline.basis_element(t[m : m + order + 2], extrapolate=False)
            out[:, m, i] = np.nan_to_num(element(x[:, i], nu=nu))
    return out


def everywhere(knots, order, n=301):
    """Points over domain, fringe and a little beyond; away from knots by construction of the step."""
    lo, hi = knots[:, 0], knots[:, -1]
    reach = (order + 0.5) * (hi - lo) / (knots.shape[1] - 1)
    return torch.lerp(lo - reach, hi + reach, torch.linspace(0.0013, 0.9987, n, dtype=F64).unsqueeze(1))


@pytest.mark.parametrize("order", ORDERS)
def test_de_boor_equals_scipy_inside_and_in_the_fringe(order):
    knots = uneven()
    x = everywhere(knots, order)
    np.testing.assert_allclose(knot_basis(x, knots, order), scipy_basis(x.numpy(), knots, order), atol=1e-13)


@pytest.mark.parametrize("order", ORDERS)
def test_slopes_equal_scipy(order):
    knots = uneven()
    x = everywhere(knots, order)
    np.testing.assert_allclose(knot_slope(x, knots, order), scipy_basis(x.numpy(), knots, order, nu=1), atol=1e-11)


@pytest.mark.parametrize("order", ORDERS)
def test_closed_form_equals_scipy_inside_and_in_the_fringe(order):
    knots = uniform_knots(torch.tensor([-2.0, 3.0], dtype=F64), torch.tensor([1.0, 3.5], dtype=F64), 5)
    x = everywhere(knots, order)
    per_unit = 5 / (knots[:, -1] - knots[:, 0])
    u = (x - knots[:, 0]) * per_unit
    np.testing.assert_allclose(uniform_basis(u, 5, order), scipy_basis(x.numpy(), knots, order), atol=1e-13)
    slopes = uniform_slope(u, 5, order) * per_unit
    np.testing.assert_allclose(slopes, scipy_basis(x.numpy(), knots, order, nu=1), atol=1e-10)


@pytest.mark.parametrize("order", ORDERS)
def test_closed_form_is_exact_in_float32_too(order):
    u = torch.linspace(-6, 30, 5001, dtype=F64).unsqueeze(1)
    error = uniform_basis(u.float(), 24, order) - uniform_basis(u.float().double(), 24, order)
    assert error.abs().max() < 1e-6


@pytest.mark.parametrize("order", ORDERS)
def test_end_slopes_are_those_from_inside(order):
    knots = uneven()
    for end, slopes, direction in zip((knots[:, 0], knots[:, -1]), end_slopes(knots, order), (1, -1), strict=True):
        step = 1e-6 * direction
        points = torch.stack((end, end + step))
        values = knot_basis(points, knots, order)
        np.testing.assert_allclose(slopes, (values[1] - values[0]) / step, atol=1e-4)


@pytest.mark.parametrize("order", ORDERS)
def test_uniform_end_slopes_agree_with_the_general_ones(order):
    knots = uniform_knots(torch.zeros(1, dtype=F64), torch.full((1,), 6.0, dtype=F64), 6)
    left, right = end_slopes(knots, order)[:, :, 0]
    padded = torch.zeros(6 + order, dtype=F64)
    padded[: order + 1] = torch.tensor(UNIFORM_END_SLOPES[order], dtype=F64)
    torch.testing.assert_close(left, padded, atol=1e-12, rtol=0)
    torch.testing.assert_close(right, -padded.flip(0), atol=1e-12, rtol=0)


def test_quadrature_integrates_polynomials_per_input():
    knots = uneven()
    points, weights = quadrature(knots, 4)
    torch.testing.assert_close(weights.sum(0), torch.ones(3, dtype=F64))
    lo, hi = knots[:, 0], knots[:, -1]
    exact = (hi**8 - lo**8) / (8 * (hi - lo))
    torch.testing.assert_close((weights * points**7).sum(0), exact)


@pytest.mark.parametrize("order", ORDERS)
def test_fit_returns_polynomials_and_splines_unchanged(order):
    knots = uneven()
    points, operator = fit_operator(knots, order)
    coefficients = torch.einsum("imq,qi->mi", operator, points**order)
    x = torch.lerp(knots[:, 0], knots[:, -1], torch.rand(50, 1, dtype=F64))
    fitted = (knot_basis(x, knots, order) * coefficients).sum(1)
    torch.testing.assert_close(fitted, x**order, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("outside", ["base", "linear", "clamp"])
@pytest.mark.parametrize("order", ORDERS)
def test_transfer_to_nested_knots_is_exact(order, outside):
    old = uneven()
    new = interpolate_knots(old, 12)
    operator = transfer_operator(old, new, order, outside)
    x = torch.lerp(old[:, 0], old[:, -1], torch.rand(80, 1, dtype=F64))
    moved = torch.einsum("nmi,imk->nki", knot_basis(x, new, order), operator)
    torch.testing.assert_close(moved, knot_basis(x, old, order), atol=1e-10, rtol=0)


def test_interpolated_knots_contain_the_old_ones():
    knots = uneven()
    np.testing.assert_array_equal(interpolate_knots(knots, 12)[:, ::3], knots)


def test_greville_points_carry_straight_lines():
    knots = uneven()
    x = torch.lerp(knots[:, 0], knots[:, -1], torch.rand(20, 1, dtype=F64))
    line = (knot_basis(x, knots, 3) * (2 * greville(knots, 3).t() - 1)).sum(1)
    torch.testing.assert_close(line, 2 * x - 1)


@pytest.mark.parametrize(
    ("lo", "hi"),
    [(0.0, 0.0), (7.0, 7.0), (-1e8, -1e8), (1e-45, 1e-45), (0.0, 1e-40), (1e6, 1e6 + 0.0625), (-1e38, 1e38)],
)
def test_widened_domains_are_usable_in_float32(lo, hi):
    low, high = widen(torch.tensor([lo]), torch.tensor([hi]), margin=0.0)
    knots = uniform_knots(low, high, 20)
    assert knots.isfinite().all()
    assert (knots.diff(dim=1) > 0).all()
    assert low <= lo
    assert high >= hi
    assert (20 / (high - low)).isfinite().all()


def test_small_units_are_not_taken_for_constant():
    lo, hi = widen(torch.tensor([0.0]), torch.tensor([1e-12]), margin=0.0)
    torch.testing.assert_close(hi - lo, torch.tensor([1e-12]))


def test_quantile_knots_survive_ties():
    x = torch.zeros(100, 2)
    x[:, 1] = torch.linspace(0, 1, 100) ** 3
    knots = quantile_knots(x, torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 1.0]), 8)
    least = (1 - QUANTILE_SHARE) * torch.tensor([2.0, 1.0]) / 8
    assert (knots.diff(dim=1) >= least.unsqueeze(1) * 0.999).all()
    assert knots[1, 4] < 0.5, "knots follow the data"


def test_rescaled_knots_keep_ratios():
    knots = uneven()
    moved = rescale_knots(knots, torch.zeros(3, dtype=F64), torch.ones(3, dtype=F64))
    torch.testing.assert_close(moved.diff(dim=1), knots.diff(dim=1) / (knots[:, -1:] - knots[:, :1]))
