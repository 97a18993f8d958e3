from __future__ import annotations

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.analysis import layer_straightness
from kaninterp.analysis.straightness import CAUSES
from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.families import FAMILIES
from kaninterp.nn import with_formulas
from tests.straight_edges import SET, made
from tests.traces import Net, random_inputs


def silu(x):
    return x / (1 + np.exp(-x))


def spline_like(x):
    """A wave inside [-1, 1] and the base branch alone beyond."""
    return silu(x) + np.where(np.abs(x) < 1, np.sin(np.pi * x), 0)


def test_linear_r2_is_the_squared_correlation():
    x = random_inputs(3, 500)
    net = Net.of([[[np.sin, np.exp, lambda v: v**3]]])
    r2 = layer_straightness(net.trace(x))[0].linear_r2[0]
    expected = [np.corrcoef(x[:, i], f(x[:, i]))[0, 1] ** 2 for i, f in enumerate([np.sin, np.exp, lambda v: v**3])]
    np.testing.assert_allclose(r2, expected, rtol=1e-9)


def test_each_cause_is_told_from_the_others():
    x = random_inputs(6, 2000)
    x[:, 1] = 3 + x[:, 1]  # all beyond the domain
    x[:, 2] *= 1.4  # some rows beyond the domain, still on the line
    x[:, 4] = 0.3
    functions = [[lambda v: -2 * v, spline_like, lambda v: v, spline_like, np.sin, np.sin]]
    alive = [np.array([[True, True, True, True, True, False]])]
    domains = [np.tile([-1.0, 1.0], (6, 1))]
    layer = layer_straightness(Net.of([functions], alive=alive, domains=domains).trace(x))[0]
    assert layer.cause == (("linear", "out-of-domain", "mixed", "", "constant", "masked"),)
    assert layer.straight.tolist() == [[True, True, True, False, False, False]]


@pytest.mark.parametrize("n", [200, 20_000])
def test_a_bent_edge_on_a_small_part_of_its_domain_is_no_line(n):
    """A first layer on LSTM outputs: |h| well below 1 on a grid from -1 to 1."""
    x = random_inputs(4, n) * [0.1, 1.0, 0.1, 1.0]
    functions = [[np.exp, np.exp, lambda v: 3 * v, lambda v: 3 * v]]
    layer = layer_straightness(Net.of([functions], domains=[np.tile([-1.0, 1.0], (4, 1))]).trace(x))[0]
    assert layer.cause == (("under-used", "", "linear", "linear"),)
    grid = np.linspace(-1, 1, 2001)
    np.testing.assert_allclose(layer.domain_r2[0, 0], np.corrcoef(grid, np.exp(grid))[0, 1] ** 2, atol=0.01)
    np.testing.assert_allclose(layer.domain_r2[0, 2:], 1.0)


def test_the_scale_of_an_edge_does_not_count():
    x = random_inputs(2, 300)
    net = Net.of([[[lambda v: 1e-9 * np.sin(v), lambda v: 1e9 * np.sin(v)]]])
    r2 = layer_straightness(net.trace(np.repeat(x[:, :1], 2, axis=1)))[0].linear_r2[0]
    np.testing.assert_allclose(r2[0], r2[1], rtol=1e-9)


@pytest.mark.parametrize("rows", [200, 20_000])
@pytest.mark.parametrize("cause", SET)
def test_edges_of_a_head_made_for_a_cause_are_named_so(cause, rows):
    """40 edges each; straight is what is so on 20,000 rows of its own (tests/benchmarks has five seeds of it)."""
    assert set(SET) | {"formula"} == {"", *CAUSES}  # formulas have a test of their own
    edges, sample = made(cause, np.random.default_rng(0), rows)
    truly = edges.straight(sample) == bool(cause)
    names = layer_straightness(ki.trace(edges.head, edges.data(), progress=False))[0].cause[0]
    right = [name == cause for name, counts in zip(names, truly, strict=True) if counts]
    assert len(right) >= 20
    assert np.mean(right) >= 0.95


