"""Agreement with other models: high for a model that has learnt, low for one that has not."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.core import NamesError
from kaninterp.measure import ablate
from kaninterp.workflows.other_models import CHECKS, other_models
from tests.planted import additive, lagged

P = additive(n=1600, noise_columns=12, seed=0)
X, Y = torch.tensor(P.X, dtype=torch.float32), torch.tensor(P.y, dtype=torch.float32)
TRAIN, DATA = (X[:1000], Y[:1000]), (X[1000:], Y[1000:])


def asked(model, data=DATA, **options):
    ablation, _ = ablate(model, data, loss=options.get("loss"), progress=False)
    return other_models(model, data, ablation=ablation, progress=False, **options)


def learn(model, data):
    ki.fit(model, data, epochs=60, lr=0.03, batch_size=128, seed=0, progress=False)


def values(found):
    return {reading.check: reading.value for reading in found.readings}


def fresh():
    return ki.KANHead(15, 1, (3,), generator=torch.Generator().manual_seed(0)).calibrate(TRAIN[0])


@pytest.fixture(scope="module")
def trained():
    model = fresh()
    learn(model, TRAIN)
    return model, asked(model, reference=TRAIN)


def test_a_model_that_has_learnt_agrees_with_the_others(trained):
    _, found = trained
    assert [reading.check for reading in found.readings] == list(CHECKS)
    assert min(values(found).values()) > 0.8
    assert found.black_box.trained == 1000
    top = set(np.argsort(-found.black_box.change)[:3].tolist())
    assert top == set(P.keep)
    for reading in found.readings:
        assert "1,000 rows of the reference data" in reading.effort


def test_nothing_of_the_model_moves_and_the_numbers_come_again(trained):
    model, before = trained
    model.train()
    state, rng = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    numpy_rng = np.random.get_state()[1].copy()  # noqa: NPY002 (the generator of others is watched)
    again = asked(model, reference=TRAIN)
    assert again.readings == before.readings
    assert model.training
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), rng)
    assert (np.random.get_state()[1] == numpy_rng).all()  # noqa: NPY002
    assert not any(module._forward_pre_hooks for module in model.modules())
    model.eval()


@pytest.mark.parametrize("kind", ["weights drawn anew", "labels shuffled"])
def test_a_model_that_knows_nothing_agrees_less(trained, kind):
    model = fresh()
    if kind == "labels shuffled":
        order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
        learn(model, (TRAIN[0], TRAIN[1][order]))
    found, good = values(asked(model, reference=TRAIN)), values(trained[1])
    assert found["black-box-loss"] == good["black-box-loss"]  # boosting asks nobody
    assert max(found["black-box-sizes"], found["seeds-sizes"]) < 0.3
    for check in ("black-box", "seeds"):  # ranks do not see that hardly anything is needed
        assert found[check] < good[check], check


def test_twins_do_not_divide_two_models():
    x = torch.cat([X[:, :8], X[:, :1]], 1)  # column 8 is column 0 again
    data = x[:800], Y[:800]
    model = ki.KANHead(9, 1, generator=torch.Generator().manual_seed(0)).calibrate(x)
    with torch.no_grad():
        model.kan_layers[0].weight[:, :, 0] = 0  # only the twin is read
        model.kan_layers[0].set_mask(torch.tensor([[0.0] + [1.0] * 8]))
    learn(model, data)
    found = asked(model, data)
    assert values(found)["black-box-sizes"] > 0.9
    assert "8 columns compared, correlated ones as one" in found.readings[0].effort


def test_windows_and_classes():
    p = lagged(n=900, seed=0)
    x, y = torch.tensor(p.X, dtype=torch.float32), torch.tensor(p.y > 0)
    torch.manual_seed(0)
    model = ki.Hybrid(nn.LSTM(5, 8, batch_first=True), ki.KANHead(8, 1, (2,)))
    learn(model, (x[:500], y[:500]))
    found = values(asked(model, (x[500:], y[500:]), reference=(x[:500], y[:500])))
    assert min(found["black-box"], found["black-box-sizes"], found["seeds"]) > 0.7


def test_without_a_target_nothing_is_measured():
    found = asked(fresh(), X[:200])
    assert [reading.measured for reading in found.readings] == [False] * len(CHECKS)
    assert all("target" in reading.remark for reading in found.readings)
    assert found.black_box is None
    assert found.refits is None


def test_without_scikit_learn_the_refits_are_still_made(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    found = asked(fresh(), (X[:300], Y[:300]))
    assert "kaninterp[sklearn]" in found.readings[0].remark
    assert found.readings[3].measured


def test_noise_and_one_column_leave_nothing_to_compare():
    noise = torch.randn(300, generator=torch.Generator().manual_seed(3))
    found = asked(ki.KANHead(1, 1).calibrate(X[:, :1]), (X[:300, :1], noise))
    assert "learns nothing sure" in found.readings[0].remark  # boosting that learns nothing is no judge
    assert [reading.measured for reading in found.readings] == [False, False, True, False, False, False]


def test_a_loss_that_only_counts_trains_nothing():
    def wrong(output, target):
        return ((output[:, 0] > 0) != (target > 0)).float()

    found = asked(fresh(), loss=wrong)
    assert not any(reading.measured for reading in found.readings)
    assert all("gradient" in reading.remark for reading in found.readings)


def test_reference_data_of_other_columns_are_refused():
    with pytest.raises(NamesError):
        asked(fresh(), reference=(X[:, :5], Y))
