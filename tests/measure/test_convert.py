"""`from_kan`: the same functions where a head can hold them, a measured error where not."""

from __future__ import annotations

import contextlib
import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.core import InputError, ModelError
from kaninterp.measure import conversion_error
from kaninterp.measure.conversion_reach import graded
from tests.adapters.layers_efficient import KAN, KANLinear
from tests.adapters.peers import PEERS, pykan

EXACT = ("pykan", "efficient-kan", "efficient-kan, unscaled", "inkan", "flashkan", "kanditioned")
FITTED = tuple(name for name in PEERS if name not in EXACT)


def made(name):
    torch.manual_seed(0)
    return PEERS[name]((3, 4, 2))


@pytest.mark.parametrize("name", EXACT)
def test_splines_are_carried_over_exactly_inside_the_domain_and_beyond(name):
    kan = made(name).double()
    head = ki.from_kan(kan)
    x = torch.randn(500, 3, dtype=torch.float64) * 1.5
    torch.testing.assert_close(head(x), kan(x), atol=2e-6, rtol=2e-6)  # grids were built in float32
    assert conversion_error(kan, head, rows=x) < 1e-5
    assert conversion_error(made(name), ki.from_kan(made(name))) < 1e-3
    assert not head.training


@pytest.mark.parametrize("name", FITTED)
def test_other_functions_are_fitted_within_the_tolerance(name):
    kan = made(name)
    head = ki.from_kan(kan)
    assert 0 < conversion_error(kan, head) <= 1e-3
    with pytest.raises(ModelError, match=r"off by .*tolerance=1e-12; most at input .*(grid=|model.double)"):
        ki.from_kan(kan, tolerance=1e-12)


def test_a_finer_grid_is_nearer():
    kan = made("ChebyKAN")
    errors = [conversion_error(kan, ki.from_kan(kan, grid=grid, tolerance=10.0)) for grid in (8, 16, 32)]
    assert errors[0] > errors[1] > errors[2]


def test_masks_columns_and_bits_are_kept():
    model = pykan([3, 4, 1])
    with torch.no_grad():
        model.act_fun[0].mask[1, 2] = 0.0
    model.input_id = torch.tensor([0, 2, 4])
    before = copy.deepcopy(model.state_dict())
    head = ki.from_kan(model)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not head.kan_layers[0].mask[2, 1]
    assert int(head.kan_layers[0].mask.sum()) == 11
    assert head.select == (0, 2, 4)
    x = torch.randn(50, 5)
    torch.testing.assert_close(head(x), model(x), atol=2e-5, rtol=2e-5)


def test_knots_at_quantiles_are_kept():
    model, x = pykan([2, 3, 1]), torch.randn(500, 2).clamp(-2, 2)
    with contextlib.redirect_stdout(io.StringIO()):
        model.update_grid_from_samples(x)
    head = ki.from_kan(model)
    assert not head.options["uniform"]
    knots = model.act_fun[0].grid[:, 3:-3].detach().numpy()
    np.testing.assert_allclose(head.kan_layers[0].knots.numpy(), knots, atol=1e-6)
    assert conversion_error(model, head) < 1e-4


def test_inside_a_host_and_one_of_several():
    host = nn.ModuleDict({"left": KANLinear(2, 1), "right": KAN([2, 2, 1])})
    head = ki.from_kan(host, path="right")
    assert conversion_error(host, head, path="right") < 1e-4
    assert head.widths == (2, 2, 1)


def test_a_converted_head_can_be_pruned():
    kan, x = made("efficient-kan"), torch.randn(100, 3)
    head = ki.from_kan(kan)
    plan = ki.analyze(ki.trace(head, x, progress=False)).plan
    assert ki.prune(head, plan)[0] is not head


def other_base(widths, act):
    torch.manual_seed(0)
    kan = KAN(widths)
    for layer in kan.layers:
        layer.base_activation = act()
    return kan


