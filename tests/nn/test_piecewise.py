"""An edge as polynomials is the edge, as numbers and as an expression."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.adapters import as_view
from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.core.families import FAMILIES
from kaninterp.core.piecewise import PiecewiseEdge
from kaninterp.nn import KANHead, KANLayer, piecewise, with_formulas

OUTSIDES = ["clamp", "linear", "base"]


def made(seed=0, **options):
    options = {"noise": 1.0, "dtype": torch.float64, **options}
    layer = KANLayer(2, 2, generator=torch.Generator().manual_seed(seed), **options)
    if not options.get("uniform", True):
        layer.train()(torch.randn(60, 2, generator=torch.Generator().manual_seed(seed + 1), dtype=layer.weight.dtype))
    return layer.eval()


@given(
    order=st.integers(1, 5), grid=st.integers(1, 9), outside=st.sampled_from(OUTSIDES), uniform=st.booleans(),
    base=st.sampled_from(["silu", "identity", "zero"]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_it_is_the_edge(order, grid, outside, uniform, base, seed):
    domain = (-1.3, 2.1) if uniform else None
    layer = made(seed, order=order, grid=grid, outside=outside, uniform=uniform, base=base, domain=domain)
    lo, hi = layer.domain[:, 1].tolist()
    x = np.concatenate((np.linspace(lo - 2 * (hi - lo), hi + 2 * (hi - lo), 301), [lo, hi]))
    wanted = layer.edges(torch.tensor(x)[:, None].expand(-1, 2)).detach().numpy()[:, :, 1]
    for dst in range(2):
        found = piecewise(layer, dst, 1)
        size = max(1.0, np.abs(wanted).max())
        np.testing.assert_allclose(found(x), wanted[:, dst], atol=1e-10 * size, rtol=0)


@pytest.mark.parametrize("outside", OUTSIDES)
@pytest.mark.parametrize("base", ["silu", "identity", "zero"])
def test_the_expression_is_the_edge(outside, base):
    sympy = pytest.importorskip("sympy")
    layer = made(3, outside=outside, base=base, domain=(-1.0, 2.0))
    found = piecewise(layer, 1, 0)
    x = sympy.Symbol("u", real=True)
    expression = found.to_sympy(x)
    assert expression.free_symbols == {x}
    assert expression.has(sympy.Piecewise)
    for value in (-4.0, -1.7, -1.0, -0.3, 0.0, 0.81, 1.99, 2.0, 3.1, 9.0):
        assert float(expression.subs(x, value)) == pytest.approx(float(found(np.array(value))), abs=1e-10)


def test_powers_are_the_same_polynomials():
    found = piecewise(made(5, domain=(-1.0, 2.0), outside="linear"), 0, 1)
    x = np.linspace(-3, 4, 57)
    piece = np.searchsorted(found.knots, x, side="right")
    values = (found.powers()[piece] * x[:, None] ** np.arange(found.order + 1)).sum(1)
    np.testing.assert_allclose(values, found.polynomial(x), atol=1e-11)


def test_a_float32_layer_in_float64():
    layer = made(1, dtype=torch.float32, domain=(-1.0, 2.0))
    x = np.linspace(-2, 3, 101)
    exact = layer.double().edges(torch.tensor(x)[:, None].expand(-1, 2)).detach().numpy()[:, 0, 0]
    np.testing.assert_allclose(piecewise(layer.float(), 0, 0)(x), exact, atol=1e-10)


def test_a_view_will_do_and_a_masked_edge_is_zero():
    head = KANHead(2, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    head.kan_layers[0].set_mask(torch.tensor([[1, 0]]))
    view = as_view(head).layers[0]
    assert piecewise(view, 0, 0).coefficients.any()
    gone = piecewise(view, 0, 1)
    assert not gone(np.linspace(-2, 2, 20)).any()
    assert gone.to_sympy() == 0


def test_what_it_refuses():
    head = KANHead(2, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    sine = EdgeFormula(family=FAMILIES["sin"], a=2, b=0, c=1, d=0)
    with pytest.raises(InputError, match=r"formula 1 sin\(2 x"):
        piecewise(with_formulas(head, {(0, 0, 1): sine}).kan_layers[0], 0, 1)
    with pytest.raises(InputError, match="dst 0 to 0 and src 0 to 1"):
        piecewise(head.kan_layers[0], 0, 2)
    with pytest.raises(InputTypeError, match="Linear"):
        piecewise(torch.nn.Linear(1, 1), 0, 0)
    with pytest.raises(InputError, match="increasing"):
        PiecewiseEdge(knots=[1, 0], coefficients=[[0], [0], [0]], base="zero", base_weight=0)
    with pytest.raises(InputError, match=r"order \+ 1"):
        PiecewiseEdge(knots=[0, 1], coefficients=[[0]], base="zero", base_weight=0)
