"""Models and data off the beaten track: number types, several inputs, sequences of different lengths, huge values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import kaninterp as ki
from kaninterp.core.errors import DataError, InputTypeError, KanInterpError, ModelError, NamesError, ShapeError
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


@pytest.mark.parametrize("option", [{"seed": -1}, {"seed": 1.5}, {"batch_size": "a"}, {"feature_names": 5}])
def test_options_of_a_report_are_refused_by_name(option):
    with pytest.raises(KanInterpError, match=r"seed|batch_size|names"):
        ki.report(ki.KANHead(5, 1), (X[:, 0], Y), progress=False, **option)


def test_wrong_nouns_are_refused_by_name():
    for verb in (ki.analyze, ki.to_graph):
        with pytest.raises(InputTypeError, match="Trace"):
            verb(ki.KANHead(2, 1))


def test_messages_stay_short_for_wide_data():
    with pytest.raises(NamesError) as caught:
        ki.trace(ki.KANHead(400, 1), torch.randn(5, 400), feature_names=[f"c{i}" for i in range(399)])
    assert len(str(caught.value)) < 300


def test_merged_traces_name_each_kind_of_data_once_in_any_order():
    head = ki.KANHead(5, 1, generator=seeded())
    frame = pd.DataFrame(X[:, 1].numpy(), columns=[f"x{i}" for i in range(5)])
    a, b = ki.trace(head, X[:, 0]), ki.trace(head, frame)
    assert a.merge(b).merge(a).data == b.merge(a).data == "DataFrame 120 x 5 + tensor 120 x 5 of float32"


@pytest.mark.parametrize("with_target", [True, False])
def test_reference_data_need_no_target(with_target):
    frame = pd.DataFrame(X[:, 0].numpy(), columns=list("abcde"))
    columns = list("abcde") if with_target else list("abcd")
    page = ki.report(ki.KANHead(4, 1), frame, target="e", reference=frame[columns].iloc[:50], progress=False)
    assert page.analysis.ranges[0].reference is not None
    page = ki.report(ki.KANHead(5, 1), X[:, 0], target=Y, reference=X[:50, 0], progress=False)
    assert page.analysis.ranges[0].reference is not None


def test_a_head_without_any_edge_is_reported_as_a_constant():
    head = ki.KANHead(5, 1, generator=seeded())
    head.kan_layers[0].set_mask(torch.zeros(1, 5))
    page = ki.report(head, (X[:, 0], Y), progress=False)
    assert page.analysis.plan.mask.count == 0
    assert "constant" in page.to_html()


@pytest.mark.parametrize("rows", [1, 2, 5, 20])
def test_a_few_rows_decide_nothing(rows):
    head = ki.KANHead(5, 1, generator=seeded())
    for data in ((X[:rows, 0], Y[:rows]), X[:rows, 0]):
        page = ki.report(head, data, progress=False)
        assert {v.cause for v in page.analysis.verdicts} == {"not-measured"}
        assert not page.analysis.plan.dropped_inputs
        assert "not-measured" in {finding.code for finding in page.analysis.findings}
    assert {v.survives for v in ki.analyze(ki.trace(head, X[:1, 0])).verdicts} == {"tentative"}
