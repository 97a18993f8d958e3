"""Laws of symbolic fits: scale invariance, R^2 of the formula itself, no NaN; the weights follow the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.analysis import edge_points, fit_edges, suggest
from kaninterp.analysis.family_fits import fit_families
from kaninterp.analysis.family_starts import symmetry
from kaninterp.core.families import FAMILIES
from tests.traces import Net, random_inputs

SHAPES = {
    "line": lambda v: 3 * v - 1,
    "square": lambda v: (v - 0.2) ** 2,
    "wave": lambda v: np.sin(3 * v + 0.4),
    "exp": lambda v: np.exp(1.5 * v),
    "step": lambda v: np.tanh(6 * v - 1),
    "bump": lambda v: np.exp(-((3 * v) ** 2)),
    "mixed": lambda v: np.sin(5 * v) + 0.5 * v**2,
    "kink": np.abs,
}


def sized(function, scale):
    return lambda v: scale * function(v)


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(sorted(SHAPES)),
    x_scale=st.floats(-9, 9).map(lambda e: 10.0**e),
    y_scale=st.floats(-9, 9).map(lambda e: 10.0**e),
    sign=st.sampled_from([-1, 1]),
)
def test_units_change_no_name_and_no_r2(name, x_scale, y_scale, sign):
    x = random_inputs(1, 300)
    plain = Net.of([[[SHAPES[name]]]])
    other = Net.of([[[sized(SHAPES[name], sign * y_scale)]]]).rescaled_input(0, x_scale, 0.0)
    [one] = fit_edges(plain.trace(x).layers[0])
    [two] = fit_edges(other.trace(x * x_scale).layers[0])
    assert one.name == two.name
    assert one.r2 == pytest.approx(two.r2, abs=1e-7)
    assert one.bits == pytest.approx(two.bits, abs=0.1)
    assert one.good == two.good


@pytest.mark.parametrize("name", ["line", "square", "wave", "exp", "bump"])
@pytest.mark.parametrize("shift", [-1e4, 30.0])
def test_data_far_from_zero_are_fitted_as_well(name, shift):
    """Only the number b, and with it sin or cos, depends on where x is 0."""
    x = random_inputs(1, 300)
    net = Net.of([[[SHAPES[name]]]])
    [one] = fit_edges(net.trace(x).layers[0])
    [two] = fit_edges(net.rescaled_input(0, 1.0, shift).trace(x + shift).layers[0])
    assert {one.name, two.name} <= {"sin", "cos"} or one.name == two.name
    assert one.r2 == pytest.approx(two.r2, abs=1e-5)


def test_a_constant_moved_between_edges_changes_nothing():
    x = random_inputs(2, 300)
    net = Net.of([[[SHAPES["wave"], SHAPES["mixed"]]]])
    before = fit_edges(net.trace(x).layers[0])
    after = fit_edges(net.with_moved_constant(0, 0, 0, 1, 7.0).trace(x).layers[0])
    for one, two in zip(before, after, strict=True):
        assert one.name == two.name
        assert one.r2 == pytest.approx(two.r2, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.floats(-1, 1), min_size=81, max_size=81),
    smooth=st.integers(1, 30),
    at=st.floats(-1e6, 1e6),
    width=st.floats(-6, 6).map(lambda e: 10.0**e),
    rows=st.integers(2, 40),
)
def test_any_curve_has_a_finite_formula_whose_r2_is_its_own(values, smooth, at, width, rows):
    """Any values at all, anywhere: a formula within the range, and R^2 as anyone would compute it from the points."""
    values = np.convolve(values, np.ones(smooth) / smooth, mode="same")
    x = at + width * random_inputs(1, rows)
    ends = np.array([[x.min(), x.max() + (x.max() == x.min())]])
    drawn = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * np.linspace(-0.6, 1.6, 81)
    layer = Net.of([[[lambda v: np.interp(v, drawn[0], values)]]], domains=[ends]).trace(x).layers[0]
    points = edge_points(layer)
    [fit] = fit_edges(layer)
    assert np.isfinite([fit.r2, fit.bits]).all()
    assert fit.r2 <= 1
    size = np.abs(points.curves).max() or 1.0
    curve, weights = points.curves[0, 0] / size, points.weights[0]
    spread = weights @ (curve - weights @ curve) ** 2
    if fit.name != "0":
        fitted = fit.formula(points.x[0]) / size
        assert np.isfinite(fitted).all()
        assert fit.r2 == pytest.approx(1 - weights @ (curve - fitted) ** 2 / spread, abs=1e-6)
        assert bool(fit.formula.defined(points.x[0, 0], points.x[0, -1]))


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in {"0"}])
def test_a_family_finds_itself(name):
    """Thirty random members of every family: nearly all are found to rounding, from the family's own net of starts."""
    family, t = FAMILIES[name], np.linspace(-1, 1, 129)
    rng = np.random.default_rng(0)
    curves = []
    while len(curves) < 30:
        a = rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(0.3), np.log(20)))
        b = rng.normal() * (abs(a) if rng.random() < 0.5 else 2)
        if family.defined(np.array(b - abs(a)), np.array(b + abs(a))):
            curve = family.function(a * t + b)
            if np.ptp(curve) > 1e-4 * np.abs(curve).max():
                curves.append(curve)
    found = fit_families(
        np.array(curves), np.full((30, 129), 1 / 129), [family], fastest=25.0, origins=np.zeros(30)
    ).rest[0, :, 0]
    assert (found < 1e-6).sum() >= 28
    assert (found < 0.05).all()


