"""The rows a model of the face is measured on: those of its training, or the first that its user called it with."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.compat import KAN
from kaninterp.compat.base import ROWS
from kaninterp.core.errors import StateError


def random_rows(n, width, seed=0):
    return torch.rand(n, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def switched(rows=1000):
    """Column 2 is 0 in the first half and 1 in the second one, and matters."""
    x = random_rows(rows, 3)
    x[:, 2] = (torch.arange(rows) >= rows // 2).float()
    return x, x[:, :1] ** 2 + 2 * x[:, 2:]


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "lm"])
@pytest.mark.parametrize("called_before", [False, True])
def test_a_fit_of_kaninterp_leaves_it_measuring_on_the_training_rows(optimizer, called_before):
    x, y = switched()
    model = KAN([3, 4, 1], seed=0)
    if called_before:
        model(x[:4])
    ki.fit(model, (x, y), epochs=3, optimizer=optimizer, validation=None, seed=0, progress=False)
    assert torch.equal(model._rows, x)
    assert 2 in model.prune_input().input_id.tolist()
    ki.fit(model, (x, y), epochs=1, validation=0.2, seed=0, progress=False)
    assert torch.equal(model._rows, x[:800])


@pytest.mark.parametrize("kind", ["arrays", "batches"])
def test_in_a_host_the_rows_are_what_reaches_it_after_training(kind):
    x, y = switched()
    torch.manual_seed(0)
    host = nn.Sequential(nn.Linear(3, 2), KAN([2, 3, 1], seed=0))
    data = (x, y) if kind == "arrays" else list(zip(x.split(100), y.split(100), strict=True))
    ki.fit(host, data, epochs=3, validation=None, seed=0, progress=False)
    with torch.no_grad():
        torch.testing.assert_close(host[1]._rows, host[0](x), rtol=1e-6, atol=1e-6)


def test_a_failed_fit_of_kaninterp_keeps_the_rows_of_before():
    x, y = switched(100)
    model = KAN([3, 1], seed=0)
    model(x[:50])
    with pytest.raises(StateError):
        ki.fit(model, (x, y), epochs=2, seed=0, progress=False, loss=lambda a, b: (a - b) * torch.inf)
    assert torch.equal(model._rows, x[:50])


def test_more_rows_than_are_kept_are_spread_over_all():
    x = torch.linspace(-1, 1, 3 * ROWS)[:, None]
    model = KAN([1, 1], seed=0)
    with model.gathering():
        for part in x.split(123):
            model(part)
    assert len(model._rows) == ROWS
    steps = model._rows[1:] - model._rows[:-1]
    assert float(steps.min()) > 0.0
    assert float(steps.max()) < 5.0 / ROWS
    assert float(model._rows.max()) > 0.999


def test_what_measuring_runs_through_it_is_not_kept():
    x, y = switched(200)
    data = (x.numpy(), y.numpy())
    model = KAN([3, 2, 1], seed=0)
    host = nn.Sequential(nn.Linear(3, 2), KAN([2, 2, 1], seed=0))
    fresh = [model, host]
    for one in fresh:
        ki.trace(one, data, progress=False)
        ki.attribute(one, data, progress=False)
        page = ki.report(one, data, trust=False, progress=False)
        ki.prune(one, page.analysis.plan)
        ki.formula(one, data, trials=1, progress=False)
    assert model._rows is None
    assert host[1]._rows is None
    with pytest.raises(StateError, match="seen no data"):
        model.plot()
    for training in (True, False):
        again = KAN([3, 2, 1], seed=0).train(training)
        again(x[:20])
        assert torch.equal(again._rows, x[:20])
