"""Penalties against dense integration, and their gradients where norms have kinks."""

from __future__ import annotations

import math

import pytest
import torch

from kaninterp.nn.layer import KANLayer
from kaninterp.nn.penalty import edge_roughness, edge_strengths, layer_penalty, node_strengths, strength_entropy

F64 = torch.float64


def made(n_in=3, n_out=4, **options):
    options = {"dtype": F64, "noise": 1.0, "domain": (torch.tensor([-1.0, 0.0, 5.0]), 7.0), **options}
    return KANLayer(n_in, n_out, generator=torch.Generator().manual_seed(0), **options).eval()


def integrated_strengths(layer, points=200_001):
    """Standard deviation of every edge over evenly spaced points of its domain."""
    part = (torch.arange(points, dtype=F64) + 0.5) / points
    x = torch.lerp(layer.domain[0], layer.domain[1], part.unsqueeze(1))
    return layer.edges(x).std(dim=0, correction=0)


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("order", [1, 3, 5])
def test_strength_is_the_standard_deviation_on_the_domain(order, uniform):
    layer = made(order=order, uniform=uniform)
    if not uniform:
        layer.calibrated.fill_(False)
        layer._sync_flags()
        layer.train()(torch.randn(100, 3, dtype=F64, generator=torch.Generator().manual_seed(1)) ** 3)
    torch.testing.assert_close(edge_strengths(layer), integrated_strengths(layer), atol=1e-6, rtol=1e-6)


def test_gram_is_centred_and_follows_the_domain():
    layer = made()
    first = layer.gram()
    assert layer.gram() is first, "computed once per domain"
    torch.testing.assert_close(layer.gram_root() @ layer.gram_root().mT, first)
    constant = torch.ones(8, dtype=F64)
    assert (first[:, :-1, :-1] @ constant).abs().max() < 1e-12
    layer.set_domain(-3.0, 3.0)
    torch.testing.assert_close(edge_strengths(layer), integrated_strengths(layer), atol=1e-6, rtol=1e-6)
    layer.update(-2.0, 3.0)
    torch.testing.assert_close(edge_strengths(layer), integrated_strengths(layer), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("width", [30.0, 300.0, 3000.0])
def test_silu_in_cells_wider_than_its_bend(width):
    layer = made(domain=(-0.37 * width, 0.63 * width), noise=0.0)
    got, want = edge_strengths(layer), integrated_strengths(layer)
    torch.testing.assert_close(got, want, rtol=1e-3, atol=0)


def test_float32_strength_of_a_constant_edge_on_a_distant_domain_is_zero():
    layer = made(dtype=torch.float32, noise=0.0, domain=(1e4, 1e4 + 1))
    with torch.no_grad():
        layer.weight.zero_()
        layer.coef.fill_(3.0)
    strengths = edge_strengths(layer)
    assert strengths.max() < 3e-6
    assert strengths.isfinite().all()


def test_zero_and_masked_edges_have_zero_strength_and_gradient():
    layer = made()
    layer.set_mask(torch.tensor([[1, 1, 0]] * 4))
    with torch.no_grad():
        layer.weight[1, :, 0] = 0.0
    strengths = edge_strengths(layer)
    assert strengths[1, 0] == 0
    assert (strengths[:, 2] == 0).all()
    total = layer_penalty(layer, entropy=2.0, smooth=0.1, src=0.5, dst=0.5)
    total.backward()
    assert layer.weight.grad.isfinite().all()
    assert (layer.weight.grad[:, :, 2] == 0).all()


@pytest.mark.parametrize("all_masked", [True, False])
def test_a_layer_of_nothing_has_penalty_zero_and_finite_gradients(all_masked):
    layer = made()
    if all_masked:
        layer.set_mask(torch.zeros(4, 3))
    else:
        layer.weight.data.zero_()
    total = layer_penalty(layer, smooth=1.0, src=1.0, dst=1.0)
    assert total == 0
    total.backward()
    assert layer.weight.grad.isfinite().all()


def test_gradient_of_the_penalty():
    layer = made(2, 2, domain=(-1.0, 2.0), grid=2)

    def penalty(weight):
        return torch.func.functional_call(Penalised(layer), {"layer.weight": weight}, ())

    assert torch.autograd.gradcheck(penalty, [layer.weight.detach().clone().requires_grad_()])


class Penalised(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self):
        return layer_penalty(self.layer, edge=0.7, entropy=1.3, smooth=0.2, src=0.4, dst=0.1)


def test_entropy():
    assert strength_entropy(torch.ones(3, 5)).item() == pytest.approx(math.log(15))
    assert strength_entropy(torch.tensor([[4.0, 0.0]])).item() == 0
    assert strength_entropy(torch.zeros(2, 2)).item() == 0
    strengths = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(strength_entropy(strengths), strength_entropy(1e3 * strengths))


def test_node_strengths_are_group_norms():
    strengths = torch.tensor([[3.0, 0.0], [4.0, 0.0]])
    src, dst = node_strengths(strengths)
    assert src.tolist() == [5.0, 0.0]
    assert dst.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("uniform", [True, False])
def test_lines_are_smooth_on_any_knots_and_units_do_not_matter(uniform):
    layer = made(uniform=uniform)
    if not uniform:
        layer.knots[:, 1:-1] += 0.3 * (layer.knots[:, 1:2] - layer.knots[:, :1])
        layer._domain_changed()
    from kaninterp.nn.domain import greville

    layer.coef.data.copy_((2 * greville(layer.knots, layer.order).t() + 1).unsqueeze(1))
    assert edge_roughness(layer).abs().max() < 1e-18
    layer.coef.data.normal_(generator=torch.Generator().manual_seed(3))
    before = edge_roughness(layer)
    lo, hi = layer.domain.clone()
    layer.set_domain(1000 * lo, 1000 * hi)
    torch.testing.assert_close(edge_roughness(layer), before)


def test_roughness_of_too_few_coefficients():
    assert (edge_roughness(made(grid=1, order=1)) == 0).all()


def test_terms_add_up():
    layer = made()
    strengths = edge_strengths(layer)
    src, dst = node_strengths(strengths)
    want = (
        0.5 * strengths.sum()
        + 2 * strength_entropy(strengths)
        + 0.1 * edge_roughness(layer).sum()
        + 3 * src.sum()
        + 4 * dst.sum()
    )
    torch.testing.assert_close(layer_penalty(layer, edge=0.5, entropy=2, smooth=0.1, src=3, dst=4), want)
