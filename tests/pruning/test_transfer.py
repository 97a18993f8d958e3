"""A pruned head on another backbone or on other data: same mask, same names, domain as asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.core import InputError, ModelError, ShapeError
from kaninterp.nn import prune_head
from kaninterp.pruning import transfer, transplant
from tests.pruning.random_nets import random_head, rows
from tests.tiny import hybrid


def pruned_head(width=6, outputs=1, seed=0):
    head = random_head((width, 4, outputs), seed)
    keep = [np.random.default_rng(seed).random((4, width)) < 0.5, np.ones((outputs, 4), bool)]
    keep[0][:, 1] = False
    keep[0][2] = False
    small, maps = prune_head(head, keep)
    return small, maps


def test_the_head_of_another_model_gives_way():
    head, maps = pruned_head()
    onto = hybrid(hidden=6, nodes=(3,), seed=5)
    before = {name: value.clone() for name, value in onto.state_dict().items()}
    new = transplant(head, onto, domain="keep")
    assert new.head.node_ids == maps
    assert torch.equal(new.head.layers[0].mask, head.layers[0].mask)
    x = torch.randn(9, 5, 4)
    features = onto.backbone(x)[0][:, -1]
    torch.testing.assert_close(new(x), head(features))
    assert all(torch.equal(value, before[name]) for name, value in onto.state_dict().items())
    assert new.head is not head


def test_a_bare_backbone_becomes_a_hybrid():
    head, _ = pruned_head()
    new = transplant(head, nn.GRU(3, 6, batch_first=True), torch.randn(50, 7, 3), readout="mean")
    assert isinstance(new, ki.Hybrid)
    assert new.readout == "mean"
    assert new(torch.randn(2, 7, 3)).shape == (2, 1)


def test_refit_keeps_the_functions_and_moves_the_domain():
    head, _ = pruned_head()
    x = 0.5 * rows(400, 6)
    new = transplant(head, None, x)
    read = list(head.select)
    lo, hi = new.layers[0].domain
    assert bool((lo <= x[:, read].amin(0)).all())
    assert bool((hi >= x[:, read].amax(0)).all())
    assert not torch.equal(new.layers[0].domain, head.layers[0].domain)
    with torch.no_grad():  # splines with other knots cannot be equal, only near
        assert float((new(x) - head(x)).abs().max()) < 0.1 * float(head(x).std())


def test_stretch_moves_the_functions_along():
    head = random_head((3, 1), 0)
    scale, shift = 40.0, 7.0
    x = rows(300, 3)
    old = transplant(head, None, x, domain="stretch")
    new = transplant(head, None, scale * x + shift, domain="stretch")
    assert torch.equal(new.layers[0].weight, head.layers[0].weight)
    splines = [h.layers[0].edges(at, part="spline") for h, at in ((old, x), (new, scale * x + shift))]
    torch.testing.assert_close(*splines, atol=1e-4, rtol=1e-3)


def test_training_after_the_move_keeps_the_mask():
    head, maps = pruned_head()
    data = torch.randn(200, 5, 3, generator=torch.Generator().manual_seed(0))
    y = data[:, -1, 0]
    backbone = nn.LSTM(3, 6, batch_first=True)
    model, result = transfer(head, backbone, (data, y), epochs=15, lr=0.01, seed=0, progress=False)
    assert result.history["train_loss"].iloc[-1] < 0.5 * result.history["train_loss"].iloc[0]
    assert model.head.node_ids == maps
    assert all(torch.equal(a.mask, b.mask) for a, b in zip(model.head.layers, head.layers, strict=True))


def test_a_frozen_backbone_stays_and_may_be_trained_later():
    head, _ = pruned_head()
    data = torch.randn(60, 5, 3, generator=torch.Generator().manual_seed(0))
    backbone = nn.LSTM(3, 6, batch_first=True)
    model, _ = transfer(head, backbone, (data, data[:, -1, 0]), epochs=2, freeze_backbone=True, seed=0, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(model.backbone.parameters(), backbone.parameters(), strict=True))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not torch.equal(model.head.layers[0].weight, head.layers[0].weight)


def test_new_data_for_the_same_model():
    model = hybrid()
    data = 3 + torch.randn(80, 5, 4)
    new, _ = transfer(model, None, (data, data[:, -1, 0]), epochs=1, seed=0, progress=False)
    assert type(new) is type(model)
    assert not torch.equal(new.head.layers[0].weight, model.head.layers[0].weight)


def test_what_does_not_fit_is_refused():
    head, _ = pruned_head()
    with pytest.raises(ShapeError, match="in_features = 6"):
        transplant(head, hybrid(hidden=5), domain="keep")
    with pytest.raises(ShapeError, match="out_features = 1"):
        transplant(head, hybrid(hidden=6, outputs=2), domain="keep")
    with pytest.raises(ShapeError, match="gives 5 features"):
        transplant(head, nn.LSTM(3, 5), domain="keep")
    with pytest.raises(InputError, match="needs rows"):
        transplant(head, nn.LSTM(3, 6))
    with pytest.raises(InputError, match="allowed: refit, stretch, keep"):
        transplant(head, nn.LSTM(3, 6), domain="move")
    with pytest.raises(ModelError, match="no KAN"):
        transplant(nn.Linear(2, 2), nn.LSTM(3, 6), domain="keep")
