"""The verb on problems of known truth, and what must not change its answer."""

from __future__ import annotations

import re

import numpy as np
import pytest

from kaninterp.core.errors import DataError, InputError, ShapeError
from kaninterp.selection import select
from tests.benchmarks.problems import lags
from tests.planted import additive, lagged

RNG = np.random.default_rng


def by_name(found):
    return {one.name: one for one in found.inputs}


def test_additive():
    problem = additive(n=600, seed=100)
    found = select(problem.X, problem.y, names=problem.names)
    assert set(found.kept) == problem.keep
    shares = [found.inputs[i].share for i in range(3)]
    truth = np.array([4 / 3, 1 / 2, 4 / 45])
    np.testing.assert_allclose(shares, truth / (truth.sum() + 0.05), atol=0.05)
    assert all(found.inputs[i].terms == (f"x{i}",) for i in range(3))
    assert all(one.p_value == 1 and one.share == 0 and one.terms == () for one in found.inputs[3:])


def test_a_pure_product_of_which_neither_does_anything_alone():
    rng = RNG(100)
    x = rng.uniform(-1, 1, (400, 8))
    found = select(x, x[:, 6] * x[:, 2] + 0.1 * rng.normal(size=400))
    assert found.kept == (2, 6)
    assert found.inputs[2].terms == found.inputs[6].terms == ("x2 x x6",)


def test_three_inputs_in_one_product():
    rng = RNG(100)
    x = rng.uniform(0, 1, (500, 6))
    found = select(x, x[:, 0] * x[:, 3] * x[:, 5] + 0.02 * rng.normal(size=500))
    assert found.kept == (0, 3, 5)


def test_windows_name_the_lag():
    problem = lagged(n=600, length=6, seed=100)
    found = select(problem.X, problem.y, names=problem.names)
    assert set(found.kept) == problem.keep
    assert found.inputs[0].terms == ("u0 at lag 1",)
    assert found.inputs[1].terms == ("u1 at lag 2",)


def test_windows_a_square_far_back_and_a_copy():
    problem = lags(100, rows=900, length=9)
    found = select(problem.X, problem.y)
    assert found.kept == (0, 1, 2)
    assert [found.inputs[i].terms for i in range(3)] == [("x0 at lag 1",), ("x1 at lag 3",), ("x2 at lag 7",)]
    assert found.inputs[3].verdict == "tentative"
    assert found.inputs[0].substitutes == ("x3",)
    assert found.inputs[0].replaced_by == ("x3",)
    assert found.inputs[0].regret == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("curve", [lambda x: x, np.square, lambda x: np.sin(3 * x)], ids=["line", "square", "sine"])
def test_of_copies_exactly_one_is_kept_and_the_others_are_named(curve):
    rng = RNG(100)
    x = rng.uniform(-1, 1, (400, 7))
    for place, copy in enumerate((x[:, 0], 3 - 2 * x[:, 0], 1e6 * x[:, 0]), start=2):
        x[:, place] = copy
    found = select(x, curve(x[:, 0]) + x[:, 1] + 0.2 * rng.normal(size=400))
    group = {0, 2, 3, 4}
    (kept,) = group & set(found.kept)
    assert set(found.kept) == {kept, 1}
    others = {f"x{i}" for i in group - {kept}}
    assert set(found.inputs[kept].substitutes) == others
    for i in group - {kept}:
        assert found.inputs[i].verdict == "tentative"
        assert f"redundant given x{kept}" in found.inputs[i].why
    assert set(found.inputs[kept].replaced_by) <= others
    assert found.inputs[kept].replaced_by


def test_a_product_with_a_copied_factor_keeps_one_of_the_copies():
    rng = RNG(101)
    x = rng.uniform(-1, 1, (400, 5))
    x[:, 3], x[:, 4] = -x[:, 0], x[:, 0]
    found = select(x, x[:, 0] * x[:, 1] + 0.1 * rng.normal(size=400))
    assert len(found.kept) == 2
    assert len({0, 3, 4} & set(found.kept)) == 1


def test_constant_columns_never_survive():
    rng = RNG(100)
    x = rng.normal(size=(200, 4))
    x[:, 1], x[:, 3] = 5.0, 0.0
    found = select(x, x[:, 0] + 0.3 * rng.normal(size=200))
    assert found.kept == (0,)
    assert found.inputs[1].why == found.inputs[3].why == "constant in these data"
    assert select(np.ones((50, 3)), rng.normal(size=50)).kept == ()


@pytest.mark.parametrize("swap", [True, False])
def test_relabelling_the_columns_relabels_the_answer(swap):
    problem = additive(n=300, seed=101)
    order = RNG(0).permutation(len(problem.names))
    plain = by_name(select(problem.X, problem.y, names=problem.names, swap=swap))
    moved = by_name(select(problem.X[:, order], problem.y, names=[problem.names[i] for i in order], swap=swap))
    for name, one in plain.items():
        other = moved[name]
        assert (one.verdict, one.terms, one.substitutes) == (other.verdict, other.terms, other.substitutes)
        assert one.share == pytest.approx(other.share, abs=1e-9)
        assert one.p_value == pytest.approx(other.p_value, rel=1e-6)


