"""Periods: where in time a planted exit lies, told exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kaninterp as ki
from kaninterp.core import InputTypeError, NamesError, Periods, ShapeError
from kaninterp.core.frozen import same
from kaninterp.measure import periods, range_card
from tests.tiny import hybrid

NAMES = ["wind", "rain"]


@pytest.fixture(scope="module")
def head():
    return ki.KANHead(2, 1, (3,), domain=(-1, 1), generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="module")
def card(head):
    x = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]])
    return range_card(head, x, feature_names=NAMES, progress=False)


def late(n, start):
    x = torch.zeros(n, 2)
    x[start:, 1] = 5.0
    return x


def test_a_column_that_leaves_in_the_last_third(head, card):
    found = periods(head, late(6000, 4000), card, feature_names=NAMES)
    assert found.counts.tolist() == [100] * 60
    np.testing.assert_array_equal(found.columns[:, 0], np.zeros(60))
    np.testing.assert_array_equal(found.columns[:, 1], np.r_[np.zeros(40), np.ones(20)])
    np.testing.assert_array_equal(found.layers[0], found.columns)  # nothing stands before the head
    column, node = (item for item in found.departures() if item.layer in (None, 0))
    assert (column.layer, column.name, column.period, column.periods, column.share) == (None, "rain", 40, 20, 1.0)
    assert (column.since, column.until) == ("4000", "4099")
    assert (node.layer, node.period, node.periods) == (0, 40, 20)
    assert "left its range in 4000 to 4099 (period 40), in 20 periods" in str(column)


def test_shares_of_every_layer_are_those_of_a_trace_of_the_period(head, card):
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    found = periods(head, x, card, feature_names=NAMES, batch_size=37)
    for number, (start, count) in enumerate(zip(found.starts, found.counts, strict=True)):
        part = ki.trace(head, x[start : start + count], progress=False)
        for shares, layer in zip(found.layers, part.layers, strict=True):
            np.testing.assert_allclose(shares[number], 1 - layer.ranges.zones[:, 0], atol=1e-12)
    for before, layer in zip(found.before, card.layers, strict=True):
        np.testing.assert_allclose(before, 1 - layer.ranges.zones[:, 0])


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(1, 3000), chunk=st.integers(1, 700), seed=st.integers(0, 9))
def test_streams_of_unknown_length_lose_no_row(rows, chunk, seed):
    head = ki.KANHead(1, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0)).eval()
    card = range_card(head, torch.tensor([[-1.0], [1.0]]), progress=False)
    x = torch.randn(rows, 1, generator=torch.Generator().manual_seed(seed))
    outside = (x.abs() > 1).double().numpy()[:, 0]
    for data in (x, iter(x.split(chunk))):
        found = periods(head, data, card)
        assert found.rows == found.counts.sum() == rows
        assert len(found.counts) <= 60
        assert len(set(found.counts[:-1].tolist())) <= 1
        assert found.counts.min() >= min(10, rows)
        for start, count, share in zip(found.starts, found.counts, found.columns[:, 0], strict=True):
            assert share == pytest.approx(outside[start : start + count].mean(), abs=1e-12)


@pytest.mark.parametrize("rows", [1, 19, 29, 30, 61])
def test_short_data_have_fewer_periods(head, card, rows):
    found = periods(head, late(rows, 0), card, feature_names=NAMES)
    assert found.counts.tolist() == {1: [1], 19: [19], 29: [29], 30: [20, 10], 61: [20, 20, 21]}[rows]
    assert found.departures()[0].periods == len(found.counts)


def test_labels_are_those_of_the_index(head, card, tmp_path):
    times = pd.date_range("2020-01-01", periods=300, freq="D")
    frame = pd.DataFrame(late(300, 200).numpy(), columns=NAMES, index=times)
    frame["y"] = 0.0
    for data in (frame, (frame[NAMES], frame["y"])):
        found = periods(head, data, card, target="y" if data is frame else None)
        first = found.departures()[0]
        assert (first.since, first.until) == ("2020-07-19 00:00:00", "2020-08-07 00:00:00")
        assert found.labelled
    found.save(tmp_path / "found.json")
    assert same(Periods.load(tmp_path / "found.json"), found)
    shuffled = periods(head, frame[NAMES].sample(frac=1, random_state=0), card)
    assert not shuffled.labelled
    assert shuffled.first[1] == "20"
    assert not periods(head, frame[NAMES].reset_index(drop=True), card).labelled


def test_labels_of_a_series_are_its_values_in_their_order(head, card):
    labels = pd.Series([f"day {i}" for i in range(40)], index=[5 * i + 3 for i in reversed(range(40))])
    found = periods(head, late(40, 0), card, feature_names=NAMES, labels=labels)
    assert (found.first, found.last) == (("day 0", "day 20"), ("day 19", "day 39"))
    numbers = periods(head, late(40, 0), card, feature_names=NAMES, labels=torch.arange(40))
    assert numbers.first[1] == "20"


@pytest.mark.parametrize("labels", [iter(range(40)), "x" * 40, set(range(40)), dict.fromkeys(range(40)), 7])
def test_labels_without_a_length_or_an_order_are_refused(head, card, labels):
    with pytest.raises(InputTypeError, match=r"labels: expected a list, array, Series or Index .* got a "):
        periods(head, late(40, 0), card, feature_names=NAMES, labels=labels)


def test_a_table_is_no_label_of_a_row(head, card):
    with pytest.raises(ShapeError, match="one per row, got DataFrame 40 x 2"):
        periods(head, late(40, 0), card, feature_names=NAMES, labels=pd.DataFrame(np.zeros((40, 2))))


def test_labels_are_text_whatever_they_hold(head, card):
    nasty = ["<script>alert(1)</script>"] * 20 + ["\u202e" * 10_000] * 20
    found = periods(head, late(40, 0), card, feature_names=NAMES, labels=nasty)
    assert found.first[0] == nasty[0]
    assert len(found.first[1]) == 200
    with pytest.raises(ShapeError, match="40 of them for 41 rows"):
        periods(head, late(41, 0), card, feature_names=NAMES, labels=nasty)
    with pytest.raises(ShapeError, match="40 of them for 41 rows"):
        periods(head, iter([late(41, 0)]), card, feature_names=NAMES, labels=nasty)


def test_of_a_window_the_last_time_step_counts():
    table = pd.DataFrame(
        np.random.default_rng(0).normal(size=(420, 4)).clip(-1, 1),
        columns=list("abcd"), index=pd.date_range("2020", periods=420, freq="h"),
    )  # fmt: skip
    model = hybrid().eval()
    card = range_card(model, ki.windows(table, "a", length=5, horizon=1), progress=False)
    table.iloc[200:220, 2] = 30.0
    later = ki.windows(table, "a", length=5, horizon=1)
    found = periods(model, later, card)
    step = np.arange(4, 419)  # last step of each window
    hit = (step >= 200) & (step < 220)
    for start, count, share in zip(found.starts, found.counts, found.columns[:, 2], strict=True):
        assert share == hit[start : start + count].mean()
    assert found.first[0] == "2020-01-01 04:00:00"
    assert found.departures()[0].name == "c"


@pytest.mark.parametrize("per_step", [False, True])
def test_a_head_that_reads_every_step(per_step):
    class Steps(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = ki.KANHead(2, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))

        def forward(self, x):
            return torch.stack([self.head(step) for step in x.unbind(1)], 1).mean(1) if per_step else self.head(x)

    model = Steps().eval()
    x = torch.rand(60, 4, 2, generator=torch.Generator().manual_seed(0))
    card = range_card(model, x, progress=False)
    x[20:40, 1, 0] = 7.0
    found = periods(model, x, card)
    np.testing.assert_array_equal(found.layers[0], [[0, 0], [0.25, 0], [0, 0]])
    np.testing.assert_array_equal(found.columns, np.zeros((3, 2)))  # lag 2 is not the last step


def test_the_model_stays_and_strangers_are_refused(head, card):
    state, rng = {key: value.clone() for key, value in head.state_dict().items()}, torch.get_rng_state()
    periods(head.train(), late(50, 10), card, feature_names=NAMES)
    assert head.training
    head.eval()
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(value, state[key]) for key, value in head.state_dict().items())
    with pytest.raises(NamesError, match="not those of the card"):
        periods(head, late(50, 10), card)
    other = ki.KANHead(2, 1, domain=(-1, 1))
    with pytest.raises(ShapeError, match="another model"):
        periods(other, late(50, 10), card, feature_names=NAMES)
