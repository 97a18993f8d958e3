"""The algebra of masks, and closure against plain path counting."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.core import EdgeMask, ShapeError

WIDTHS = [(2, 1), (3, 4, 2), (2, 3, 3, 2)]


@st.composite
def masks(draw, count=1):
    widths = draw(st.sampled_from(WIDTHS))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    density = draw(st.floats(0, 1))
    made = [EdgeMask.of(rng.uniform(size=(d, s)) < density for s, d in pairwise(widths)) for _ in range(count)]
    return made[0] if count == 1 else made


def on_a_path(mask):
    """Edges on a path from an input to an output, by counting paths with matrix products."""
    forward = [np.ones(mask.widths[0])]
    for layer in mask.layers:
        forward.append(layer @ forward[-1])
    backward = [np.ones(mask.widths[-1])]
    for layer in reversed(mask.layers):
        backward.append(layer.T @ backward[-1])
    backward.reverse()
    return [layer & (forward[i][None, :] > 0) & (backward[i + 1][:, None] > 0) for i, layer in enumerate(mask.layers)]


@given(mask=masks())
@settings(deadline=None)
def test_closure_keeps_exactly_the_edges_on_a_path(mask):
    closed = mask.closed()
    assert closed.equals(EdgeMask.of(on_a_path(mask)))
    assert closed.closed().equals(closed)
    assert closed <= mask


@given(pair=masks(count=2))
@settings(deadline=None)
def test_closure_is_monotone(pair):
    a, b = pair
    assert (a & b).closed() <= a.closed()
    assert a.closed() <= (a | b).closed()


@given(three=masks(count=3))
@settings(deadline=None)
def test_set_algebra(three):
    a, b, c = three
    assert (~~a).equals(a)
    assert (~(a & b)).equals(~a | ~b)
    assert ((a | b) & c).equals((a & c) | (b & c))
    assert (a - b).equals(a & ~b)
    assert (a & b) <= a
    assert (a - a).count == 0
    assert a.count + (~a).count == a.size


def test_nodes_that_live():
    mask = EdgeMask.of([[[1, 0], [0, 0], [0, 1]], [[1, 1, 0]]])
    inputs, hidden, outputs = mask.nodes()
    assert inputs.tolist() == [True, True]
    assert hidden.tolist() == [True, False, False]
    assert outputs.tolist() == [True]


def test_removed_edges_leave_the_original_alone():
    full = EdgeMask.full((2, 2))
    assert full.without_edges([(0, 1, 0)]).count == 3
    assert full.count == 4
    with pytest.raises(ValueError, match="read-only"):
        full.layers[0][0, 0] = False


@pytest.mark.parametrize("place", [(1, 0, 0), (0, 2, 0), (0, 0, -1), (-1, 0, 0)])
def test_an_edge_that_does_not_exist_is_refused(place):
    with pytest.raises(ShapeError, match="no edge"):
        EdgeMask.full((2, 2)).without_edges([place])


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="starts from 4"):
        EdgeMask.of([np.ones((3, 2)), np.ones((1, 4))])
    with pytest.raises(ShapeError, match="at least one layer"):
        EdgeMask(layers=())
    with pytest.raises(ShapeError, match="cannot combine"):
        EdgeMask.full((2, 1)) & EdgeMask.full((3, 1))
