"""Refitting a pruned head: never worse on its rows, the best of its kind where that is known, the mask as it was."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import kaninterp as ki
from kaninterp.core import InputError, ModelError
from kaninterp.nn import prune_head
from kaninterp.pruning import fine_tune, prune, refit
from tests.pruning.random_nets import cut_heads, random_head, rows
from tests.pruning.test_prune import DATA, plan_without
from tests.tiny import hybrid

LAWS = settings(max_examples=40, deadline=None, derandomize=True)


def squared_error(model, original, x):
    with torch.no_grad():
        return float(((model(x).double() - original(x).double()) ** 2).sum())


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@LAWS
@given(cut_heads())
def test_squared_error_never_rises_and_the_mask_is_kept(case):
    head, small, _ = case
    x = rows(60, head.in_features)
    before, untouched = state(small), state(head)
    new, report = refit(small, head, x, progress=False)
    assert squared_error(new, head, x) <= squared_error(small, head, x)
    assert report.after <= report.before
    assert report.before == pytest.approx(squared_error(small, head, x) / (60 * head.out_features))
    assert report.after == pytest.approx(squared_error(new, head, x) / (60 * head.out_features))
    for old, layer in zip(small.layers, new.layers, strict=True):
        assert torch.equal(old.mask, layer.mask)
        assert torch.equal(old.knots, layer.knots)
        cut = old.mask == 0
        assert torch.equal(old.weight.movedim(1, 2)[cut], layer.weight.movedim(1, 2)[cut])
    assert new.config == small.config
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())
    assert all(torch.equal(value, untouched[name]) for name, value in head.state_dict().items())


@pytest.mark.parametrize("batch_size", [7, 500])
def test_one_layer_reaches_the_least_squares_optimum(batch_size):
    head = random_head((5, 3), 1, torch.float64)
    keep = np.array([[1, 1, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    small, _ = prune_head(head, [keep], compact=False)
    x = rows(400, 5, dtype=torch.float64)
    new, _ = refit(small, head, x, batch_size=batch_size, progress=False)
    layer = head.layers[0]
    with torch.no_grad():
        planes, wanted = layer.basis(x).numpy(), head(x).numpy()
        got = ((new(x).numpy() - wanted) ** 2).sum(0)
    for node in range(3):
        design = np.hstack([planes[:, :, keep[node]].reshape(400, -1), np.ones((400, 1))])
        best = wanted[:, node] - design @ np.linalg.lstsq(design, wanted[:, node], rcond=None)[0]
        assert got[node] == pytest.approx((best**2).sum(), rel=1e-6)


def test_a_deep_head_gets_most_of_its_error_back():
    head = random_head((4, 5, 2), 3)
    x = rows(1000, 4, seed=1)
    x[:, 3] = x[:, 0]
    keep = [np.ones((5, 4), bool), np.ones((2, 5), bool)]
    keep[0][:, 3] = False
    small, _ = prune_head(head, keep)
    new, report = refit(small, head, x, progress=False)
    assert report.layers == (0, 1)
    assert report.after < 1e-9 < 1e-3 < report.before
    assert squared_error(new, head, rows(200, 4, seed=2)[:, [0, 1, 2, 0]]) < 1e-2


def test_nothing_pruned_leaves_nothing_to_do():
    head = random_head((3, 2, 1), 0)
    new, report = refit(head, head, rows(100, 3), progress=False)
    assert report.before == report.after == 0.0
    assert report.layers == ()
    assert all(torch.equal(value, head.state_dict()[name]) for name, value in new.state_dict().items())


def test_a_hybrid_without_one_of_its_columns_comes_closer():
    model = hybrid(nodes=(4,), outputs=2)
    small, _ = prune(model, plan_without(model, [1]))
    new, report = refit(small, model, DATA, progress=False)
    assert squared_error(new, model, DATA) < squared_error(small, model, DATA)
    assert report.rows == len(DATA)
    moved = DATA.clone()
    moved[..., 1] = 1e6
    assert torch.equal(new(moved), new(DATA))
    backbone = {name: value for name, value in small.state_dict().items() if name.startswith("backbone")}
    assert all(torch.equal(value, new.state_dict()[name]) for name, value in backbone.items())


def test_memory_does_not_hold_all_rows_when_they_are_many(monkeypatch):
    head = random_head((3, 2, 1), 0)
    small, _ = prune_head(head, [np.array([[1, 0, 1], [1, 1, 0]], bool), np.ones((1, 2), bool)])
    x = rows(300, 3)
    held, _ = refit(small, head, x, batch_size=64, progress=False)
    monkeypatch.setattr(import_module("kaninterp.pruning.refit"), "HELD_VALUES", 0)
    streamed, _ = refit(small, head, x, batch_size=64, progress=False)
    assert all(torch.equal(value, held.state_dict()[name]) for name, value in streamed.state_dict().items())


def test_the_wrong_original_and_a_ridge_of_zero_are_refused():
    head = random_head((3, 2, 1), 0)
    with pytest.raises(ModelError, match="pruned from"):
        refit(head, random_head((3, 1), 0), rows(9, 3), progress=False)
    with pytest.raises(ModelError, match="nodes \\[1\\] of layer 1"):
        refit(head, random_head((3, 1, 1), 0), rows(9, 3), progress=False)
    with pytest.raises(InputError, match="above 0"):
        refit(head, head, rows(9, 3), ridge=0, progress=False)


def test_a_system_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(import_module("kaninterp.pruning.refit"), "LARGEST_SYSTEM", 10)
    head = random_head((3, 1), 0)
    with pytest.raises(ModelError, match="fine_tune"):
        refit(head, head, rows(9, 3), progress=False)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)])
@pytest.mark.parametrize("compact", [True, False])
def test_fine_tuning_keeps_every_zero(optimizer, compact):
    model = hybrid(nodes=(4,))
    plan = plan_without(model, [0, 2])
    small, _ = prune(model, plan, compact=compact)
    before = state(small)
    y = DATA[:, -1, 1]
    tuned, result = fine_tune(
        small, (DATA, y), epochs=4, lr=0.02, optimizer=optimizer, validation=None, seed=0, progress=False
    )
    assert result.history["train_loss"].iloc[-1] < result.history["train_loss"].iloc[0]
    moved = DATA.clone()
    moved[..., [0, 2]] = 1e6
    assert torch.equal(tuned(moved), tuned(DATA))
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())
    assert not torch.equal(tuned(DATA), small(DATA))


def test_fine_tuning_keeps_masked_edges_and_edges_of_zeros():
    head = random_head((3, 4, 1), 0)
    keep = [np.random.default_rng(0).random((4, 3)) < 0.7, np.ones((1, 4), bool)]
    masked, _ = prune_head(head, keep, compact=False)
    with torch.no_grad():
        dst, src = np.argwhere(keep[0])[0]
        masked.layers[0].weight[dst, :, src] = 0.0
    x = rows(200, 3)
    tuned, _ = fine_tune(masked, (x, x[:, :1] ** 2), epochs=3, lr=0.01, seed=0, progress=False)
    assert torch.equal(tuned.layers[0].mask, masked.layers[0].mask)
    assert not tuned.layers[0].weight[dst, :, src].any()
    assert tuned.layers[0].weight.grad is None
    assert not tuned.layers[0].weight._backward_hooks


def test_an_optimizer_that_moves_zeros_is_found_out():
    class Restless(torch.optim.SGD):
        def step(self, closure=None):
            loss = super().step(closure)
            with torch.no_grad():
                for group in self.param_groups:
                    for parameter in group["params"]:
                        parameter.add_(0.01)
            return loss

    line = torch.nn.Linear(2, 1)
    with torch.no_grad():
        line.weight[0, 0] = 0.0
    with pytest.raises(ki.KanInterpError, match="cut away"):
        fine_tune(
            line, (rows(20, 2), rows(20, 1)), epochs=1, optimizer=lambda p: Restless(p, 0.1), seed=0, progress=False
        )