def uniform_rows(scale, seed=0):
    return (torch.rand(300, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * scale


@pytest.mark.parametrize("act", [nn.GELU, nn.Tanh])
@pytest.mark.parametrize("widths", [[3, 1], [3, 4, 2]])
@pytest.mark.parametrize("scale", [1.0, 3.0, 100.0])
def test_knots_reach_to_the_rows(act, widths, scale):
    """A base branch that a head has not is fitted, also where the rows left the domain [-1, 1]."""
    kan, rows = other_base(widths, act), uniform_rows(scale)
    head = ki.from_kan(kan, rows=rows)
    assert conversion_error(kan, head, rows=rows) <= 1e-3
    between = uniform_rows(scale, seed=1)  # other rows, some a little beyond
    assert conversion_error(kan, head, rows=between) < 3e-3
    low, high = head.layers[0].domain
    assert bool((low <= rows.amin(0) + 1e-4 * scale).all())
    assert bool((high >= rows.amax(0) - 1e-4 * scale).all())
    assert head.options["uniform"] is (scale < 100)
    assert head.options["grid"] < 700


def test_columns_out_of_order_reach_as_far_as_their_own_rows():
    kan = other_base([3, 2], nn.GELU)
    model = pykan([3, 2])
    model.input_id = torch.tensor([4, 0, 2])
    with torch.no_grad():
        for edge in (0, 1):
            model.symbolic_fun[0].mask[edge, 0] = 1.0
        model.act_fun[0].base_fun = nn.GELU()
    rows = uniform_rows(1.0).repeat(1, 2)[:, :5] * torch.tensor([4.0, 1.0, 2.0, 1.0, 8.0])
    head = ki.from_kan(model, rows=rows)
    assert conversion_error(model, head, rows=rows) <= 1e-3
    torch.testing.assert_close(head(rows), model(rows), atol=5e-3, rtol=5e-3)
    rows = uniform_rows(1.0) * torch.tensor([1.0, 4.0, 60.0])
    assert conversion_error(kan, ki.from_kan(kan, rows=rows), rows=rows) <= 1e-3


def test_an_error_says_where_it_is():
    kan = other_base([3, 1], nn.GELU)
    with pytest.raises(ModelError, match=r"most at input \d of layer 0 at .*, inside \[.*finer grid, grid=40"):
        ki.from_kan(kan, rows=uniform_rows(3.0), grid=20)
    # and the advice helps
    errors = [
        conversion_error(kan, ki.from_kan(kan, rows=uniform_rows(3.0), grid=grid, tolerance=9)) for grid in (20, 80)
    ]
    assert errors[1] < errors[0] / 4
    with pytest.raises(ModelError, match=r"rounding of the KAN's number type: convert model.double\(\)"):
        ki.from_kan(made("efficient-kan"), tolerance=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_graded_knots_hold_both_ranges(seed):
    rng = np.random.default_rng(seed)
    low = rng.normal(size=6)
    high = low + rng.uniform(0.1, 3.0, 6)
    far = low - rng.exponential(30, 6) * (rng.random(6) < 0.7), high + rng.exponential(30, 6) * (rng.random(6) < 0.7)
    knots = graded((low, high), far, 50)
    np.testing.assert_array_equal(knots[:, [0, -1]].T, far)
    widths = np.diff(knots, axis=1)
    assert (widths > 0).all()
    for row, cells, start, end in zip(knots, widths, low, high, strict=True):
        inside = (row[:-1] >= start) & (row[1:] <= end)
        np.testing.assert_allclose(cells[inside], cells.min(), rtol=1e-9)
        assert (np.diff(cells[row[:-1] >= end]) > -1e-12).all()
        assert (np.diff(cells[row[1:] <= start]) < 1e-12).all()


def test_bad_options_are_refused():
    for options in ({"grid": 0}, {"grid": 2.5}, {"tolerance": 0.0}, {"tolerance": float("nan")}):
        with pytest.raises(InputError):
            ki.from_kan(made("efficient-kan"), **options)
