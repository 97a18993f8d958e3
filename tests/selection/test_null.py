"""The law of the best score under no effect."""

from __future__ import annotations

import numpy as np
import pytest

from kaninterp.selection.candidates import Edges, Model, best
from kaninterp.selection.functions import SmoothFunctions
from kaninterp.selection.null import Null, moved
from kaninterp.selection.products import Products


@pytest.mark.parametrize("in_time", [False, True])
def test_moves_are_orders_of_the_rows_and_leave_none_where_it_was(in_time):
    orders = moved(60, 20, np.random.default_rng(0), in_time=in_time)
    assert len(orders) == 20
    for order in orders:
        assert sorted(order) == list(range(60))
        assert (order == np.arange(60)).mean() < 0.2


def test_rotation_keeps_autocorrelation_and_shuffling_does_not():
    rng = np.random.default_rng(0)
    series = np.zeros(400)
    for t in range(1, 400):
        series[t] = 0.95 * series[t - 1] + rng.normal()

    def lag_one(values):
        return np.corrcoef(values, np.roll(values, 1))[0, 1]

    for order in moved(400, 10, rng, in_time=True):
        assert lag_one(series[order]) == pytest.approx(lag_one(series), abs=1e-9)
    assert all(abs(lag_one(series[order])) < 0.3 for order in moved(400, 10, rng, in_time=False))


@pytest.mark.parametrize("rows", [10, 11, 25])
def test_few_rows_can_be_rotated(rows):
    for order in moved(rows, 30, np.random.default_rng(0), in_time=True):
        assert sorted(order) == list(range(rows))


def test_p_values_fall_with_the_score_and_stay_within_0_and_1():
    null = Null(location=4.0, scale=1.2)
    p_values = [null.p_value(score) for score in np.linspace(0, 1000, 200)]
    assert all(0 <= p <= 1 for p in p_values)
    assert (np.diff(p_values) <= 0).all()


@pytest.mark.parametrize("make", [Edges, Products])
def test_p_values_are_roughly_uniform_when_there_is_nothing(make):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (150, 10))
    values = [SmoothFunctions.of(column)(column) for column in x.T]
    model = Model(values, 150)
    family = make(values)
    family.watch(model)
    p_values = []
    for _ in range(80):
        y = model.outside(rng.normal(size=150))
        y /= np.linalg.norm(y)
        null = Null.of(family, model, y, moved(150, 60, rng, in_time=False))
        p_values.append(null.p_value(best(family, y).score))
    # 80 uniform values: the mean has a standard error of .03, the counts of 2.7 and 4.2
    assert 0.4 < np.mean(p_values) < 0.6
    assert sum(p <= 0.1 for p in p_values) <= 8 + 3 * 2.7
    assert sum(p <= 0.5 for p in p_values) == pytest.approx(40, abs=3 * 4.5)
