"""Windows hold the rows they say, never straddle a gap and never leak across a split."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaninterp.core.errors import DataError, InputError, InputTypeError, NamesError, ShapeError
from kaninterp.data import Standardizer, time_split, windows

TABLE = np.arange(60.0).reshape(20, 3)


def hours(n=20, gone=(), tz=None):
    index = pd.date_range("2020-03-28", periods=n, freq="h", tz=tz)
    table = pd.DataFrame({"a": np.arange(n), "b": np.arange(n) * 0.5}, index=index)
    return table.drop(index[list(gone)])


@given(st.integers(1, 6), st.integers(0, 5), st.integers(1, 4))
def test_each_window_holds_its_rows(length, horizon, stride):
    w = windows(TABLE, 1, length=length, horizon=horizon, stride=stride)
    assert len(w) == len(range(0, 20 - length - horizon + 1, stride))
    for i in range(len(w)):
        last = i * stride + length - 1
        assert np.array_equal(w.X[i], TABLE[last - length + 1 : last + 1])
        assert w.y[i] == TABLE[last + horizon, 1]
        assert w.times[i] == last


@given(st.integers(1, 6), st.integers(0, 5), st.integers(1, 4), st.integers(60, 90))
def test_embargo_is_the_smallest_gap_that_shares_no_row(length, horizon, stride, n):
    w = windows(np.arange(float(n))[:, None], 0, length=length, horizon=horizon, stride=stride)
    last_used = (w.X.max(axis=(1, 2)) + horizon)[0]
    first_free = np.flatnonzero(w.X.min(axis=(1, 2)) > last_used)[0]
    assert w.embargo == first_free - 1


def test_gaps_in_time_are_not_straddled():
    w = windows(hours(gone=[10]), "a", length=3, horizon=2)
    assert w.n_dropped == 19 - 5 + 1 - len(w)
    spans = np.concatenate([w.X[:, :, 0], w.y[:, None]], axis=1)
    assert (np.diff(spans, axis=1) == [1, 1, 2]).all()
    assert len(w) == (10 - 5 + 1) + (9 - 5 + 1)
    assert w.times.dtype.kind == "M"


def test_a_time_column_is_not_an_input():
    table = hours(gone=[4]).reset_index(names="when")
    w = windows(table, "b", length=2, horizon=1, time="when")
    assert w.names == ("a", "b")
    assert np.array_equal(w.y, windows(hours(gone=[4]), "b", length=2, horizon=1).y)


def test_summer_time_is_not_a_gap():
    w = windows(hours(tz="Europe/Berlin", n=48), "a", length=24, horizon=6)
    assert w.n_dropped == 0


def test_without_a_clock_rows_are_even():
    assert windows(hours(gone=[10]).reset_index(drop=True), "a", length=3, horizon=2).n_dropped == 0


def test_decimal_clock():
    table = pd.DataFrame({"t": np.arange(20) * 0.1, "a": np.arange(20.0)})
    assert windows(table, "a", length=3, horizon=1, time="t").n_dropped == 0


@pytest.mark.parametrize("what", ["input", "target"])
def test_missing_values(what):
    table, target = TABLE.copy(), TABLE[:, 0].copy()
    (table if what == "input" else target[:, None])[7, 0] = np.nan
    with pytest.raises(DataError, match=r"x0 \(1\)" if what == "input" else r"target target \(1\)"):
        windows(table, target, length=3, horizon=1)
    w = windows(table, target, length=3, horizon=1, missing="drop")
    assert w.n_dropped == (3 if what == "input" else 1)
    assert np.isfinite(w.X).all()
    assert np.isfinite(w.y).all()


def test_read_only_and_apart_from_the_table():
    table = TABLE.copy()
    w = windows(table, 0, length=3, horizon=1)
    table[:] = -1
    assert np.array_equal(w.X[0], TABLE[:3])
    with pytest.raises(ValueError, match="read-only"):
        w.X[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        w.y[0] = 0


def test_parts():
    w = windows(TABLE, 0, length=3, horizon=1)
    train, test = time_split(len(w), (0.5, 0.5), gap=w.embargo)
    assert w.part(train).X.max() < w.part(test).X.min()
    assert w.part(train).y.max() < w.part(test).X[:, :, 0].min()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"length": 0}, InputError, "length"),
        ({"horizon": -1}, InputError, "horizon"),
        ({"stride": 0}, InputError, "stride"),
        ({"length": 2.5}, InputError, "whole number"),
        ({"missing": "fill"}, InputError, "'refuse' or 'drop'"),
        ({"length": 30}, DataError, "needs 31 rows"),
        ({"target": "nope"}, NamesError, "no column 'nope'"),
        ({"target": 3}, NamesError, "no column 3"),
        ({"target": np.zeros(5)}, ShapeError, "20 values"),
        ({"names": ["a", "b"]}, NamesError, "3 different names"),
        ({"names": ["a", "b", "b"]}, NamesError, "3 different names"),
        ({"time": "t"}, InputError, "only a DataFrame"),
        ({"table": TABLE[0]}, ShapeError, "N rows"),
        ({"table": [[1.0]]}, InputTypeError, "DataFrame or an array"),
        ({"table": TABLE.astype(str)}, InputTypeError, "numbers"),
        ({"table": hours().assign(c="x"), "target": "a"}, InputTypeError, "'c'"),
        ({"table": hours(), "target": "a", "time": "when"}, NamesError, "'when'"),
        ({"table": hours()[::-1], "target": "a"}, DataError, "not later"),
        ({"table": pd.concat([hours(), hours()]), "target": "a"}, DataError, "not later"),
        ({"table": hours(), "target": "a", "names": ["b", "a"]}, NamesError, "rename"),
        ({"table": hours(gone=range(1, 20, 2)), "target": "a", "length": 3}, None, None),
        ({"table": np.full((20, 1), np.inf), "target": 0}, DataError, "infinite values in x0"),
    ],
)
def test_refused(options, error, message):
    given_options = {"table": TABLE, "target": 0, "length": 3, "horizon": 1, **options}
    table, target = given_options.pop("table"), given_options.pop("target")
    if error is None:  # every second hour is the usual step then: nothing to refuse
        assert windows(table, target, **given_options).n_dropped == 0
        return
    with pytest.raises(error, match=message):
        windows(table, target, **given_options)


def test_all_windows_gone():
    with pytest.raises(DataError, match="all 16 windows"):
        windows(np.full((20, 1), np.nan), 0, length=4, horizon=1, missing="drop")


@given(st.integers(10, 500), st.integers(0, 3))
def test_split_covers_in_order(n, gap):
    parts = time_split(n, (0.5, 0.5), gap=gap)
    rows = [np.arange(n)[part] for part in parts]
    assert rows[0][0] == 0
    assert rows[-1][-1] == n - 1
    assert rows[1][0] - rows[0][-1] == gap + 1


@pytest.mark.parametrize(
    ("parts", "gap", "error"),
    [((0.5, 0.6), 0, InputError), ((1.5, -0.5), 0, InputError), ((), 0, InputError),
     ((0.5, 0.5), -1, InputError), ((0.5, 0.5), 9, DataError)],
)  # fmt: skip
def test_split_refused(parts, gap, error):
    with pytest.raises(error):
        time_split(10, parts, gap=gap)


def test_standardizer_learns_from_the_rows_given_only():
    rng = np.random.default_rng(0)
    train, test = rng.normal(3, 5, size=(500, 2)), rng.normal(size=(10, 2))
    s = Standardizer.fit(train, ["u", "v"])
    z = s.transform(train)
    assert np.allclose(z.mean(axis=0), 0)
    assert np.allclose(z.std(axis=0), 1)
    assert np.allclose(s.inverse(s.transform(test)), test)
    assert np.allclose(s.inverse(s.transform(test)[:, 1], "v"), test[:, 1])
    stacked = Standardizer.fit(train.reshape(50, 10, 2))
    assert np.allclose(stacked.mean, s.mean)
    assert stacked.transform(train.reshape(50, 10, 2)).shape == (50, 10, 2)
    table = pd.DataFrame(train, columns=["u", "v"], index=range(5, 505))
    out = Standardizer.fit(table).transform(table)
    assert isinstance(out, pd.DataFrame)
    assert np.allclose(out, z)
    assert out.index.equals(table.index)


def test_standardizer_of_a_single_column():
    s = Standardizer.fit(np.array([1.0, 3.0]), ["y"])
    assert s.transform(np.array([1.0, 3.0])).tolist() == [-1, 1]
    assert s.inverse(np.array([[-1.0]]), "y").tolist() == [[1.0]]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e300, -7.0])
def test_constant_column_becomes_exactly_zero(value):
    rows = np.full((7, 1), value)
    z = Standardizer.fit(rows).transform(rows)
    assert (z == 0).all()
    assert Standardizer.fit(rows).scale[0] == 1


def test_standardizer_refuses():
    s = Standardizer.fit(pd.DataFrame({"u": [1.0, 2.0], "v": [0.0, 1.0]}))
    with pytest.raises(NamesError):
        s.transform(pd.DataFrame({"v": [1.0], "u": [0.0]}))
    with pytest.raises(NamesError):
        s.inverse(np.zeros(3), "w")
    with pytest.raises(NamesError):
        Standardizer.fit(np.zeros((3, 2)), ["a"])
    with pytest.raises(ShapeError):
        s.transform(np.zeros((3, 5)))
    with pytest.raises(DataError, match="0 rows"):
        Standardizer.fit(np.zeros((0, 2)))
    with pytest.raises(DataError, match=r"x1 \(2\)"):
        Standardizer.fit(np.array([[1.0, np.nan], [2.0, np.inf]]))
