"""Grids moved in whole cells: nothing moves inside the old domain, and the data are on the new one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.core.errors import InputError
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.regrid import GRIDS, regrid, wanted_grid

F64 = torch.float64


def layer_of(seed, *, grid=5, order=3, outside="clamp", dtype=F64):
    generator = torch.Generator().manual_seed(seed)
    layer = KANLayer(
        3, 2, grid=grid, order=order, outside=outside, domain=(-1.0, 2.0), noise=1.0, generator=generator, dtype=dtype
    )
    return layer.eval().requires_grad_(False)


def inside(*layers, points=200):
    low = torch.stack([layer.domain[0].double() for layer in layers]).amax(0)
    high = torch.stack([layer.domain[1].double() for layer in layers]).amin(0)
    return low + (high - low).clamp_min(0) * torch.linspace(0, 1, points, dtype=F64)[:, None]


@given(
    seed=st.integers(0, 2**16),
    grid=st.integers(1, 9),
    order=st.integers(1, 5),
    outside=st.sampled_from(["base", "linear", "clamp"]),
    low=st.floats(-6, 1.9),
    width=st.floats(1e-3, 7),
)
@settings(max_examples=60, deadline=None)
def test_functions_stay_where_the_domains_overlap(seed, grid, order, outside, low, width):
    layer = layer_of(seed, grid=grid, order=order, outside=outside)
    lo = torch.tensor([low, -1.0, 0.3], dtype=F64)
    hi = lo + torch.tensor([width, 3.0, 0.01], dtype=F64)
    new = regrid(layer, lo, hi, wanted_grid([layer], [(lo, hi)]))
    x = inside(layer, new)
    shared = (new.domain[0] <= layer.domain[1]) & (layer.domain[0] <= new.domain[1])
    gap = ((new.edges(x) - layer.edges(x)).abs() * shared).max()
    assert float(gap) <= 1e-6 * max(float(layer.edges(x).abs().max()), 1.0)
    torch.testing.assert_close(new.base_weight, layer.base_weight)
    if new.grid < GRIDS[-1]:
        assert (new.domain[0] <= lo + 1e-9).all()
        assert (new.domain[1] >= hi - 1e-9).all()


@pytest.mark.parametrize("outside", ["base", "linear", "clamp"])
def test_beyond_the_old_domain_the_functions_go_on_as_they_did(outside):
    """Exactly in mode base; the kink of the others is rounded off within as many cells as the order."""
    layer = layer_of(0, outside=outside)
    lo, hi = torch.full((3,), -7.0, dtype=F64), torch.full((3,), 8.0, dtype=F64)
    new = regrid(layer, lo, hi, wanted_grid([layer], [(lo, hi)]))
    cell = 3.0 / 5
    near = torch.linspace(2.0, 2.0 + 3 * cell, 40, dtype=F64)[:, None].expand(-1, 3)
    far = torch.linspace(2.0 + 3 * cell, 7.0, 40, dtype=F64)[:, None].expand(-1, 3)
    torch.testing.assert_close(new.edges(far), layer.edges(far), atol=1e-6, rtol=1e-6)
    rounded = float((new.edges(near) - layer.edges(near)).abs().max())
    assert (rounded < 1e-6) == (outside == "base")


def test_float32_stays_to_a_millionth():
    layer = layer_of(0, dtype=torch.float32)
    lo, hi = torch.tensor([-3.0, -1.0, 0.0]), torch.tensor([5.0, 2.0, 0.1])
    new = regrid(layer, lo, hi, wanted_grid([layer], [(lo, hi)]))
    x = inside(layer, new).float()
    assert float((new.edges(x) - layer.edges(x)).abs().max()) < 3e-6 * float(layer.edges(x).abs().max())


def test_a_sliver_gets_as_many_cells_as_the_grid_had():
    layer = layer_of(0)
    lo, hi = torch.tensor([0.1, 0.1, 0.1], dtype=F64), torch.tensor([0.2, 0.9, 0.1], dtype=F64)
    grid = wanted_grid([layer], [(lo, hi)])
    new = regrid(layer, lo, hi, grid)
    cells = (hi - lo)[:2] / ((new.domain[1] - new.domain[0])[:2] / new.grid)
    assert grid <= 36
    assert (cells >= 0.8).all()
    assert new.edges(torch.full((1, 3), 0.1, dtype=F64)).isfinite().all()


def test_what_is_masked_stays_so_and_the_given_layer_is_left_alone():
    layer = layer_of(0)
    layer.set_mask(torch.tensor([[1, 0, 1], [1, 1, 0]]))
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    new = regrid(layer, torch.full((3,), -2.0, dtype=F64), torch.full((3,), 3.0, dtype=F64), 12)
    assert torch.equal(new.mask, layer.mask)
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())


def test_free_knots_are_refused():
    layer = KANLayer(1, 1, uniform=False, domain=(-1, 1))
    with pytest.raises(InputError, match="free knots"):
        regrid(layer, torch.zeros(1), torch.ones(1), 12)
