"""A plan carried out: what is left computes what was decided, and nothing else was touched."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.analysis import BudgetRule, keep_all, plan_of
from kaninterp.core import ModelError, PlanError
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.nn import gated_columns
from kaninterp.pruning import measure_cost
from tests.tiny import TwoPaths, hybrid, paper_head

DATA = torch.randn(200, 5, 4, generator=torch.Generator().manual_seed(2))


def plan_without(model, columns, data=DATA):
    trace = ki.trace(model, data)
    plan = keep_all(trace)
    inputs = np.ones(len(plan.input_names), bool)
    inputs[list(columns)] = False
    return replace(plan, inputs=inputs, lags=trace.raw.lags)


@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_dropped_column_has_no_effect_to_the_last_bit(cell, compact):
    model = ki.Hybrid(cell(4, 6, batch_first=True, bidirectional=True), ki.KANHead(12, 1)).eval()
    new, report = ki.prune(model, plan_without(model, [1, 3]), compact=compact)
    assert report.dropped_inputs == ("x1", "x3")
    want = new(DATA)
    for value in (0.0, -1e30, 1e30, 5.0):
        changed = DATA.clone()
        changed[..., [1, 3]] = value
        assert torch.equal(new(changed), want)


def test_what_stands_in_for_a_column_is_its_mean():
    model = hybrid()
    plan = plan_without(model, [2])
    new, _ = ki.prune(model, plan)
    held = DATA.clone()
    held[..., 2] = float(plan.fill[2])
    torch.testing.assert_close(new(DATA), model(held), atol=1e-6, rtol=1e-5)


def test_compact_equals_masked_and_the_old_model_is_untouched():
    model = hybrid(hidden=8, nodes=(5, 3), outputs=2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trace = ki.trace(model, DATA)
    rng = np.random.default_rng(0)
    keep = [rng.random(layer.edges.alive.shape) < 0.4 for layer in trace.layers]
    plan = plan_of(trace, keep, [])
    compact, report = ki.prune(model, plan)
    masked, _ = ki.prune(model, plan, compact=False)
    torch.testing.assert_close(compact(DATA), masked(DATA), atol=1e-6, rtol=1e-6)
    assert report.edges[1] == plan.mask.count < report.edges[0]
    assert report.parameters[1] < report.parameters[0]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    again = ki.trace(compact, DATA)
    assert again.card.node_ids == report.node_ids


def test_a_column_read_in_two_places_is_cut_out_of_both():
    torch.manual_seed(0)
    model = TwoPaths().eval()
    new, _ = ki.prune(model, plan_without(model, [0]))
    changed = DATA.clone()
    changed[..., 0] = 1e6
    assert torch.equal(new(changed), new(DATA))
    assert not torch.equal(model(changed), model(DATA))


def test_a_column_that_cannot_be_cut_out_is_held_by_a_gate():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = hybrid()

        def forward(self, x):
            return self.inner(x * 2) + x[:, -1, :1]

    new, report = ki.prune(Scaled(), plan_without(Scaled(), [0]))
    assert gated_columns(new) == {0: (0,)}
    assert report.parameters[0] == report.parameters[1]
    changed = DATA.clone()
    changed[..., 0] = 1e30
    assert torch.equal(new(changed), new(DATA))


def test_a_plain_kan_loses_a_column():
    head = paper_head()
    x = torch.rand(100, 4, dtype=torch.float64) * 2 - 1
    new, report = ki.prune(head, plan_without(head, [3], x))
    assert report.kept_inputs == ("x0", "x1", "x2")
    torch.testing.assert_close(new(x), head(x), atol=1e-9, rtol=0)
    assert new.widths == (3, 1)


def test_plans_for_other_models_are_refused():
    plan = keep_all(ki.trace(hybrid(), DATA))
    with pytest.raises(PlanError, match="other weights"):
        ki.prune(hybrid(seed=1), plan)
    with pytest.raises(PlanError, match="widths"):
        ki.prune(hybrid(nodes=(2,)), plan)


def test_pruning_twice_keeps_the_original_numbers():
    model = hybrid(hidden=6, nodes=(4,))
    trace = ki.trace(model, DATA)
    keep = [np.ones((4, 6), bool), np.ones((1, 4), bool)]
    keep[0][1] = False
    keep[0][:, 2] = False
    first, _ = ki.prune(model, plan_of(trace, keep, []))
    again = ki.trace(first, DATA)
    keep = [np.ones((3, 5), bool), np.ones((1, 3), bool)]
    keep[0][0] = False
    _, report = ki.prune(first, plan_of(again, keep, []))
    assert report.node_ids == ((0, 1, 3, 4, 5), (2, 3), (0,))


def test_the_price_is_measured_on_the_same_rows():
    model = hybrid()
    y = model(DATA).detach()
    plan = plan_without(model, [0])
    cost, report = measure_cost(model, plan, (DATA, y))
    assert cost.before.value == pytest.approx(0.0, abs=1e-12)
    new, _ = ki.prune(model, plan)
    assert cost.after.value == pytest.approx(float(((new(DATA).detach() - y) ** 2).mean()), rel=1e-4)
    assert cost.difference.low <= cost.difference.value <= cost.difference.high
    assert cost.largest_gap < 1e-6
    assert cost.inputs == (4, 3)
    assert json.loads(report.to_json())["dropped_inputs"] == ["x0"]


def test_removing_nothing_costs_nothing():
    model = hybrid()
    cost, _ = measure_cost(model, keep_all(ki.trace(model, DATA)), DATA)
    assert cost.loss == "output change"
    assert cost.after.value == pytest.approx(0.0, abs=1e-10)


def test_what_is_not_a_plan_is_refused():
    head = ki.KANHead(2, 1)
    with pytest.raises(InputTypeError, match=r"analyze\(trace\)\.plan"):
        ki.prune(head, None)


def test_a_model_of_several_inputs_asks_for_an_example():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = nn.Linear(2, 3), nn.Linear(1, 3), ki.KANHead(3, 1)

        def forward(self, x, z):
            return self.head(torch.tanh(self.a(x) + self.b(z)))

    model, data = Two(), ((torch.randn(50, 2), torch.randn(50, 1)), torch.randn(50))
    plan = replace(ki.analyze(ki.trace(model, data)).plan, inputs=np.array([True, False, True]))
    with pytest.raises(ModelError, match="example="):
        ki.prune(model, plan)
    small, report = ki.prune(model, plan, example=data)
    assert small.a.kept_columns == (0,)
    assert report.dropped_inputs == ("input0.1",)


def test_a_plan_and_data_take_their_own_options():
    model = hybrid()
    plan = keep_all(ki.trace(model, DATA))
    with pytest.raises(InputError, match="held_out only go with data"):
        ki.prune(model, plan, held_out=DATA)
    with pytest.raises(InputError, match="example= only goes with a plan"):
        ki.prune(model, DATA, example=DATA)


def test_what_is_nearly_a_plan_is_told_the_way():
    model = hybrid()
    trace = ki.trace(model, DATA)
    with pytest.raises(InputTypeError, match=r"analyze\(trace\)\.plan"):
        ki.prune(model, trace)
    with pytest.raises(InputTypeError, match=r"its \.plan"):
        ki.prune(model, ki.analyze(trace))
    with pytest.raises(InputTypeError, match="rule BudgetRule, which needs data"):
        ki.prune(model, BudgetRule())
