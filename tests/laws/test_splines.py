"""Laws 1 and 2 and what follows from them, on layers that hypothesis makes up."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from kaninterp.nn.domain import extend_knots
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.penalty import edge_strengths

F64 = torch.float64


@st.composite
def layers(draw, **fixed):
    """A float64 layer with random size, order, knots, continuation, mask and coefficients."""
    options = {
        "grid": st.integers(1, 8),
        "order": st.integers(1, 5),
        "outside": st.sampled_from(["base", "linear", "clamp"]),
        "base": st.sampled_from(["silu", "identity", "zero"]),
        "uniform": st.booleans(),
    }
    chosen = {name: fixed.get(name, draw(strategy)) for name, strategy in options.items()}
    n_in, n_out = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    source = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    lo = draw(st.floats(-1e3, 1e3))
    width = draw(st.floats(1e-3, 1e3))
    layer = KANLayer(n_in, n_out, dtype=F64, generator=source, noise=1.0, domain=(lo, lo + width), **chosen)
    if not layer.spec.uniform:
        cells = torch.rand(n_in, layer.grid, dtype=F64, generator=source) + 0.2
        ends = torch.cat((torch.zeros(n_in, 1, dtype=F64), cells.cumsum(1) / cells.sum(1, keepdim=True)), 1)
        layer.knots.copy_(lo + width * ends)
        layer.knots[:, -1] = lo + width
        layer._domain_changed()
    layer.bias.data.normal_(generator=source)
    layer.set_mask((torch.rand(n_out, n_in, generator=source) < 0.8).to(F64))
    return layer.eval(), source


def points(layer, source, n, reach=2.5):
    """Rows over the domain and, by `reach` widths, beyond."""
    part = torch.rand(n, layer.in_features, dtype=F64, generator=source) * (2 * reach + 1) - reach
    return torch.lerp(layer.domain[0], layer.domain[1], part)


@given(layers())
@settings(max_examples=60, deadline=None)
def test_edges_and_bias_add_up_to_the_layer(made):
    layer, source = made
    x = points(layer, source, 17)
    total = layer.edges(x).sum(-1) + layer.bias
    torch.testing.assert_close(total, layer(x), atol=1e-10, rtol=1e-10)


@given(layers())
@settings(max_examples=60, deadline=None)
def test_splines_are_those_of_scipy(made):
    layer, source = made
    x = points(layer, source, 40, reach=0.0)
    got = layer.edges(x, part="spline").detach().numpy()
    knots = extend_knots(layer.knots, layer.order).numpy()
    for j in range(layer.out_features):
        for i in range(layer.in_features):
            spline = BSpline(knots[i], layer.coef[:, j, i].detach().numpy(), layer.order)
            want = spline(x[:, i].numpy()) * layer.mask[j, i].item()
            np.testing.assert_allclose(got[:, j, i], want, atol=1e-9, rtol=1e-9)


@given(layers(), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_a_multiple_grid_keeps_every_function(made, factor):
    layer, source = made
    finer = layer.refine(factor * layer.grid)
    x = points(layer, source, 30, reach=0.0 if layer.spec.outside == "base" else 2.5)
    torch.testing.assert_close(finer(x), layer(x), atol=1e-8, rtol=1e-8)
    cell = float((layer.domain[1] - layer.domain[0]).max()) / layer.grid
    if layer.spec.base != "silu":
        torch.testing.assert_close(edge_strengths(finer), edge_strengths(layer), atol=1e-8, rtol=1e-8)
    elif cell <= 20:  # silu is no polynomial: its bend is resolved in cells that are not much wider than it
        torch.testing.assert_close(edge_strengths(finer), edge_strengths(layer), atol=1e-3, rtol=1e-3)


@given(layers(), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_spline_planes_sum_to_one_on_the_domain(made, extra):
    layer, source = made
    x = points(layer, source, 20 + extra, reach=0.0)
    total = layer.basis(x)[:, :-1].sum(1)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-9, rtol=0)


@given(layers(base="zero"), st.floats(0.01, 100), st.floats(-100, 100))
@settings(max_examples=40, deadline=None)
def test_an_affine_change_of_units_moves_with_the_domain(made, scale, shift):
    layer, source = made
    x = points(layer, source, 20)
    want, strengths = layer(x), edge_strengths(layer)
    lo, hi = layer.domain
    layer.set_domain(scale * lo + shift, scale * hi + shift)
    torch.testing.assert_close(layer(scale * x + shift), want, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(edge_strengths(layer), strengths, atol=1e-6, rtol=1e-6)


@given(layers(outside="linear"))
@settings(max_examples=30, deadline=None)
def test_linear_continuation_is_straight(made):
    layer, source = made
    lo, hi = layer.domain
    far = points(layer, source, 1)[0].abs() + 1
    for end, away in ((lo, -far), (hi, far)):
        line = layer.edges(torch.stack([end + s * away for s in (1.0, 2.0, 3.0)]), part="spline")
        second = line[0] - 2 * line[1] + line[2]
        assert second.abs().max() <= 1e-7 * (1 + line.abs().max())
