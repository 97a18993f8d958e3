"""Corrections and error rates: how often noise is kept, how often need is seen."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kaninterp.analysis import analyze, holm, measure_need
from tests.evidence import ablation, curve, hybrid

NAMES = tuple(f"x{i}" for i in range(20))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_monotone_never_below_the_plain_value_and_bonferroni_for_the_smallest(p):
    corrected = holm(p)
    assert (corrected >= np.asarray(p)).all()
    assert (corrected <= 1).all()
    order = np.argsort(p)
    assert (np.diff(corrected[order]) >= 0).all()
    np.testing.assert_allclose(corrected.min(), min(1, len(p) * min(p)))


def test_holm_of_nothing():
    assert holm([]).shape == (0,)


def test_noise_is_kept_no_more_often_than_promised():
    """20 columns, two of them needed, the rises of the others pure noise: 150 models."""
    trace = hybrid(columns=20, rows=100)
    rng = np.random.default_rng(0)
    kept = doubted = 0
    for _ in range(150):
        change = rng.normal(0, 0.02, 20)
        change[:2] = 1.0, 0.5
        verdicts = analyze(trace, ablation=ablation(change, error=0.02), curve=curve(change, 2)).verdicts
        assert [v.survives for v in verdicts[:2]] == ["keep", "keep"]
        kept += any(v.survives == "keep" for v in verdicts[2:])
        doubted += any(v.survives == "tentative" for v in verdicts[2:])
    assert kept <= 5  # 1 % promised
    assert doubted <= 40  # 5 % corrected, and 1 % of each large one: expected 150 * (1 - .99^18) = 25


def test_tiny_p_values_come_from_the_interval_when_draws_run_out():
    """With 28 columns and p-values that stop at 1e-3, Holm alone would leave nothing below .01."""
    change = np.full(28, 0.5)
    evidence = ablation(change, error=0.05)
    coarse = type(evidence)(
        **{f: getattr(evidence, f) for f in evidence.__slots__ if f != "p_value"}, p_value=np.full(28, 1e-3)
    )
    need = measure_need(coarse, None, np.zeros(28, bool))
    assert (need.p_holm < 1e-6).all()
    weak = ablation(np.full(28, 0.12), error=0.05)  # p = .008 each: draws did not run out
    assert (measure_need(weak, None, np.zeros(28, bool)).p_holm > 0.01).all()


def test_columns_that_cannot_matter_do_not_count_in_the_correction():
    reads = np.array([True] * 2 + [False] * 18)
    need = measure_need(ablation(np.full(20, 0.12), error=0.05, reads=reads), None, np.zeros(20, bool))
    assert need.tested.sum() == 2
    assert need.p_holm[0] < 0.02


def test_the_span_is_what_all_columns_bring_together():
    change = [0.5, 0.3, 0.0]
    assert measure_need(ablation(change), curve(change, 2), np.zeros(3, bool)).span == 0.8
    np.testing.assert_allclose(measure_need(ablation(change), None, np.zeros(3, bool)).share, [0.625, 0.375, 0])
    assert not measure_need(ablation([0.0, -0.1, 0.0]), None, np.zeros(3, bool)).share.any()
