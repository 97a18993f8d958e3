"""The survival curve: what is not needed goes, of copies one stays, and held-out rows alone decide."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.analysis import keep_all
from kaninterp.core import NodeTable, RawTable
from kaninterp.core.errors import DataError, InputError, NamesError, PlanError
from kaninterp.core.survival import SurvivalTable
from kaninterp.measure import BlockBootstrap
from kaninterp.measure.host import Columns, untouched
from kaninterp.nn import entries
from kaninterp.pruning import PruneRun, summarize
from kaninterp.pruning.choose import as_frame, choose, survival
from kaninterp.pruning.folding import fold
from kaninterp.pruning.held_out import parts_of
from kaninterp.pruning.one_error import Curve, path_from
from kaninterp.pruning.subject import stand_ins_of, subject_of
from kaninterp.pruning.substitutes import Substitute, find_substitute
from tests.planted import additive
from tests.tiny import hybrid, known_head, known_layer, paper_head, zero


def state_of(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def uniform(rows, columns, seed=0):
    return torch.rand(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def noise(rows, size=0.1, seed=9):
    return size * torch.randn(rows, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def copies():
    """2 x0 + sin(pi x1) + x2^2, two columns of noise, and x5 = 3 - 2 x0; a trained head."""
    problem = additive(n=900, noise_columns=2)
    X = np.column_stack([problem.X, 3 - 2 * problem.X[:, 0]])
    head = ki.KANHead(6, 1, generator=torch.Generator().manual_seed(0))
    ki.fit(head, (X, problem.y), epochs=15, optimizer="lbfgs", seed=0, progress=False)
    return head, X, problem.y


def test_of_copies_exactly_one_stays_and_names_its_substitute(copies):
    head, X, y = copies
    table = survival(head, (X, y), progress=False)
    verdicts = {verdict.name: verdict for verdict in table.verdicts}
    assert set(table.kept) in ({"x0", "x1", "x2"}, {"x5", "x1", "x2"})
    stays, goes = ("x0", "x5") if "x0" in table.kept else ("x5", "x0")
    assert verdicts[goes].cause == "redundant"
    assert stays in verdicts[goes].text
    assert dict(verdicts[goes].substitutes)[stays] == pytest.approx(-1.0, abs=1e-9)
    assert dict(verdicts[stays].substitutes)[goes] == pytest.approx(-1.0, abs=1e-9)
    assert verdicts[stays].survives == "keep"
    assert {name: verdicts[name].survives for name in ("x3", "x4")} == {"x3": "drop", "x4": "drop"}


def test_the_model_and_the_global_generators_stay_as_they_were(copies):
    head, X, y = copies
    head.train()
    before, generators = state_of(head), (torch.get_rng_state(), random.getstate())
    new, _ = ki.prune(head, (X, y), progress=False)
    assert same(state_of(head), before)
    assert head.training
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert random.getstate() == generators[1]
    assert new is not head


def test_what_stays_takes_over_for_its_copy(copies):
    head, X, y = copies
    small, report = ki.prune(head, (X, y), progress=False)
    held = torch.tensor(X[720:], dtype=torch.float32)
    target = torch.tensor(y[720:], dtype=torch.float32)[:, None]
    before, after = (float(((model.eval()(held) - target) ** 2).mean().detach()) for model in (head, small))
    assert after < 1.05 * before
    assert small.widths == (3, 1)
    assert report.widths == ((6, 1), (3, 1))
    assert report.edges == (6, 3)
    for value in (-1e6, 0.0, 3.0):  # law 5
        changed = held.clone()
        changed[:, [int(name[1:]) for name in report.dropped_inputs]] = value
        assert torch.equal(small(changed), small(held))


def test_the_curve_is_a_table_with_the_choice_marked(copies, tmp_path):
    head, X, y = copies
    table = survival(head, (X, y), progress=False)
    frame = as_frame(table)
    inputs = frame[frame["level"] == "inputs"]
    assert inputs["kept"].tolist() == [6, 5, 4, 3, 2, 1, 0]
    assert frame["mark"].str.contains("chosen").sum() == 2
    assert (frame["low"] <= frame["loss"]).all()
    assert (frame["loss"] <= frame["high"]).all()
    chosen = inputs[inputs["mark"].str.contains("chosen")].iloc[0]
    assert chosen["kept"] == 3
    assert chosen["rise"] <= max(chosen["error"], 0.001 * inputs["loss"].iloc[-1])
    table.save(tmp_path / "curve.npz")
    assert str(SurvivalTable.load(tmp_path / "curve.npz")) == str(table)
    share = dict(zip(table.inputs.places[:, 0].tolist(), table.inputs.survival.tolist(), strict=True))
    assert share[1] == share[2] == 1.0
    assert min(share[3], share[4]) < 0.5


def test_the_report_says_where_the_evidence_comes_from(copies):
    head, X, y = copies
    _, report = ki.prune(head, (X, y), progress=False)
    assert any("last 180 of 900 rows in time order" in reason.text for reason in report.reasons)
    _, report = ki.prune(head, (X[:700], y[:700]), held_out=(X[700:], y[700:]), progress=False)
    assert any("200 held-out rows that were given" in reason.text for reason in report.reasons)
    assert all("judged on" in reason.text for reason in report.reasons)
    assert report.held_out.after.value <= report.held_out.before.value + report.held_out.difference.high
    places = {reason.place for reason in report.reasons if reason.kind == "input"}
    assert places == {(i,) for i in range(6) if f"x{i}" in report.dropped_inputs}


def line(x):
    return 1.0 * x


def test_held_out_rows_alone_decide():
    head = known_head(known_layer([[line, line, zero]]))
    x = uniform(1000, 3)
    fits = x[:, 0] + x[:, 1] + noise(1000)
    lacks = x[:, 0] + noise(1000)
    # the training rows say that x1 harms, the held-out rows that it helps; and the other way round
    _, report = ki.prune(head, (x[:500], lacks[:500]), held_out=(x[500:], fits[500:]), progress=False)
    assert report.dropped_inputs == ("x2",)
    _, report = ki.prune(head, (x[:500], fits[:500]), held_out=(x[500:], lacks[500:]), progress=False)
    assert report.dropped_inputs == ("x1", "x2")


def test_nothing_helps_then_removing_everything_is_refused():
    head = known_head(known_layer([[line, line]]))
    x = uniform(500, 2)
    before = state_of(head)
    with pytest.raises(PlanError, match="no input helps"):
        ki.prune(head, (x, noise(500, 1.0)), progress=False)
    assert same(state_of(head), before)
    table = survival(head, (x, noise(500, 1.0)), progress=False)
    assert table.kept == ()


def test_few_rows_decide_nothing():
    head = known_head(known_layer([[line, zero]]))
    x = uniform(100, 2)
    new, report = ki.prune(head, (x, x[:, 0]), progress=False)
    assert report.dropped_inputs == ()
    table = survival(head, (x, x[:, 0]), progress=False)
    assert {verdict.survives for verdict in table.verdicts} == {"tentative"}
    assert torch.equal(new(x), head(x))


def test_without_a_target_the_change_of_the_output_decides():
    head = known_head(known_layer([[line, lambda x: 0.02 * x, zero]]))
    _, report = ki.prune(head, uniform(1000, 3), progress=False)
    assert report.kept_inputs == ("x0",)  # x1 moves the output by 0.04 % of its variance
    head = known_head(known_layer([[line, lambda x: 0.2 * x, zero]]))
    _, report = ki.prune(head, uniform(1000, 3), progress=False)
    assert report.kept_inputs == ("x0", "x1")


def test_the_paper_s_function_loses_its_fourth_input_only():
    head, x = paper_head(), uniform(1500, 4)
    y = head(x)[:, 0].detach() + noise(1500, 0.02)
    table = survival(head, (x, y), feature_names=["a", "b", "c", "d"], progress=False)
    assert table.kept == ("a", "b", "c")
    assert table.verdicts[3].cause == "zero-weight"
    small, _ = ki.prune(head, (x, y), progress=False)
    torch.testing.assert_close(small(x), head(x), atol=1e-6, rtol=0)


def test_edges_go_too():
    # node 0 = x0 + x1, node 1 = x0; the edge 0.01 x1 into node 1 is too small to be seen
    first = known_layer([[line, line], [line, lambda x: 0.001 * x]])
    second = known_layer([[torch.square, line]], lo=-2.5, hi=2.5)
    head, x = known_head(first, second), uniform(1000, 2)
    y = head(x)[:, 0].detach() + noise(1000, 0.05)
    small, report = ki.prune(head, (x, y), progress=False)
    assert report.edges == (6, 5)
    assert [reason.place for reason in report.reasons if reason.kind == "edge"] == [(0, 1, 1)]
    masked, _ = ki.prune(head, (x, y), compact=False, progress=False)
    torch.testing.assert_close(small(x), masked(x), atol=1e-9, rtol=0)


def test_many_columns_go_in_groups_and_copies_still_keep_one():
    columns = 40
    functions = [[line, line, *[lambda x: 0.01 * x] * (columns - 3), line]]
    head = known_head(known_layer(functions, grid=5))
    x = uniform(800, columns)
    x[:, -1] = x[:, 0]
    y = 2 * x[:, 0] + x[:, 1] + noise(800)
    small, report = ki.prune(head, (x, y), progress=False)
    assert set(report.kept_inputs) in ({"x0", "x1"}, {"x39", "x1"})
    torch.testing.assert_close(small(x)[:, 0], 2 * x[:, 0] + x[:, 1], atol=0.05, rtol=0)


@pytest.mark.parametrize("make", [lambda: nn.LSTM(4, 6, batch_first=True, bidirectional=True),
                                  lambda: nn.GRU(4, 12, batch_first=True)])  # fmt: skip
def test_a_recurrent_backbone_loses_a_copy_and_computes_the_same(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ki.Hybrid(make(), ki.KANHead(12, 1)).eval()
    x = torch.randn(1200, 5, 4, generator=torch.Generator().manual_seed(1))
    x[..., 3] = 1 - 0.5 * x[..., 0]
    y = model(x).detach()[:, 0]
    spread = float(y.std())
    y = y + 0.3 * spread * torch.randn(1200, generator=torch.Generator().manual_seed(2))
    small, report = ki.prune(model, (x, y), progress=False)
    assert len({"x0", "x3"} & set(report.dropped_inputs)) == 1
    assert {"x1", "x2"} <= set(report.kept_inputs)
    gap = (small(x) - model(x)).detach().std()
    assert float(gap) < 0.15 * spread


def test_classes_are_pruned_by_their_own_loss():
    head = known_head(known_layer([[line, zero, lambda x: 0.0001 * x], [lambda x: -x, line, zero], [zero, zero, zero]]))
    x = uniform(1500, 3)
    logits = 8 * head(x).detach()
    with torch.no_grad():
        head.layers[0].weight.mul_(8)
    y = torch.distributions.Categorical(logits=logits)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        labels = y.sample()
    table = survival(head, (x, labels), progress=False)
    assert table.loss == "cross_entropy"
    assert table.kept == ("x0", "x1")


def test_a_column_that_cannot_be_cut_out_stays_and_says_why():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = hybrid()

        def forward(self, x):
            return self.inner(x * 2) + x[:, -1, :1]

    model = Scaled()
    x = torch.randn(1000, 5, 4, generator=torch.Generator().manual_seed(1))
    y = x[:, -1, 0] + 0.1 * torch.randn(1000, generator=torch.Generator().manual_seed(2))
    new, report = ki.prune(model, (x, y[:, None]), progress=False)
    table = survival(model, (x, y[:, None]), progress=False)
    if report.dropped_inputs:  # a gate of the backbone's inputs can do it
        moved = x.clone()
        moved[..., [int(name[1:]) for name in report.dropped_inputs]] = 1e3
        assert torch.equal(new(moved), new(x))
    else:
        assert any("It stays" in verdict.text for verdict in table.verdicts)


def test_a_gate_is_explained_where_a_column_cannot_be_cut_out():
    model = nn.Sequential(nn.LayerNorm(3, elementwise_affine=False), known_head(known_layer([[line, zero, zero]])))
    x = uniform(1000, 3)
    y = model(x).detach()[:, 0] + noise(1000)
    model[1].layers[0].set_mask(torch.ones(1, 3))
    plan = replace(keep_all(ki.trace(model, x)), inputs=np.array([True, True, False]))
    new, report = ki.prune(model, plan)
    (reason,) = [reason for reason in report.reasons if reason.kind == "input"]
    assert "held at a constant by a gate" in reason.text
    assert torch.equal(new(x), new(torch.cat([x[:, :2], x[:, 2:] + 5], 1)))
    assert survival(model, (x, y), progress=False).kept


def test_images_lose_edges_only():
    class Picture(nn.Module):
        def __init__(self):
            super().__init__()
            first = known_layer([[line, lambda x: 0.001 * x]], lo=-4, hi=4)
            self.head = known_head(first)

        def forward(self, x):
            return self.head(x.mean(3).mean(2))

    model, x = Picture(), torch.randn(800, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = model(x).detach()[:, 0] + noise(800)
    _, report = ki.prune(model, (x, y), progress=False)
    assert report.edges == (2, 1)
    assert report.dropped_inputs == ()
    assert survival(model, (x, y), progress=False).inputs is None


def test_what_does_not_fit_is_refused():
    head, x = paper_head(), uniform(200, 4)
    y = x[:, 0]
    with pytest.raises(InputError, match="kan2"):
        ki.prune(head, (x, y), score="kan3", progress=False)
    with pytest.raises(NamesError):
        ki.prune(head, (x, y), feature_names=["a"], progress=False)
    with pytest.raises(DataError, match="target"):
        ki.prune(head, (x, y), held_out=x, progress=False)
    with pytest.raises(InputError, match="held-out data"):
        ki.prune(head, iter([(x, y)]), progress=False)


def test_held_out_rows_share_no_window_with_the_others():
    model, x = hybrid(), torch.zeros(100, 5, 4)
    parts = parts_of(model, (x, torch.zeros(100)))
    assert (parts.train.n_rows, parts.held.n_rows) == (80, 15)  # five rows between them
    with pytest.raises(DataError, match="too few"):
        parts_of(model, (x[:10], torch.zeros(10)))


def curve(losses):
    points = losses.shape[1]
    return Curve(
        losses=losses,
        kept=np.arange(points)[::-1].copy(),
        threshold=np.zeros(points),
        places=np.arange(points - 1)[:, None],
        gone=np.arange(points),
    )


def test_the_choice_is_within_one_standard_error_of_the_best():
    rng = np.random.default_rng(0)
    base, n = rng.normal(5, 3, size=400), 400
    extra = rng.normal(0, 1, size=(n, 4))
    extra -= extra.mean(0)
    extra /= extra.std(0)  # a standard error of 1 / 20 each
    rises = np.array([0.0, 0.03, 0.1, 3.0])
    losses = base[:, None] + extra * np.array([0.0, 1, 1, 1]) + rises
    path = path_from("inputs", curve(losses), BlockBootstrap(n, 1, rng))
    assert path.best == 0
    np.testing.assert_allclose(path.error, [0, 0.05, 0.05, 0.05], atol=0.002)
    np.testing.assert_allclose(path.rise, rises, atol=1e-12)
    assert path.chosen == 1
    assert path_from("inputs", curve(losses), BlockBootstrap(n, 1, rng), slack=0.2).chosen == 2
    assert path_from("inputs", curve(losses), BlockBootstrap(n, 1, rng), free=False).chosen == 0
    assert path.survival[2] == 1.0
    assert 0.05 < path.survival[0] < 0.6


def test_a_rival_may_be_the_best():
    losses = np.ones((50, 2))
    path = path_from("edges", curve(losses), BlockBootstrap(50, 1, np.random.default_rng(0)), rivals=[losses[:, 0] - 1])
    assert path.rise.tolist() == [1.0, 1.0]
    assert path.chosen == 0


def table_of(x):
    d = x - x.mean(0)
    return RawTable(names=tuple("abcdef"[: x.shape[1]]), nodes=NodeTable.of(x), co=d.T @ d, lags=1)


def test_two_columns_can_stand_in_together():
    z = np.random.default_rng(0).normal(size=(500, 4))
    raw = table_of(np.column_stack([z, z[:, 0] + 2 * z[:, 1] + 5]))
    both = find_substitute(raw, 4, [0, 1, 2, 3])
    assert sorted(both.others) == [0, 1]
    assert both.r2 == pytest.approx(1.0)
    assert both.intercept == pytest.approx(5.0)
    assert dict(zip(both.others, both.weights, strict=True))[1] == pytest.approx(2.0)
    alone = find_substitute(raw, 4, [0, 2, 3])
    assert alone.others == ()
    assert alone.intercept == pytest.approx(raw.nodes.mean[4])


def test_a_folded_head_computes_what_the_trial_said():
    head = ki.KANHead(
        4, 2, (3,), domain=(-1, 1), dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).eval()
    x = uniform(400, 4)
    x[:, 3] = -x[:, 0]
    y = head(x).detach() + noise(400)[:, None]
    parts = parts_of(head, (x, y))
    batch = parts.train.sample(400)
    columns = Columns.of(batch, parts.train.names_per_input)
    gone = {3: Substitute(others=(0,), weights=(-1.0,), intercept=0.0, r2=1.0), 1: Substitute(intercept=0.0)}
    with untouched(head):
        held = parts.held.sample(400)
        told = subject_of(head, held, columns, None, stand_ins_of(head, batch)).without(gone)
        folded = fold(head, entries(head, batch.inputs[0][:4]), columns, batch, gone)
        outputs = folded(held.inputs[0])
    np.testing.assert_allclose(((outputs - held.target) ** 2).mean(1), told, rtol=1e-9)
    # edges out of a copy are sums of the same splines, mirrored: nothing is lost by them
    only = fold(head, entries(head, batch.inputs[0][:4]), columns, batch, {3: gone[3]})
    torch.testing.assert_close(only(held.inputs[0]), head(held.inputs[0]), atol=2e-2, rtol=0)
    assert (folded.layers[0].mask[:, [1, 3]] == 0).all()


def test_a_trial_does_not_depend_on_the_trials_before(copies):
    head, X, y = copies
    parts = parts_of(head, (X, y))
    batch = parts.train.sample(300)
    columns = Columns.of(batch, parts.train.names_per_input)
    rng = np.random.default_rng(0)
    with untouched(head):
        shared = stand_ins_of(head, batch)
        used = subject_of(head, batch, columns, None, shared)
        for _ in range(20):
            lost = rng.permutation(6)[: rng.integers(0, 7)]
            gone = {int(i): Substitute(intercept=0.0) for i in lost}
            if 5 in gone and 0 not in gone:
                gone[5] = Substitute(others=(0,), weights=(-2.0,), intercept=3.0, r2=1.0)
            fresh = subject_of(head, batch, columns, None, shared)
            np.testing.assert_allclose(used.without(gone), fresh.without(gone), rtol=1e-3, atol=1e-5)


def test_a_choice_is_one_plan_for_the_prepared_model(copies):
    head, X, y = copies
    choice = choose(head, (X, y), progress=False)
    new, _ = choice.carry_out(head)
    again, _ = ki.prune(choice.prepared, choice.plan)
    x = torch.tensor(X, dtype=torch.float32)
    assert torch.equal(new.eval()(x), again.eval()(x))


def test_the_report_carries_the_curves_alone_and_in_a_run(copies):
    head, X, y = copies
    small, report = ki.prune(head, (X, y), progress=False)
    table = survival(head, (X, y), progress=False)
    assert as_frame(report.survival).equals(as_frame(table))
    assert json.loads(report.to_json())["survival"]["inputs"]["kept"] == table.inputs.kept.tolist()
    _, other = ki.prune(head, keep_all(ki.trace(head, X, progress=False)))
    assert other.survival is None
    run = PruneRun.begin(head).add("chosen", small, report=report).add("the same", small)
    assert summarize(run).survival is report.survival