@pytest.mark.parametrize(
    ("scale", "shift", "of_y"),
    [(100.0, -3.0, (1.0, 0.0)), (-1e-6, 1e-6, (1.0, 0.0)), (1.0, 0.0, (-1e8, 5e8)), (1.0, 0.0, (1e-9, 0.0))],
)
def test_rescaling_an_input_or_the_target_changes_nothing(scale, shift, of_y):
    rng = RNG(102)
    x = rng.uniform(-1, 1, (300, 5))
    y = x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=300)
    changed = x.copy()
    changed[:, [0, 2, 4]] = scale * x[:, [0, 2, 4]] + shift
    one, two = select(x, y), select(changed, of_y[0] * y + of_y[1])
    assert one.kept == two.kept
    for a, b in zip(one.inputs, two.inputs, strict=True):
        assert (a.verdict, a.terms) == (b.verdict, b.terms)
        assert a.share == pytest.approx(b.share, abs=1e-4)
    assert [p.loss for p in one.curve] == pytest.approx([p.loss for p in two.curve], rel=1e-3)


def test_same_input_same_answer():
    problem = additive(n=300, seed=103)
    assert select(problem.X, problem.y).inputs == select(problem.X, problem.y).inputs


def test_data_are_not_changed():
    problem = lagged(n=200, length=4, seed=100)
    x, y = problem.X.copy(), problem.y.copy()
    select(x, y)
    np.testing.assert_array_equal(x, problem.X)
    np.testing.assert_array_equal(y, problem.y)


def test_of_many_rows_those_evenly_spaced_are_used():
    problem = additive(n=1000, seed=100)
    assert select(problem.X, problem.y, most_rows=300).rows == 300
    rows = np.unique(np.linspace(0, 999, 300).astype(int))
    few = select(problem.X[rows], problem.y[rows])
    assert [p.loss for p in few.curve] == [p.loss for p in select(problem.X, problem.y, most_rows=300).curve]


def test_curve_falls_to_the_noise_and_marks_one_choice():
    problem = additive(n=1500, seed=104)
    curve = select(problem.X, problem.y).curve
    assert [point.inputs for point in curve] == list(range(len(curve)))
    assert curve[0].loss == pytest.approx(1, abs=0.01)
    assert curve[-1].loss == pytest.approx(0.05 / problem.y.var(), rel=0.15)
    assert sum(point.chosen for point in curve) == 1


def test_a_shuffled_target_needs_nothing():
    """20 runs: at most 1 of 20 inputs survives in 95 % of them (all 20 in `make bench`, at full size)."""
    x = RNG(100).uniform(-1, 1, (200, 20))
    y = x[:, 0] + x[:, 1] * x[:, 2]
    counts = [len(select(x, RNG(seed).permutation(y), seed=seed).kept) for seed in range(100, 112)]
    assert sum(count > 1 for count in counts) <= 1


def wandering(seed):
    """Four slow autoregressions that know nothing of each other."""
    rng = RNG(seed)
    u = np.zeros((420, 4))
    for t in range(1, 420):
        u[t] = 0.97 * u[t - 1] + rng.normal(size=4)
    return u


def test_two_slow_series_correlate_and_rotating_them_shows_that_it_says_nothing():
    in_time, shuffled, windows = [], [], []
    for seed in range(100, 108):
        u = wandering(seed)
        in_time.append(len(select(u[:, :3], u[:, 3], in_time=True).kept))
        shuffled.append(len(select(u[:, :3], u[:, 3]).kept))
        x = np.lib.stride_tricks.sliding_window_view(u, 2, axis=0).transpose(0, 2, 1)
        windows.append(len(select(x[:, :, :3], x[:, -1, 3]).kept))
    assert sum(count == 0 for count in in_time) >= 6
    assert sum(count == 0 for count in windows) >= 6
    assert sum(count == 0 for count in shuffled) <= 2


GOOD = RNG(0).normal(size=(40, 3))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"x": GOOD[:, 0]}, ShapeError, "allowed: (n, inputs) or (n, time, inputs)"),
        ({"x": GOOD[None, None]}, ShapeError, "allowed"),
        ({"y": GOOD}, ShapeError, "and y (40, 3)"),
        ({"y": GOOD[:30, 0]}, ShapeError, "(30,)"),
        ({"x": GOOD[:, :0]}, ShapeError, "at least one input"),
        ({"x": np.zeros((40, 0, 2))}, ShapeError, "(40, 0, 2)"),
        ({"x": np.where(GOOD > 1, np.nan, GOOD)}, DataError, "x has NaN"),
        ({"y": np.where(GOOD[:, 0] > 1, np.inf, 0)}, DataError, "y has NaN or infinite"),
        ({"x": GOOD[:9], "y": GOOD[:9, 0]}, DataError, "9 rows; allowed: 10 or more"),
        ({"y": np.full(40, 2.5)}, DataError, "y is 2.5 in every row"),
        ({"alpha": 0.0}, InputError, "alpha=0.0"),
        ({"alpha": 1.5}, InputError, "between 0 and 1"),
        ({"names": ["a", "b"]}, InputError, "2 names"),
        ({"names": ["a", "b", "a"]}, InputError, "2 different"),
    ],
)
def test_bad_input_is_refused(change, error, says):
    with pytest.raises(error, match=re.escape(says)):
        select(**({"x": GOOD, "y": GOOD[:, 0]} | change))


@pytest.mark.parametrize("rows", [10, 12, 30])
def test_few_rows_are_few_answers_but_no_crash(rows):
    rng = RNG(rows)
    found = select(rng.normal(size=(rows, 4)), rng.normal(size=rows))
    assert len(found.kept) <= 1
