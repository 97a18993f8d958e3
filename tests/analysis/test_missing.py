"""Each reason for a missing edge, on an edge made for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kaninterp.analysis import CODES, analyze, edge_codes, missing_nodes
from kaninterp.core import EdgeAblation, InputError
from tests.traces import Net, random_inputs, zero

LIMIT = 0.05


def analysis_of(row, alive=None, x=None, **evidence):
    n = len(row)
    net = Net.of([[row]], alive=None if alive is None else [np.array([alive])])
    return analyze(net.trace(random_inputs(n, 1000) if x is None else x), **evidence)


def test_every_kind_of_missing_edge():
    x = random_inputs(6, 1000)
    x[:, 3] = 0.5
    row = [np.sin, lambda v: 0.01 * v, zero, np.sin, np.sin, lambda v: 0.02 * v]
    ablation = EdgeAblation(loss="mse", rows=10, base=1.0, change=(np.array([[1, 0.1, 0, 0, 0, -0.01]]),))
    analysis = analysis_of(row, [True, True, True, True, False, True], x, edge_ablation=ablation)
    codes = edge_codes(analysis, limit=LIMIT)[0][0]
    assert codes == ("", "below-limit", "zero", "constant", "masked", "noise")
    assert [m.code for m in missing_nodes(analysis, limit=LIMIT)] == list(codes[1:])


def test_a_dead_target():
    net = Net.of([[[np.sin], [np.sin]], [[np.sin, np.sin]]], alive=[np.ones((2, 1), bool), np.array([[True, False]])])
    analysis = analyze(net.trace(random_inputs(1)))
    assert edge_codes(analysis, limit=LIMIT)[0] == (("",), ("dead-target",))
    found = {(m.layer, m.index, m.side): m.code for m in missing_nodes(analysis, limit=LIMIT)}
    assert found == {(1, 1, "out"): "masked", (1, 1, "in"): "dead-target"}


def test_twins_that_cancel():
    x = np.column_stack([random_inputs(1, 1000)[:, 0]] * 2 + [random_inputs(1, 1000, seed=1)[:, 0]])
    analysis = analysis_of([lambda v: 3 * v, lambda v: -3 * v, lambda v: v], x=x)
    assert edge_codes(analysis, limit=LIMIT, reading="kan2")[0][0] == ("", "", "")
    by_share = edge_codes(analysis, limit=0.5, reading="share")[0][0]
    assert by_share == ("cancelled", "cancelled", "")


def test_a_node_with_several_kinds_is_named_by_the_liveliest_and_counts_all():
    weak = lambda v: 0.001 * v  # noqa: E731
    net = Net.of([[[weak, np.sin], [np.sin, np.sin]]], alive=[np.array([[True, True], [False, True]])])
    only = missing_nodes(analyze(net.trace(random_inputs(2))), limit=LIMIT)
    assert len(only) == 1
    assert only[0].name == "x0"
    assert only[0].code == "below-limit"
    assert only[0].edges == (("below-limit", 1), ("masked", 1))
    assert only[0].text.startswith(
        "2 edges out of it: 1 alive but below the drawing limit, 1 masked; the largest KAN 2.0 score is"
    )


def test_at_limit_zero_only_what_does_nothing_is_missing():
    analysis = analysis_of([np.sin, lambda v: 1e-9 * v, zero])
    assert edge_codes(analysis, limit=0)[0][0] == ("", "", "zero")


def test_every_code_has_words():
    assert set(CODES) == {"masked", "zero", "constant", "dead-target", "cancelled", "noise", "below-limit"}


def test_a_limit_that_means_nothing_is_refused():
    analysis = analysis_of([np.sin])
    for limit in (-1, float("nan")):
        with pytest.raises(InputError, match="limit"):
            edge_codes(analysis, limit=limit)
    with pytest.raises(InputError, match="no score"):
        edge_codes(analysis, limit=1, reading="l1")
    assert replace(analysis).trace is analysis.trace
