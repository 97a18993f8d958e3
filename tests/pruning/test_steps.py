"""Steps of a pruning: the history says what each model is, and the way back is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kaninterp as ki
from kaninterp.core import Estimate
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.nn import prune_head
from kaninterp.pruning import PruneRun, PruneStep, fine_tune, measure_efficiency, prune
from tests.pruning.random_nets import random_head
from tests.pruning.test_prune import DATA, plan_without
from tests.tiny import hybrid


def bits(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(model, saved):
    now = model.state_dict()
    return list(now) == list(saved) and all(torch.equal(value, saved[name]) for name, value in now.items())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**16), st.integers(1, 4), st.data())
def test_undo_restores_bit_for_bit(seed, steps, data):
    rng = np.random.default_rng(seed)
    head = random_head((4, 3, 2), seed)
    run, saved = PruneRun.begin(head), [bits(head)]
    for number in range(1, steps + 1):
        keep = [rng.random(tuple(layer.mask.shape)) < 0.8 for layer in run.model.layers]
        working, _ = prune_head(run.model, keep, compact=bool(rng.integers(2)))
        run = run.then(PruneStep(number=number, label="cut", model=working))
        saved.append(bits(working))
        with torch.no_grad():  # whoever goes on with the model in hand does not change the run
            working.layers[0].weight.add_(1.0)
            head.layers[0].weight.add_(1.0)
    back = data.draw(st.integers(1, steps))
    undone = run.undo(back)
    assert same(undone.model, saved[-1 - back])
    assert len(undone.steps) == steps - back
    assert same(run.model, saved[-1])
    assert same(run.start, saved[0])


def test_training_on_from_an_undone_step_leaves_the_run_alone():
    model = hybrid()
    small, report = prune(model, plan_without(model, [0]))
    run = PruneRun.begin(model).then(PruneStep(number=1, label="x0 dropped", model=small, report=report))
    before = bits(run.model)
    fine_tune(run.model, (DATA, DATA[:, -1, 1]), epochs=2, seed=0, progress=False)
    assert same(run.model, before)
    assert same(run.undo().model, bits(model))


def test_history_counts_what_is_there():
    model = hybrid(hidden=6, nodes=(3,))
    first, one = prune(model, plan_without(model, [0]))
    second, two = prune(first, plan_without(first, [0, 2]))
    cost = measure_efficiency(second, DATA[:16], repeats=2)
    run = PruneRun.begin(model, losses={"held_out": 0.5})
    run = run.then(PruneStep(number=1, label="a", model=first, report=one, losses={"train": 0.4}))
    run = run.then(
        PruneStep(
            number=2,
            label="b",
            model=second,
            report=two,
            losses={"held_out": Estimate(value=0.6, low=0.5, high=0.7)},
            efficiency=cost,
        )
    )
    table = run.history
    assert table["step"].tolist() == [0, 1, 2]
    assert table["label"].tolist() == ["start", "a", "b"]
    assert table["inputs"].tolist() == [4, 3, 2]
    assert table["edges"].tolist() == [21, 21, 21]
    assert table["parameters"].tolist() == [sum(p.numel() for p in m.parameters()) for m in (model, first, second)]
    assert table["held_out"].tolist()[::2] == [0.5, 0.6]
    assert math.isnan(table["held_out"][1])
    assert (table["held_out_low"][2], table["held_out_high"][2]) == (0.5, 0.7)
    assert table["multiply_adds"].isna().tolist() == [True, True, False]
    assert table["multiply_adds"][2] == cost.multiply_adds
    assert run.undo().history.equals(table[:2].astype(table.dtypes))


def test_an_empty_run_is_its_start():
    head = ki.KANHead(2, 1)
    run = PruneRun.begin(head)
    assert run.model is run.start is not head
    assert run.history["inputs"].isna().all()


def test_wrong_steps_are_refused():
    head = ki.KANHead(2, 1)
    run = PruneRun.begin(head).then(PruneStep(number=1, label="a", model=head))
    with pytest.raises(InputError, match="expected step 2, got step 1"):
        run.then(PruneStep(number=1, label="b", model=head))
    for bad in (0, 2, -1):
        with pytest.raises(InputError, match="allowed: 1 to 1"):
            run.undo(bad)
    with pytest.raises(InputTypeError, match="whole number"):
        run.undo(1.0)
    with pytest.raises(InputError, match=r"unknown keys \['test'\]"):
        PruneStep(number=1, label="a", model=head, losses={"test": 1.0})


def test_losses_cannot_be_changed_from_outside():
    given = {"train": 1.0}
    step = PruneStep(number=1, label="a", model=ki.KANHead(2, 1), losses=given)
    given["train"] = 2.0
    assert step.losses == {"train": 1.0}
