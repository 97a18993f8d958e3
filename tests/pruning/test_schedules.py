"""Schedules: fewer and fewer edges, every step can be taken back, and being killed changes nothing."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.analysis import EdgeRule, Fraction, ScoreRule, keep_all
from kaninterp.core.errors import DataError, InputError, InputTypeError, ModelError, PlanError, StateError
from kaninterp.pruning.schedules import adaptive, choose_step, dynamic, iterative, nested, one_shot, path
from kaninterp.training.run import Run

X = torch.rand(240, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
Y = X[:, 0] + X[:, 1] ** 2 + 0.05 * torch.randn(240, generator=torch.Generator().manual_seed(1))
QUIET = {"progress": False, "efficiency": False}
SOME = ScoreRule("kan2", amount=Fraction(0.3))

SCHEDULES = {
    "one shot": lambda model, **more: one_shot(model, (X, Y), SOME, epochs=3, **QUIET, **more),
    "iterative": lambda model, **more: iterative(model, (X, Y), SOME, rounds=2, epochs=2, warmup=1, **QUIET, **more),
    "rewind": lambda model, **more: iterative(model, (X, Y), SOME, rounds=2, epochs=2, rewind=True, **QUIET, **more),
    "adaptive": lambda model, **more: adaptive(model, (X, Y), SOME, tolerance=0.5, epochs=2, **QUIET, **more),
    "dynamic": lambda model, **more: dynamic(model, (X, Y), SOME, rounds=2, epochs=2, fine_tune=1, **QUIET, **more),
    "nested": lambda model, **more: nested(model, (X, Y), epochs=2, **QUIET, **more),
    "path": lambda model, **more: path(
        model, (X, Y), (0.5, 2.0), epochs=6, debias=1, fit_options={"lr": 0.02}, **QUIET, **more
    ),
}
MONOTONE = [name for name in SCHEDULES if name != "dynamic"]


@pytest.fixture(scope="module")
def trained():
    head = ki.KANHead(4, 1, (3,), domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    ki.fit(head, (X, Y), epochs=8, optimizer="lbfgs", seed=0, progress=False)
    return head


def state_of(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_given_model_and_the_global_generators_stay_as_they_were(name, trained):
    before, flags = state_of(trained), [module.training for module in trained.modules()]
    generators = torch.get_rng_state(), random.getstate()
    run = SCHEDULES[name](trained)
    assert same(state_of(trained), before)
    assert [module.training for module in trained.modules()] == flags
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert random.getstate() == generators[1]
    assert same(state_of(run.start), before)
    assert len(run.steps) >= 2


@pytest.mark.parametrize("name", MONOTONE)
def test_edges_only_become_fewer(name, trained):
    table = SCHEDULES[name](trained).history
    assert (table["edges"].diff().dropna() <= 0).all()
    assert table["edges"].iloc[-1] < table["edges"].iloc[0]
    assert {"step", "label", "edges", "nodes", "inputs", "train", "held_out", "parameters"} <= set(table)
    assert table[["train", "held_out"]].notna().all().all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_steps_are_taken_back_bit_for_bit(name, trained):
    run = SCHEDULES[name](trained)
    for back in range(1, len(run.steps)):
        assert same(state_of(run.undo(back).model), state_of(run.steps[-1 - back].model))
    assert same(state_of(run.undo(len(run.steps)).model), state_of(trained))


class Killed(BaseException):
    """What no code under test catches."""


def killed_after(epochs, monkeypatch, action):
    """Run something, and kill it in the middle of its training, after so many epochs of all its fits."""
    original, count = Run.advance, [0]

    def advance(self):
        if count[0] == epochs:
            raise Killed
        count[0] += 1
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", advance)
        try:
            action()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_killed_run_ends_the_same_bit_for_bit(name, trained, tmp_path, monkeypatch):
    whole = SCHEDULES[name](trained)
    folder, kills = tmp_path / "run", 0
    # killed again and again, two epochs later each time
    while killed_after(2, monkeypatch, lambda: SCHEDULES[name](trained, checkpoint=folder)):
        kills += 1
    resumed = SCHEDULES[name](trained, checkpoint=folder)
    assert kills >= 1
    assert [step.label for step in resumed.steps] == [step.label for step in whole.steps]
    for ours, theirs in zip(resumed.steps, whole.steps, strict=True):
        assert same(state_of(ours.model), state_of(theirs.model))
    assert resumed.history.equals(whole.history)


def test_a_finished_run_is_read_and_not_trained_again(trained, tmp_path, monkeypatch):
    first = iterative(trained, (X, Y), SOME, rounds=2, epochs=1, checkpoint=tmp_path / "run", progress=False)
    assert not killed_after(
        0,
        monkeypatch,
        lambda: iterative(trained, (X, Y), SOME, rounds=2, epochs=1, checkpoint=tmp_path / "run", progress=False),
    )
    again = iterative(trained, (X, Y), SOME, rounds=2, epochs=1, checkpoint=tmp_path / "run", progress=False)
    assert again.history.equals(first.history)  # with the times that were measured then
    assert first.history["latency_ms"].notna().all()
    assert first.history["multiply_adds"].is_monotonic_decreasing


def test_a_folder_belongs_to_one_run(trained, tmp_path):
    folder = tmp_path / "run"
    one_shot(trained, (X, Y), SOME, epochs=1, checkpoint=folder, **QUIET)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(StateError, match="schedule epochs is 1 in the file and 2 now"):
        one_shot(trained, (X, Y), SOME, epochs=2, checkpoint=folder, **QUIET)
    with pytest.raises(StateError, match="data"):
        one_shot(trained, (X, Y + 1), SOME, epochs=1, checkpoint=folder, **QUIET)
    run = one_shot(trained, (X, Y), SOME, epochs=2, checkpoint=folder, resume=False, **QUIET)
    assert run.steps[-1].label == "fine-tuned 2 epochs"
    assert (folder / "notes.txt").read_text() == "mine"
    with pytest.raises(InputError, match="make its parent"):
        one_shot(trained, (X, Y), SOME, checkpoint=tmp_path / "no" / "run", **QUIET)


def best_first(trace, scores=None, *, probe=None):
    """A rule that does the most harm: the strongest edge of the first layer goes."""
    del scores, probe
    from kaninterp.analysis import plan_of

    wanted = [layer.edges.alive.copy() for layer in trace.layers]
    wanted[0][np.unravel_index(np.argmax(trace.layers[0].edges.strength), wanted[0].shape)] = False
    return plan_of(trace, wanted, [])


def test_adaptive_takes_back_the_step_that_costs_too_much(trained):
    run = adaptive(trained, (X, Y), best_first, tolerance=0.1, epochs=0, **QUIET)
    assert run.steps[-1].label.startswith("taken back: ")
    assert "allowed" in run.steps[-1].label
    assert same(state_of(run.model), state_of(trained))


def test_adaptive_stays_within_its_tolerance(trained):
    run = adaptive(trained, (X, Y), SOME, tolerance=0.3, epochs=4, **QUIET)
    losses = run.history["held_out"]
    assert losses.iloc[-1] <= 1.3 * losses.iloc[0]
    assert run.history["edges"].iloc[-1] < 15
    with pytest.raises(InputError, match="tolerance"):
        adaptive(trained, (X, Y), SOME, tolerance=-1.0, **QUIET)


def test_dynamic_lets_an_edge_come_back():
    head = ki.KANHead(3, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    x, y = X[:, :3], X[:, 0] + X[:, 1]
    ki.fit(head, (x, X[:, 0]), epochs=8, optimizer="lbfgs", seed=0, progress=False)
    with torch.no_grad():
        head.layers[0].weight[:, :, 1:] = 0.0  # the second input was never learnt
    run = dynamic(
        head, (x, y), EdgeRule(0.1), rounds=3, epochs=8, decay=0.2, fine_tune=0, fit_options={"lr": 0.05}, **QUIET
    )
    assert run.history["edges"].tolist()[:3] == [3, 1, 2]
    assert "1 came back" in run.steps[1].label
    assert run.steps[-1].report.kept_inputs == ("x0", "x1")
    assert run.history["held_out"].iloc[-1] < 0.1 * run.history["held_out"].iloc[0]


def test_what_fades_keeps_the_mean_of_every_node(trained):
    from kaninterp.pruning.schedules.dynamic import fade_

    trace = ki.trace(trained, X)
    plan = EdgeRule(0.2)(trace)
    faded = ki.KANHead(**trained.config)
    faded.load_state_dict(trained.state_dict())
    fade_(faded, plan, 0.0)
    first, changed = (model.eval().layers[0](X).mean(0) for model in (trained, faded))
    torch.testing.assert_close(first, changed, atol=1e-5, rtol=0)
    assert (faded.layers[0].weight.abs().sum(1) == 0).any()


def test_the_path_reaches_exact_zeros(trained):
    run = path(trained, (X, Y), (1.0,), epochs=25, debias=10, fit_options={"lr": 0.01}, **QUIET)
    report = run.steps[0].report
    assert report.dropped_inputs == ("x2", "x3")
    assert any("exactly zero" in reason.text for reason in report.reasons)
    moved = X.clone()
    moved[:, 2:] = 1e6
    assert torch.equal(run.model(moved), run.model(X))
    assert run.history["held_out"].iloc[-1] < 1.5 * run.history["held_out"].iloc[0]


def test_the_path_narrows_a_backbone():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), ki.KANHead(3, 1, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():  # torch draws the first weights from its global generator
        model[0].weight.copy_(torch.linspace(-0.5, 0.5, 12).reshape(3, 4))
    ki.fit(model, (X, X[:, 0] - X[:, 1]), epochs=15, seed=0, progress=False, lr=0.01)
    run = path(model, (X, X[:, 0] - X[:, 1]), (2.0,), epochs=25, debias=5, fit_options={"lr": 0.01}, **QUIET)
    assert run.steps[0].report.dropped_inputs == ("x2", "x3")
    assert run.model[0].kept_columns == (0, 1)


def test_a_penalty_that_leaves_nothing_ends_the_path(trained):
    noise = torch.randn(240, generator=torch.Generator().manual_seed(3))
    run = path(trained, (X, noise), (8.0, 9.0), epochs=40, debias=1, fit_options={"lr": 0.02}, **QUIET)
    assert run.steps == ()
    assert same(state_of(run.model), state_of(trained))


@pytest.mark.parametrize("penalties", [(), (1.0, 1.0), (2.0, 1.0), (0.0,)])
def test_penalties_rise(penalties, trained):
    with pytest.raises(InputError, match="rise"):
        path(trained, (X, Y), penalties, **QUIET)


def test_rewound_survivors_start_from_the_first_weights(trained):
    run = iterative(trained, (X, Y), SOME, rounds=1, epochs=1, rewind=True, fit_options={"lr": 0.0}, **QUIET)
    # training with learning rate 0: what is left is the pruned start
    assert run.steps[-1].losses["train"] == pytest.approx(run.steps[0].losses["train"], rel=1e-4)
    second = iterative(trained, (X, Y), SOME, rounds=2, epochs=2, rewind=True, **QUIET)
    assert second.history["edges"].is_monotonic_decreasing


def test_rules_that_ask_the_loss_are_given_a_probe(trained):
    rule = ScoreRule("taylor", amount=Fraction(0.3))
    run = one_shot(trained, (X, Y), rule, epochs=0, **QUIET)
    assert run.history["edges"].iloc[-1] < 15
    assert len(dynamic(trained, (X, Y), rule, rounds=1, epochs=1, fine_tune=0, **QUIET).steps) == 2


def test_a_plan_is_its_own_rule(trained):
    plan = EdgeRule(0.2)(ki.trace(trained, X))
    run = one_shot(trained, (X, Y), plan, epochs=0, **QUIET)
    assert run.steps[0].label == "a plan"
    assert run.history["edges"].iloc[-1] == plan.mask.count
    assert one_shot(trained, (X, Y), keep_all(ki.trace(trained, X)), epochs=5, **QUIET).steps == ()
    other = ki.KANHead(4, 1, (3,), generator=torch.Generator().manual_seed(5))
    with pytest.raises(PlanError, match="other weights"):
        one_shot(other, (X, Y), plan, **QUIET)


def test_without_a_target_there_is_pruning_but_no_training(trained):
    run = one_shot(trained, X, SOME, epochs=0, **QUIET)
    assert run.losses["held_out"].value == 0.0
    assert run.steps[0].losses["held_out"].value > 0
    with pytest.raises(DataError, match="needs a target"):
        one_shot(trained, X, SOME, epochs=1, **QUIET)


def test_removing_everything_is_refused_and_nothing_is_changed(trained):
    before = state_of(trained)
    with pytest.raises(PlanError, match="remove all"):
        iterative(trained, (X, Y), EdgeRule(1e6), **QUIET)
    with pytest.raises(InputTypeError, match="BudgetRule"):
        one_shot(trained, (X, Y), 0.03, **QUIET)
    with pytest.raises(InputError, match="validation"):
        one_shot(trained, (X, Y), fit_options={"validation": 0.5}, **QUIET)
    with pytest.raises(InputError, match="whole number"):
        one_shot(trained, (X, Y), epochs=1.5, **QUIET)
    with pytest.raises(TypeError, match="epoch"):
        iterative(trained, (X, Y), epoch=3, **QUIET)
    with pytest.raises(ModelError, match="no KAN"):
        one_shot(nn.Linear(4, 1), (X, Y), **QUIET)
    assert same(state_of(trained), before)


def test_the_bar_can_be_turned_off(trained, capsys):
    one_shot(trained, (X, Y), SOME, epochs=0, **QUIET)
    assert capsys.readouterr().err == ""
    one_shot(trained, (X, Y), SOME, epochs=0, progress=True, efficiency=False)
    assert "one shot" in capsys.readouterr().err


def test_the_step_within_one_standard_error_has_the_fewest_edges(trained):
    run = iterative(trained, (X, Y), SOME, rounds=4, epochs=2, **QUIET)
    table, number = run.history, choose_step(run)
    best = table.loc[table["held_out"].idxmin()]
    allowed = best["held_out"] + (best["held_out_high"] - best["held_out_low"]) / (2 * 1.959964)
    within = table[table["held_out"] <= allowed]
    assert number in within["step"].tolist()
    assert table["edges"].iloc[number] == within["edges"].min()
    assert same(state_of(run.undo(len(run.steps) - number).model), state_of(run.steps[number - 1].model))


def test_what_was_cut_before_is_not_cut_again(trained):
    small = one_shot(trained, (X, Y), EdgeRule(0.2), epochs=0, **QUIET).model
    again = one_shot(small, (X, Y), EdgeRule(0.2), epochs=3, **QUIET)
    assert again.steps == () or again.history["edges"].iloc[-1] < again.history["edges"].iloc[0]
    assert one_shot(small, (X, Y), EdgeRule(0.0), epochs=3, **QUIET).steps == ()
