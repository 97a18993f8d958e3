"""Laws 6, 7 and 8 for every score, on networks of known functions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.analysis import SCORES as ALL_SCORES
from kaninterp.analysis import aggregate, layer_scores, remainders
from kaninterp.analysis.scores import of_trace
from kaninterp.core.errors import InputError
from tests.traces import Net, random_inputs, random_net, zero

SHAPES = [(3, 1), (4, 2), (3, 4, 2), (5, 3, 3, 1)]
seeds = st.integers(0, 2**16)
shapes = st.sampled_from(SHAPES)
SCORES = [s for s in ALL_SCORES if s.needs == "trace"]
every_score = pytest.mark.parametrize("score", SCORES, ids=lambda s: s.name)
per_output = pytest.mark.parametrize("score", [s for s in SCORES if s.per_output], ids=lambda s: s.name)
settings.register_profile("laws", max_examples=25, deadline=None)
settings.load_profile("laws")


def case(widths, seed, dead=0.3, rows=200):
    """A random network, some edges dead or masked, one column constant, one hidden unit possibly dead."""
    x = random_inputs(widths[0], rows, seed)
    if seed % 2:
        x[:, seed % widths[0]] = 0.7
    return random_net(widths, seed, dead=dead), x


def assert_close(left, right, rtol=1e-8, atol=1e-9):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@every_score
@given(seed=seeds, widths=shapes)
def test_relabelling_nodes_relabels_scores(score, seed, widths):
    net, x = case(widths, seed)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n) for n in widths[:-1]] + [rng.permutation(widths[-1])]
    moved = of_trace(score.name, net.relabelled(orders).trace(x[:, orders[0]]))
    for layer, (before, after) in enumerate(zip(of_trace(score.name, net.trace(x)), moved, strict=True)):
        expected = before[..., orders[layer + 1][:, None], orders[layer]]
        expected = expected[orders[-1]] if score.per_output else expected
        np.testing.assert_allclose(after, expected, rtol=1e-8, atol=1e-9)


@every_score
@given(seed=seeds, widths=shapes)
def test_row_order_and_batches_do_not_count(score, seed, widths):
    net, x = case(widths, seed)
    net = Net.of(net.functions, alive=net.alive, biases=net.biases, domains=fixed_domains(net))
    order = np.random.default_rng(seed).permutation(len(x))
    whole = of_trace(score.name, net.trace(x))
    assert_close(of_trace(score.name, net.trace(x[order])), whole)
    assert_close(of_trace(score.name, net.trace(x[:37]).merge(net.trace(x[37:]))), whole)


@every_score
@given(
    seed=seeds,
    widths=shapes,
    scale=st.floats(1e-3, 1e3),
    sign=st.sampled_from([-1, 1]),
    shift=st.floats(-100, 100),
)
def test_affine_rescaling_of_an_input_with_its_grid(score, seed, widths, scale, sign, shift):
    net, x = case(widths, seed)
    net = Net.of(net.functions, alive=net.alive, biases=net.biases, domains=fixed_domains(net))
    column, scale = seed % widths[0], sign * scale
    moved = x.copy()
    moved[:, column] = scale * x[:, column] + shift
    assert_close(
        of_trace(score.name, net.rescaled_input(column, scale, shift).trace(moved)),
        of_trace(score.name, net.trace(x)),
        rtol=1e-6,
        atol=1e-6,
    )


@every_score
@given(seed=seeds, widths=shapes, amount=st.floats(-100, 100))
def test_moving_a_constant_between_edges_of_a_node(score, seed, widths, amount):
    net, x = case(widths, seed, dead=0.0)
    rng = np.random.default_rng(seed)
    layer = int(rng.integers(len(widths) - 1))
    give, take = rng.permutation(widths[layer])[:2]
    other = net.with_moved_constant(layer, int(rng.integers(widths[layer + 1])), int(give), int(take), amount)
    assert_close(
        of_trace(score.name, other.trace(x)),
        of_trace(score.name, net.trace(x)),
        rtol=1e-6,
        atol=2e-6 * (1 + abs(amount)),
    )


@every_score
@given(seed=seeds, constant=st.floats(-1e6, 1e6))
def test_a_constant_edge_scores_zero(score, seed, constant):
    widths = (4, 3, 2)
    net, x = case(widths, seed, dead=0.0)
    functions = [[list(row) for row in layer] for layer in net.functions]
    functions[0][1][2] = lambda v: np.full_like(v, constant)
    functions[1][0][0] = zero
    values = of_trace(score.name, Net.of(functions, biases=list(net.biases)).trace(x))
    assert not values[0][..., 1, 2].any()
    assert not values[1][..., 0, 0].any()


@pytest.mark.parametrize("score", [s for s in SCORES if s.scale_free], ids=lambda s: s.name)
@given(seed=seeds, scale=st.sampled_from([1e-12, 1e-6, 1e6, 1e12]))
def test_no_absolute_epsilon_the_scale_of_an_output_does_not_count(score, seed, scale):
    net, x = case((4, 3, 2), seed)
    last = [[lambda v, f=f: scale * f(v) for f in row] for row in net.functions[-1]]
    scaled = Net.of([*net.functions[:-1], last], alive=net.alive, biases=[*net.biases[:-1], net.biases[-1] * scale])
    assert_close(of_trace(score.name, scaled.trace(x)), of_trace(score.name, net.trace(x)), rtol=1e-6, atol=1e-9)


@every_score
@given(seed=seeds, widths=shapes, dead=st.sampled_from([0.5, 1.5, 2.0]))
def test_no_nan_from_dead_units_and_constant_columns(score, seed, widths, dead):
    net, x = case(widths, seed, dead=dead)
    x[:, 0] = 0.0
    for values in of_trace(score.name, net.trace(x)):
        assert np.isfinite(values).all()
    for values in of_trace(score.name, net.trace(x[:1])):  # one row: everything is constant
        assert np.isfinite(values).all()
        if score.data:
            assert not values.any()


@given(seed=seeds, widths=shapes)
def test_variance_shares_sum_to_one_over_the_sources(seed, widths):
    net, x = case(widths, seed)
    trace = net.trace(x)
    for scores, nodes in zip(layer_scores(trace), trace.nodes[1:], strict=True):
        sums = scores.share.sum(1)
        np.testing.assert_allclose(sums, np.where(nodes.std > 1e-9, 1.0, 0.0), atol=1e-6)


@given(seed=seeds, widths=shapes)
def test_path_shares_sum_to_one_and_the_remainder_says_what_is_missing(seed, widths):
    net, x = case(widths, seed)
    trace = net.trace(x)
    varies = trace.outputs.std > 1e-9
    for scores, remainder in zip(layer_scores(trace), remainders(layer_scores(trace)), strict=True):
        np.testing.assert_allclose(scores.path.sum((1, 2)) + remainder, 1.0, atol=1e-9)
        np.testing.assert_allclose(remainder, np.where(varies, 0.0, 1.0), atol=1e-6)


@per_output
@given(seed=seeds, copies=st.integers(2, 120))
def test_more_outputs_do_not_shrink_a_score(score, seed, copies):
    net, x = case((4, 1), seed, dead=0.0)
    one = aggregate(of_trace(score.name, net.trace(x))[0])
    functions = [[net.functions[0][0], *[[zero] * 4] * (copies - 1)]]
    biases = [np.concatenate([net.biases[0], np.ones(copies - 1)])]
    many = aggregate(of_trace(score.name, Net.of(functions, biases=biases).trace(x))[0])
    np.testing.assert_allclose(many[0], one[0], rtol=1e-12)


@per_output
@given(seed=seeds)
def test_outputs_are_scored_each_on_its_own(score, seed):
    """Scores for output 0 do not notice what the other outputs do."""
    net, x = case((4, 3, 2), seed, dead=0.0)
    loud = [net.functions[1][0], tuple((lambda v, f=f: 1e3 * f(v)) for f in net.functions[1][1])]
    louder = Net.of([net.functions[0], loud], biases=list(net.biases))
    for a, b in zip(of_trace(score.name, net.trace(x)), of_trace(score.name, louder.trace(x)), strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-9, atol=1e-12)


def test_a_mean_over_outputs_is_refused():
    with pytest.raises(InputError, match="shrinks"):
        aggregate(np.ones((3, 2)), "mean")


def fixed_domains(net):
    return [np.tile([-3.0, 3.0], (n, 1)) for n in net.widths[:-1]]
