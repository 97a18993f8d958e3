"""Every way to compute a layer gives the same numbers: chunked, plain, compiled, general knots; and right gradients."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from kaninterp.nn import chunked, kernel, workspace
from kaninterp.nn.domain import uniform_knots
from kaninterp.nn.kernel import spline_linear
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.planes import SplineSpec, place, planes, slope_planes

ORDERS = range(1, 6)
OUTSIDE = ("base", "linear", "clamp")
N_IN, N_OUT = 3, 4
TORCH_INTERNALS = "ignore:.*torch.jit.*:DeprecationWarning"  # forward mode compiles its formulas so


@pytest.fixture(params=[True, False], ids=["uniform", "uneven"])
def uniform(request):
    return request.param


def problem(spec, n=40, dtype=torch.float64, seed=0):
    """Inputs that fill domain, fringe and dead zone, weights, bias, placement."""
    source = torch.Generator().manual_seed(seed)
    lo, hi = torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([1.0, 0.5, 7.0])
    knots = uniform_knots(lo.double(), hi.double(), spec.grid)
    if not spec.uniform:
        knots[:, 1:-1] += 0.3 * (knots[:, 1:2] - knots[:, :1]) * torch.rand(1, spec.grid - 1, generator=source)
    spread = torch.rand(n, N_IN, generator=source) * 5 - 2
    x = (lo + (hi - lo) * spread).to(dtype)
    weight = torch.randn(N_OUT, spec.size + 1, N_IN, generator=source).to(dtype)
    bias = torch.randn(N_OUT, generator=source).to(dtype)
    return x, weight, bias, place(knots.to(dtype), spec)


def spec_of(order=3, outside="linear", uniform=True, base="silu", grid=4):
    return SplineSpec(grid=grid, order=order, outside=outside, base=base, uniform=uniform)


@pytest.fixture
def always_chunks(monkeypatch):
    monkeypatch.setattr(kernel, "PLAIN_VALUES", -1)


def plain(x, weight, bias, spec, where):
    return F.linear(planes(x, spec, where).flatten(1), weight.flatten(1), bias)


@pytest.mark.parametrize(("order", "outside"), list(itertools.product(ORDERS, OUTSIDE)))
@pytest.mark.parametrize("base", ["silu", "identity", "zero"])
def test_chunks_equal_plain_operations(order, outside, base, uniform, always_chunks):
    spec = spec_of(order, outside, uniform, base)
    x, weight, bias, where = problem(spec, n=700)
    leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
    others = [t.clone().requires_grad_() for t in (x, weight, bias)]
    fast, slow = spline_linear(*leaves, spec, where), plain(*others, spec, where)
    assert fast.grad_fn is not None
    assert "SplineLinear" in fast.grad_fn.name(), "the test must take the chunked way"
    torch.testing.assert_close(fast, slow, atol=1e-11, rtol=1e-11)
    seed = torch.randn(slow.shape, dtype=slow.dtype, generator=torch.Generator().manual_seed(1))
    for got, want in zip(torch.autograd.grad(fast, leaves, seed), torch.autograd.grad(slow, others, seed), strict=True):
        torch.testing.assert_close(got, want, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("order", "outside"), list(itertools.product(ORDERS, OUTSIDE)))
def test_slopes_equal_autograd(order, outside, uniform):
    spec = spec_of(order, outside, uniform)
    x, _, _, where = problem(spec)
    slope = slope_planes(x, spec, where)
    for m in range(spec.size + 1):
        leaf = x.clone().requires_grad_()
        (want,) = torch.autograd.grad(planes(leaf, spec, where)[:, m].sum(), leaf)
        torch.testing.assert_close(slope[:, m], want, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("order", [2, 3, 5])
def test_gradcheck(order, outside, uniform, always_chunks):
    spec = spec_of(order, outside, uniform, grid=2)
    x, weight, bias, where = problem(spec, n=5)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    assert torch.autograd.gradcheck(lambda *t: spline_linear(*t, spec, where), leaves)


@pytest.mark.parametrize("outside", OUTSIDE)
def test_gradient_of_the_gradient(outside, uniform, always_chunks):
    spec = spec_of(3, outside, uniform, grid=2)
    x, weight, bias, where = problem(spec, n=3)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    assert torch.autograd.gradgradcheck(lambda *t: spline_linear(*t, spec, where), leaves)


@pytest.mark.parametrize("outside", OUTSIDE)
def test_large_inputs_take_several_chunks(outside):
    """Natural thresholds, float32, more rows than one chunk has."""
    spec = spec_of(outside=outside)
    x, weight, bias, where = problem(spec, n=100_000, dtype=torch.float32)
    assert x.shape[0] > 2 * chunked.CHUNK_VALUES // ((spec.size + 1) * N_IN)
    leaf = x.clone().requires_grad_()
    spline_linear(leaf, weight, bias, spec, where).sum().backward()
    wide = [t.double() for t in (x, weight, bias)]
    wide_leaf = wide[0].requires_grad_()
    exact = place(torch.stack((where.lo, where.hi), 1).double(), spec)
    result = plain(wide_leaf, *wide[1:], spec, exact)
    result.sum().backward()
    got = spline_linear(x, weight, bias, spec, where)
    torch.testing.assert_close(got.double(), result.detach(), atol=5e-5, rtol=1e-5)
    torch.testing.assert_close(leaf.grad.double(), wide_leaf.grad, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("wanted", [(True, False), (False, True), (True, True)])
def test_only_the_needed_gradients(wanted, always_chunks):
    spec = spec_of()
    x, weight, bias, where = problem(spec, n=20)
    x.requires_grad_(wanted[0])
    weight.requires_grad_(wanted[1])
    spline_linear(x, weight, bias, spec, where).sum().backward()
    assert (x.grad is not None, weight.grad is not None) == wanted


@pytest.mark.parametrize("n", [0, 1])
def test_empty_and_single_rows(n, uniform, always_chunks):
    spec = spec_of(uniform=uniform)
    x, weight, bias, where = problem(spec, n=n)
    weight.requires_grad_()
    out = spline_linear(x.requires_grad_(), weight, bias, spec, where)
    assert out.shape == (n, N_OUT)
    out.sum().backward()
    assert weight.grad.isfinite().all()
    assert x.grad.shape == (n, N_IN)


def test_nan_stays_nan_in_its_row_only(always_chunks):
    spec = spec_of()
    x, weight, bias, where = problem(spec, n=20)
    x[3, 1] = math.nan
    out = spline_linear(x, weight, bias, spec, where)
    assert out[3].isnan().all()
    assert out.isnan().any(1).sum() == 1


def test_kept_buffers_survive_inference_mode(always_chunks):
    spec = spec_of()
    x, weight, bias, where = problem(spec, n=33)
    workspace.kept.blocks.clear()
    workspace.kept.chunks.clear()
    with torch.inference_mode():
        first = spline_linear(x, weight, bias, spec, where).clone()
    torch.testing.assert_close(spline_linear(x, weight, bias, spec, where), first, atol=0, rtol=0)
    leaf = weight.clone().requires_grad_()
    spline_linear(x, leaf, bias, spec, where).sum().backward()
    assert leaf.grad.isfinite().all()


def test_a_thread_keeps_few_chunks_of_one_block(always_chunks):
    workspace.kept.blocks.clear()
    workspace.kept.chunks.clear()
    spec = spec_of()
    x, weight, bias, where = problem(spec, n=2 * workspace.KEPT_CHUNKS)
    for n in range(1, len(x) + 1):
        whole = spline_linear(x[:n], weight, bias, spec, where)
    torch.testing.assert_close(whole, plain(x, weight, bias, spec, where))
    assert 0 < len(workspace.kept.chunks) <= workspace.KEPT_CHUNKS
    (block,) = workspace.kept.blocks.values()
    inside = block.untyped_storage().data_ptr()
    assert {c.planes.untyped_storage().data_ptr() for c in workspace.kept.chunks.values()} == {inside}


@pytest.mark.filterwarnings(TORCH_INTERNALS)
def test_function_transforms(always_chunks):
    spec = spec_of()
    x, weight, bias, where = problem(spec, n=6)

    def row(r):
        return spline_linear(r.unsqueeze(0), weight, bias, spec, where)[0]

    jacobian = torch.func.vmap(torch.func.jacrev(row))(x)
    forwards = torch.func.vmap(torch.func.jacfwd(row))(x)
    torch.testing.assert_close(jacobian, forwards)
    leaf = x.clone().requires_grad_()
    (want,) = torch.autograd.grad(spline_linear(leaf, weight, bias, spec, where)[:, 2].sum(), leaf)
    torch.testing.assert_close(jacobian[:, 2], want)


@pytest.mark.filterwarnings(TORCH_INTERNALS)
def test_forward_mode(always_chunks):
    spec = spec_of()
    x, weight, bias, where = problem(spec, n=6)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        out = spline_linear(dual, weight, bias, spec, where)
        tangent = torch.autograd.forward_ad.unpack_dual(out).tangent
    step = 1e-6
    numeric = spline_linear(x + step, weight, bias, spec, where) - spline_linear(x - step, weight, bias, spec, where)
    torch.testing.assert_close(tangent, numeric / (2 * step), atol=1e-5, rtol=1e-5)


def test_autocast_keeps_the_planes_in_float32(always_chunks):
    spec = spec_of()
    x, weight, bias, where = problem(spec, n=64, dtype=torch.float32)
    exact = spline_linear(x, weight, bias, spec, where)
    with torch.autocast("cpu", torch.bfloat16):
        low = spline_linear(x, weight.requires_grad_(), bias, spec, where)
    assert low.dtype == torch.bfloat16
    assert (low.float() - exact).abs().max() < 0.02 * exact.abs().max()
    low.float().sum().backward()
    assert weight.grad.dtype == torch.float32


def test_retained_graph_and_checkpoint(always_chunks):
    spec = spec_of()
    x, weight, bias, where = problem(spec, n=50)
    weight.requires_grad_()
    out = spline_linear(x, weight, bias, spec, where).square().sum()
    out.backward(retain_graph=True)
    first = weight.grad.clone()
    out.backward()
    torch.testing.assert_close(weight.grad, 2 * first)
    weight.grad = None
    again = torch.utils.checkpoint.checkpoint(
        lambda t: spline_linear(t, weight, bias, spec, where), x.clone().requires_grad_(), use_reentrant=False
    )
    again.square().sum().backward()
    torch.testing.assert_close(weight.grad, first)


@pytest.mark.parametrize(("order", "grid"), list(itertools.product(ORDERS, (1, 16, 33))))
def test_any_grid_fits_into_the_blocks(order, grid, always_chunks):
    layer = KANLayer(2, 3, grid=grid, order=order, dtype=torch.float64).eval()
    x = torch.linspace(-1.5, 1.5, 60, dtype=torch.float64).reshape(30, 2)
    plain = torch.einsum("nmi,omi->no", layer.basis(x), layer.weight) + layer.bias
    torch.testing.assert_close(layer(x), plain, atol=1e-10, rtol=1e-10)
