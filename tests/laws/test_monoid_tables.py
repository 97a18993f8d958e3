"""Law 3 for the tables themselves: any partition, any order, gives the trace of the whole."""

from __future__ import annotations

from functools import reduce

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.core import NodeTable
from kaninterp.core.frozen import same
from tests.traces import Net, random_net

TABLES = {
    "inputs": ("mean", "m2", "low", "high"),
    "edges": ("mean", "m2", "with_output", "with_input"),
    "parts": ("mean", "m2", "with_edge", "with_input"),
    "ranges": ("intervals", "outside"),
}


def network(seed):
    net = random_net((3, 2, 2), seed, dead=0.3)
    domains = [np.tile([-1.0, 1.0], (n, 1)) for n in net.widths[:-1]]
    bases = random_net((3, 2, 2), seed + 1).functions
    return Net.of(net.functions, alive=net.alive, biases=net.biases, domains=domains, bases=bases)


def assert_same_trace(left, right, scale):
    assert left.rows == right.rows
    for a, b in zip(left.layers, right.layers, strict=True):
        for table, names in TABLES.items():
            for name in names:
                x, y = getattr(getattr(a, table), name), getattr(getattr(b, table), name)
                # a co-moment that is nothing beside others of its node is known to their rounding only
                atol = 1e-9 * max(scale, float(np.abs(y).max()))
                np.testing.assert_allclose(x, y, rtol=1e-9, atol=atol, err_msg=f"{table}.{name}")
    np.testing.assert_allclose(left.raw.co, right.raw.co, rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(left.outputs.m2, right.outputs.m2, rtol=1e-9, atol=1e-9 * scale)


@given(
    seed=st.integers(0, 2**16),
    cuts=st.lists(st.integers(1, 119), unique=True, max_size=6),
    offset=st.sampled_from([0.0, 1e3]),
    constant=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_partition_in_any_order_gives_the_whole(seed, cuts, offset, constant):
    rng = np.random.default_rng(seed)
    x = rng.normal(offset, 1.0, (120, 3))
    if constant:
        x[:, 1] = offset + 0.1
    net = network(seed)
    parts = [net.trace(block) for block in np.split(x, sorted(cuts))]
    rng.shuffle(parts)
    merged = reduce(lambda a, b: a.merge(b), parts)
    whole = net.trace(x)
    assert_same_trace(merged, whole, 120 * max(1.0, offset))
    assert merged.layers[0].inputs.constant.tolist() == whole.layers[0].inputs.constant.tolist()


@given(seed=st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_merging_is_associative_and_commutative(seed):
    rng = np.random.default_rng(seed)
    net = network(seed)
    a, b, c = (net.trace(rng.normal(size=(n, 3))) for n in (1, 20, 7))
    assert_same_trace(a.merge(b).merge(c), a.merge(b.merge(c)), 30)
    assert_same_trace(a.merge(b), b.merge(a), 30)


@given(seed=st.integers(0, 2**16), rows=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_no_rows_are_the_neutral_element(seed, rows):
    block = NodeTable.of(np.random.default_rng(seed).normal(size=(rows, 3)))
    empty = NodeTable.of(np.zeros((0, 3)))
    assert same(block.merge(empty), block)
    assert same(empty.merge(block), block)


def test_nothing_cancels_far_from_zero():
    """The sum of squares minus the square of the sum would have no correct digit here."""
    x = np.random.default_rng(0).normal(1e9, 1.0, (1000, 1))
    merged = reduce(lambda a, b: a.merge(b), [NodeTable.of(block) for block in np.split(x, 50)])
    np.testing.assert_allclose(merged.std, x.std(0), rtol=1e-6)
