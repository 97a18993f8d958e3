"""Standard errors without draws: the limit of the block bootstrap, however the rows come."""

from __future__ import annotations

import numpy as np
import pytest

from kaninterp.measure import BlockBootstrap
from kaninterp.measure.probe_error import RunningError


def dependent(rows: int = 200, columns: int = 3) -> np.ndarray:
    steps = np.random.default_rng(0).normal(size=(rows + 20, columns))
    return np.stack([steps[i : i + rows] for i in range(20)]).mean(0) + 1e4  # far from 0: nothing may cancel


def running(values: np.ndarray, block: int, *parts: int) -> RunningError:
    found = RunningError(len(values), block)
    for part in np.split(values, parts):
        found.add(part)
    return found


@pytest.mark.parametrize("block", [1, 6, 25, 1000])
def test_it_is_what_many_draws_tend_to(block):
    values = dependent()
    found = running(values, block)
    boot = BlockBootstrap(len(values), block, np.random.default_rng(1))
    drawn = [boot.standard_error(column) for column in values.T]
    np.testing.assert_allclose(found.error, drawn, rtol=0.03)  # 9999 draws: a relative error of .7 %
    np.testing.assert_allclose(found.mean, values.mean(0), rtol=1e-12)


def test_single_rows_give_the_textbook_error():
    values = dependent()
    np.testing.assert_allclose(running(values, 1).error, values.std(0) / np.sqrt(len(values)))


@pytest.mark.parametrize("parts", [(1, 2, 3), (100,), (3, 9, 50, 51), tuple(range(1, 200))])
def test_parts_do_not_matter(parts):
    values = dependent()
    for block in (1, 4, 7, 60):
        np.testing.assert_allclose(running(values, block, *parts).error, running(values, block).error, rtol=1e-9)


def test_constants_and_single_rows_have_no_error():
    assert running(np.full((7, 2), 3.7), 3).error.tolist() == [0, 0]
    assert running(np.ones((1, 1)), 5).error.tolist() == [0]
