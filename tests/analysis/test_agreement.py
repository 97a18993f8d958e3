"""Agreement of models about their columns: bounds, symmetry, chance, twins."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from kaninterp.analysis.agreement import HOW, agree, agree_all, correlated_groups, group_rises
from kaninterp.core import InputError, ShapeError


@dataclass(frozen=True)
class Sure:
    """Rises that are known exactly."""

    change: np.ndarray

    @property
    def low(self):
        return self.change

    @property
    def high(self):
        return self.change


def sure(*change):
    return Sure(np.array(change, dtype=float))


def singles(n):
    return [[i] for i in range(n)]


def rises(least=4):
    return st.lists(st.integers(-3, 20).map(float), min_size=least, max_size=7)


@st.composite
def pairs(draw, least=4):
    left = draw(rises(least))
    return sure(*left), sure(*draw(st.permutations(left)))


@given(pairs(), st.sampled_from(HOW), st.floats(0.01, 100))
def test_symmetric_and_free_of_scale_and_order(both, how, factor):
    left, right = both
    factors = (factor, 1.0) if how == "ranks" else (factor, factor)  # sizes compare amounts
    groups = singles(len(left.change))
    found = agree_all(left, [right], groups, how=how)
    back = agree_all(Sure(right.change * factors[1]), [Sure(left.change * factors[0])], groups[::-1], how=how)
    assert found.remark == back.remark
    np.testing.assert_allclose(found.value, back.value, atol=1e-12)
    np.testing.assert_allclose(found.chance, back.chance, atol=1e-12)


@given(rises(2), st.sampled_from(HOW))
def test_a_model_agrees_with_itself(values, how):
    one, groups = sure(*values), singles(len(values))
    found = agree_all(one, [one], groups, how=how)
    positive = np.maximum(one.change, 0)
    if not positive.any() or (how == "ranks" and len(values) < 4):
        assert found.remark
        assert np.isnan(found.value)
    elif how == "ranks" and len(set(positive)) == 1:
        assert found.value == 0  # all alike: there is no order to agree on
    else:
        assert found.value == pytest.approx(1)


@given(pairs(2))
def test_chance_of_sizes_is_their_mean_over_all_orders(both):
    left, right = both
    groups = singles(min(len(left.change), 5))
    found = agree_all(left, [right], groups, how="sizes")
    if found.remark:
        return
    each = [
        agree_all(left, [Sure(right.change[list(order)])], groups, how="sizes").value
        for order in permutations(range(len(groups)))
    ]
    each = [0.0 if np.isnan(value) else value for value in each]
    assert found.chance == pytest.approx(np.mean(each))


def test_ranks_are_those_of_scipy():
    rng = np.random.default_rng(0)
    left, right = rng.uniform(1, 2, (2, 9))
    found = agree(Sure(left), Sure(right), singles(9))
    assert found.value == pytest.approx(spearmanr(left, right).statistic)
    assert found.low == found.high == found.value  # rises without any doubt


def test_a_rise_that_may_be_zero_counts_as_zero_and_the_interval_holds_the_value():
    @dataclass
    class Doubtful:
        change: np.ndarray
        low: np.ndarray
        high: np.ndarray

    change = np.array([3.0, 2.8, 1.0, 0.5, 0.4])
    doubtful = Doubtful(change, change - [0.5, 0.5, 0.5, 0.6, 0.6], change + 0.6)
    assert group_rises(doubtful, singles(5)).tolist() == [3, 2.8, 1, 0, 0]
    found = agree(doubtful, sure(3, 2, 1, 0, 0), singles(5))
    assert found.value == pytest.approx(1)
    assert found.low < 1 <= found.high
    assert agree(doubtful, sure(3, 2, 1, 0, 0), singles(5)) == found


def test_a_model_that_needs_nothing_agrees_with_nobody():
    live, dead, groups = sure(1, 2, 3, 4), sure(0, 0, -1, 0), singles(4)
    assert agree(live, dead, groups).value == 0
    assert agree(dead, dead, groups).remark
    # a pair of dead models is left out, not counted as perfect
    assert agree_all(dead, [dead, live], groups).value == 0


def test_twins_are_one_however_their_rise_is_split():
    r = np.eye(6)
    r[0, 1] = r[1, 0] = -0.96
    r[1, 2] = r[2, 1] = 0.97  # a chain: 0 and 2 are only linked through 1
    r[5, 5] = 0  # constant
    groups = correlated_groups(r)
    assert groups == ((0, 1, 2), (3,), (4,))
    left, right = sure(6, 0, 0, 2, 1, 9), sure(1, 2, 3, 2, 1, 0)
    assert agree(left, right, groups, how="sizes").value == pytest.approx(1)
    assert agree(left, right, singles(6), how="sizes").value < 0.5


def test_what_cannot_be_compared_says_why():
    assert "2 columns say little" in agree(sure(1, 2), sure(1, 2), singles(2)).remark
    assert "no two columns" in agree(sure(1), sure(1), singles(1), how="sizes").remark
    with pytest.raises(InputError, match="ranks, sizes"):
        agree(sure(1, 2), sure(1, 2), singles(2), how="looks")
    with pytest.raises(ShapeError, match="one model or more"):
        agree_all(sure(1, 2), [], singles(2))
    with pytest.raises(ShapeError, match="square"):
        correlated_groups(np.ones((2, 3)))
