"""A budget in milliseconds on this machine."""

from __future__ import annotations

import pytest
import torch

import kaninterp as ki
from kaninterp.analysis import Budget, keep_all
from kaninterp.core import EdgeMask
from kaninterp.core.errors import KanInterpError
from kaninterp.pruning.latency import LatencyCost

X = torch.rand(4000, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def head():
    return ki.KANHead(48, 4, (64,), domain=(-1, 1), generator=torch.Generator().manual_seed(1))


def test_a_budget_between_full_and_least_is_met_by_a_smaller_head(head):
    before = {name: value.clone() for name, value in head.state_dict().items()}
    cost = LatencyCost(head, X, repeats=7, batch=4000)
    trace = ki.trace(head, X, progress=False)
    full = cost(keep_all(trace).mask)
    plan = ki.ScoreRule("kan2", "node", Budget(latency_ms=full / 2, cost=cost))(trace)
    assert cost(plan.mask) <= full / 2
    assert 0 < plan.mask.count < trace.layers[0].edges.alive.sum() + trace.layers[1].edges.alive.sum()
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


def test_masks_of_the_same_widths_are_timed_once(head):
    cost = LatencyCost(head, X, repeats=3)
    full = EdgeMask.full(head.widths)
    first = cost(full)
    assert cost(full.without_edges([(0, 0, 0)])) == first


def test_a_budget_nothing_meets_says_what_the_least_is(head):
    cost = LatencyCost(head, X, repeats=3)
    rule = ki.ScoreRule("kan2", "node", Budget(latency_ms=1e-9, cost=cost))
    with pytest.raises(KanInterpError, match="ms"):
        rule(ki.trace(head, X, progress=False))
