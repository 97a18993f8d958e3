"""Adapters: law 1, what is found where, and what is refused."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.adapters import ADAPTERS, LayerView, as_view, check_view, find_kans
from kaninterp.core import InputTypeError, ModelError
from tests.adapters.peers import library
from tests.tiny import hybrid

SPECS = [
    {"grid": grid, "order": order, "uniform": uniform, "outside": outside}
    for grid, order in ((1, 1), (5, 3), (7, 5))
    for uniform in (True, False)
    for outside in ("linear", "base", "clamp")
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_edges_sum_to_the_layer(spec, dtype):
    head = ki.KANHead(5, 3, (4,), dtype=dtype, **spec)
    check_view(as_view(head), torch.randn(50, 5, dtype=dtype) * 3)


def test_what_is_not_a_sum_of_edges_is_refused():
    view = as_view(hybrid())
    first = view.layers[0]

    class Normalised(LayerView):
        knots, order, alive, bias = first.knots, first.order, first.alive, first.bias

        def edges(self, x):
            return first.edges(x)

        def __call__(self, x):
            return nn.functional.layer_norm(first(x), (first.dst,))

    object.__setattr__(view, "layers", (Normalised(), view.layers[1]))
    with pytest.raises(ModelError, match="not the sum of its edges"):
        check_view(view, torch.randn(20, 6))


def test_defaults_follow_from_the_edges():
    first = as_view(hybrid()).layers[0]

    class OnlyEdges(LayerView):
        knots, order, alive, bias = first.knots, first.order, first.alive, first.bias

        def edges(self, x):
            return first.edges(x)

    x, view = torch.randn(9, 6), OnlyEdges()
    torch.testing.assert_close(view(x), first(x), atol=1e-5, rtol=1e-5)
    assert not view.base_edges(x).any()
    assert view.planes(x) is None
    assert view.coefficients() is None
    assert (view.src, view.dst) == (6, 3)


def test_a_kan_is_found_wherever_it_sits():
    assert set(find_kans(hybrid())) == {"head"}
    assert set(find_kans(nn.Sequential(nn.Linear(2, 2), nn.Sequential(ki.KANHead(2, 1))))) == {"1.0"}
    assert as_view(ki.KANHead(2, 1)).path == ""


def test_a_subclass_is_found_too():
    class Mine(ki.KANHead):
        pass

    assert as_view(Mine(2, 1)).widths == (2, 1)


def test_candidates_are_listed():
    model = nn.ModuleDict({"left": ki.KANHead(2, 1), "right": ki.KANHead(2, 1)})
    with pytest.raises(ModelError, match=r"'left'.*'right'"):
        as_view(model)
    assert as_view(model, "right").path == "right"
    with pytest.raises(ModelError, match=r"no KAN at 'middle'.*'left'"):
        as_view(model, "middle")
    with pytest.raises(ModelError, match="LSTM"):
        as_view(nn.LSTM(2, 2))
    with pytest.raises(InputTypeError):
        as_view(3)


def test_the_registry_names_classes_that_exist():
    for name in ADAPTERS:
        path, _, attribute = name.rpartition(".")
        assert hasattr((importlib.import_module(path) if path.startswith("kaninterp") else library(path)), attribute)


def test_the_fingerprint_follows_the_weights_only():
    model = hybrid()
    before = as_view(model).fingerprint()
    model.train()
    assert as_view(model).fingerprint() == before
    with torch.no_grad():
        model.head.kan_layers[0].weight[0, 0, 0] += 1e-6
    assert as_view(model).fingerprint() != before
