"""What a model costs: multiply-adds equal a count by hand, sizes are exact, and a compact model is cheaper."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from torch import nn

import kaninterp as ki
from kaninterp.core.errors import InputError, InputTypeError, ModelError, StateError
from kaninterp.data import Batch
from kaninterp.nn import narrow, prune_head
from kaninterp.pruning import compare, measure_efficiencies, measure_efficiency
from kaninterp.pruning.counting import count_multiply_adds
from kaninterp.pruning.efficiency import bytes_on_disk, nonzero_count
from kaninterp.pruning.outcome import parameter_count
from tests.pruning.random_nets import cut_heads, random_head, rows
from tests.tiny import hybrid

STEPS = 7


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv1d(4, 6, 3, groups=2), ki.KANHead(6, 2, grid=5, order=3)

    def forward(self, x):
        return self.head(torch.relu(self.conv(x.transpose(1, 2))).mean(-1))


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag, self.head = nn.Embedding(10, 3), nn.Linear(3 + 2, 4)

    def forward(self, word, x):
        return self.head(torch.cat((self.bag(word), x), 1))


sequence = (torch.zeros(5, STEPS, 4),)
HAND = {
    "linear": (nn.Linear(4, 8), sequence, STEPS * 4 * 8),
    "lstm": (nn.LSTM(4, 8, batch_first=True), sequence, STEPS * (4 + 8) * 4 * 8),
    "two layers, both ways": (
        nn.LSTM(4, 8, 2, batch_first=True, bidirectional=True),
        sequence,
        STEPS * 2 * ((4 + 8) + (16 + 8)) * 4 * 8,
    ),
    "gru": (nn.GRU(4, 8, 2, batch_first=True), sequence, STEPS * ((4 + 8) + (8 + 8)) * 3 * 8),
    "rnn": (nn.RNN(4, 8, batch_first=True), sequence, STEPS * (4 + 8) * 8),
    "narrow lstm": (narrow(nn.LSTM(4, 8, batch_first=True), (1,)), sequence, STEPS * (1 + 8) * 4 * 8),
    "attention": (
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        (torch.zeros(3, STEPS, 8),),
        STEPS * (4 * 8 * 8 + 2 * 8 * 16) + 2 * STEPS * STEPS * 8,
    ),
    "convolution": (Conv(), sequence, (STEPS - 2) * 6 * 2 * 3 + 6 * 2 * (5 + 3 + 1)),
    "image": (nn.Conv2d(3, 8, 3), (torch.zeros(2, 3, 8, 8),), 36 * 8 * 3 * 9),
    "kan": (ki.KANHead(4, 2, (3,), grid=6, order=2), (torch.zeros(9, 4),), (4 * 3 + 3 * 2) * (6 + 2 + 1)),
    "hybrid": (hybrid(4, 6, (3,)), sequence, STEPS * (4 + 6) * 4 * 6 + (6 * 3 + 3) * 9),
}


@pytest.mark.parametrize("which", list(HAND))
def test_multiply_adds_equal_the_count_by_hand(which):
    model, inputs, expected = HAND[which]
    flags = [m.training for m in model.modules()]
    assert count_multiply_adds(model, Batch(inputs=inputs, keys=None, target=None)) == expected
    assert [m.training for m in model.modules()] == flags
    assert torch.backends.mha.get_fastpath_enabled()


def test_indices_look_up_and_do_not_multiply():
    inputs = (torch.zeros(6, dtype=torch.long), torch.zeros(6, 2))
    assert count_multiply_adds(Bag(), Batch(inputs=inputs, keys=("word", "x"), target=None)) == 5 * 4


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cut_heads())
def test_a_pruned_head_is_never_larger_and_counts_as_its_layers_do(case):
    head, small, _ = case
    batch = Batch(inputs=(rows(5, head.in_features),), keys=None, target=None)
    by_hand = sum(layer.weight.numel() for layer in small.layers)
    assert count_multiply_adds(small, batch) == by_hand <= count_multiply_adds(head, batch)
    live = sum(int(layer.mask.sum()) for layer in small.layers)
    per_edge = head.layers[0].weight.shape[1]
    biases = sum(int((layer.bias != 0).sum()) for layer in small.layers)
    assert nonzero_count(small) == live * per_edge + biases
    assert parameter_count(small) <= parameter_count(head)


def test_a_compact_model_is_smaller_and_faster():
    head = random_head((64, 64, 4), 0)
    keep = [np.zeros((64, 64), bool), np.zeros((4, 64), bool)]
    keep[0][:4, :4] = True
    keep[1][:, :4] = True
    small, _ = prune_head(head, keep)
    masked, _ = prune_head(head, keep, compact=False)
    before, middle, after = measure_efficiencies((head, masked, small), rows(512, 64), repeats=15)
    assert after.parameters < middle.parameters == before.parameters
    assert after.nonzero <= middle.nonzero < before.nonzero  # the biases of silent nodes are there, and not used
    assert after.multiply_adds == (4 * 4 + 4 * 4) * 7 < middle.multiply_adds == before.multiply_adds
    assert after.bytes_on_disk < before.bytes_on_disk
    assert after.latency_ms < before.latency_ms
    assert after.throughput > before.throughput
    assert after.throughput == pytest.approx(1e3 * 512 / after.latency_ms)
    assert (after.batch, after.repeats, after.threads) == (512, 15, torch.get_num_threads())
    assert after.compiled_ms is None
    ratio = compare(before, after)["ratio"]
    assert ratio["parameters"] == after.parameters / before.parameters < 0.1
    assert ratio["rows per second"] > 1
    assert "latency compiled, ms" not in ratio


def test_bytes_are_those_of_the_file(tmp_path):
    model = hybrid()
    safetensors.torch.save_file(model.state_dict(), tmp_path / "m.safetensors")
    assert bytes_on_disk(model) == (tmp_path / "m.safetensors").stat().st_size


def test_shared_weights_count_once():
    a = nn.Linear(50, 50)
    both = nn.Sequential(a, nn.ReLU(), a)
    assert bytes_on_disk(both) < 1.2 * bytes_on_disk(a)
    assert nonzero_count(both) == 50 * 50 + 50


def test_measuring_leaves_no_trace():
    model = hybrid().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    measure_efficiency(model, torch.randn(9, 5, 4, generator=torch.Generator().manual_seed(0)), repeats=2, batch=4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert model.training
    assert gc.isenabled()


@pytest.mark.filterwarnings("ignore")
def test_compiled_latency_is_measured_on_request(monkeypatch):
    calls = []

    def as_it_is(model, **options):
        calls.append(options)
        return model

    monkeypatch.setattr(torch, "compile", as_it_is)
    cost = measure_efficiency(ki.KANHead(3, 1), rows(8, 3), repeats=3, compiled=True)
    assert cost.compiled_ms > 0 <= cost.compiled_iqr_ms
    assert calls == [{"dynamic": False}]
    assert compare(cost, cost).loc["latency compiled, ms", "ratio"] == 1.0

    def broken(model, **options):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(StateError, match=r"no compiler.*compiled=False"):
        measure_efficiency(ki.KANHead(3, 1), rows(8, 3), repeats=3, compiled=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_torch_compiles_a_pruned_head():
    head = random_head((16, 8, 1), 0)
    keep = [np.zeros((8, 16), bool), np.ones((1, 8), bool)]
    keep[0][:, :3] = True
    small, _ = prune_head(head, keep)
    before, after = measure_efficiencies((head, small), rows(256, 16), repeats=10, compiled=True)
    assert after.compiled_ms > 0
    assert before.compiled_ms > 0


def test_what_cannot_be_measured_is_refused():
    head = ki.KANHead(3, 1)
    with pytest.raises(ModelError, match="fails on inputs"):
        measure_efficiency(nn.Linear(3, 1), torch.zeros(4, 5))
    with pytest.raises(InputError, match="repeats"):
        measure_efficiency(head, rows(4, 3), repeats=0)
    with pytest.raises(InputTypeError, match="batch"):
        measure_efficiency(head, rows(4, 3), batch=2.5)
    with pytest.raises(InputError, match="at least one"):
        measure_efficiencies((), rows(4, 3))
