"""Independent rows: of series whose autocorrelation is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kaninterp as ki
from kaninterp.core import RangeCard
from kaninterp.measure import range_card
from kaninterp.measure.persistence import Persistence


def series(phi, n=20_000, columns=4, seed=0):
    noise = np.random.default_rng(seed).normal(size=(n, columns)) * (1 - phi**2) ** 0.5
    x = np.zeros_like(noise)
    for t in range(1, n):
        x[t] = phi * x[t - 1] + noise[t]
    return torch.as_tensor(x)


def effective(x, *cuts):
    found = Persistence(x.shape[1])
    for part in torch.tensor_split(x, list(cuts)):
        found.add(part)
    return found.effective


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.95])
def test_an_autoregression_is_worth_what_theory_says(phi):
    x = series(phi)
    np.testing.assert_allclose(effective(x), len(x) * (1 - phi) / (1 + phi), rtol=0.25)


@pytest.mark.parametrize("noise", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("phi", [0.9, 0.99, 0.999])
def test_noise_on_a_slow_series_makes_no_independent_rows(phi, noise):
    x = series(phi, n=40_000, columns=8)
    part = 1 / (1 + noise**2)
    theory = len(x) / (1 + 2 * part * phi / (1 - phi))
    found = effective(x + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype))
    assert 0.4 * theory <= np.median(found) <= 2 * theory
    assert found.max() <= 3 * theory


@pytest.mark.parametrize("digits", [1, 2])
def test_rounding_a_slow_series_makes_no_independent_rows(digits):
    x = series(0.999, n=40_000, columns=8)
    assert np.median(effective(torch.round(x, decimals=digits))) <= 40  # 20 by theory


def test_a_cycle_is_worth_no_less_for_its_blocks():
    """Means over a whole cycle hardly spread."""
    hours = torch.arange(24.0 * 400) % 24
    r = 1 - 2 * 0.5 * (23 + 23**2) / 24 / (2 * 575 / 12)  # steps of 1, and one of 23 a day
    np.testing.assert_allclose(effective(hours[:, None]), len(hours) * (1 - r) / (1 + r), rtol=0.02)


def test_shuffled_rows_count_in_full():
    x = series(0.95)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(effective(x[order]), len(x), rtol=0.05)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 300), max_size=5).map(sorted), st.floats(-1e3, 1e3), st.floats(0.1, 100))
def test_batches_shift_and_scale_make_no_difference(cuts, shift, scale):
    x = series(0.8, n=300)
    np.testing.assert_allclose(effective(shift + scale * x, *cuts), effective(x), rtol=1e-6)


def test_constant_columns_and_few_rows():
    assert effective(torch.ones(50, 2)).tolist() == [50.0, 50.0]
    assert effective(torch.ones(1, 2)).tolist() == [1.0, 1.0]
    assert effective(torch.ones(0, 2)).tolist() == [0.0, 0.0]
    assert Persistence(1).repeats.tolist() == [1.0]
    assert effective(torch.arange(1000.0).reshape(-1, 1)).tolist() == [1.0]  # a trend is one row


def test_neighbours_that_are_equal():
    found = Persistence(2)
    for part in torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [1.0, 3.0]]).split(2):
        found.add(part)
    assert found.repeats.tolist() == [2 / 3, 1 / 3]


def test_a_card_holds_them():
    x = series(0.9, n=2000).float()
    head = ki.KANHead(4, 1, domain=(-5, 5))
    card = range_card(head, x, progress=False)
    np.testing.assert_allclose(card.raw.effective, effective(x), rtol=1e-5)
    assert RangeCard.of(ki.trace(head, x, progress=False)).raw.effective.tolist() == [2000.0] * 4
