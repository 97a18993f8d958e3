"""What a pruning says of itself: original numbers, names, reasons, and the price before and after."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.analysis import plan_of
from kaninterp.core import DataError, Reason, ShapeError
from kaninterp.core.errors import InputError
from kaninterp.pruning import PruneReport, PruneRun, measure_held_out, prune, summarize
from tests.pruning.test_prune import DATA, plan_without
from tests.tiny import hybrid, paper_head


def cut(model, data, *gone):
    """Plan without the edges ``gone`` = (layer, dst, src), with a reason for each."""
    trace = ki.trace(model, data)
    keep = [layer.edges.alive.copy() for layer in trace.layers]
    for layer, dst, src in gone:
        keep[layer][dst, src] = False
    reasons = [Reason(kind="edge", place=place, score=0.1, threshold=0.2, text=f"{place}") for place in gone]
    return plan_of(trace, keep, reasons)


def twice():
    """A hybrid that loses unit 2 and node 1.1, then an edge of what is left; and a column each time."""
    model = hybrid(hidden=6, nodes=(4,))
    first_plan = cut(model, DATA, *((0, dst, 2) for dst in range(4)), (1, 0, 1))
    inputs = np.array([True, False, True, True])
    first_plan = replace(
        first_plan,
        inputs=inputs,
        lags=5,
        reasons=(*first_plan.reasons, Reason(kind="input", place=(1,), score=0.0, threshold=0.1, text="noise")),
    )
    first, one = prune(model, first_plan)
    second_plan = replace(cut(first, DATA, (0, 1, 2)), inputs=np.array([True, True, True, False]), lags=5)
    second, two = prune(first, second_plan)
    run = PruneRun.begin(model, losses={"held_out": 1.0}).add("first", first, report=one)
    return run.add("second", second, report=two)


def test_places_and_names_are_those_of_the_original_model():
    run = twice()
    two = run.steps[1].report
    # position (dst 1, src 2) of the smaller head was node 2 (0, [1], 2, 3) and unit 3 (0, 1, [2], 3, ...)
    assert [reason.place for reason in two.reasons] == [(0, 2, 3)]
    assert two.node_ids == ((0, 1, 3, 4, 5), (0, 2, 3), (0,))
    assert two.node_names == (
        ("unit 0", "unit 1", "unit 3", "unit 4", "unit 5"),
        ("node 1.0", "node 1.2", "node 1.3"),
        ("y0",),
    )
    assert two.input_ids == (0, 1, 2)
    assert two.model == "Hybrid"


def test_a_plain_kan_names_its_nodes_after_the_columns():
    head = paper_head()
    _, report = prune(head, plan_without(head, [3], torch.rand(100, 4, dtype=torch.float64)))
    assert report.node_names == (("x0", "x1", "x2"), ("y0",))


def test_the_summary_of_a_run_speaks_of_all_its_steps():
    run = twice()
    y = run.start(DATA).detach()
    report = summarize(run, (DATA, y), batch=16)
    assert report.kept_inputs == ("x0", "x2")
    assert report.dropped_inputs == ("x1", "x3")
    assert report.input_ids == (0, 2)
    assert report.widths == ((6, 4, 1), (5, 3, 1))
    # node 1.1 goes with its edges: what closure takes along needs no reason of its own
    assert report.edges == (28, 17)
    places = [reason.place for reason in report.reasons]
    assert (0, 2, 3) in places
    assert (1,) in places
    assert (0, 0, 2) in places
    assert [line.step for line in report.steps] == [0, 1, 2]
    assert [line.inputs for line in report.steps] == [4, 3, 2]
    before, after = report.efficiency
    assert after.parameters == report.parameters[1] < before.parameters == report.parameters[0]
    assert after.multiply_adds < before.multiply_adds
    assert report.held_out.before.value == pytest.approx(0.0, abs=1e-12)
    wanted = float(((run.model(DATA).detach() - y) ** 2).mean())
    assert report.held_out.after.value == pytest.approx(wanted, rel=1e-5)


def test_the_summary_of_an_undone_run_is_that_of_the_run_before():
    run = twice()
    assert summarize(run.undo()) == summarize(PruneRun(start=run.start, steps=run.steps[:1], losses=run.losses))
    with pytest.raises(InputError, match="no step"):
        summarize(run.undo(2))


def test_reasons_of_what_came_back_are_left_out():
    model = hybrid(hidden=6, nodes=(4,))
    first, one = prune(model, cut(model, DATA, (0, 0, 0), (0, 0, 1)), compact=False)
    back, two = prune(model, cut(model, DATA, (0, 0, 1)), compact=False)
    run = PruneRun.begin(model).add("two edges", first, report=one).add("one is back", back, report=two)
    assert {reason.place for reason in summarize(run).reasons} == {(0, 0, 1)}


def test_json_holds_everything_and_no_nan():
    report = summarize(twice(), DATA, batch=8)
    read = json.loads(report.to_json())
    assert read["node_ids"] == [[0, 1, 3, 4, 5], [0, 2, 3], [0]]
    assert read["held_out"]["loss"] == "output change"
    assert read["held_out"]["score_before"] is None
    assert read["efficiency"][1]["multiply_adds"] == report.efficiency[1].multiply_adds
    assert read["steps"][0]["held_out"] == {"value": 1.0, "low": None, "high": None}
    assert "NaN" not in report.to_json()


def test_text_says_the_price_and_the_steps():
    text = str(summarize(twice(), (DATA, DATA[:, -1, 0]), batch=8))
    for part in ("edges 28 -> 17", "inputs 4 -> 2: dropped x1, x3", "held-out mse", "held-out R2", "multiply-adds"):
        assert part in text
    assert "step 2: second" in text


def test_kept_inputs_need_their_indices():
    with pytest.raises(ShapeError, match="1 kept inputs, but 0"):
        PruneReport(
            kept_inputs=("a",), dropped_inputs=(), node_ids=((0,), (0,)), widths=((1, 1), (1, 1)),
            edges=(1, 1), nodes=(2, 2), parameters=(1, 1), reasons=(),
        )  # fmt: skip


def classifier(shift):
    model = nn.Linear(2, 3)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
        model.bias.copy_(torch.tensor([shift, 0.0, 0.0]))
    return model


def test_accuracy_is_the_share_of_right_answers():
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    good, bad = classifier(0.0), classifier(1.0)
    y = good(x).argmax(1)
    held = measure_held_out(good, bad, (x, y))
    wrong = float((bad(x).argmax(1) == y).double().mean())
    assert (held.loss, held.score, held.rows) == ("cross_entropy", "accuracy", 500)
    assert held.score_before.value == 1.0
    assert held.score_after.value == pytest.approx(wrong)
    assert held.score_difference.value == pytest.approx(wrong - 1.0)
    assert held.score_difference.high < 0 < held.difference.low


def test_r2_is_averaged_over_outputs_and_bounded_by_one():
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    y = torch.stack((x[:, 0], 100 * x[:, 1]), 1)
    model = nn.Linear(2, 2)
    held = measure_held_out(model, model, (x, y))
    gaps = ((model(x).detach().double() - y.double()) ** 2).mean(0)
    wanted = float((1 - gaps / y.double().var(0, unbiased=False)).mean())
    assert held.score_before.value == pytest.approx(wanted, rel=1e-6)
    assert held.difference.value == held.difference.low == held.difference.high == 0.0


def test_yes_or_no_targets_count_right_signs():
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    model = nn.Linear(2, 1)
    said = (model(x)[:, 0] > 0).detach()
    assert measure_held_out(model, model, (x, said)).score_before.value == 1.0
    assert measure_held_out(model, model, (x, ~said)).score_before.value == 0.0


def test_images_can_be_measured_too():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3))
    data = torch.randn(60, 1, 8, 8), torch.randint(0, 3, (60,))
    held = measure_held_out(model, model, data)
    assert held.score == "accuracy"
    assert held.rows == 60


def test_infinite_losses_are_refused():
    model = nn.Linear(2, 1)
    broken = nn.Linear(2, 1)
    with torch.no_grad():
        broken.bias.fill_(torch.inf)
    with pytest.raises(DataError, match="not finite"):
        measure_held_out(model, broken, (torch.randn(50, 2), torch.randn(50)))
