"""Plans, and what the rules of the papers and the default promise; laws over all rules are in tests/laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.analysis import (
    BUDGET,
    DEFAULT_RULE,
    BudgetRule,
    EdgeRule,
    NodeRule,
    edge_scores,
    keep_all,
    layer_scores,
    with_verdicts,
)
from kaninterp.core import InputError, PlanError, Verdict
from tests.evidence import ladder
from tests.traces import Net, random_inputs, random_net, zero

seeds = st.integers(0, 2**16)


def faded(widths, seed):
    """A network whose edges run over four decades, as sparsity training leaves them."""
    net, rng = random_net(widths, seed), np.random.default_rng(seed)

    def scaled(f):
        scale = 10 ** rng.uniform(-4, 0.3)
        return lambda x: scale * f(x)

    return Net.of([[[scaled(f) for f in row] for row in layer] for layer in net.functions], biases=list(net.biases))


@given(seed=seeds, width=st.integers(2, 40), outputs=st.integers(1, 3), budget=st.floats(0, 0.3))
@settings(max_examples=40, deadline=None)
def test_the_budget_bounds_the_change_of_a_single_layer_exactly(seed, width, outputs, budget):
    """However correlated the inputs are: standard deviations of sums never exceed their sum."""
    net = faded((width, outputs), seed)
    x = np.repeat(random_inputs(1, 200, seed), width, axis=1)
    trace = net.trace(x)
    plan = BudgetRule(budget)(trace)
    cut = net.nodes(x, cut=plan.mask.layers, constants=plan.constants)[-1]
    change = (net.nodes(x)[-1] - cut).std(0)
    assert (change <= budget * trace.outputs.std * (1 + 1e-9) + 1e-12).all()


def test_the_budget_holds_in_deep_networks_but_for_their_curvature():
    worst = []
    for seed in range(60):
        widths = [(16, 1), (64, 1), (16, 8, 1), (8, 5, 3)][seed % 4]
        rng = np.random.default_rng(seed)
        mixed = rng.normal(size=(500, 4)) @ rng.normal(size=(4, widths[0])) + 0.1 * rng.normal(size=(500, widths[0]))
        net, x = faded(widths, seed), np.tanh(mixed)
        trace = net.trace(x)
        plan = DEFAULT_RULE(trace)
        cut = net.nodes(x, cut=plan.mask.layers, constants=plan.constants)[-1]
        change = np.sqrt(((net.nodes(x)[-1] - cut) ** 2).mean(0)) / trace.outputs.std
        worst.append(change.max())
    assert np.median(worst) < BUDGET / 2
    assert max(worst) < 3 * BUDGET


def test_a_hundred_outputs_keep_what_each_needs():
    """pykan averages over outputs: from 34 outputs on its default threshold masks every last-layer edge (#508)."""
    n = 100
    rows = [[np.sin if i == j else zero for i in range(n)] for j in range(n)]
    trace = Net.of([rows]).trace(random_inputs(n, 50))
    for rule in (DEFAULT_RULE, EdgeRule()):
        np.testing.assert_array_equal(rule(trace).mask.layers[0], np.eye(n, dtype=bool))


def test_the_node_rule_of_the_paper_asks_both_sides():
    loud, faint = (lambda x: x), (lambda x: 1e-3 * x)
    net = Net.of([[[loud], [faint], [loud]], [[loud, lambda h: 1e3 * h, faint]]])
    trace = net.trace(random_inputs(1))
    plan = NodeRule(1e-2)(trace)
    assert plan.mask.layers[0].ravel().tolist() == [True, False, False]
    assert plan.mask.layers[1].ravel().tolist() == [True, False, False]
    assert {r.place for r in plan.reasons if r.kind == "node"} == {(1, 1), (1, 2)}
    assert NodeRule(1e-4)(trace).mask.count == 6


def test_reasons_of_closure_name_the_node():
    loud = np.sin
    net = Net.of([[[loud, zero], [zero, loud]], [[loud, zero]]])
    plan = EdgeRule(1e-3, score="strength")(net.trace(random_inputs(2)))
    assert "node 1.1" in next(r.text for r in plan.reasons if r.place == (0, 1, 1))
    assert plan.mask.count == 2


def test_nothing_left_is_refused_with_advice():
    trace = ladder().trace(random_inputs(4))
    with pytest.raises(PlanError, match="lower the threshold"):
        EdgeRule(2.0)(trace)
    deep = random_net((2, 2, 1), 0).trace(random_inputs(2))
    with pytest.raises(PlanError, match="all 6 edges"):
        NodeRule(1e9)(deep)


@pytest.mark.parametrize("make", [lambda: EdgeRule(-1), lambda: EdgeRule(float("nan")), lambda: BudgetRule(1.0),
                                  lambda: BudgetRule(score="norm"), lambda: NodeRule(score="l1")])  # fmt: skip
def test_thresholds_that_mean_nothing_are_refused(make):
    with pytest.raises(InputError):
        make()


def test_a_plain_kan_says_which_columns_are_read():
    plan = DEFAULT_RULE(ladder().trace(random_inputs(4)))
    assert plan.inputs.tolist() == [True, True, True, False]
    assert plan.dropped_inputs == ("x3",)


def verdicts(*kinds):
    return [Verdict(index=i, name=f"x{i}", survives=k, cause="noise", text="t") for i, k in enumerate(kinds)]


def test_dropped_columns_lose_their_edges_and_kept_ones_get_one_back():
    trace = ladder().trace(random_inputs(4))
    scores = layer_scores(trace)
    plan = with_verdicts(EdgeRule(0.2)(trace, scores), trace, scores, verdicts("drop", "keep", "tentative", "drop"))
    assert plan.mask.layers[0].tolist() == [[False, True, True, False]]  # x2 is below 0.2
    assert plan.inputs.tolist() == [False, True, True, False]
    assert [r.place for r in plan.reasons if r.kind == "input"] == [(0,), (3,)]
    assert "x0 is dropped" in plan.why(0, 0, 0)[0].text
    assert not plan.why(0, 0, 2)


@given(seed=seeds, kinds=st.lists(st.sampled_from(["keep", "drop"]), min_size=4, max_size=4))
@settings(max_examples=30, deadline=None)
def test_verdicts_and_plan_never_contradict_each_other(seed, kinds):
    trace = faded((4, 3, 2), seed).trace(random_inputs(4, 100))
    scores = layer_scores(trace)
    if "keep" not in kinds:
        with pytest.raises(PlanError, match="all 4 raw inputs"):
            with_verdicts(keep_all(trace), trace, scores, verdicts(*kinds))
        return
    plan = with_verdicts(DEFAULT_RULE(trace, scores), trace, scores, verdicts(*kinds))
    keep = [kind == "keep" for kind in kinds]
    assert plan.inputs.tolist() == keep
    assert plan.mask.layers[0].any(0).tolist() == keep
    assert plan.mask.closed().equals(plan.mask)


def test_scores_handed_in_are_used():
    trace = ladder().trace(random_inputs(4))
    scores = layer_scores(trace)
    assert edge_scores(scores, "kan2")[0].max() > 0.5
    louder = tuple(replace(s, kan2=s.kan2 * 0 + 1.0) for s in scores)
    assert EdgeRule(0.5)(trace, louder).mask.count == 4
