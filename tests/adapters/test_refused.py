"""KANs whose layers are no sums of edges are refused by name, and copies under other names are found by structure."""

from __future__ import annotations

import contextlib
import io

import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.adapters import as_view, check_view, find_kans
from kaninterp.core import ModelError
from tests.adapters import layers_efficient, layers_fast
from tests.adapters.peers import inkan, library, pykan


def test_multiplication_nodes_are_refused():
    model = pykan([2, [3, 1], 1])
    with pytest.raises(ModelError, match=r"layer 1 .* 1 multiplication nodes"):
        as_view(model)


def test_a_layer_norm_inside_is_refused():
    with pytest.raises(ModelError, match=r"LayerNorm .* use_layernorm=False"):
        as_view(layers_fast.FastKAN([3, 2, 1]))


def test_a_surface_of_two_inputs_is_refused():
    layer = library("inkan").KANLayer(2, 1, dim=2, compile_basis=False)
    with pytest.raises(ModelError, match="dim=2"):
        as_view(layer)


def test_a_copy_under_another_name_is_found():
    class MySplineLayer(layers_efficient.KANLinear):
        __module__ = "somewhere.models.blocks"

    assert set(find_kans(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), MySplineLayer(3, 1)))) == {"2"}


def test_a_copy_that_does_more_than_it_seems_is_refused():
    class Normalised(layers_efficient.KANLinear):
        def forward(self, x):
            return super().forward(nn.functional.layer_norm(x, x.shape[-1:]))

    with pytest.raises(ModelError, match="not the sum of its edges"):
        as_view(Normalised(3, 2))


def test_layers_with_something_between_them_are_kans_of_their_own():
    class Residual(layers_efficient.KAN):
        def forward(self, x):
            for layer in self.layers:
                x = x + layer(x)
            return x

    assert set(find_kans(Residual([3, 3, 3]))) == {"layers.0", "layers.1"}
    between = nn.Sequential(layers_efficient.KANLinear(3, 4), nn.LayerNorm(4), layers_efficient.KANLinear(4, 1))
    with pytest.raises(ModelError, match=r"an nn\.Sequential of their own"):
        as_view(between)
    assert as_view(between, "2").widths == (4, 1)


def test_looking_leaves_the_mode_and_the_random_numbers():
    kan = layers_efficient.KAN([3, 2, 1])
    kan.layers[0].eval()
    state = torch.get_rng_state()
    as_view(kan)
    assert [kan.training, *(layer.training for layer in kan.layers)] == [True, False, True]
    assert torch.equal(state, torch.get_rng_state())


def test_what_pykan_noted_of_its_last_rows_stays():
    model, own = pykan([3, 2, 1]), torch.randn(20, 3)
    model(own)
    noted = model.acts[0], model.acts_scale[0], model.cache_data
    ki.trace(model, torch.randn(50, 3), progress=False)
    ki.attribute(model, torch.randn(50, 3), progress=False)
    assert all(a is b for a, b in zip(noted, (model.acts[0], model.acts_scale[0], model.cache_data), strict=True))
    assert model.save_act


def test_columns_and_grids_that_pykan_chose_are_read():
    model = pykan([3, 2, 1])
    x = torch.cat((torch.randn(400, 2).exp(), torch.full((400, 1), 2.0)), dim=1)
    with contextlib.redirect_stdout(io.StringIO()):
        model.update_grid_from_samples(x)  # knots at quantiles; the constant column gets an empty domain
    view = as_view(model)
    check_view(view, x)
    assert (view.layers[0].knots[:, 1:] > view.layers[0].knots[:, :-1]).all()
    model.input_id = torch.tensor([0, 2, 4])
    view = as_view(model)
    wide = torch.randn(50, 5)
    assert view.columns == (0, 2, 4)
    torch.testing.assert_close(view.activations(view.read(wide))[-1], model(wide), atol=1e-5, rtol=1e-5)


def test_float64_is_exact_to_float64():
    for kan in (pykan([3, 2, 1]).double(), layers_efficient.KAN([3, 2, 1]).double(), inkan((3, 2, 1)).double()):
        check_view(as_view(kan), torch.randn(100, 3, dtype=torch.float64))
