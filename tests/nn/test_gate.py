"""The input gate: columns held in front of a model that cannot be narrowed, and what is said about it."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from kaninterp.core.errors import ModelError, PlanError, ShapeError
from kaninterp.nn import KANHead, check_dropped, entries, gate_inputs, gate_notes, gated_columns, prune_model
from tests.raw_readers import draw, held_at, state_of


class Two(nn.Module):
    """Two inputs, each of which may come by position or by keyword."""

    def __init__(self):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(3), nn.Linear(3, 2)

    def forward(self, x, z=None):
        hidden = self.linear(self.norm(x))
        return hidden if z is None else hidden * z.sum(-1, keepdim=True)


def norm_first():
    return nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2), KANHead(2, 1)).eval()


def test_held_columns_are_replaced_and_the_model_is_not_touched():
    model, x, fill = norm_first(), draw(5, 3), draw(3, seed=1)
    before = state_of(model)
    gated = gate_inputs(model, {0: (1,)}, {0: fill})
    assert torch.equal(gated(x), model(held_at(x, fill, (0, 2))))
    assert gated_columns(gated) == {0: (1,)}
    assert gated_columns(model) == {}
    assert type(gated) is nn.Sequential
    assert len(gated) == 3
    assert all(map(torch.equal, before[0], state_of(model)[0]))
    assert not model._forward_pre_hooks
    for value in (1e38, float("nan"), float("inf")):
        moved = x.clone()
        moved[:, 1] = value
        assert torch.equal(gated(moved), gated(x))


@pytest.mark.parametrize("key", [0, "x"])
def test_an_input_is_gated_by_position_and_by_keyword(key):
    gated, x, z = gate_inputs(Two(), {key: (2,)}, {key: torch.ones(3)}), draw(5, 3), draw(5, 4)
    moved = x + torch.tensor([0.0, 0.0, 1e6])
    want = gated(x, z)
    assert torch.equal(gated(moved, z), want)
    assert torch.equal(gated(moved, z=z), want)
    assert torch.equal(gated(z=z, x=moved), want)
    assert not torch.equal(gated(x + torch.tensor([0.0, 1.0, 0.0]), z), want)
    assert torch.equal(gated(moved), gated(x)), "an optional input may be left out"


def test_a_gate_is_extended_and_old_constants_stay():
    model, x, fill = Two(), draw(5, 3), draw(3, seed=1)
    once = gate_inputs(model, {0: (1,)}, {0: fill})
    twice = gate_inputs(once, {0: (0, 1), 1: (3,)}, {0: torch.zeros(3), 1: torch.zeros(4)})
    assert gated_columns(once) == {0: (1,)}
    assert gated_columns(twice) == {0: (0, 1), 1: (3,)}
    assert len(twice._forward_pre_hooks) == 1
    assert torch.equal(twice(x), model(held_at(x, torch.tensor([0.0, float(fill[1]), 0.0]), (2,))))


def test_sequences_channels_and_packed_inputs():
    conv = nn.Sequential(nn.BatchNorm1d(3), nn.Conv1d(3, 2, 2)).eval()
    x, fill = draw(5, 3, 7), draw(3, seed=1)
    gated = gate_inputs(conv, {0: (0,)}, {0: fill}, axis={0: -2})
    assert torch.equal(gated(x), conv(held_at(x, fill, (1, 2), -2)))
    lstm = nn.LSTM(3, 4)
    packed = pack_padded_sequence(draw(7, 5, 3), [7, 7, 4, 2, 1])
    gated = gate_inputs(lstm, {0: (0,)}, {0: fill})
    held = packed._replace(data=held_at(packed.data, fill, (1, 2)))
    assert torch.equal(gated(packed)[0].data, lstm(held)[0].data)


def test_a_gate_moves_and_is_saved_with_its_model():
    model, x = norm_first(), draw(5, 3)
    gated = gate_inputs(model, {0: (1,)}, {0: draw(3, seed=1)})
    double = copy.deepcopy(gated).double()
    torch.testing.assert_close(double(x.double()).float(), gated(x))
    saved = io.BytesIO()
    torch.save(gated, saved)
    saved.seek(0)
    again = torch.load(saved, weights_only=False)
    assert torch.equal(again(x), gated(x))
    assert gated_columns(again) == {0: (1,)}
    with pytest.raises(RuntimeError, match="input_gate_0_held"):
        norm_first().load_state_dict(gated.state_dict())
    fresh = gate_inputs(norm_first(), {0: (1,)}, {0: torch.zeros(3)})
    fresh.load_state_dict(gated.state_dict())
    assert torch.equal(fresh(x), gated(x))


@pytest.mark.filterwarnings("ignore")  # torch's own, while tracing
def test_a_gate_is_compiled_and_exported():
    gated, x = gate_inputs(norm_first(), {0: (1,)}, {0: draw(3, seed=1)}), draw(5, 3)
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(gated), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), gated(x), atol=1e-6, rtol=1e-5)
    program = torch.export.export(gated, (x,))
    moved = x + torch.tensor([0.0, 1e6, 0.0])
    late = gate_inputs(torch.compile(norm_first(), fullgraph=True, backend="aot_eager"), {0: (1,)}, {0: torch.ones(3)})
    assert gated_columns(late) == {0: (1,)}
    assert torch.equal(late(moved), late(x))
    torch.testing.assert_close(program.module()(moved), gated(x), atol=1e-6, rtol=1e-5)


def test_a_gated_model_trains_and_its_constants_stay():
    gated, x = gate_inputs(norm_first().train(), {0: (1,)}, {0: torch.ones(3)}), draw(5, 3)
    gated(x).sum().backward()
    assert all(parameter.grad is not None for parameter in gated[1].parameters())
    assert sum(p.numel() for p in gated.parameters()) == sum(p.numel() for p in norm_first().parameters())


def test_held_columns_have_no_reader_any_more():
    gated = gate_inputs(norm_first(), {0: (1,)}, {0: torch.ones(3)})
    assert [(e.path, e.columns) for e in entries(gated, draw(5, 3))] == [("0", (0, 2))]
    plain = gate_inputs(nn.Sequential(nn.Linear(3, 1)), {0: (1,)}, {0: torch.ones(3)})
    assert [(e.kind, e.columns) for e in entries(plain, draw(5, 3))] == [("linear", (0, -1, 2))]


def test_what_is_said_about_a_gate():
    model = norm_first()
    found = entries(model, draw(5, 3))
    gated = prune_model(model, "2", [np.ones((1, 2), bool)], None, found, (0,), torch.zeros(3))
    (note,) = gate_notes(gated, {0: ("load", "wind", "rain")})
    assert note.startswith("wind, rain: held at a constant by a gate in front of the model")
    assert "in 0, LayerNorm computes with them" in note
    assert "does not get smaller" in note
    assert gate_notes(model) == ()
    assert "column 1 of input 0" in gate_notes(gated)[0]


@pytest.mark.filterwarnings("ignore")  # torch's own, about scripting
def test_bad_gates_are_refused():
    model, fill = norm_first(), torch.zeros(3)
    with pytest.raises(PlanError, match="which has 3"):
        gate_inputs(model, {0: (3,)}, {0: fill})
    with pytest.raises(PlanError, match="not finite"):
        gate_inputs(model, {0: (1,)}, {0: fill / 0})
    with pytest.raises(ShapeError, match="of 3 on axis -1"):
        gate_inputs(Two(), {0: (1,)}, {0: fill})(draw(5, 4))
    with pytest.raises(ModelError, match="scripted"):
        gate_inputs(torch.jit.script(nn.Linear(3, 1)), {0: (1,)}, {0: fill})
    model.input_gate_0_held = 1
    with pytest.raises(ModelError, match="input_gate_0_held"):
        gate_inputs(model, {0: (1,)}, {0: fill})
    assert not model._forward_pre_hooks


def test_pruning_narrows_what_it_can_and_gates_the_rest():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.attend = nn.LSTM(4, 3, batch_first=True), nn.MultiheadAttention(4, 2, batch_first=True)
            self.mix, self.head = nn.Linear(4, 3), KANHead(3, 1)

        def forward(self, x):
            context = self.attend(x[..., :4], x, x, need_weights=False)[0][:, -1]
            return self.head(self.lstm(x)[1][0][-1] + self.mix(context))

    model, x, fill = Both().eval(), draw(5, 6, 4), draw(4, seed=1)
    found = entries(model, x)
    assert {(e.path, e.kind) for e in found} == {("lstm", "lstm"), ("attend", "other")}
    keep = [np.ones((1, 3), bool)]
    for compact in (True, False):
        new = prune_model(model, "head", keep, None, found, (0, 3), fill, compact=compact)
        assert new.lstm.weight_ih_l0.shape[1] == (2 if compact else 4)
        assert gated_columns(new) == {0: (1, 2)}
        torch.testing.assert_close(new(x), model(held_at(x, fill, (0, 3))), atol=1e-6, rtol=1e-5)
        check_dropped(new, x, (1, 2))
    assert gated_columns(prune_model(model, "head", keep, None, found, (0, 1, 2, 3), fill)) == {}
    zero = prune_model(model, "head", keep, None, found, (0, 3))
    torch.testing.assert_close(zero(x), model(held_at(x, torch.zeros(4), (0, 3))), atol=1e-6, rtol=1e-5)
