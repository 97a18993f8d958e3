"""The head from other starts: it learns, its mask stays, and nothing of the model moves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.core import DataError, InputError, ModelError
from kaninterp.core.refits import Refits
from kaninterp.measure.two_parts import two_parts
from kaninterp.pruning.refits import _trained, refits
from tests.tiny import hybrid

X = torch.rand(600, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
Y = 2 * X[:, 0] + X[:, 1] ** 2 + X[:, 2]


def head(nodes=(3,)):
    new = ki.KANHead(4, 1, nodes, generator=torch.Generator().manual_seed(0))
    return new.calibrate(X)


def test_refits_start_elsewhere_and_learn():
    model = head()
    found = refits(model, (X, Y), runs=2, seed=5, progress=False)
    assert found.seeds == (6, 7)
    assert found.whole
    losses = [ablation.base.value for ablation in found.ablations]
    assert max(losses[1:]) < 0.1 * float(Y.var())
    assert losses[1] != losses[2]
    assert losses[0] > 0.5 * float(Y.var())  # the model itself was not trained


def test_what_was_cut_away_stays_away():
    model = head()
    first, last = model.kan_layers
    mask = torch.ones(3, 4)
    mask[:, 2] = 0
    first.set_mask(mask)
    with torch.no_grad():
        last.weight[0, :, 1] = 0  # an edge without a mask, but without a weight
    parts = two_parts(model, (X, Y))
    new = _trained(model, parts.learn.batch.inputs[0], parts.learn, loss=None, epochs=5, seed=1)
    assert torch.equal(new.kan_layers[0].mask, mask)
    assert not new.kan_layers[1].weight[0, :, 1].any()
    assert (new.kan_layers[0].weight != first.weight)[:, :, [0, 1, 3]].all()
    found = refits(model, parts, runs=1, epochs=5, progress=False)
    assert [ablation.change[2] for ablation in found.ablations] == [0, 0]


def test_only_columns_that_reach_the_head_are_read():
    model = hybrid()
    with torch.no_grad():
        model.backbone.weight_ih_l0[:, 1] = 0
    x = torch.randn(300, 5, 4, generator=torch.Generator().manual_seed(0))
    found = refits(model, (x, x[:, -1, 0]), runs=1, epochs=5, progress=False)
    assert not found.whole
    assert [ablation.reads.tolist() for ablation in found.ablations] == [[True, False, True, True]] * 2


def test_every_step_of_a_sequence_may_be_predicted():
    model = ki.Hybrid(nn.GRU(2, 5, batch_first=True), ki.KANHead(5, 1), readout="all")
    x = torch.randn(200, 4, 2, generator=torch.Generator().manual_seed(0))
    found = refits(model, (x, x[..., :1].cumsum(1)), runs=1, epochs=20, progress=False)
    assert found.ablations[1].change[0] > 10 * abs(found.ablations[1].change[1])


class Behind(nn.Module):
    """Something comes after the KAN."""

    def __init__(self):
        super().__init__()
        self.head = head()

    def forward(self, x):
        return 2 * self.head(x)


class Twice(nn.Module):
    """The KAN reads every row twice."""

    def __init__(self):
        super().__init__()
        self.head = head()

    def forward(self, x):
        return self.head(x) + self.head(-x)


def test_what_cannot_be_trained_on_its_own_is_refused():
    with pytest.raises(ModelError, match="does something with the KAN's output"):
        refits(Behind(), (X, Y), progress=False)
    with pytest.raises(ModelError, match="reads every row once"):
        refits(Twice(), (X, Y), progress=False)
    with pytest.raises(DataError, match="target"):
        refits(head(), X, progress=False)
    with pytest.raises(InputError, match="1 or more"):
        refits(head(), (X, Y), runs=0, progress=False)


def test_the_noun_refuses_what_does_not_belong_together():
    found = refits(head(()), (X, Y), runs=1, epochs=1, progress=False)
    with pytest.raises(InputError, match="expected one more"):
        Refits(seeds=(1, 2), trained=9, epochs=1, whole=True, ablations=found.ablations)


def test_what_would_take_an_hour_is_refused_at_once():
    wide = ki.KANHead(784, 10, (64,), generator=torch.Generator().manual_seed(0))
    rows = torch.rand(400, 784, generator=torch.Generator().manual_seed(1))
    with pytest.raises(ModelError, match="784 columns are too many"):
        refits(wide, (rows, torch.arange(400) % 10), progress=False)


def test_many_columns_are_shuffled_once_each():
    rows = torch.rand(200, 120, generator=torch.Generator().manual_seed(1)) * 2 - 1
    many = ki.KANHead(120, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    found = refits(many, (rows, rows[:, 0]), runs=1, epochs=2, progress=False)
    assert {ablation.repeats for ablation in found.ablations} == {1}