@pytest.mark.parametrize(
    ("name", "free"),
    [("x", (0, 0)), ("x^3", (0, 1)), ("1/x", (0, 1)), ("abs", (0, 1)), ("log", (0, 1)), ("exp", (1, 0)),
     ("sgn", (0, 1)), ("sin", (1, 1)), ("tanh", (1, 1)), ("J0", (1, 1)), ("arcsin", (1, 1)), ("0", (0, 0))],
)  # fmt: skip
def test_what_of_a_and_b_can_be_told(name, free):
    assert symmetry(FAMILIES[name]).free == free


def test_the_table_says_how_many_numbers_can_be_told():
    for family in FAMILIES.values():
        assert family.parameters == (1 if family.name == "0" else 2 + sum(symmetry(family).free)), family.name


def test_weights_are_the_shares_of_the_rows():
    rng = np.random.default_rng(0)
    x = np.stack([rng.uniform(-1, 1, 4000), rng.normal(size=4000), rng.beta(0.5, 3, 4000)], axis=1)
    layer = Net.of([[[np.sin, np.sin, np.sin]]]).trace(x).layers[0]
    points = edge_points(layer)
    np.testing.assert_allclose(points.weights.sum(1), 1)
    assert (points.weights >= 0).all()
    np.testing.assert_allclose(points.x[:, 0], x.min(0))
    np.testing.assert_allclose(points.x[:, -1], x.max(0))
    for src, knots in enumerate(layer.ranges.knots):
        middles = (points.x[src, 1:] + points.x[src, :-1]) / 2
        for knot in knots[1:-1]:
            # all points whose share lies below the knot; the share of one point is the grain
            below = points.weights[src, : np.searchsorted(middles, knot)].sum()
            assert below <= np.mean(x[:, src] < knot) + 1e-12
            assert below == pytest.approx(np.mean(x[:, src] < knot), abs=points.weights[src].max())


def test_the_fit_serves_where_the_data_are():
    """A bent curve, straight where nearly all rows lie."""
    bent = lambda v: np.where(v < 1, v, 1 + 10 * (v - 1))  # noqa: E731
    even = np.linspace(-1, 3, 2000)[:, None]
    packed = np.concatenate([np.linspace(-1, 0.99, 3999), [3.0]])[:, None]
    net = Net.of([[[bent]]], domains=[np.array([[-1.0, 3.0]])])
    [spread], [heavy] = (fit_edges(net.trace(rows).layers[0], families=["x"]) for rows in (even, packed))
    assert spread.formula.c > 3
    assert heavy.formula.c < 1.6


def test_edges_without_a_curve():
    x = random_inputs(5, 500)
    x[:, 1] = 0.3  # constant
    x[:, 2] += 9  # all rows beyond the fringe
    x[:200, 3] += 9  # many of them
    alive = [np.array([[True, True, True, True, False]])]
    functions = [[np.sin, np.sin, lambda v: 2 * v + 1, lambda v: v**2, np.sin]]
    layer = Net.of([functions], alive=alive, domains=[np.tile([-1.0, 1.0], (5, 1))]).trace(x).layers[0]
    fits = fit_edges(layer)
    assert [fit.src for fit in fits] == [0, 1, 2, 3]  # the masked one is left out
    assert (fits[1].name, fits[1].r2, fits[1].good) == ("0", 1.0, True)
    assert fits[1].formula.d == pytest.approx(np.sin(0.3))
    assert (fits[2].name, fits[2].good) == ("x", True)
    np.testing.assert_allclose([fits[2].formula.c, fits[2].formula.d], [2, 1], rtol=1e-9)
    assert fits[3].name == "x^2"
    assert not fits[3].good
    assert "beyond" in fits[3].why
    with pytest.raises(Exception, match="masked"):
        fit_edges(layer, edges=[(0, 4)])


def test_zero_functions_and_few_rows():
    x = random_inputs(2, 2)
    layer = Net.of([[[lambda v: 0 * v + 2.5, np.exp]]]).trace(x).layers[0]
    dead, live = fit_edges(layer)
    assert (dead.name, dead.formula.d) == ("0", 2.5)
    assert live.name != "0"


def test_families_that_are_not_defined_leave_the_spline():
    trace = Net.of([[[np.sin]]]).trace(random_inputs(1, 300))
    [fit] = suggest(trace, 0, 0, 0, families=["0"])
    assert fit.r2 == pytest.approx(0)
    assert not fit.good