def test_a_formula_is_straight_by_itself_wherever_the_data_lie():
    head = ki.KANHead(3, 1, domain=(-1.0, 1.0), generator=torch.Generator().manual_seed(0))
    line, wave = (EdgeFormula(family=FAMILIES[name], a=1.0, b=0.0, c=1.0, d=0.0) for name in ("x", "sin"))
    head = with_formulas(head, {(0, 0, 0): line, (0, 0, 1): wave})
    rows = np.random.default_rng(0).uniform(-4, 4, (500, 3)).astype(np.float32)
    found = ki.analyze(ki.trace(head, rows, progress=False))
    assert found.straightness[0].cause[0][:2] == ("formula", "")
    assert found.trace.layers[0].on_grid.tolist() == [False, False, True]
    [left] = [each for each in found.findings if each.code == "out-of-grid"]
    assert "1 input node of 3" in left.claim
    assert "x2" in left.claim
    half = ki.trace(head, rows[:250], progress=False).merge(ki.trace(head, rows[250:], progress=False))
    assert half.layers[0].on_grid.tolist() == [False, False, True]


def test_a_head_of_formulas_has_no_grid_to_leave():
    head = ki.KANHead(1, 1, domain=(-1.0, 1.0), generator=torch.Generator().manual_seed(0))
    head = with_formulas(head, {(0, 0, 0): EdgeFormula(family=FAMILIES["x"], a=1.0, b=0.0, c=1.0, d=0.0)})
    rows = np.random.default_rng(0).uniform(-4, 4, (300, 1)).astype(np.float32)
    page = ki.report(head, (rows, rows[:, 0]), trust=False, progress=False).to_html()
    assert "Every live edge is a formula, which no grid bounds." in page
    assert "leave the grid" not in page
    assert "read by formulas alone" in page


def test_edges_set_by_hand():
    functions = {
        "zero": (lambda x: 0 * x, "constant"),
        "constant": (lambda x: 0 * x + 3, "constant"),
        "linear": (lambda x: 0.5 * x - 2, "linear"),
        "saturated tanh": (lambda x: np.tanh(20 * x), ""),
        "one bump": (lambda x: np.exp(-20 * x**2), ""),
        "one of a pair that cancels": (lambda x: np.sin(3 * x) + x, ""),
        "the other": (lambda x: -np.sin(3 * x), ""),
    }
    x = np.repeat(random_inputs(1, 500), len(functions), axis=1)
    layer = layer_straightness(Net.of([[[f for f, _ in functions.values()]]]).trace(x))[0]
    assert layer.cause == (tuple(cause for _, cause in functions.values()),)
    assert layer.linear_r2[0, :2].tolist() == [0, 0]
    assert layer.linear_r2[0, 2] == pytest.approx(1)
    np.testing.assert_allclose(layer.slope[0], [0, 0, 0.5, *layer.slope[0, 3:]], atol=1e-12)
    np.testing.assert_allclose(layer.bend[0, :3], 0, atol=1e-7)


def test_slope_bend_and_shares_are_those_of_the_rows():
    """Least squares on the rows themselves, for an edge of two parts."""
    x = random_inputs(1, 400) + 0.5
    edge, base = np.exp(x[:, 0]), silu(x[:, 0])
    layer = layer_straightness(Net.of([[[np.exp]]], bases=[[[silu]]]).trace(x))[0]
    slope, offset = np.polyfit(x[:, 0], edge, 1)
    np.testing.assert_allclose(layer.slope[0, 0], slope)
    np.testing.assert_allclose(layer.bend[0, 0], np.std(edge - slope * x[:, 0] - offset))
    np.testing.assert_allclose(layer.base_share[0, 0], np.cov(base, edge)[0, 1] / np.var(edge, ddof=1))
    np.testing.assert_allclose(layer.base_share + layer.spline_share, 1)
