"""What is made of shadows: corrected p-values, texts, the code of a hidden edge, a finding where evidence disagrees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kaninterp.analysis import analyze, benjamini_hochberg, benjamini_yekutieli, edge_codes, missing_nodes
from kaninterp.analysis.discoveries import shadow_words
from kaninterp.core import DataError, EdgeAblation, Shadows, ShapeError
from tests.evidence import ablation, hybrid
from tests.traces import Net, random_inputs

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@given(p=P_VALUES)
def test_false_discovery_rates_are_those_of_scipy(p):
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p), rtol=1e-12)
    np.testing.assert_allclose(benjamini_yekutieli(p), stats.false_discovery_control(p, method="by"), rtol=1e-12)


def test_families_of_none_and_numbers_that_are_no_p_values():
    assert benjamini_hochberg([]).shape == benjamini_yekutieli([]).shape == (0,)
    with pytest.raises(ShapeError, match="one row"):
        benjamini_hochberg([[0.1]])
    for wrong in (float("nan"), -0.1, 1.1):
        with pytest.raises(DataError, match="from 0 to 1"):
            benjamini_hochberg([0.5, wrong])


def shadows_of(names, p, edges=(), *, tested=None, **changes) -> Shadows:
    f = len(names)
    fields = {
        "names": tuple(names),
        "loss": "mse",
        "rows": 500,
        "edge_rows": 500,
        "copies": 30,
        "block": 50,
        "base": 1.0,
        "benefit": np.full(f, 0.25),
        "floor": np.full(f, 0.1),
        "as_good": np.full(f, 7),
        "p_value": p,
        "tested": np.ones(f, bool) if tested is None else tested,
        "edge_benefit": tuple(np.full(np.shape(e), 0.003) for e in edges),
        "edge_p_value": edges,
        "edge_tested": tuple(np.asarray(e) < 1 for e in edges),
        "edge_floor": 0.002,
        "remark": "",
    }
    return Shadows(**{**fields, **changes})


def test_columns_that_were_not_tested_are_not_counted():
    found = shadows_of("abc", [0.01, 1.0, 0.03], ([[0.01, 1.0]], [[0.04]]), tested=[True, False, True])
    assert found.q_value.tolist() == [0.02, 1.0, 0.03]
    assert [q.tolist() for q in found.edge_q_value] == [[[0.02, 1.0]], [[0.04]]]
    assert (found.family, found.edge_family) == (2, 2)


def test_what_shadows_say_of_a_column():
    found = shadows_of("ab", [0.41, 1e-6])
    assert shadow_words(found, 0) == (
        " Not distinguishable from its own shadows: q = 0.41 over 2 inputs; 7 of 30 give a loss as low."
    )
    assert shadow_words(found, 1) == " Against its own shadows it does better (q < 0.001 over 2 inputs), by 0.25."
    assert shadow_words(None, 0) == shadow_words(replace(found, tested=[False, True]), 0) == ""


def measured(p):
    """A hybrid of four columns; the first two are needed by their price, the others are noise."""
    trace = hybrid()
    edges = tuple(np.full(layer.edges.mean.shape, 0.5) for layer in trace.layers)
    price = ablation([0.5, 0.3, 0.0, 0.0], names=trace.raw.names)
    return analyze(trace, ablation=price, shadows=shadows_of(trace.raw.names, p, edges)), analyze(trace, ablation=price)


def test_verdicts_stay_and_a_contradiction_is_a_caution():
    with_them, without = measured([1e-6, 0.3, 0.4, 0.5])
    assert [v.survives for v in with_them.verdicts] == [v.survives for v in without.verdicts]
    assert [v.survives for v in without.verdicts] == ["keep", "keep", "drop", "drop"]
    assert "Not distinguishable from its own shadows: q = 0.5 over 4 inputs" in with_them.verdicts[2].text
    found = [f for f in with_them.findings if f.code == "kept-without-proof"]
    assert [f.severity for f in found] == ["caution"]
    name = with_them.verdicts[1].name
    assert name in found[0].claim
    assert "q = 0.5 over 4 inputs; 7 of 30 copies" in found[0].evidence
    assert not [f for f in measured([1e-6, 1e-6, 0.4, 0.5])[0].findings if f.code == "kept-without-proof"]
    assert not [f for f in without.findings if f.code == "kept-without-proof"]


def test_hidden_edges_are_noise_by_their_q_value_and_by_their_change_where_untested():
    weak = [lambda v: 0.01 * v, lambda v: 0.011 * v, lambda v: 0.012 * v, lambda v: 0.013 * v, np.sin]
    trace = Net.of([[weak]]).trace(random_inputs(5, 1000))
    price = EdgeAblation(loss="mse", rows=10, base=1.0, change=(np.array([[-1.0, 1.0, -1.0, 1.0, 1.0]]),))
    p = [[1e-4, 0.9, 1.0, 1.0, 1e-4]]
    analysis = analyze(trace, edge_ablation=price, shadows=shadows_of(trace.raw.names, [0.5] * 5, (np.array(p),)))
    assert edge_codes(analysis, limit=0.05)[0][0] == ("below-limit", "noise", "noise", "below-limit", "")
    text = {m.index: m.text for m in missing_nodes(analysis, limit=0.05)}
    assert "against their shadows the smallest q = 0.9 over 3 edges (noise above 0.1)" in text[1]
    assert "0.003 at most where one shadow in twenty reaches 0.002" in text[1]
    assert "shadow" not in text[0] + text[2]


def test_shadows_of_another_model_are_refused():
    trace = hybrid()
    edges = tuple(np.full(layer.edges.mean.shape, 0.5) for layer in trace.layers)
    with pytest.raises(ShapeError, match="of columns"):
        analyze(trace, shadows=shadows_of("abcd", [0.5] * 4, edges))
    with pytest.raises(ShapeError, match="use the same model"):
        analyze(trace, shadows=shadows_of(trace.raw.names, [0.5] * 4, edges[:1]))
    with pytest.raises(ShapeError, match="one array per layer"):
        shadows_of("ab", [0.5] * 2, edges, edge_tested=())
