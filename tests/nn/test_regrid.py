"""Another grid, the same functions: exact wherever old and new domain overlap, and the data are on it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.core.errors import InputError
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.regrid import MOST, cells_needed, regrid, wanted_grid

F64 = torch.float64


@settings(max_examples=60, deadline=None)
@given(
    order=st.integers(1, 5), uniform=st.booleans(), outside=st.sampled_from(["base", "linear", "clamp"]),
    lo=st.floats(-5, 0.9), width=st.floats(0.01, 8), seed=st.integers(0, 999), double=st.booleans(),
)  # fmt: skip
@torch.no_grad()
def test_functions_are_kept_inside_the_old_domain(order, uniform, outside, lo, width, seed, double):
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.float64 if double else torch.float32
    layer = KANLayer(
        2, 3, order=order, uniform=uniform, outside=outside, noise=1.0, dtype=dtype, generator=generator
    )  # fmt: skip
    layer(torch.randn(40, 2, generator=generator, dtype=dtype))
    layer.eval()
    ends = layer.domain.detach()
    half = (ends[1] - ends[0]) / 2
    low = ends.mean(0) + lo * half
    high = low + width * half
    cells = cells_needed(layer, low, high)
    new = regrid(layer, low, high, grid=max(5, int((cells[1] - cells[0]).max())))
    slack = 1e-5 * half
    assert bool((new.domain[0] <= low + slack).all())
    assert bool((new.domain[1] >= high - slack).all())
    a, b = torch.maximum(ends[0], new.domain[0]), torch.minimum(ends[1], new.domain[1])
    x = a + torch.linspace(0, 1, 101, dtype=dtype)[:, None] * (b - a).clamp(min=0)
    x = torch.where(a < b, x, low)
    gap = (new.edges(x) - layer.edges(x)).abs().amax((0, 1))[a < b]
    size = float(layer.edges(x).abs().max())
    assert gap.numel() == 0 or float(gap.max()) <= (1e-9 if double else 1e-5) * max(size, 1e-3)


def test_a_fading_spline_on_equal_cells_is_kept_outside_too():
    layer = KANLayer(1, 1, outside="base", domain=(-1, 1), noise=1.0, dtype=torch.float64).eval()
    new = regrid(layer, torch.tensor([-4.0]), torch.tensor([4.0]), grid=20)
    x = torch.linspace(-4, 4, 500, dtype=torch.float64)[:, None]
    assert torch.allclose(new(x), layer(x), atol=1e-10)


def test_a_range_without_finite_ends_is_refused():
    with pytest.raises(InputError, match="finite"):
        regrid(KANLayer(1, 1), torch.tensor([float("nan")]), torch.tensor([1.0]), grid=5)


def layer_of(seed, *, grid=5, order=3, outside="clamp", dtype=F64):
    generator = torch.Generator().manual_seed(seed)
    layer = KANLayer(
        3, 2, grid=grid, order=order, outside=outside, domain=(-1.0, 2.0), noise=1.0, generator=generator, dtype=dtype
    )
    return layer.eval().requires_grad_(False)


@pytest.mark.parametrize("outside", ["base", "linear", "clamp"])
def test_beyond_the_old_domain_the_functions_go_on_as_they_did(outside):
    """Exactly in mode base; the kink of the others is rounded off within as many cells as the order."""
    layer = layer_of(0, outside=outside)
    lo, hi = torch.full((3,), -7.0, dtype=F64), torch.full((3,), 8.0, dtype=F64)
    new = regrid(layer, lo, hi, grid=wanted_grid([layer], [(lo, hi)]))
    cell = 3.0 / 5
    near = torch.linspace(2.0, 2.0 + 3 * cell, 40, dtype=F64)[:, None].expand(-1, 3)
    far = torch.linspace(2.0 + 3 * cell, 7.0, 40, dtype=F64)[:, None].expand(-1, 3)
    torch.testing.assert_close(new.edges(far), layer.edges(far), atol=1e-6, rtol=1e-6)
    rounded = float((new.edges(near) - layer.edges(near)).abs().max())
    assert (rounded < 1e-6) == (outside == "base")


def test_a_sliver_gets_as_many_cells_as_the_grid_had():
    layer = layer_of(0)
    lo, hi = torch.tensor([0.1, 0.1, 0.1], dtype=F64), torch.tensor([0.2, 0.9, 0.1], dtype=F64)
    grid = wanted_grid([layer], [(lo, hi)])
    new = regrid(layer, lo, hi, grid=grid)
    cells = (hi - lo)[:2] / ((new.domain[1] - new.domain[0])[:2] / new.grid)
    assert grid < 36
    assert (cells >= 0.8).all()  # of the grid's own width, in whole cells
    assert new.edges(torch.full((1, 3), 0.1, dtype=F64)).isfinite().all()


def test_what_is_masked_stays_so_and_the_given_layer_is_left_alone():
    layer = layer_of(0)
    layer.set_mask(torch.tensor([[1, 0, 1], [1, 1, 0]]))
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    new = regrid(layer, torch.full((3,), -2.0, dtype=F64), torch.full((3,), 3.0, dtype=F64), grid=12)
    assert torch.equal(new.mask, layer.mask)
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())


def test_data_far_out_are_covered_as_far_as_the_largest_grid_goes():
    layer = layer_of(0)
    lo, hi = torch.full((3,), -1e4, dtype=F64), torch.full((3,), 1e4, dtype=F64)
    assert wanted_grid([layer], [(lo, hi)]) == MOST
    new = regrid(layer, lo, hi, grid=MOST)
    assert (new.domain[0] <= layer.domain[0] + 1e-9).all()
    assert (new.domain[1] >= layer.domain[1] - 1e-9).all()
    assert new.weight.isfinite().all()


def ends(lo, hi, dtype=F64):
    return torch.full((3,), lo, dtype=dtype), torch.full((3,), hi, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("lo", "hi"), [(0.5, 1e19), (-1e30, 1.0), (-1e30, 1e30), (-1e38, 1e9)])
def test_an_outlier_leaves_the_cells_next_to_the_old_domain(lo, hi, dtype):
    layer = layer_of(0, dtype=dtype)
    lo, hi = ends(lo, hi, dtype)
    assert wanted_grid([layer], [(lo, hi)]) == MOST
    first, last = cells_needed(layer, lo, hi)
    assert bool((last - first > MOST).all())
    new = regrid(layer, lo, hi, grid=MOST)
    knots = new.knots.double()
    torch.testing.assert_close(knots.diff(dim=1), torch.full_like(knots[:, 1:], 0.6), atol=1e-4, rtol=0)
    assert (new.domain[0] <= torch.maximum(lo, layer.domain[0]) + 1e-5).all()
    assert (new.domain[1] >= torch.minimum(hi, layer.domain[1]) - 1e-5).all()
    x = torch.linspace(max(-1.0, float(lo[0])), min(2.0, float(hi[0])), 50, dtype=dtype)[:, None].expand(-1, 3)
    torch.testing.assert_close(new.edges(x), layer.edges(x), atol=1e-4, rtol=1e-4)


def test_where_both_sides_are_too_far_the_farthest_cells_go_first():
    layer = layer_of(0)
    new = regrid(layer, *ends(-1e4, 1e4), grid=MOST)
    below, above = layer.domain[0] - new.domain[0], new.domain[1] - layer.domain[1]
    assert ((below - above).abs() < 0.6 + 1e-9).all()
    short = regrid(layer, *ends(-1.0 - 10 * 0.6, 1e4), grid=MOST)
    torch.testing.assert_close(short.domain[0], torch.full((3,), -7.0, dtype=F64))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("lo", "hi"), [(1e19, 2e19), (-3e30, -1e30), (1e30, 1e30), (2e5, 2e5 + 0.2)])
@pytest.mark.parametrize("grid", [5, MOST])
def test_cells_far_away_still_are_cells(lo, hi, dtype, grid):
    """As far as the number type tells them apart."""
    layer = layer_of(0, dtype=dtype)
    lo, hi = ends(lo, hi, dtype)
    assert wanted_grid([layer], [(lo, hi)]) <= MOST
    new = regrid(layer, lo, hi, grid=grid)
    assert (new.knots.diff(dim=1) > 0).all()
    assert new.weight.isfinite().all()
    assert new.edges(torch.zeros(1, 3, dtype=dtype)).isfinite().all()


def test_float32_layers_are_kept_to_a_millionth():
    """As functions, evaluated in float64: the arithmetic of float32 alone is off by more, before and after."""
    changes = []
    for seed in range(200):
        source = torch.Generator().manual_seed(seed)
        low, width = float(torch.randn((), generator=source)), 0.1 + 3 * float(torch.rand((), generator=source))
        outside = ["clamp", "linear", "base"][seed % 3]
        layer = KANLayer(3, 4, noise=1.0, domain=(low, low + width), outside=outside, generator=source).eval()
        start = low + width * (2 * float(torch.rand((), generator=source)) - 1.5)
        stop = start + width * (3 * float(torch.rand((), generator=source)) + 0.05)
        ends = torch.full((3,), start), torch.full((3,), stop)
        new = regrid(layer, *ends, grid=wanted_grid([layer], [ends]))
        first, last = max(low, float(new.domain[0, 0])), min(low + width, float(new.domain[1, 0]))
        x = torch.linspace(first, max(first, last), 300, dtype=torch.float64)[:, None].expand(-1, 3)
        if first < last:
            with torch.no_grad():
                changes.append(float((new.edges(x) - layer.edges(x)).abs().max() / layer.edges(x).abs().max()))
    assert len(changes) > 100
    assert max(changes) < 1e-6
