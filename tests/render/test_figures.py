"""The network as a matplotlib figure: what is drawn, what is refused, and that nothing global is touched."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.core.errors import InputError, NamesError, ShapeError

pytest.importorskip("matplotlib")
from kaninterp.render.figures import plot_network


@pytest.fixture(scope="module")
def trace():
    head = ki.KANHead(2, 1, (5,), generator=torch.Generator().manual_seed(0), input_names=["a", "b"])
    with torch.no_grad():
        head.kan_layers[0].set_mask(torch.ones(5, 2).index_fill(0, torch.tensor([3]), 0.0))
    return ki.trace(head, torch.randn(200, 2, generator=torch.Generator().manual_seed(1)))


def painted(figure):
    figure.savefig(io.BytesIO(), format="svg")


def collections(figure):
    lines, frames, curves, nodes = figure.axes[0].collections
    return lines, frames, curves, nodes


def test_one_thumbnail_per_live_edge(trace):
    figure = plot_network(trace)
    lines, frames, curves, nodes = collections(figure)
    assert len(frames.get_segments()) == len(curves.get_segments()) == 13
    assert len(lines.get_segments()) == 26
    assert len(nodes.get_offsets()) == 2 + 5 + 1
    painted(figure)


def test_curves_are_those_of_the_edges_over_the_data(trace):
    *_, curves, _ = collections(plot_network(trace))
    layer = trace.layers[0]
    drawn = layer.edges.curve_x[0, [0, -1]]
    x = np.linspace(*np.clip([layer.inputs.low[0], layer.inputs.high[0]], *drawn), 61)
    edge = np.interp(x, layer.edges.curve_x[0], layer.edges.curves[0, 0])
    drawn = curves.get_segments()[0][:, 1]
    assert np.corrcoef(edge, drawn)[0, 1] > 0.999999


def test_opacity_follows_the_score(trace):
    scores = [np.array([[0.2, 0.0]] * 5), np.full((1, 5), 0.1)]
    _, frames, *_ = collections(plot_network(trace, scores, beta=3.0))
    alphas = frames.get_colors()[:, 3]
    np.testing.assert_allclose(sorted(set(np.round(alphas, 6))), np.round(np.tanh([0.3, 0.6]), 6))
    assert len(alphas) == 4 + 5  # an edge without a score is left out, as is the masked one


def test_formulas_are_red(trace):
    _, frames, *_ = collections(plot_network(trace, symbolic={(0, 0, 1)}))
    red = frames.get_colors()[:, 0] > 0.5
    assert red.sum() == 1


def test_names_are_drawn_as_they_are(trace):
    figure = plot_network(trace, in_vars=["$x^{2$", "b\\frac"], out_vars=["y"], title="a $ b")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["$x^{2$", "b\\frac", "y", "a $ b"]
    painted(figure)


def test_nothing_is_registered_with_pyplot(trace):
    plt = pytest.importorskip("matplotlib.pyplot")
    before = plt.get_fignums()
    plot_network(trace)
    assert plt.get_fignums() == before


def test_bad_input(trace):
    with pytest.raises(ShapeError, match="per layer"):
        plot_network(trace, [np.ones((5, 2))])
    with pytest.raises(NamesError, match="in_vars: 3 names for 2"):
        plot_network(trace, in_vars=["a", "b", "c"])
    with pytest.raises(InputError, match="beta"):
        plot_network(trace, beta=0.0)


def test_rows_are_marked_on_the_curves(trace):
    rows = [np.linspace(-0.5, 0.5, 7)[:, None].repeat(2, 1), np.zeros((7, 5))]
    lines, frames, curves, marks, nodes = plot_network(trace, points=rows).axes[0].collections
    inside = marks.get_offsets()[:7]
    curve = curves.get_segments()[0]
    np.testing.assert_allclose(inside[:, 1], np.interp(inside[:, 0], curve[:, 0], curve[:, 1]), atol=1e-9)
    assert len(nodes.get_offsets()) == 8
    assert len(lines.get_segments()) == 2 * len(frames.get_segments())


def test_marks_are_bounded_and_outliers_left_out(trace):
    rows = [np.full((9000, 2), 0.1), np.full((9000, 5), 1e9)]
    *_, marks, _ = plot_network(trace, points=rows).axes[0].collections
    assert len(marks.get_offsets()) == 200 * 8


def test_points_of_other_layers_are_refused(trace):
    with pytest.raises(ShapeError, match="one \\(rows, src\\) per layer"):
        plot_network(trace, points=[np.zeros((3, 2))])


@pytest.mark.parametrize(("name", "math"), [("$x_1$", True), ("$\\frac{$", False), ("a $ b", False), ("x_1", False)])
def test_mathematics_is_set_where_it_can_be_read(trace, name, math):
    figure = plot_network(trace, in_vars=[name, "b"], title=name, math=True)
    texts = {text.get_text(): text.get_parse_math() for text in figure.axes[0].texts}
    assert texts[name] == math
    painted(figure)
    plain = plot_network(trace, in_vars=[name, "b"])
    assert not any(text.get_parse_math() for text in plain.axes[0].texts)
