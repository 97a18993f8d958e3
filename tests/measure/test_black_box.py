"""The independent model: what it is shown, what it learns, and what it refuses."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import kaninterp as ki
from kaninterp.core import DataError, ModelError, NamesError
from kaninterp.core.black_box import BlackBox
from kaninterp.data import as_batches
from kaninterp.measure.black_box import black_box
from kaninterp.measure.boosting import Task, _most_rounds
from kaninterp.measure.rows import held_rows
from kaninterp.measure.table_cells import EXACT, MOST, Cells, _spans
from kaninterp.measure.two_parts import two_parts
from tests.planted import lagged
from tests.tiny import hybrid

GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(700, 4, generator=GENERATOR) * 2 - 1
SIGNAL = 2 * X[:, 0] + X[:, 1] ** 2


def head(inputs=4, outputs=1):
    return ki.KANHead(inputs, outputs, domain=(-1, 1), generator=torch.Generator().manual_seed(0))


@given(st.integers(1, 300), st.sampled_from([1, 2, 4, 8, 16]))
def test_every_lag_is_in_exactly_one_cell(length, exact):
    seen = [lag for first, last in _spans(length, exact) for lag in range(first, last)]
    assert seen == list(range(length))


def test_cells_are_recent_values_and_means_of_earlier_ones():
    x = torch.arange(40.0).reshape(1, 20, 2).repeat(3, 1, 1)
    rows = held_rows(as_batches(x), 3)
    cells = Cells.of(rows.batch, rows.columns)
    table = cells.table(rows.batch, rows.columns)
    assert cells.exact == EXACT
    assert cells.owner.tolist() == [0] * 17 + [1] * 17
    assert table[0, :3].tolist() == [38, 36, 34]
    assert table[0, 16] == np.mean([0, 2, 4, 6])  # lags 16 to 19


def test_many_columns_get_fewer_lags_of_their_own():
    rows = held_rows(as_batches(torch.zeros(9, 64, 60)), 9)
    cells = Cells.of(rows.batch, rows.columns)
    assert cells.exact < EXACT
    assert len(cells.owner) <= MOST
    assert set(cells.owner) == set(range(60))


def test_the_two_parts_share_no_row_of_overlapping_windows():
    series = torch.arange(500.0)
    windows = series.unfold(0, 10, 1).unsqueeze(-1)
    parts = two_parts(nn.Identity(), (windows, torch.zeros(len(windows))))
    assert parts.learn.batch.inputs[0].max() < parts.judge.batch.inputs[0].min()
    assert parts.learn.n + parts.judge.n == len(windows) - 10


def test_reference_data_are_learnt_from_only_if_they_tell_the_target():
    model, data = head(), (X, SIGNAL)
    assert two_parts(model, data, reference=(X[:100], SIGNAL[:100])).learn.n == 100
    assert two_parts(model, data, reference=X[:100]).learn.n == 490
    with pytest.raises(NamesError, match="reference"):
        two_parts(model, data, reference=(torch.zeros(50, 3), torch.zeros(50)))
    with pytest.raises(DataError, match="needs a target"):
        two_parts(model, X)
    with pytest.raises(DataError, match="too few"):
        two_parts(model, (X[:12], SIGNAL[:12]))


KINDS = {
    "numbers": (head(), SIGNAL, None),
    "absolute": (head(), SIGNAL, "mae"),
    "two numbers": (head(outputs=2), torch.stack([SIGNAL, -SIGNAL], 1), None),
    "flags": (head(), SIGNAL > 0, None),
    "flags as numbers": (head(), (SIGNAL > 0).float(), nn.BCEWithLogitsLoss()),
    "classes": (head(outputs=3), (SIGNAL > 0).long() + (SIGNAL > 1).long(), None),
    "own": (head(), SIGNAL[:, None], lambda output, target: (output - target).abs() ** 1.5),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_every_kind_of_target_and_finds_its_columns(kind):
    model, y, loss = KINDS[kind]
    found = black_box(model, (X, y), loss=loss, progress=False)
    assert (found.low > 0).tolist()[:2] == [True, True]
    assert found.change[2:].max() < 0.1 * found.change[:2].min()
    assert found.skill.low > 0.5 > found.model_skill.value  # the head is not trained


def test_a_class_that_comes_later_and_one_that_never_comes():
    y = (SIGNAL > 0).long()
    y[650] = 2
    found = black_box(head(outputs=4), (X, y), progress=False)
    assert np.isfinite(found.base.value)
    assert found.skill.value > 0.5


def test_windows_are_shuffled_with_all_their_lags():
    p = lagged(n=1200, seed=100)
    found = black_box(hybrid(width=5), (p.X, p.y), feature_names=p.names, progress=False)
    assert set(np.flatnonzero(found.low > 0)) == set(p.keep)
    assert found.cells == "every lag"


def test_what_it_cannot_learn_it_refuses(monkeypatch):
    with pytest.raises(DataError, match="constant"):
        black_box(head(), (X, torch.ones(700)), progress=False)
    with pytest.raises(ModelError, match="up to 8"):
        black_box(head(outputs=9), (X, SIGNAL[:, None].expand(-1, 9)), progress=False)
    with pytest.raises(ModelError, match="between 0 and 1"):
        black_box(head(), (X, torch.full((700,), 0.5)), loss="bce", progress=False)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(ModelError, match=r"kaninterp\[sklearn\]"):
        black_box(head(), (X, SIGNAL), progress=False)


def test_it_can_be_saved(tmp_path):
    found = black_box(head(), (X, SIGNAL), progress=False)
    found.save(tmp_path / "box.npz")
    again = BlackBox.load(tmp_path / "box.npz")
    assert again.skill == found.skill
    np.testing.assert_array_equal(again.change, found.change)


@pytest.mark.parametrize(("kind", "values", "cells", "rounds"), [
    ("numbers", 50, 512, 200), ("classes", 3, 30, 200), ("classes", 10, 784, 51), ("classes", 50, 784, 30),
])  # fmt: skip
def test_rounds_are_fewer_where_each_is_dear(kind, values, cells, rounds):
    task = Task(kind=kind, shape=(values,), absolute=False)
    assert _most_rounds(task, np.zeros((2, cells)), np.arange(values)) == rounds
