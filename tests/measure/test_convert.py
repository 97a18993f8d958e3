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
    with pytest.raises(ModelError, match=r"off by .*tolerance=1e-12.*grid="):
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


def test_bad_options_are_refused():
    for options in ({"grid": 0}, {"grid": 2.5}, {"tolerance": 0.0}, {"tolerance": float("nan")}):
        with pytest.raises(InputError):
            ki.from_kan(made("efficient-kan"), **options)
