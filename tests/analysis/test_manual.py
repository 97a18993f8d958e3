"""Plans by hand: what is named goes, what was decided stays decided, and names that are wrong are answered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kaninterp as ki
from kaninterp.analysis import EdgeRule, drop_inputs, keep_all, keep_nodes, remove_edges, remove_nodes
from kaninterp.core import InputError, InputTypeError, NamesError, PlanError
from tests.evidence import hybrid
from tests.traces import random_inputs, random_net

NAMES = ["temp", "humidity", "wind", "pressure"]


def plain(seed=0):
    return random_net((4, 3, 2), seed).trace(random_inputs(4, 100), raw_names=NAMES)


def test_edges_by_position_and_by_name_are_the_same():
    trace = plain()
    by_position = remove_edges(trace, [(0, 1, 2), (1, 0, 2)])
    assert by_position.equals(remove_edges(trace, [("node 1.1", "wind"), ("y0", "node 1.2")]))
    assert by_position.mask.count == 12 + 6 - 2
    assert by_position.why(0, 1, 2)[0].text == "removed by hand"
    assert by_position.constants[0][1, 2] == trace.layers[0].edges.mean[1, 2]


def test_a_removed_node_takes_its_edges_along():
    plan = remove_nodes(plain(), ["node 1.1"])
    assert not plan.mask.layers[0][1].any()
    assert not plan.mask.layers[1][:, 1].any()
    assert plan.mask.count == 12 + 6 - 4 - 2
    assert plan.why(1, 1, kind="node")
    assert plan.equals(remove_nodes(plain(), [(1, np.int64(1))]))


def test_kept_nodes_are_the_only_ones_of_their_layer():
    plan = keep_nodes(plain(), ["temp", "wind", (1, 0)])
    assert plan.mask.nodes()[0].tolist() == [True, False, True, False]
    assert plan.mask.nodes()[1].tolist() == [True, False, False]
    assert plan.dropped_inputs == ("humidity", "pressure")
    assert [r.place for r in plan.reasons if r.kind == "input"] == [(1,), (3,)]


def test_names_hold_original_numbers_after_pruning():
    trace = random_net((2, 2, 1), 0).trace(
        random_inputs(2, 50), raw=random_inputs(4, 50), raw_names=NAMES, path="", node_ids=((1, 3), (0, 7), (0,))
    )
    assert remove_nodes(trace, ["node 1.7"]).equals(remove_nodes(trace, [(1, 1)]))
    assert drop_inputs(trace, ["pressure"]).mask.layers[0].any(0).tolist() == [True, False]
    assert drop_inputs(trace, [3]).equals(drop_inputs(trace, ["pressure"]))


def test_a_plain_kan_loses_the_edges_of_a_dropped_column():
    plan = drop_inputs(plain(), ["humidity"])
    assert plan.dropped_inputs == ("humidity",)
    assert not plan.mask.layers[0][:, 1].any()
    assert plan.why(1, kind="input")
    assert "humidity" in plan.why(0, 0, 1)[0].text


def test_a_hybrid_loses_columns_of_its_backbone_and_no_edge():
    trace = hybrid(columns=4, units=3, names=NAMES)
    plan = drop_inputs(trace, ["humidity", "wind"])
    assert plan.dropped_inputs == ("humidity", "wind")
    assert plan.mask.equals(keep_all(trace).mask)
    np.testing.assert_array_equal(plan.fill, trace.raw.nodes.mean)
    assert plan.lags == 6
    assert remove_nodes((trace, plan), ["unit 1"]).dropped_inputs == ("humidity", "wind")


def test_a_plan_is_carried_out():
    model = ki.KANHead(3, 1, (2,), input_names=["a", "b", "c"], generator=torch.Generator().manual_seed(0)).eval()
    x = torch.rand(100, 3)
    trace = ki.trace(model, x, feature_names=["a", "b", "c"])
    new, report = ki.prune(model, drop_inputs(trace, ["b"]))
    changed = x.clone()
    changed[:, 1] = 1e6
    assert torch.equal(new(changed), new(x))
    assert report.dropped_inputs == ("b",)


@given(seed=st.integers(0, 2**16), data=st.data())
@settings(max_examples=30, deadline=None)
def test_chains_in_any_order_give_the_same_mask_and_are_closed(seed, data):
    trace = plain(seed)
    edges = st.tuples(st.just(0), st.integers(0, 2), st.integers(0, 3))
    steps = [
        (remove_edges, data.draw(st.lists(edges, max_size=3))),
        (remove_nodes, data.draw(st.lists(st.tuples(st.just(1), st.integers(0, 2)), max_size=1))),
        (drop_inputs, data.draw(st.lists(st.integers(0, 3), max_size=1))),
    ]
    plans = []
    for order in (steps, steps[::-1]):
        plan = keep_all(trace)
        try:
            for verb, what in order:
                plan = verb((trace, plan), what)
        except PlanError:
            return
        assert plan.mask.closed().equals(plan.mask)
        assert len({(r.kind, r.place) for r in plan.reasons}) == len(plan.reasons)
        plans.append(plan)
    assert plans[0].mask.equals(plans[1].mask)
    np.testing.assert_array_equal(plans[0].inputs, plans[1].inputs)


def test_a_hand_goes_on_from_a_rule_and_keeps_its_decisions():
    trace = plain()
    ruled = EdgeRule(0.2)(trace)
    constants = tuple(np.where(layer, 0.0, 7.0) for layer in ruled.mask.layers)
    ruled = replace(ruled, constants=constants)
    src = int(np.flatnonzero(ruled.mask.layers[0].any(0))[0])
    plan = drop_inputs((trace, ruled), [src])
    assert plan.mask <= ruled.mask
    assert not plan.mask.layers[0][:, src].any()
    assert set(ruled.reasons) <= set(plan.reasons)
    gone = ~ruled.mask.layers[0]
    assert (plan.constants[0][gone] == 7.0).all()
    again = drop_inputs((trace, plan), [src])
    assert again.equals(plan)


def test_wrong_names_are_answered_with_near_ones():
    trace = plain()
    with pytest.raises(NamesError, match="did you mean humidity"):
        drop_inputs(trace, ["humidty"])
    with pytest.raises(NamesError, match=r"did you mean node 1\.\d"):
        remove_nodes(trace, ["node1.2"])
    with pytest.raises(NamesError, match="known are: temp, humidity"):
        remove_nodes(trace, ["zzz"])
    with pytest.raises(NamesError, match="0 to 3"):
        drop_inputs(trace, [4])


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda t: remove_nodes(t, ["y1"]), PlanError, "output cannot be removed"),
        (lambda t: remove_nodes(t, [(5, 0)]), InputError, "widths"),
        (lambda t: remove_nodes(t, [3]), InputTypeError, "layer, index"),
        (lambda t: remove_nodes(t, "node 1.1"), InputTypeError, "list"),
        (lambda t: remove_edges(t, [(0, 5, 0)]), InputError, "no edge"),
        (lambda t: remove_edges(t, [("temp", "node 1.1")]), NamesError, "no node 'temp'"),
        (lambda t: remove_edges(t, [("y0", "temp")]), InputError, "one layer above"),
        (lambda t: remove_edges(t, [(0, 1.5, 0)]), InputTypeError, "an edge is"),
        (lambda t: drop_inputs(t, [1.5]), InputTypeError, "name or an index"),
        (lambda t: drop_inputs(t, NAMES), PlanError, "all 4 raw inputs"),
        (lambda t: remove_nodes(t, [(1, 0), (1, 1), (1, 2)]), PlanError, "keep one path"),
        (lambda t: remove_nodes("trace", []), InputTypeError, "expected a Trace"),
        (lambda t: remove_nodes((t, 3), []), InputTypeError, "expected a Trace"),
    ],
)
def test_what_cannot_be_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call(plain())


def test_plans_and_traces_of_different_heads_are_refused():
    trace = plain()
    with pytest.raises(PlanError, match="widths"):
        remove_nodes((trace, keep_all(random_net((2, 1)).trace(random_inputs(2)))), [])
    other = replace(keep_all(trace), fingerprint="0" * 64)
    with pytest.raises(PlanError, match="the plan was made from"):
        remove_nodes((trace, other), [])
    with pytest.raises(InputError, match="no raw columns"):
        drop_inputs(replace(trace, raw=None), ["temp"])
