"""The exceedance test holds its level whatever the law, and its formula is that of counting."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaninterp.analysis.exceedance import exceedance


@given(st.integers(1, 200), st.integers(1, 200), st.data())
def test_it_is_the_ratio_of_two_counts(m, k, data):
    j = data.draw(st.integers(0, k))
    assert exceedance(m, k, j) == pytest.approx(comb(m + k - j, m) / comb(m + k, m), rel=1e-6)


@given(st.floats(1, 1e5), st.floats(1, 1e5), st.floats(0, 1), st.floats(0, 1))
def test_more_beyond_is_never_likelier(m, k, one, other):
    low, high = sorted((one, other))
    assert 0 <= exceedance(m, k, k * high) <= exceedance(m, k, k * low) * (1 + 1e-6) <= 1 + 1e-6


@pytest.mark.parametrize("law", ["normal", "exponential", "standard_cauchy"])
def test_the_level_is_kept(law):
    rng = np.random.default_rng(0)
    before, now = (getattr(rng, law)(size=(4000, n)) for n in (100, 50))
    beyond = (now > before.max(1, keepdims=True)).sum(1)
    chances = np.array([exceedance(100, 50, j) for j in range(51)])[beyond]
    for level in (0.2, 0.05, 0.01):
        assert (chances <= level).mean() <= level + 3 * (level / 4000) ** 0.5
