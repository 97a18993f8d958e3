"""Nested: the fewest raw columns that do as well after retraining, heard from the model and from the rows."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.analysis import drop_inputs
from kaninterp.core.errors import DataError, InputError
from kaninterp.data import as_batches
from kaninterp.pruning.proxy import proxy_choice
from kaninterp.pruning.schedules import nested
from kaninterp.selection import select

QUIET = {"progress": False, "efficiency": False}
SOURCE = torch.Generator().manual_seed(0)
X = torch.rand(600, 6, generator=SOURCE) * 2 - 1
NOISE = 0.05 * torch.randn(600, generator=SOURCE)
Y = X[:, 0] + X[:, 1] ** 2 + NOISE


def head(columns=6, seed=0):
    return ki.KANHead(columns, 1, (3,), domain=(-1, 1), generator=torch.Generator().manual_seed(seed))


def trained(model, data, epochs=8):
    ki.fit(model, data, epochs=epochs, optimizer="lbfgs", seed=0, progress=False)
    return model


@pytest.fixture(scope="module")
def run():
    return nested(trained(head(), (X, Y)), (X, Y), epochs=5, **QUIET)


def test_what_the_target_depends_on_stays(run):
    assert run.model.node_ids[0] == (0, 1)
    assert run.history["inputs"].iloc[-1] == 2
    assert run.steps[-1].label.startswith("taken: 2 of 6 columns (x0 and x1); held-out loss by columns kept: 6: ")
    assert run.history["held_out"].iloc[-1] <= run.history["held_out_high"].min()


def test_every_column_that_goes_has_the_word_of_both_witnesses(run):
    reports = [step.report for step in run.steps if step.report is not None]
    texts = {reason.place: reason.text for reason in reports[-1].reasons if reason.kind == "input"}
    assert set(texts) == {(2,), (3,), (4,), (5,)}
    assert all(text.startswith("the model: ") and "The training rows: " in text for text in texts.values())
    assert (reports[-1].edges[0], reports[-1].dropped_inputs) == (21, ("x2", "x3", "x4", "x5"))


def test_a_column_that_the_model_has_not_learnt_is_kept_and_named():
    model = trained(head(), (X, X[:, 0] + NOISE))
    with torch.no_grad():
        model.layers[0].weight[:, :, 1:] = 0.0
    found = nested(model, (X, Y), epochs=20, fit_options={"lr": 0.02}, **QUIET)
    assert found.model.node_ids[0] == (0, 1)
    assert "the rows call for x1, which the given model had not learnt" in found.steps[-1].label
    assert found.history["held_out"].iloc[-1] < 0.5 * found.history["held_out"].iloc[0]


def test_columns_that_the_rows_do_not_call_for_stay_when_losing_them_costs():
    """A proxy that finds nothing (y is noise to it) does not empty a model."""
    model = trained(head(), (X, Y))
    found = nested(model, (X, Y), alpha=1e-300, epochs=2, **QUIET)
    assert {0, 1} <= set(found.model.node_ids[0])


def test_columns_that_only_the_rows_call_for_are_put_to_the_test(monkeypatch):
    """A proxy that takes noise is overruled: what both witnesses hold for possible does as well."""
    schedule = sys.modules["kaninterp.pruning.schedules.nested"]
    found = schedule.proxy_choice

    def mistaken(batches, **options):
        choice = found(batches, **options)
        return replace(choice, kept=choice.kept | {4})

    monkeypatch.setattr(schedule, "proxy_choice", mistaken)
    run = nested(trained(head(), (X, Y)), (X, Y), epochs=5, **QUIET)
    assert run.model.node_ids[0] == (0, 1)


def test_a_copy_of_a_column_the_model_uses_counts_as_learnt():
    x = torch.cat([X[:, :2], X[:, :1]], 1)
    found = nested(trained(head(3), (x, Y)), (x, Y), epochs=5, **QUIET)
    assert found.steps[-1].label.startswith("taken: 2 of 3 columns")
    assert "not learnt" not in found.steps[-1].label


def test_windows_and_several_outputs():
    source = torch.Generator().manual_seed(1)
    series = torch.randn(700, 5, generator=source)
    windows = series.unfold(0, 6, 1).transpose(1, 2).contiguous()
    y = torch.stack([windows[:, -2, 0], windows[:, -4, 3]], 1)
    y += 0.3 * torch.randn(y.shape, generator=source)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = nn.GRU(5, 8, batch_first=True)
    model = ki.Hybrid(backbone, ki.KANHead(8, 2, generator=torch.Generator().manual_seed(0)))
    ki.fit(model, (windows, y), epochs=15, lr=0.02, seed=0, progress=False)
    found = nested(model, (windows, y), epochs=15, fit_options={"lr": 0.02}, **QUIET)
    assert found.model.backbone.kept_columns == (0, 3)
    moved = windows.clone()
    moved[..., [1, 2, 4]] = 1e6
    assert torch.equal(found.model(moved), found.model(windows))
    texts = [reason.text for step in found.steps if step.report for reason in step.report.reasons]
    assert any("output 0: " in text or "output 1: " in text for text in texts)


@pytest.mark.parametrize(
    ("target", "count"), [(lambda x: (x[:, 0] > 0).long(), 1), (lambda x: (x[:, 0] * 1.5).round().long() + 1, 3)]
)
def test_classes_are_asked_one_by_one(target, count, monkeypatch):
    asked = []
    from kaninterp.pruning import proxy

    def noted(x, y, **options):
        asked.append((set(np.unique(y)), options["alpha"]))
        return select(x, y, **options)

    monkeypatch.setattr(proxy, "select", noted)
    found = proxy_choice(as_batches((X, target(X))), alpha=0.05, seed=0)
    assert found.kept == {0}
    assert asked == [({0.0, 1.0}, 0.05 / count)] * count


def test_whole_numbers_are_numbers_where_the_loss_says_so():
    y = (20 * X[:, 0]).round().long()
    found = proxy_choice(as_batches((X, y)), alpha=0.05, seed=0, numbers=True)
    assert found.kept == {0}
    assert not any("output" in why for why in found.why)
    several = torch.stack([X[:, 0] > 0, X[:, 3] > 0], 1)
    assert proxy_choice(as_batches((X, several)), alpha=0.05, seed=0).kept == {0, 3}


@pytest.mark.parametrize(
    ("loss", "numbers"),
    [(None, False), ("cross_entropy", False), (nn.CrossEntropyLoss(), False), ("mse", True), (nn.MSELoss(), True)],
)
def test_the_loss_says_what_whole_numbers_are(loss, numbers, monkeypatch):
    class AskedError(Exception):
        pass

    def asked(batches, **options):
        assert options["numbers"] is numbers
        raise AskedError

    monkeypatch.setattr(sys.modules["kaninterp.pruning.schedules.nested"], "proxy_choice", asked)
    y = (X[:, 0] > 0).long()
    y = y[:, None] if numbers else y
    with pytest.raises(AskedError):
        nested(ki.KANHead(6, 1 if numbers else 2, domain=(-1, 1)), (X, y), loss=loss, **QUIET)


def test_columns_that_were_cut_out_before_do_not_come_back():
    model = trained(head(), (X, Y))
    without, _ = ki.prune(model, drop_inputs(ki.trace(model, X, progress=False), ["x1"]))
    found = nested(without, (X, Y), epochs=2, **QUIET)
    assert found.model.node_ids[0] == (0,)
    assert "taken: 1 of 6 columns (x0)" in found.steps[-1].label
    assert "call for x1, which the given model does not read any more" in found.steps[-1].label
    noise, _ = ki.prune(model, drop_inputs(ki.trace(model, X, progress=False), ["x0", "x1"]))
    assert set(nested(noise, (X, Y), epochs=1, **QUIET).model.node_ids[0]) <= {2, 3, 4, 5}


def test_several_tables_lie_side_by_side():
    found = proxy_choice(as_batches(((X[:, :2], X[:, 2:]), X[:, 1] + X[:, 4] + 4 * NOISE)), alpha=0.05, seed=0)
    assert found.kept == {1, 4}
    assert len(found.why) == len(found.names) == 6


def test_bad_input_is_refused_before_anything_is_trained(monkeypatch):
    model = head()
    monkeypatch.setattr("kaninterp.pruning.schedules.driver.fit", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(InputError, match="alpha=0"):
        nested(model, (X, Y), alpha=0, **QUIET)
    with pytest.raises(DataError, match="pass \\(X, y\\) or target="):
        nested(model, X, **QUIET)
    with pytest.raises(DataError, match="constant target"):
        nested(model, (X, torch.ones(600)), **QUIET)
    images = torch.rand(60, 1, 4, 4, generator=SOURCE)
    flat = nn.Sequential(nn.Flatten(), ki.KANHead(16, 1))
    with pytest.raises(DataError, match="no raw columns to choose from"):
        nested(flat, (images, images.mean((1, 2, 3))), **QUIET)
