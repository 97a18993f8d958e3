"""Rows taken for time steps: torch runs such a model without a word, the library does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import kaninterp as ki
from kaninterp.core.errors import ModelError

X = torch.randn(60, 6, 3, generator=torch.Generator().manual_seed(0))
DATA = (X, X[:, :, :1])


def model(**options) -> ki.Hybrid:
    return ki.Hybrid(nn.LSTM(3, 4, **options), ki.KANHead(4, 1), readout="all")


class Transposing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = model()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.transpose(0, 1)).transpose(0, 1)


@pytest.mark.parametrize("what", [ki.trace, lambda m, d: ki.fit(m, d, epochs=1, progress=False)])
def test_a_time_first_backbone_is_refused_and_left_alone(what):
    bad = model()
    before = {key: value.clone() for key, value in bad.state_dict().items()}
    with pytest.raises(ModelError, match="batch_first=True"):
        what(bad, DATA)
    assert all(torch.equal(value, before[key]) for key, value in bad.state_dict().items())
    assert not bad.backbone._forward_pre_hooks
    what(model(batch_first=True), DATA)
    what(Transposing(), DATA)


def test_a_table_is_not_one_long_sequence():
    with pytest.raises(ModelError, match="windows"):
        ki.trace(model(batch_first=True), X[:, 0])


def test_fit_says_what_it_gave_to_a_model_that_fails():
    with pytest.raises(ModelError, match=r"Linear fails on inputs of shape \(4, 3\)"):
        ki.fit(nn.Linear(2, 1), (X[:, 0], X[:, 0, 0]), epochs=1, progress=False)
