"""pykan models as their users have them: trained, pruned by pykan, with fixed edges, wide data, constant columns."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.adapters import as_view, check_view
from kaninterp.core import ModelError
from kaninterp.data import preserved_rng
from kaninterp.measure.convert import conversion_error
from kaninterp.measure.randomised import _shuffled

kan = pytest.importorskip("kan")
pytestmark = pytest.mark.filterwarnings("ignore")


def rows(n: int = 300, columns: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, columns, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def law(x):
    return torch.sin(3 * x[:, [0]]) + x[:, [1]] ** 2


def model(tmp_path, *, width=(4, 3, 1), seed=0, **options):
    """A pykan model that writes below ``tmp_path``, if at all; pykan seeds every generator, so they are given back."""
    with preserved_rng():
        made = kan.KAN(width=list(width), seed=seed, auto_save=False, ckpt_path=str(tmp_path), **options)
    with torch.no_grad():  # every number counts, not only those that pykan starts with
        draw = torch.Generator().manual_seed(seed)
        for name in ("node_scale", "node_bias", "subnode_scale", "subnode_bias"):
            for part in getattr(made, name):
                part.add_(0.3 * torch.randn(part.shape, generator=draw))
    return made


@lru_cache(maxsize=1)
def training():
    made, x = model(Path()), rows()
    y = law(x)
    with preserved_rng():
        made.fit({"train_input": x, "train_label": y, "test_input": x, "test_label": y}, steps=5, lamb=1e-3)
    return made.state_dict()


def fitted(tmp_path):
    """A model that pykan has trained and whose grids it has moved; once for all tests."""
    made = model(tmp_path)
    made.load_state_dict(training())
    made.get_act(rows())
    return made


def fixed(tmp_path):
    """Three symbolic edges, one of them beside its spline."""
    made = fitted(tmp_path)
    for place, name in (((0, 0, 0), "sin"), ((0, 1, 2), "x^2"), ((1, 0, 0), "tanh")):
        made.fix_symbolic(*place, name, verbose=False, log_history=False)
    made.set_mode(0, 1, 2, "ns")
    return made


def check_same(made, x):
    """Law 1 layer by layer, and the edges, summed from layer to layer, are the model."""
    view = as_view(made)
    with torch.no_grad():
        read = view.read(x)
        check_view(view, read)
        for layer in view.layers:
            read = layer.edges(read).sum(-1) + torch.as_tensor(layer.bias, dtype=read.dtype)
        torch.testing.assert_close(read, made(x), atol=2e-5, rtol=2e-5)
    return view


def test_symbolic_edges(tmp_path):
    made = fixed(tmp_path)
    view = check_same(made, rows())
    assert view.layers[0].formulas == ((0, 0, "sin"),)  # the one beside its spline is no formula alone
    assert view.layers[1].formulas == ((0, 0, "tanh"),)
    assert check_same(made.speed(), rows()).layers[0].formulas == ()  # pykan's speed mode leaves them out


@pytest.mark.parametrize("kept", [[0, 2], [3, 1]], ids=str)
def test_a_model_that_reads_some_columns(kept, tmp_path):
    with preserved_rng():
        made = fitted(tmp_path).prune_input(active_inputs=kept, log_history=False)
    view = check_same(made, rows())
    assert view.columns == view.node_ids[0] == tuple(kept)
    trace = ki.trace(made, rows(), progress=False)
    np.testing.assert_allclose(trace.layers[0].inputs.mean, rows()[:, kept].mean(0).numpy(), atol=1e-6)
    head = ki.from_kan(made, rows=rows())
    assert (head.in_features, head.select) == (4, tuple(sorted(kept)))
    torch.testing.assert_close(head(rows()), made(rows()), atol=1e-5, rtol=1e-5)


def test_a_constant_column_leaves_no_nan(tmp_path):
    x = rows()
    x[:, 3] = 0.25
    made = model(tmp_path)
    made.update_grid(x)
    trace = ki.trace(made, x, progress=False)
    for layer in trace.layers:
        assert np.isfinite(layer.edges.m2).all()
        assert np.isfinite(layer.edges.curves).all()
    assert not trace.layers[0].edges.m2[:, 3].any()
    assert conversion_error(made, ki.from_kan(made, rows=x), rows=x) < 1e-5
    found = ki.attribute(made, x, progress=False)  # pykan has no gradient there but 0 / 0
    assert not found.signed[..., 3].any()
    assert found.signed[..., 0].any()
    assert not any(lags[..., 3].any() for lags in found.node_lags)


def test_a_formula_that_is_not_defined_on_the_data_is_named(tmp_path):
    made = fitted(tmp_path)
    made.fix_symbolic(0, 2, 1, "log", fit_params_bool=False, verbose=False, log_history=False)
    with pytest.raises(ModelError, match=r"node 2 to node 1 of KAN layer 1 .* formula log, .* not defined at -0\.\d"):
        ki.trace(made, rows(), progress=False)
    edges = ki.trace(made, rows().abs() + 0.01, progress=False).layers[0].edges
    assert edges.m2[1, 2] > 0


def test_shuffled_parameters_are_those_that_were_learnt(tmp_path):
    made = fitted(tmp_path)
    made(rows().requires_grad_())  # what pykan stores of this pass cannot be copied
    new = _shuffled(made, np.random.default_rng(0))
    for layer, old in zip(new.act_fun, made.act_fun, strict=True):
        assert torch.equal(layer.grid, old.grid)
        assert torch.equal(layer.mask, old.mask)
        assert not torch.equal(layer.coef, old.coef)


def test_formulas_stay_formulas(tmp_path):
    made = fitted(tmp_path)
    for place, name in (((0, 0, 0), "sin"), ((0, 1, 2), "x^2"), ((1, 0, 0), "tanh"), ((0, 2, 1), "x^0.5")):
        made.fix_symbolic(*place, name, verbose=False, log_history=False)
    head = ki.from_kan(made)
    names = {(depth, dst, src): family.name for depth, layer in enumerate(head.kan_layers)
             for dst, src, family in layer.formulas.named()}  # fmt: skip
    assert names == {(0, 0, 0): "sin", (0, 2, 1): "x^2", (1, 0, 0): "tanh", (0, 1, 2): "sqrt"}
    assert conversion_error(made, head) < 1e-5


def test_rows_with_more_columns_than_are_read(tmp_path):
    made, x = fitted(tmp_path), rows()
    wide = torch.cat((x, rows(seed=1)), 1)
    trace = ki.trace(made, wide, progress=False)
    np.testing.assert_allclose(trace.layers[0].inputs.mean, x.mean(0).numpy(), atol=1e-6)
    found = ki.attribute(made, wide, progress=False)
    assert not found.signed[..., 4:].any()
    head = ki.from_kan(made, rows=wide)
    assert head.in_features == 8
    torch.testing.assert_close(head(wide), made(wide), atol=1e-5, rtol=1e-5)
