"""Models and data off the beaten track: number types, several inputs, sequences of different lengths, huge values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import kaninterp as ki
from kaninterp.core.errors import DataError, ModelError, NamesError, ShapeError
from kaninterp.measure import ablate


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


X = torch.randn(120, 12, 5, generator=seeded(1))
Y = X[:, -1, 0]


class TwoSequences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.LSTM(3, 4, batch_first=True), nn.GRU(2, 4, batch_first=True)
        self.head = ki.KANHead(8, 1, generator=seeded())

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.head(torch.cat([self.a(x)[0][:, -1], self.b(z)[0][:, -1]], -1))


class Autocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.head = nn.Linear(5, 4), ki.KANHead(4, 1, generator=seeded())

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.head(torch.tanh(self.linear(x)))


class Indices(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 3), ki.KANHead(3, 1, generator=seeded())

    def forward(self, index: Tensor) -> Tensor:
        return self.head(self.embedding(index))


@pytest.mark.parametrize("steps", [12, 6, 1])
def test_two_positional_sequences_are_reported_whatever_their_lengths(steps):
    page = ki.report(TwoSequences(), ((X[:, :, :3], X[:, -steps:, 3:]), Y), progress=False)
    raw = page.analysis.trace.raw
    assert raw.names == ("input0.0", "input0.1", "input0.2", "input1.0", "input1.1")
    expected = torch.cat([X[:, :, :3].mean((0, 1)), X[:, -steps:, 3:].mean((0, 1))])
    np.testing.assert_allclose(raw.nodes.mean, expected, atol=1e-6)
    np.testing.assert_array_equal(raw.nodes.high[3:], X[:, -steps:, 3:].amax((0, 1)))


def test_batches_of_sequences_of_different_lengths_are_traced_but_not_joined():
    model = ki.Hybrid(nn.LSTM(5, 4, batch_first=True), ki.KANHead(4, 1, generator=seeded()))
    batches = [(X[:70], Y[:70]), (X[70:, :7], Y[70:])]
    trace = ki.trace(model, batches)
    assert trace.rows == 120
    assert trace.raw.lags == 12
    assert trace.raw.nodes.count == 70 * 12 + 50 * 7
    with pytest.raises(ShapeError, match="one length"):
        ki.report(model, batches, progress=False)


@pytest.mark.parametrize("data", ["autocast", "bfloat16"])
def test_coarse_number_types_are_reported(data):
    model = Autocast() if data == "autocast" else nn.Sequential(nn.Linear(5, 4), ki.KANHead(4, 1)).bfloat16()
    assert ki.report(model, (X[:, 0], Y), progress=False).analysis.trace.rows == 120


def test_a_model_that_takes_indices_only_has_no_raw_columns():
    data = {"index": torch.arange(120) % 5}
    assert ki.report(Indices(), (data, Y), progress=False).analysis.verdicts == ()
    with pytest.raises(ModelError, match="float inputs"):
        ki.attribute(Indices(), data)


def test_target_names_of_any_kind_and_never_silently_ignored():
    head = ki.KANHead(5, 2, generator=seeded())
    assert ki.trace(head, X[:, 0], target_names=pd.Index(["a", "b"])).output_names == ("a", "b")
    with pytest.raises(NamesError, match="target_names"):
        ki.trace(head, X[:, 0], target_names=[])


def test_losses_that_overflow_are_an_error_not_an_interval():
    with pytest.raises(DataError, match=r"not finite on .* of 120 rows"):
        ablate(ki.KANHead(5, 1, generator=seeded()), (X[:, 0] * 1e30, Y), progress=False)
