"""Sums of few columns that give the target: found where they are planted, and nowhere else."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.core import ModelError, ShapeError
from kaninterp.core.frozen import same
from kaninterp.measure import leaks
from tests.benchmarks.problems import SEQUENCES, TABLES


def planted(found):
    """Columns and lags of the only leak, and their weights."""
    (one,) = found
    return {(term.column, term.lag): term.weight for term in one.terms}


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.sampled_from([-3.0, -1.0, 0.2, 1.0, 2.5]), min_size=1, max_size=3),
    st.floats(-50, 50),
    st.floats(0, 0.99),
)
def test_a_planted_sum_is_found_with_its_weights(seed, weights, shift, r):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(120, 1))
    x = r * common + np.sqrt(1 - r**2) * rng.normal(size=(120, 15))
    chosen = rng.choice(15, len(weights), replace=False)
    found = planted(leaks((x, x[:, chosen] @ weights + shift)))
    # a weight that adds less than the limit can show may be left out
    spread = np.std(x[:, chosen] @ weights)
    for column, weight in zip(chosen, weights, strict=True):
        if abs(weight) > 0.2 * spread:
            assert found[column, 0] == pytest.approx(weight, rel=0.1)
    assert set(found) <= {(column, 0) for column in chosen}


@pytest.mark.parametrize("seed", range(5))
def test_lags_of_windows_are_told_apart(seed):
    x = np.random.default_rng(seed).normal(size=(400, 12, 6)).astype("float32")
    (one,) = leaks((x, x[:, -3, 4] - x[:, -1, 1] + 2 * x[:, 0, 0]))
    assert sorted((t.column, t.lag, round(t.weight, 3)) for t in one.terms) == [(0, 11, 2), (1, 0, -1), (4, 2, 1)]
    assert one.exact
    assert str(one).endswith("− x1")


@pytest.mark.parametrize("seed", range(5))
def test_the_difference_of_two_near_copies_is_found(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300, 20))
    x[:, 7] = x[:, 2] + 1e-3 * rng.normal(size=300)
    assert str(leaks((x, x[:, 2] - x[:, 7]))[0]) == "x2 − x7"


@pytest.mark.parametrize("problem", [*TABLES, *SEQUENCES])
def test_honest_problems_have_no_leak(problem):
    found = {**TABLES, **SEQUENCES}[problem](0)
    assert leaks((found.X, found.y)) == ()


@pytest.mark.parametrize("seed", range(5))
def test_chance_does_not_look_like_a_leak(seed):
    bits = np.random.default_rng(seed).integers(0, 2, size=(30, 400)).astype(float)
    assert leaks((bits[:, 1:], bits[:, 0])) == ()


def test_labels_and_several_targets_count_as_numbers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 3))
    label = rng.integers(0, 3, 90)
    assert planted(leaks((np.column_stack([x, label]).astype(float), label))) == {(3, 0): pytest.approx(1)}
    y = np.column_stack([rng.normal(size=90), x[:, 0] + x[:, 2], np.ones(90)])
    found = leaks((x, y))
    assert [one.output for one in found] == [1]
    assert set(planted(found)) == {(0, 0), (2, 0)}


def test_nothing_to_look_at_finds_nothing():
    x = np.random.default_rng(0).normal(size=(100, 3))
    assert leaks(x) == ()
    assert leaks((x[:29], x[:29, 0])) == ()
    assert leaks((np.ones((100, 1)), x[:, 0])) == ()
    assert leaks((x, np.full(100, 7.0))) == ()
    assert leaks((np.ones((100, 2)), np.ones(100))) == ()
    late = np.where(np.arange(100) < 60, x[:, 0], 1.0)  # constant where it would be judged
    assert leaks((x, late)) == ()


def test_what_it_cannot_read_is_refused():
    with pytest.raises(ModelError):
        leaks((torch.randn(40, 1, 5, 5), torch.randn(40)))
    with pytest.raises(ShapeError):
        leaks((torch.randn(40, 2), torch.randn(39)))


def test_the_same_data_give_the_same_leak():
    x = np.random.default_rng(0).normal(size=(500, 8, 5)).astype("float32")
    y = x[:, -1].sum(1) - x[:, -1, 2:].sum(1)
    state = torch.get_rng_state()
    one, two = (leaks((x, y)) for _ in range(2))
    assert same(one, two)
    assert {term.name for term in one[0].terms} == {"x0", "x1"}
    assert torch.equal(state, torch.get_rng_state())


def series(name):
    place = os.environ.get("KANINTERP_DATA")
    if not place:
        pytest.skip("KANINTERP_DATA is not set")
    return pd.read_csv(Path(place) / "timeseries" / name).select_dtypes("number")


def test_the_counts_of_the_bike_data_give_the_target():
    table = series("bike_hour.csv")
    (one,) = leaks(table, target="cnt")
    assert str(one) == "registered + casual"
    assert one.exact
    assert leaks(table.drop(columns="casual"), target="cnt") == ()


def test_real_series_without_a_leak():
    assert leaks(series("ETTh1.csv"), target="OT") == ()
    assert leaks(series("appliances_energydata_complete.csv.zip"), target="Appliances") == ()


def test_thousands_of_columns_need_little_memory():
    """The square of 6000 columns alone would be 288 MB."""
    x = torch.randn(60, 6000, generator=torch.Generator().manual_seed(0))
    tracemalloc.start()
    found = leaks((x, x[:, 17] - x[:, 5000]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {term.column for leak in found for term in leak.terms} == {17, 5000}
    assert peak < 100e6
