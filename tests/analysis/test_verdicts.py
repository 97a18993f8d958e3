"""Every cause of a verdict, on a case made for it."""

from __future__ import annotations

import numpy as np
import pytest

from kaninterp.analysis import analyze
from kaninterp.core import ShapeError
from tests.evidence import ablation, curve, hybrid, ladder
from tests.traces import Net, random_inputs, zero


def by_name(analysis):
    return {v.name: v for v in analysis.verdicts}


def raw_with_twins(seed=0):
    """a, b = a + a little noise, c, d = constant, e."""
    rng = np.random.default_rng(seed)
    a, c, e = rng.normal(size=(3, 400))
    return np.column_stack([a, a + 0.05 * rng.normal(size=400), c, np.full(400, 2.5), e]), tuple("abcde")


def test_keep_tentative_drop_on_the_size_and_the_certainty():
    change = [1.0, 0.03, 0.00005, 0.011, 0.0]
    error = [0.01, 0.0125, 0.00001, 0.0045, 0.01]
    verdicts = analyze(hybrid(5), ablation=ablation(change, error=error)).verdicts
    assert [(v.survives, v.cause) for v in verdicts] == [
        ("keep", "needed"),
        ("tentative", "weak"),  # p = .008, corrected .025
        ("tentative", "weak"),  # sure, but far below the floor
        ("tentative", "weak"),  # p = .007, corrected .02
        ("drop", "noise"),
    ]
    assert "by 1 (95 % interval +0.98 to +1.02)" in verdicts[0].text
    assert "below the floor of 0.1 %" in verdicts[2].text
    assert "Not distinguishable from noise on these 2,000 rows" in verdicts[4].text


def test_what_the_model_cannot_read():
    evidence = ablation([1.0, 0.0, 0.0], reads=[True, False, False], norms=[1.0, 0.0, np.nan])
    verdicts = analyze(hybrid(3), ablation=evidence).verdicts
    assert [v.cause for v in verdicts] == ["needed", "zero-weight", "masked"]
    assert all(v.survives == "drop" for v in verdicts[1:])


def test_twins_and_constants():
    raw, names = raw_with_twins()
    trace = hybrid(raw=raw, names=names)
    evidence = ablation([0.8, 0.0, 0.4, 0.0, 0.0], names=names)
    verdicts = by_name(analyze(trace, ablation=evidence))
    assert verdicts["b"].cause == "redundant"
    assert verdicts["b"].text.startswith("Redundant given a (r = 0.99")
    assert verdicts["b"].substitutes[0][0] == "a"
    assert verdicts["d"].cause == "constant"
    assert "2.5 in every row" in verdicts["d"].text
    assert verdicts["e"].cause == "noise"
    assert not any("unimportant" in v.text.lower() for v in verdicts.values())


def test_two_idle_twins_are_not_both_dropped_unless_a_curve_covers_both():
    """Each is idle while the other stays; together they may be needed."""
    raw, names = raw_with_twins()
    trace = hybrid(raw=raw, names=names)
    change = [0.001, 0.002, 0.4, 0.0, 0.0]
    verdicts = by_name(analyze(trace, ablation=ablation(change, names=names)))
    assert verdicts["b"].survives == "tentative"  # the larger rise of the two
    assert verdicts["a"].cause == "redundant"
    joint = by_name(analyze(trace, ablation=ablation(change, names=names), curve=curve(change, 1)))
    assert joint["a"].cause == joint["b"].cause == "noise"


def test_a_column_the_curve_needs_is_not_dropped():
    change = [0.5, 0.004, 0.0]
    verdicts = analyze(hybrid(3), ablation=ablation(change), curve=curve(change, 2)).verdicts
    assert [v.survives for v in verdicts] == ["keep", "tentative", "drop"]


def test_read_but_every_unit_it_moves_is_cut():
    x = random_inputs(2)
    net = Net.of([[[np.sin, np.cos]]], alive=[np.array([[True, False]])])
    trace = net.trace(x, raw=x, raw_names=("a", "b"))
    shares = (np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0]]))
    verdicts = analyze(trace, ablation=ablation([1.0, 0.0], names=("a", "b"), shares=shares)).verdicts
    assert [v.cause for v in verdicts] == ["needed", "dead-target"]


def test_without_a_target_size_decides_and_the_text_says_so():
    evidence = ablation([0.5, 0.002, 0.0001], error=1e-6, loss="output change", base=0.0)
    verdicts = analyze(hybrid(3), ablation=evidence).verdicts
    assert [v.survives for v in verdicts] == ["keep", "tentative", "drop"]
    assert all("not that it helps" in v.text for v in verdicts)


def test_without_any_measurement_a_hybrid_stays_open_but_for_constants():
    raw, names = raw_with_twins()
    verdicts = by_name(analyze(hybrid(raw=raw, names=names)))
    assert verdicts["a"].cause == "not-measured"
    assert verdicts["a"].survives == "tentative"
    assert verdicts["d"].cause == "constant"


def test_without_any_measurement_a_plain_kan_goes_by_masks_and_scores():
    x = random_inputs(6)
    x[:, 3] = 1.0
    row = [np.sin, lambda v: 0.02 * v, lambda v: 1e-4 * v, np.sin, zero, np.sin]
    net = Net.of([[row]], alive=[np.array([[True] * 5 + [False]])])
    verdicts = analyze(net.trace(x)).verdicts
    assert [(v.survives, v.cause) for v in verdicts] == [
        ("keep", "needed"),
        ("tentative", "weak"),
        ("drop", "weak"),
        ("drop", "constant"),
        ("drop", "zero-weight"),
        ("drop", "masked"),
    ]


def test_edges_into_dead_nodes_do_not_make_a_column_read():
    dead = Net.of(
        [[[np.sin, zero], [zero, np.sin]], [[np.sin, np.sin]]],
        alive=[np.array([[True, False], [False, True]]), np.array([[True, False]])],
    )
    assert [v.cause for v in analyze(dead.trace(random_inputs(2))).verdicts] == ["needed", "dead-target"]


def test_no_raw_columns_no_verdicts():
    trace = ladder().trace(random_inputs(4))
    bare = type(trace)(
        **{f: getattr(trace, f) for f in trace.__slots__ if f != "raw"},
        raw=None,
    )
    assert analyze(bare).verdicts == ()


def test_an_ablation_of_other_columns_is_refused():
    with pytest.raises(ShapeError, match="use the same data"):
        analyze(hybrid(3), ablation=ablation([1.0, 0.0, 0.0], names=("u", "v", "w")))
