"""How grids are used: against laws of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import kaninterp as ki
from kaninterp.analysis import layer_ranges
from kaninterp.analysis.grid_use import effective_intervals, grid_states, intervals_of_bulk, spread
from kaninterp.core import NodeTable, RangeTable

counts = st.lists(st.integers(0, 1000), min_size=1, max_size=20)


def table(intervals, outside=(0, 0, 0, 0), low=0.0, high=1.0):
    knots = np.linspace(low, high, len(intervals) + 1)[None]
    return RangeTable(knots=knots, order=3, intervals=np.array([intervals]), outside=np.array([outside]))


@given(counts)
def test_effective_intervals_lie_between_one_and_those_visited(intervals):
    effective = float(effective_intervals(table(intervals))[0])
    visited = sum(count > 0 for count in intervals)
    assert (effective == 0) == (visited == 0)
    assert effective <= visited + 1e-9
    assert visited == 0 or effective >= 1 - 1e-9


@given(counts, st.randoms(use_true_random=False))
def test_neither_measure_minds_the_order_of_the_intervals_or_ten_times_the_rows(intervals, random):
    moved = list(intervals)
    random.shuffle(moved)
    for measure in (effective_intervals, intervals_of_bulk):
        expected = measure(table(intervals))
        np.testing.assert_allclose(measure(table(moved)), expected, rtol=1e-9)
        np.testing.assert_allclose(measure(table([10 * count for count in intervals])), expected, rtol=1e-9)


@pytest.mark.parametrize("n", [200, 20_000])
@pytest.mark.parametrize("grid", [3, 5, 20])
def test_states_of_known_laws(n, grid):
    rng = np.random.default_rng(0)
    far = rng.uniform(-1, 1, n)
    far[: max(n // 200, 1)] = 1000.0
    laws = {
        "": rng.uniform(-1, 1, n),
        "constant": np.full(n, 0.3),
        "outside": rng.uniform(-2, 2, n),
        "whole-numbers": rng.integers(0, 2, n).astype(float),
        "stretched": far,
        "under-used": rng.uniform(-0.3, 0.3, n),
    }
    x = np.column_stack(list(laws.values()))
    domain = np.array([[-1.0, 1.0]] * 3 + [[0.0, 1.0], [-1.0, 1000.0], [-1.0, 1.0]])
    source = torch.Generator().manual_seed(0)
    head = ki.KANHead(6, 1, grid=grid, domain=(-1.0, 1.0), generator=source)
    head.kan_layers[0].update(*torch.tensor(domain, dtype=torch.float32).T)
    ranges = layer_ranges(ki.trace(head, x, progress=False))[0]
    assert dict(zip(laws, ranges.state, strict=True)) == {
        law: law if law != "stretched" or grid > 3 else ""
        for law in laws  # three intervals: one is more than a quarter
    }
    assert ranges.spread[[1, 5]] == pytest.approx([0.0, 0.3], abs=0.02)


def test_left_and_right_are_told_apart():
    x = np.array([[-9.0], [-1.5], [0.0], [0.5], [1.5], [9.0], [9.0], [9.0]])
    head = ki.KANHead(1, 1, domain=(-1, 1))
    ranges = layer_ranges(ki.trace(head, x, progress=False))[0]
    assert ranges.sides.tolist() == [[1 / 8, 1 / 8, 1 / 8, 3 / 8]]
    assert ranges.sides.sum(1) == pytest.approx(ranges.fringe + ranges.dead)


def test_whole_numbers_survive_only_if_both_sides_are():
    whole, halves = NodeTable.of(np.array([[1.0], [2.0]])), NodeTable.of(np.array([[1.5], [2.0]]))
    none = NodeTable.of(np.zeros((0, 1)))
    assert [bool(t.whole[0]) for t in (whole, halves, whole.merge(halves), none.merge(whole))] == [
        True, False, False, True,
    ]  # fmt: skip


def test_no_rows_have_no_spread():
    assert spread(table([0, 0]), NodeTable.of(np.zeros((0, 1)))).tolist() == [0.0]
    assert grid_states(table([0, 0]), NodeTable.of(np.zeros((0, 1)))) == ("constant",)


def out_of_grid(n=4000, seed=0):
    """Nine input laws, and the exact share of each outside [-1, 1]."""
    rng = np.random.default_rng(seed)
    spike = np.where(rng.uniform(size=n) < 0.01, 10.0, 0.0) + 0.01 * rng.normal(size=n)
    x = np.column_stack([
        rng.uniform(-1, 1, n), rng.normal(size=n), rng.uniform(-3, 3, n), np.exp(rng.normal(size=n)),
        rng.standard_t(2, size=n), rng.uniform(-0.1, 0.1, n), spike, rng.normal(size=n), rng.uniform(5, 7, n),
    ])  # fmt: skip
    return x, np.array([0, 0.317311, 2 / 3, 0.5, 1 - 3**-0.5, 0, 0.01, 0.317311, 1])


@pytest.mark.parametrize("seed", range(5))
def test_shares_outside_are_those_of_the_laws(seed):
    """P11: within .02, and at one percent exactly the columns that leave the grid are flagged."""
    x, exact = out_of_grid(seed=seed)
    ranges = layer_ranges(ki.trace(ki.KANHead(9, 1, domain=(-1, 1)), x, progress=False))[0]
    outside = ranges.sides.sum(1)
    np.testing.assert_allclose(outside, exact, atol=0.02)
    sure = exact != 0.01  # on the threshold itself chance decides
    np.testing.assert_array_equal((outside > 0.01)[sure], (exact > 0.01)[sure])
    assert ranges.spread[[0, 5, 8]] == pytest.approx([1.0, 0.1, 0.0], abs=0.01)
    assert ranges.state == (
        "",
        "outside",
        "outside",
        "outside",
        "outside",
        "under-used",
        "under-used",
        "outside",
        "outside",
    )
