"""Layers without a module of their own: alone, in a row inside a Sequential, in lists, ours and those of others."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.adapters import as_view, check_view, find_kans, stack_view
from kaninterp.core import ModelError
from kaninterp.measure import with_kan_head
from tests.adapters import layers_cheby, layers_efficient, layers_fast
from tests.adapters.peers import library, pykan


def ours(src, dst):
    return ki.KANLayer(src, dst, domain=(-2, 2), noise=1.0, generator=torch.Generator().manual_seed(src))


LAYERS = {
    "ours": ours,
    "efficient-kan": layers_efficient.KANLinear,
    "fast-kan": lambda src, dst: layers_fast.FastKANLayer(src, dst, use_layernorm=False),
    "ChebyKAN": lambda src, dst: layers_cheby.ChebyKANLayer(src, dst, 4),
}
each = pytest.mark.parametrize("name", LAYERS)
X = torch.randn(100, 5, generator=torch.Generator().manual_seed(1))


def layers(name, widths):
    torch.manual_seed(0)
    return [LAYERS[name](*pair) for pair in pairwise(widths)]


def host(name):
    inner = layers(name, (4, 3, 2))
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), *inner, nn.Linear(2, 1)).eval()


@each
def test_a_run_inside_a_sequential_is_one_kan(name):
    model = host(name)
    assert set(find_kans(model)) == {"2"}
    view = as_view(model)
    assert view.widths == (4, 3, 2)
    check_view(view, model[:2](X))
    trace = ki.trace(model, X, progress=False)
    with torch.no_grad():
        np.testing.assert_allclose(trace.outputs.mean, model[:4](X).double().mean(0), rtol=1e-5, atol=1e-6)
    apart = nn.Sequential(*model[:2], nn.Sequential(*model[2:4]), model[4]).eval()
    # puts outputs in place of the run's own, as in a module that holds the run
    probed, same = (ki.probe(each, (X, X[:, 0]), progress=False) for each in (model, apart))
    for found, expected in zip((*probed.ablation, *probed.taylor), (*same.ablation, *same.taylor), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_report_of_a_run_is_whole_and_prices_the_plan():
    model = host("efficient-kan")
    with torch.no_grad():
        model[3].base_weight[:, 0] *= 1e-3
        model[3].spline_weight[:, 0] *= 1e-3
    page = ki.report(model, (X, model(X).detach()), trust=False, progress=False)
    html = page.to_html()
    for said in ("Library", "efficient-kan (KANLinear)", "measured on a copy whose row of KANLinear is converted"):
        assert said in html


@each
def test_a_run_is_converted_where_it_stands(name):
    model = host(name)
    new = with_kan_head(model)
    assert [type(part).__name__ for part in new][1:5] == ["Tanh", "KANHead", "Identity", "Linear"]
    torch.testing.assert_close(new(X), model(X), atol=2e-3, rtol=2e-3)


def test_what_does_nothing_in_eval_mode_does_not_part_a_kan():
    first, last = layers("efficient-kan", (4, 3, 1))
    model = nn.Sequential(nn.Identity(), first, nn.Dropout(0.5), last).train()
    view = as_view(model)
    assert (view.path, view.widths) == ("", (4, 3, 1))
    assert all(module.training for module in model.modules())
    inside = nn.Sequential(nn.Dropout(0.1), nn.Linear(4, 4), first, nn.Dropout(0.5), last, nn.Dropout(0.5), nn.ReLU())
    assert set(find_kans(inside)) == {"2"}
    assert as_view(inside).widths == (4, 3, 1)
    assert set(find_kans(nn.Sequential(first, nn.LayerNorm(3), last))) == {"0", "2"}


@each
def test_a_layer_may_be_asked_alone(name):
    model = nn.ModuleDict({"left": layers(name, (2, 1))[0], "right": nn.Sequential(*layers(name, (2, 3, 1)))})
    with pytest.raises(ModelError, match=r"2 KANs.*'left'.*'right'.*nn.Sequential"):
        as_view(model)
    assert as_view(model, "right").widths == (2, 3, 1)
    assert as_view(model, "right.1").widths == (3, 1)
    assert as_view(ki.KANHead(3, 1, (2,)), "layers.1").widths == (2, 1)


def test_our_layers_need_no_head_but_pruning_does():
    model = nn.Sequential(nn.Linear(5, 4), *layers("ours", (4, 3, 1)))
    view = as_view(model)
    assert "library" not in dict(view.options)
    head = ki.from_kan(model)  # the same splines
    torch.testing.assert_close(head(model[0](X)), model(X), atol=1e-5, rtol=1e-5)
    with pytest.raises(ModelError, match="only a KANHead can be pruned"):
        ki.prune(model, ki.analyze(ki.trace(model, X, progress=False)).plan)


def test_facts_are_said_once_or_layer_by_layer():
    first, last = layers_efficient.KANLinear(4, 3, grid_size=5), layers_efficient.KANLinear(3, 1, grid_size=8)
    facts = dict(as_view(nn.Sequential(first, last)).options)
    assert facts["grid intervals"] == "5, 8"
    assert facts["spline order"] == "3"
    assert facts["library"] == "efficient-kan (KANLinear)"


def test_properties_that_raise_are_no_obstacle():
    class Lazy(nn.Linear):
        @property
        def grid(self):
            raise RuntimeError("not fitted yet")

        act_fun = cheby_coeffs = rbf = grid_starts = get_interp_tensor = spec = grid

    assert set(find_kans(nn.Sequential(Lazy(5, 4), *layers("ours", (4, 1))))) == {"1"}


def test_parallel_lists_of_layers_are_no_stack():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.branches = nn.ModuleList(layers_efficient.KANLinear(1, 2) for _ in range(3))

        def forward(self, x):
            return sum(branch(x[:, [i]]) for i, branch in enumerate(self.branches))

    assert set(find_kans(Branches())) == {"branches.0", "branches.1", "branches.2"}


def test_a_sequential_that_calls_its_parts_in_its_own_way_is_tried_out():
    class Backwards(nn.Sequential):
        def forward(self, x):
            for layer in reversed(self):
                x = layer(x)
            return x

    assert set(find_kans(Backwards(*layers("efficient-kan", (3, 3, 3))))) == {"0", "1"}


def test_layers_that_do_not_fit_are_told():
    view = as_view(ours(3, 2)).layers[0]
    with pytest.raises(ModelError, match="layer 0 gives 2 nodes and layer 1 reads 3"):
        stack_view(nn.Identity(), "", [view, view])
    with pytest.raises(ModelError, match="at least one"):
        stack_view(nn.Identity(), "", [])


def test_a_layer_of_pykan_in_a_model_of_ones_own():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            kan = pykan([5, 3, 2])
            self.parts = nn.ModuleList(kan.act_fun)
            self.last = nn.Linear(2, 1)

        def forward(self, x):
            for part in self.parts:
                x = part(x)[0]
            return self.last(x)

    library("kan")
    model = Own()
    assert set(find_kans(model)) == {"parts.0", "parts.1"}  # a list by itself has no forward to hold them against
    view = as_view(model, "parts.0")
    check_view(view, 2 * X)
    torch.testing.assert_close(view.layers[0].edges(X).sum(-1), model.parts[0](X)[0], atol=1e-5, rtol=1e-5)
    head = ki.from_kan(model, path="parts.0")
    torch.testing.assert_close(head(X), model.parts[0](X)[0], atol=1e-5, rtol=1e-5)
    assert ki.trace(model, X, path="parts.1", progress=False).card.widths == (3, 2)
