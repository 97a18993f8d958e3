"""Laws of every rule in RULES, on random traces: closed, reasoned, mean-preserving, monotone, blind to labels."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.analysis import (
    RULES,
    SCOPES,
    SCORES,
    Budget,
    BudgetRule,
    Count,
    Fraction,
    ScoreRule,
    Threshold,
    keep_all,
    layer_scores,
    multiply_adds,
    parameters,
    probe_kinds,
    score_named,
)
from kaninterp.core import EdgeMask, InputError, PlanError
from tests.probes import random_probe
from tests.traces import Net, random_inputs, random_net, zero

WIDTHS = (4, 3, 2)
every_rule = pytest.mark.parametrize("rule", [rule for _, rule in RULES], ids=[name for name, _ in RULES])
scored = {name: rule for name, rule in RULES if isinstance(rule, ScoreRule)}
score_rules = pytest.mark.parametrize("rule", scored.values(), ids=scored)
seeds = st.integers(0, 2**16)
laws = settings(max_examples=12, deadline=None)


def faded(widths, seed):
    """A network whose edges run over four decades, as sparsity training leaves them."""
    net, rng = random_net(widths, seed), np.random.default_rng(seed)

    def scaled(f):
        scale = 10 ** rng.uniform(-4, 0.3)
        return lambda x: scale * f(x)

    return Net.of([[[scaled(f) for f in row] for row in layer] for layer in net.functions], biases=list(net.biases))


def attempt(rule, trace, probe=None):
    """The plan, or None where the rule says that nothing would be left."""
    try:
        return rule(trace, probe=random_probe(trace) if probe is None else probe)
    except PlanError:
        return None


def alive(trace):
    return EdgeMask(layers=tuple(layer.edges.alive for layer in trace.layers))


@every_rule
@given(seed=seeds)
@laws
def test_plans_are_closed_reasoned_and_filled_with_means(rule, seed):
    trace = random_net(WIDTHS, seed, dead=0.5).trace(random_inputs(4, 100))
    plan = attempt(rule, trace)
    if plan is None:
        return
    assert plan.mask.closed().equals(plan.mask)
    assert plan.mask <= alive(trace)
    assert plan.mask.count
    assert plan.fingerprint == trace.card.fingerprint
    explained = {r.place for r in plan.reasons if r.kind == "edge"}
    nodes = {r.place for r in plan.reasons if r.kind == "node"}
    for layer, (kept, table) in enumerate(zip(plan.mask.layers, trace.layers, strict=True)):
        gone = table.edges.alive & ~kept
        np.testing.assert_array_equal(plan.constants[layer], np.where(gone, table.edges.mean, 0))
        for j, i in np.argwhere(gone):
            assert (layer, j, i) in explained or {(layer + 1, j), (layer, i)} & nodes
        for j, i in np.argwhere(kept):
            assert (layer, j, i) not in explained
    for reason in plan.reasons:
        if reason.kind == "input":
            assert not plan.inputs[reason.place[0]]
        if reason.kind == "node":
            assert not plan.mask.layers[reason.place[0]][:, reason.place[1]].any()


@every_rule
@given(seed=seeds)
@laws
def test_the_means_of_the_outputs_stay(rule, seed):
    """Edges into a dead node aside, replacing by the mean moves no mean."""
    net, x = faded(WIDTHS, seed), random_inputs(4, 300)
    trace = net.trace(x)
    plan = attempt(rule, trace)
    if plan is None or not all(plan.mask.layers[-1].any(1)) or plan.mask.layers[0].sum() != plan.mask.layers[0].size:
        return
    cut = net.nodes(x, cut=plan.mask.layers, constants=plan.constants)[-1]
    np.testing.assert_allclose(cut.mean(0), trace.outputs.mean, atol=1e-9)


@pytest.mark.parametrize("rule", [r for _, r in RULES if not isinstance(r, ScoreRule)], ids=lambda r: type(r).__name__)
@given(seed=seeds, pair=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)))
@laws
def test_a_higher_threshold_keeps_no_more(rule, seed, pair):
    trace = faded(WIDTHS, seed).trace(random_inputs(4, 100))
    field = "budget" if isinstance(rule, BudgetRule) else "threshold"
    low, high = (attempt(replace(rule, **{field: value}), trace) for value in sorted(pair))
    if high is not None:
        assert high.mask <= low.mask


def scopes(rule):
    return st.sampled_from([s for s in SCOPES if s != "output" or score_named(rule.score).per_output])


def amounts(draw, kind):
    """Two amounts of a kind, the one that removes less first."""
    if kind == "count":
        pair = sorted(draw(st.tuples(st.integers(1, 20), st.integers(1, 20))), reverse=True)
        return [Count(n) for n in pair]
    if kind == "fraction":
        return [Fraction(f) for f in sorted(draw(st.tuples(st.floats(0, 0.99), st.floats(0, 0.99))))]
    if kind == "threshold":
        return [Threshold(10**e) for e in sorted(draw(st.tuples(st.floats(-5, 1), st.floats(-5, 1))))]
    name = draw(st.sampled_from(["parameters", "multiply_adds"]))
    pair = sorted(draw(st.tuples(st.integers(20, 250), st.integers(20, 250))), reverse=True)
    return [Budget(**{name: limit}) for limit in pair]


@score_rules
@given(data=st.data(), seed=seeds, kind=st.sampled_from(["threshold", "count", "fraction", "budget"]))
@settings(max_examples=30, deadline=None)
def test_asking_for_less_keeps_a_subset(rule, data, seed, kind):
    """For every measure, level and scope: more asked, more gone; and if the harder is possible, so is the milder."""
    trace = faded(WIDTHS, seed).trace(random_inputs(4, 100))
    scope = data.draw(scopes(rule))
    mild, hard = (attempt(replace(rule, amount=a, scope=scope), trace) for a in amounts(data.draw, kind))
    if hard is not None:
        assert mild is not None
        assert hard.mask <= mild.mask


@score_rules
@given(data=st.data(), seed=seeds, kind=st.sampled_from(["threshold", "count", "fraction", "budget"]))
@laws
def test_nobody_goes_who_scores_above_what_they_are_held_against(rule, data, seed, kind):
    trace = random_net(WIDTHS, seed, dead=0.3).trace(random_inputs(4, 100))
    scope = data.draw(
        st.sampled_from(["global", "layer", "output"] if score_named(rule.score).per_output else ["layer"])
    )
    plan = attempt(replace(rule, amount=amounts(data.draw, kind)[0], scope=scope), trace)
    for reason in () if plan is None else plan.reasons:
        if not reason.text.startswith("nothing that is kept"):
            assert reason.score <= reason.threshold + 1e-12


@score_rules
@given(seed=seeds, limit=st.integers(20, 250), name=st.sampled_from(["parameters", "multiply_adds"]))
@laws
def test_budgets_are_kept_and_used(rule, seed, limit, name):
    """Within the limit; and what is said to be the smallest reachable is reached when it is asked for."""
    trace = random_net(WIDTHS, seed, dead=0.3).trace(random_inputs(4, 50))
    probe = random_probe(trace, seed)
    size = parameters if name == "parameters" else multiply_adds
    try:
        plan = replace(rule, amount=Budget(**{name: limit}))(trace, probe=probe)
    except PlanError as error:
        smallest = int(str(error).split("costs ")[1].split(" ")[0].replace(",", ""))
        assert smallest > limit
        assert size(replace(rule, amount=Budget(**{name: smallest}))(trace, probe=probe).mask, trace) == smallest
        with pytest.raises(PlanError, match="cannot be met"):
            replace(rule, amount=Budget(**{name: smallest - 1}))(trace, probe=probe)
    else:
        assert size(plan.mask, trace) <= limit


@score_rules
@given(seed=seeds, keep=st.integers(1, 20), remove=st.floats(0, 0.99), scope=st.sampled_from(["global", "layer"]))
@laws
def test_what_an_error_says_can_be_reached_can(rule, seed, keep, remove, scope):
    trace = random_net(WIDTHS, seed, dead=0.5).trace(random_inputs(4, 50))
    probe = random_probe(trace, seed)
    if not alive(trace).closed().count:
        return
    try:
        replace(rule, amount=Count(keep), scope=scope)(trace, probe=probe)
    except PlanError as error:
        least = int(str(error).rsplit(" ", 1)[1])
        assert keep < least
        assert replace(rule, amount=Count(least), scope=scope)(trace, probe=probe).mask.count
        with pytest.raises(PlanError):
            replace(rule, amount=Count(least - 1 or 1), scope=scope)(trace, probe=probe)
    try:
        replace(rule, amount=Fraction(remove), scope=scope)(trace, probe=probe)
    except PlanError as error:
        most = float(str(error).split("below ")[1].split(" ")[0])
        assert replace(rule, amount=Fraction(0.99 * most), scope=scope)(trace, probe=probe).mask.count


def shuffled(probe, orders):
    """The probe of the relabelled head."""

    def edges(layers):
        return tuple(v[np.ix_(dst, src)] for v, (src, dst) in zip(layers, pairwise(orders), strict=True))

    def nodes(layers):
        return tuple(v[order] for v, order in zip(layers, orders, strict=False))

    of_edges = ("means", "taylor", "fisher", "ablation", "ablation_error")
    of_nodes = ("shapley", "shapley_error", "node_taylor")
    fields = {name: edges(getattr(probe, name)) for name in of_edges}
    return replace(probe, **fields, **{name: nodes(getattr(probe, name)) for name in of_nodes})


@every_rule
@given(seed=seeds)
@laws
def test_relabelling_nodes_relabels_the_plan(rule, seed):
    net, x = random_net(WIDTHS, seed), random_inputs(4, 200, seed)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n) for n in WIDTHS]
    ids = tuple(tuple(map(int, order)) for order in orders)
    trace = net.trace(x)
    probe = random_probe(trace, seed)
    names = [f"x{i}" for i in range(4)]
    moved = net.relabelled(orders).trace(x[:, orders[0]], raw=x, raw_names=names, path="", node_ids=ids)
    before, after = attempt(rule, trace, probe), attempt(rule, moved, shuffled(probe, orders))
    assert (before is None) == (after is None)
    if before is None:
        return
    for layer, (src, dst) in enumerate(pairwise(orders)):
        np.testing.assert_array_equal(after.mask.layers[layer], before.mask.layers[layer][np.ix_(dst, src)])
    np.testing.assert_array_equal(after.inputs, before.inputs)


@pytest.mark.parametrize("score", ["kan2", "path", "share"])
@pytest.mark.parametrize("level", ["edge", "node", "input"])
@given(seed=seeds, scale=st.sampled_from([1e-6, 1e-3, 1e3, 1e6]), limit=st.floats(0, 0.5))
@laws
def test_the_scale_of_outputs_and_inputs_does_not_count(score, level, seed, scale, limit):
    net, x = random_net(WIDTHS, seed), random_inputs(4, 200, seed)
    last = [[lambda v, f=f: scale * f(v) for f in row] for row in net.functions[-1]]
    scaled = Net.of([*net.functions[:-1], last], biases=[*net.biases[:-1], net.biases[-1] * scale])
    moved = x.copy()
    moved[:, 1] = scale * x[:, 1] + 3
    other = scaled.rescaled_input(1, scale, 3.0).trace(moved)
    rule = ScoreRule(score, level, Threshold(limit))
    before, after = attempt(rule, net.trace(x)), attempt(rule, other)
    assert (before is None) == (after is None)
    if before is not None:
        assert after.mask.equals(before.mask)


@every_rule
@given(seed=seeds)
@laws
def test_scores_at_hand_change_nothing(rule, seed):
    trace = random_net(WIDTHS, seed, dead=0.3).trace(random_inputs(4, 100))
    probe = random_probe(trace, seed)
    try:
        plain = rule(trace, probe=probe)
    except PlanError:
        with pytest.raises(PlanError):
            rule(trace, layer_scores(trace), probe=probe)
    else:
        assert rule(trace, layer_scores(trace), probe=probe).equals(plain)


@every_rule
def test_rules_take_their_probe_only_from_the_probe(rule):
    """Without one: an error that says what to do, or a plan; never a guess."""
    trace = random_net(WIDTHS, 3).trace(random_inputs(4, 100))
    if probe_kinds(rule):
        with pytest.raises(InputError, match=r"probe=probe\(model, data\)"):
            rule(trace)
    else:
        assert rule(trace).mask.count


@pytest.mark.parametrize("rule", [r for r in scored.values() if r.score == "random"], ids=lambda r: r.level)
@given(seed=seeds)
@laws
def test_pruning_in_two_steps_by_chance_is_pruning_at_once(rule, seed):
    """Draws belong to edges, so the control is nested along any path of a schedule."""
    trace = random_net(WIDTHS, seed).trace(random_inputs(4, 50))
    half = attempt(replace(rule, amount=Threshold(0.3), seed=seed), trace)
    if half is None:
        return
    net = random_net(WIDTHS, seed)
    again = replace(net, alive=half.mask.layers).trace(random_inputs(4, 50))
    once, twice = (attempt(replace(rule, amount=Threshold(0.5), seed=seed), t) for t in (trace, again))
    assert (once is None) == (twice is None)
    if once is not None:
        assert once.mask.equals(twice.mask)


def test_a_hundred_outputs_keep_the_node_that_one_of_them_needs():
    """pykan averages over outputs: from 34 outputs on its default threshold masks every last-layer edge (#508)."""
    n = 100
    first = [[np.sin if i == j else zero for i in range(n)] for j in range(n)]
    last = [[np.tanh if i == j else zero for i in range(n)] for j in range(n)]
    trace = Net.of([first, last]).trace(random_inputs(n, 50))
    only = np.eye(n, dtype=bool)
    kept = [
        ScoreRule("kan2", "edge", Threshold(0.03)),
        ScoreRule("path", "edge", Threshold(0.03)),
        ScoreRule("kan2", "edge", Count(2), scope="output"),
        ScoreRule("kan2", "edge", Fraction(0.0), scope="output"),
        ScoreRule("path", "edge", Budget(parameters=10**6), scope="output"),
        dict(RULES)["edge"],
        dict(RULES)["budget"],
    ]
    for rule in kept:
        for layer in rule(trace).mask.layers:
            np.testing.assert_array_equal(layer, only)
    for level in ("node", "input"):
        assert ScoreRule("kan2", level, Threshold(0.03))(trace).mask.closed().nodes()[1].all()
        assert ScoreRule("kan2", level, Count(1), scope="output")(trace).mask.nodes()[1].all()


def test_a_node_that_one_output_needs_survives_beside_louder_ones():
    """Ranked all together the quiet output loses its node; ranked for each output it does not."""
    widths = (3, 3, 2)
    first = [[np.sin if i == j else zero for i in range(3)] for j in range(3)]
    shared = [np.sin, np.tanh, lambda h: 1e-3 * h]  # node 2 hardly counts for output 0 ...
    last = [shared, [zero, zero, lambda h: 1e-3 * h]]  # ... but output 1 has nothing else
    trace = Net.of([first, last]).trace(random_inputs(3, 200))
    assert widths == trace.card.widths
    for rule in (ScoreRule("kan2", "node", Count(1), scope="output"), ScoreRule("path", "node", Count(1), "output")):
        nodes = rule(trace).mask.nodes()[1]
        assert nodes[2]
        assert nodes.sum() == 2
    by_strength = ScoreRule("strength", "node", Count(2))(trace)
    assert not by_strength.mask.nodes()[1][2]  # what a rule without outputs does to it


@pytest.mark.parametrize("measure", [m for m in SCORES if m.needs == "trace"], ids=lambda m: m.name)
@given(seed=seeds)
@laws
def test_exact_copies_of_an_input_are_equal_to_a_rule(measure, seed):
    """A trace cannot tell copies apart: a threshold keeps or drops both, a count keeps the first."""
    net, x = random_net((3, 2), seed), random_inputs(3, 200, seed)
    row = [[f[0], f[1], f[1]] for f in net.functions[0]]
    copies = Net.of([row], biases=list(net.biases))
    x[:, 2] = x[:, 1]
    trace = copies.trace(x)
    for limit in (0.01, 0.1, 0.3):
        plan = attempt(ScoreRule(measure.name, "input", Threshold(limit)), trace)
        if plan is not None:
            assert plan.inputs[1] == plan.inputs[2]
    plan = ScoreRule(measure.name, "input", Count(2))(trace)
    first = ScoreRule(measure.name, "input", Count(1))(trace)
    assert not (first.inputs[2] and not first.inputs[1])
    assert plan.inputs.sum() == 2


def test_a_rule_that_removes_nothing_is_keeping_all():
    trace = random_net(WIDTHS, 1, dead=0.5).trace(random_inputs(4, 50))
    probe = random_probe(trace)
    for rule in scored.values():
        assert replace(rule, amount=Fraction(0.0))(trace, probe=probe).equals(keep_all(trace))
