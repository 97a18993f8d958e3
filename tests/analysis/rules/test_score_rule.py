"""`ScoreRule`: what each amount, level and scope promises, on networks of known functions."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.analysis import (
    RULES,
    Budget,
    Count,
    EdgeRule,
    Fraction,
    ScoreRule,
    Threshold,
    layer_scores,
    parameters,
    probe_kinds,
    rule_named,
)
from kaninterp.core import EdgeMask, InputError, InputTypeError, PlanError
from tests.evidence import hybrid, ladder
from tests.probes import random_probe
from tests.traces import Net, random_inputs, random_net, zero


def ladder_trace():
    """x0^2 + .3 x1 + .1 x2^3 + 0 x3: inputs in falling order of importance."""
    return ladder().trace(random_inputs(4, 2000))


def line(slope):
    return lambda x: slope * x


def test_a_threshold_on_kan2_is_the_edge_rule():
    for seed in range(5):
        trace = random_net((4, 3, 2), seed).trace(random_inputs(4))
        ours, theirs = ScoreRule("kan2", amount=Threshold(0.1))(trace), EdgeRule(0.1)(trace)
        assert ours.mask.equals(theirs.mask)
        assert {r.place for r in ours.reasons} == {r.place for r in theirs.reasons}


@pytest.mark.parametrize("score", ["kan2", "path", "share", "strength", "l1", "l2", "coefficients"])
@pytest.mark.parametrize("level", ["edge", "input"])
def test_counts_follow_the_known_order(score, level):
    trace = ladder_trace()
    for keep in (1, 2, 3, 4):
        mask = ScoreRule(score, level, Count(keep))(trace).mask.layers[0][0]
        assert mask.sum() == keep
        if score in ("kan2", "path", "share", "strength"):  # by the data; norms of the functions agree on most
            assert mask.tolist() == [i < keep for i in range(4)]
    assert ScoreRule(score, level, Fraction(0.25))(trace).mask.layers[0].tolist() == [[True, True, True, False]]
    assert ScoreRule(score, level, Fraction(0.74))(trace).mask.count == 2


def test_shares_are_rounded_down():
    trace = ladder_trace()
    kept = [ScoreRule(amount=Fraction(f))(trace).mask.count for f in (0, 0.1, 0.24, 0.25, 0.5, 0.7, 0.75, 0.99)]
    assert kept == [4, 4, 4, 3, 2, 2, 1, 1]
    for tenth in range(10):
        wide = random_net((10, 1), 1).trace(random_inputs(10))
        assert ScoreRule("random", amount=Fraction(tenth / 10))(wide).mask.count == 10 - tenth


def test_a_layer_scope_thins_every_layer():
    """The quiet layer loses all its nodes when ranked globally, its own worst when ranked by itself."""
    loud = [[line(100.0 * (1 + j)) for _ in range(2)] for j in range(4)]
    quiet = [[line(0.001 * (1 + i)) for i in range(4)]]
    trace = Net.of([loud, quiet]).trace(random_inputs(2))
    with pytest.raises(PlanError, match="smallest count that leaves one is 9"):
        ScoreRule("strength", amount=Count(4))(Net.of([loud, [[line(1e-5)] * 4]]).trace(random_inputs(2)))
    plan = ScoreRule("strength", amount=Fraction(0.5), scope="layer")(trace)
    assert [layer.sum() for layer in plan.mask.layers] == [4, 2]
    assert plan.mask.layers[1].tolist() == [[False, False, True, True]]


def test_an_output_scope_keeps_the_best_of_each_output():
    first = [[line(1.0), zero, zero], [zero, line(1.0), zero], [zero, zero, line(1.0)]]
    last = [[line(5.0), line(1.0), zero], [zero, line(1e-3), line(1e-4)]]
    trace = Net.of([first, last]).trace(random_inputs(3))
    plan = ScoreRule("kan2", "input", Count(1), scope="output")(trace)
    assert plan.inputs.tolist() == [True, True, False]
    assert ScoreRule("kan2", "node", Count(1), scope="output")(trace).mask.nodes()[1].tolist() == [True, True, False]
    assert ScoreRule("kan2", "node", Count(1))(trace).mask.nodes()[1].tolist() in (
        [True, False, False],
        [False, True, False],
    )


def test_units_of_a_backbone_are_nodes_and_no_inputs():
    trace = hybrid(units=5)
    plan = ScoreRule("kan2", "node", Count(3), scope="layer")(trace)
    assert plan.mask.layers[0].any(0).sum() == 3
    assert plan.inputs.all()
    with pytest.raises(InputError, match=r"kaninterp\.prune\(model, data\)"):
        ScoreRule("kan2", "input")(trace)
    with pytest.raises(InputError, match="backbone"):
        ScoreRule("kan2", "input")(replace(ladder_trace(), raw=None))


def test_inputs_of_a_plain_kan_are_no_nodes():
    assert ScoreRule("kan2", "node", Fraction(0.9))(ladder_trace()).mask.count == 4
    trace = random_net((6, 4, 1), 0).trace(random_inputs(6))
    assert ScoreRule("kan2", "node", Count(1))(trace).mask.layers[0].any(0).all()


def test_a_dropped_input_is_named_with_its_reason():
    plan = ScoreRule("kan2", "input", Count(2))(ladder_trace())
    assert plan.dropped_inputs == ("x2", "x3")
    reason = plan.why(2, kind="input")[0]
    assert "kan2 0.1" in reason.text
    assert "the best 2 stay" in reason.text
    assert reason.score == pytest.approx(0.109, abs=0.01)
    assert "its input x2 is dropped" in plan.why(0, 0, 2)[0].text


def test_columns_of_a_pruned_kan_keep_their_numbers():
    x = random_inputs(2)
    trace = random_net((2, 1), 0).trace(x, raw=random_inputs(4), path="", node_ids=((1, 3), (0,)))
    plan = ScoreRule("random", "input", Count(1))(trace)
    (gone,) = [r.place[0] for r in plan.reasons if r.kind == "input"]
    assert gone in (1, 3)
    assert not plan.inputs[gone]
    assert plan.inputs[4 - gone]


def test_a_parameter_budget_holds_for_the_model_that_is_built():
    model = ki.KANHead(6, 1, (8,), generator=torch.Generator().manual_seed(0)).eval()
    trace = ki.trace(model, torch.rand(200, 6) * 2 - 1)
    for limit in (170, 250, 400):
        for level in ("edge", "node", "input"):
            plan = ScoreRule("kan2", level, Budget(parameters=limit))(trace)
            new, _ = ki.prune(model, plan)
            size = sum(p.numel() for p in new.parameters())
            assert size == parameters(plan.mask, trace)
            assert size <= limit
    one_more = ScoreRule("kan2", "node", Budget(parameters=250))(trace)
    kept = int(one_more.mask.nodes()[1].sum())
    assert parameters(ScoreRule("kan2", "node", Count(kept + 1))(trace).mask, trace) > 250  # the budget is used up


def test_a_budget_says_the_smallest_it_can_reach():
    trace = random_net((2, 3), 0).trace(random_inputs(2))
    with pytest.raises(PlanError, match=r"29 parameters cannot be met: .* costs 30 parameters"):
        ScoreRule("kan2", amount=Budget(parameters=29))(trace)  # outputs always stay: one input is 3 x 9 + 3
    assert ScoreRule("kan2", amount=Budget(parameters=30))(trace).mask.count
    with pytest.raises(PlanError, match=r"10 multiply-adds .* and 27 multiply-adds"):
        ScoreRule("kan2", amount=Budget(parameters=10**6, multiply_adds=10))(trace)


def test_a_latency_budget_asks_the_cost_it_is_given():
    trace = random_net((8, 6, 1), 0).trace(random_inputs(8))
    asked = []

    def cost(mask: EdgeMask) -> float:
        asked.append(mask)
        return 0.01 * mask.count

    plan = ScoreRule("kan2", amount=Budget(latency_ms=0.2, cost=cost))(trace)
    assert 15 <= plan.mask.count <= 20
    assert len(asked) < 10
    assert all(mask.closed().equals(mask) for mask in asked)
    with pytest.raises(PlanError, match=r"costs .* ms"):
        ScoreRule("kan2", amount=Budget(latency_ms=1e-3, cost=cost))(trace)


def test_what_the_loss_does_not_notice_goes_first():
    """By absolute value: edges that each seem to harm are harmful to remove together, and worth more than dead ones."""
    trace = ladder_trace()
    change = (np.array([[0.5, -0.2, 0.1, 0.0]]),)
    probe = random_probe(trace, ablation=change)
    kept = [ScoreRule("ablation", amount=Count(n))(trace, probe=probe).mask.layers[0][0].tolist() for n in (2, 3)]
    assert kept == [[True, True, False, False], [True, True, True, False]]
    assert ScoreRule("ablation", amount=Threshold(0.0))(trace, probe=probe).mask.count == 3


def test_of_equals_what_the_data_move_stays():
    """Every edge of the probe is worth the same, and the first column is constant: it goes first."""
    net = Net.of([[[line(1.0), line(1.0), line(1.0)]]])
    x = random_inputs(3, 50)
    x[:, 0] = 0.3
    trace = net.trace(x)
    probe = random_probe(trace, ablation=(np.zeros((1, 3)),))
    assert ScoreRule("ablation", amount=Count(2))(trace, probe=probe).mask.layers[0][0].tolist() == [False, True, True]


def test_rules_say_what_they_need_probed():
    assert probe_kinds(ScoreRule("shapley")) == ("shapley",)
    assert probe_kinds(ScoreRule("random")) == probe_kinds(EdgeRule()) == probe_kinds(lambda t, s=None: None) == ()
    assert {kind for _, rule in RULES for kind in probe_kinds(rule)} == {"taylor", "fisher", "ablation", "shapley"}


def test_rules_are_found_by_name():
    assert rule_named("edge") == EdgeRule()
    with pytest.raises(InputError, match="did you mean 'shapley'"):
        rule_named("shaply")


def test_wide_heads_are_ranked_in_seconds():
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.1, 1, (64, 784))
    net = Net.of([[[line(s) for s in row] for row in scale]])
    trace = net.trace(random_inputs(784, 20))
    scores = layer_scores(trace)
    start = time.perf_counter()
    plan = ScoreRule("kan2", amount=Budget(parameters=200_000))(trace, scores)
    assert time.perf_counter() - start < 10
    assert parameters(plan.mask, trace) <= 200_000


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: ScoreRule("kan"), InputError, "did you mean 'kan2'"),
        (lambda: ScoreRule("kan2", "layer"), InputError, "level must be one of"),
        (lambda: ScoreRule("shapley", "edge"), InputError, "knows nodes"),
        (lambda: ScoreRule(amount=0.3), InputTypeError, r"Threshold\(0\.03\)"),
        (lambda: ScoreRule(scope="row"), InputError, "scope must be"),
        (lambda: ScoreRule("strength", scope="output"), InputError, "kan2, path, gradient"),
        (lambda: Threshold(-1), InputError, ">= 0"),
        (lambda: Threshold(float("nan")), InputError, ">= 0"),
        (lambda: Count(0), InputError, "at least 1"),
        (lambda: Count(2.5), InputTypeError, "whole number"),
        (lambda: Fraction(1.0), InputError, "share < 1"),
        (lambda: Fraction(float("nan")), InputError, "share < 1"),
        (Budget, InputError, "at least one"),
        (lambda: Budget(parameters=0), InputError, "above 0"),
        (lambda: Budget(latency_ms=1.0), InputError, "belong together"),
    ],
)
def test_options_that_mean_nothing_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_nothing_left_is_refused_with_the_way_out():
    trace = ladder_trace()
    with pytest.raises(PlanError, match=r"lower the threshold below 0\.8"):
        ScoreRule("kan2", amount=Threshold(2.0))(trace)
    constant = Net.of([[[zero, zero]]]).trace(random_inputs(2))
    with pytest.raises(PlanError, match="nothing counts"):
        ScoreRule("kan2", amount=Threshold(0.0))(constant)
    with pytest.raises(PlanError, match="constant on this data"):
        ScoreRule("kan2", amount=Count(1), scope="output")(constant)
