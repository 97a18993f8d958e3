"""Flows: shares of all paths sum to 1, whatever the network; what cancels is said."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kaninterp.analysis import flow, flows
from kaninterp.analysis.attribution import live_std, variance_share
from kaninterp.core.errors import InputError
from tests.traces import Net, random_inputs, random_net, zero


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=5), st.integers(0, 10**6))
def test_flows_sum_to_one_and_paths_to_their_flow(widths, seed):
    net = random_net(widths, seed)
    trace = net.trace(random_inputs(widths[0], seed=seed))
    # of nodes that hardly vary beside their size, rounding has a part
    sizes = (np.abs(layer.edges.mean).max(1) for layer in trace.layers)
    assume(all((spread > 1e-3 * size).all() for spread, size in zip(live_std(trace), sizes, strict=True)))
    total, remainder = flows(trace)
    np.testing.assert_allclose(remainder, 0, atol=1e-6)
    np.testing.assert_allclose(total.sum(1), 1, atol=1e-6)
    shares = variance_share(trace)
    found = flow(trace, 0, 0, most=3)
    every = [
        np.prod([share[b, a] for share, (a, b) in zip(shares, itertools.pairwise(nodes), strict=True)])
        for nodes in itertools.product([0], *map(range, widths[1:-1]), [0])
    ]
    assert found.total == pytest.approx(total[0, 0], abs=1e-9)
    assert found.total == pytest.approx(sum(every), abs=1e-9)
    assert found.gross == pytest.approx(np.abs(every).sum(), abs=1e-9)
    assert sum(path.share for path in found.paths) + found.rest == pytest.approx(found.total, abs=1e-9)
    largest = sorted((abs(value) for value in every if value), reverse=True)[:3]
    np.testing.assert_allclose([abs(path.share) for path in found.paths], largest, atol=1e-9)


def test_paths_that_cancel_are_told():
    """x0 reaches the output twice with opposite signs, x1 once: what arrives of x0 is little, what is undone much."""
    up, down, back = (lambda x: 3 * x), (lambda x: -2.9 * x), (lambda x: x)
    net = Net.of([[[up, zero], [down, zero], [zero, back]], [[back, back, back]]])
    trace = net.trace(random_inputs(2, rows=4000))
    twice, once = flow(trace, 0), flow(trace, 1)
    assert once.cancelled == pytest.approx(0, abs=0.05)
    assert twice.cancelled > 0.3
    assert abs(twice.total) < 0.1
    assert [path.nodes for path in twice.paths] == [(0, 0, 0), (0, 1, 0)]
    assert twice.paths[0].share > 0 > twice.paths[1].share
    assert "→" in str(twice.paths[0])


def test_a_constant_output_has_no_flow():
    net = Net.of([[[zero, zero]]])
    total, remainder = flows(net.trace(random_inputs(2)))
    assert not total.any()
    assert remainder.tolist() == [1.0]
    assert flow(net.trace(random_inputs(2)), 0).paths == ()


def test_places_that_are_not_there_are_refused():
    trace = random_net([2, 2], 0).trace(random_inputs(2))
    for wrong in (2, -1, "nothing"):
        with pytest.raises(InputError, match=r"input=.*allowed: 0 to 1, or one of"):
            flow(trace, wrong)
        with pytest.raises(InputError, match=r"output=.*allowed: 0 to 1"):
            flow(trace, 0, wrong)
    with pytest.raises(InputError, match="most=0"):
        flow(trace, 0, most=0)
    assert flow(trace, trace.node_name(0, 1)).input == trace.node_name(0, 1)
