"""Domains that follow their inputs: when they move, when they must not, and that the function stays."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from kaninterp import KANHead
from kaninterp.core.errors import DataError, InputError
from kaninterp.nn.decayed import BINS, count, gaps, rebinned
from kaninterp.nn.files import load_head, save_head
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.moves import TOLERANCE, move_operators
from kaninterp.nn.planes import SplineSpec
from kaninterp.nn.surgery import prune_head


def _layer(seed=0, n_in=2, n_out=2, **options):
    generator = torch.Generator().manual_seed(seed)
    return KANLayer(n_in, n_out, moving_domain=True, generator=generator, **options)


def _written(layer):
    """What an optimiser's step leaves behind, without a change."""
    with torch.no_grad():
        layer.weight.mul_(1.0)


def _passes(layer, batches):
    with torch.no_grad():
        for x in batches:
            layer(x)
            _written(layer)


def _drifting(steps, width=2, seed=1, speed=0.05, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(64, width, generator=generator).to(dtype) + speed * step for step in range(steps)]


def test_off_by_default():
    layer = KANLayer(2, 2)
    first, *rest = _drifting(20)
    _passes(layer, [first])
    before = layer.domain
    _passes(layer, rest)
    assert torch.equal(layer.domain, before)
    assert KANHead(2, 1).config["moving_domain"] is False


@pytest.mark.parametrize("make", [KANLayer, KANHead])
def test_what_the_option_refuses(make):
    with pytest.raises(InputError, match="moving_domain='yes'; allowed: True"):
        make(2, 1, moving_domain="yes")
    with pytest.raises(InputError, match="uniform=True"):
        make(2, 1, moving_domain=True, uniform=False)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shift=st.floats(-1, 1),
    scale=st.floats(0.9, 1.1),
    outside=st.sampled_from(["clamp", "base", "linear"]),
    grid=st.integers(1, 8),
    order=st.integers(1, 5),
    double=st.booleans(),
)
def test_a_move_keeps_the_function_and_the_loss(seed, shift, scale, outside, grid, order, double):
    dtype = torch.float64 if double else torch.float32
    generator = torch.Generator().manual_seed(seed)
    layer = _layer(seed, outside=outside, grid=grid, order=order, noise=1.0, dtype=dtype)
    target = torch.randn(64, 2, generator=generator, dtype=dtype)
    for step in range(25):
        x = torch.randn(64, 2, generator=generator, dtype=dtype) * scale**step + shift * step
        if step:
            with torch.no_grad():
                before = layer.eval()(x)
                after = layer.train()(x)
            change = (after - before).square().mean(0).sqrt()
            rounding = 4e-6 * before.abs().amax()
            assert bool((change <= TOLERANCE * before.std(0, correction=0) + rounding).all())
            loss = F.mse_loss(before, target)
            assert float(abs(F.mse_loss(after, target) - loss) / loss) < 1e-3
        _passes(layer, [x])
    assert bool(layer.weight.isfinite().all())
    assert bool((layer.knots.diff(dim=1) > 0).all())


@settings(deadline=None)
@given(
    grid=st.integers(1, 9), order=st.integers(1, 5), outside=st.sampled_from(["clamp", "base", "linear"]),
    cells=st.sampled_from([-1, 1]),
)  # fmt: skip
def test_a_whole_cell_is_exact_where_the_domains_overlap(grid, order, outside, cells):
    spec = SplineSpec(grid=grid, order=order, outside=outside, base="zero", uniform=True)
    ends = torch.full((2, 1), float(cells))
    operator = move_operators(spec, ends, torch.ones(1, 3 * grid * BINS + 2))[0]
    old = KANLayer(1, 1, grid=grid, order=order, outside=outside, base="zero", noise=1.0, dtype=torch.float64)
    old.set_domain(0.0, grid)
    new = copy.deepcopy(old)
    new.set_domain(cells, grid + cells)
    with torch.no_grad():
        new.weight[0, :-1, 0] = operator @ old.weight[0, :-1, 0]
    x = torch.linspace(max(0, cells), grid + min(0, cells), 101, dtype=torch.float64)[:, None]
    torch.testing.assert_close(new.eval()(x), old.eval()(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("outside", "slope"), [("clamp", 0.0), ("linear", 0.7)])
@pytest.mark.parametrize("cells", [-1, 1])
def test_a_whole_cell_carries_a_line_on(outside, slope, cells):
    spec = SplineSpec(grid=4, order=3, outside=outside, base="zero", uniform=True)
    line = 2.0 + slope * torch.arange(7, dtype=torch.float64)
    after = move_operators(spec, torch.full((2, 1), float(cells)), torch.ones(1, 12 * BINS + 2))[0] @ line
    torch.testing.assert_close(after, line + slope * cells)


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("foreach", [True, False])
def test_domains_follow_a_mean_that_wanders(optimiser, foreach):
    layer = _layer()
    optimiser = optimiser(layer.parameters(), 1e-3, foreach=foreach)
    batches = _drifting(800, speed=0.005)
    layer(batches[0])
    began = layer.domain
    for x in batches:
        optimiser.zero_grad()
        layer(x).square().mean().backward()
        optimiser.step()
    assert layer._mover.moves > 0
    used = torch.cat(batches[-20:])
    outside = ((used < layer.domain[0]) | (used > layer.domain[1])).float().mean(0)
    assert bool((outside < 0.02).all())
    assert bool((layer.domain > began + 1.5).all())  # the mean went by four


def test_a_growing_spread_is_followed():
    layer = _layer()
    generator = torch.Generator().manual_seed(1)
    _passes(layer, [torch.randn(64, 2, generator=generator)])
    width = layer.domain.diff(dim=0)
    _passes(layer, [torch.randn(64, 2, generator=generator) * (1 + step / 400) for step in range(1600)])
    assert bool((layer.domain.diff(dim=0) > 1.05 * width).all())


def test_a_domain_far_too_wide_narrows_and_one_outlier_moves_nothing():
    layer = _layer(domain=(-10.0, 10.0))
    _passes(layer, _drifting(300, speed=0.0))
    assert bool((layer.domain[1] - layer.domain[0] < 20).all())
    still = _layer(domain=(-2.0, 2.0))
    batches = [x.clamp(-1.5, 1.5) for x in _drifting(60, speed=0.0)]
    batches[23][0, 0] = 1e6
    _passes(still, batches)
    assert torch.equal(still.domain, torch.tensor([[-2.0, -2.0], [2.0, 2.0]]))


def test_nothing_moves_without_a_step():
    layer = _layer()
    batches = _drifting(40, speed=0.5)
    layer(batches[0])
    domain, weight = layer.domain, layer.weight.detach().clone()
    with torch.no_grad():
        for x in batches:
            layer(x)
    assert torch.equal(layer.domain, domain)
    assert torch.equal(layer.weight, weight)
    layer.eval()
    _passes(layer, batches)
    assert layer._mover.moves == 0


def test_accumulated_gradients_are_those_of_the_function_at_hand():
    """Many batches between two steps: whichever of them is looked at, none may move the domain."""
    layer = _layer()
    _passes(layer, _drifting(100))
    batches = _drifting(12, seed=5, speed=0.5)
    layer(batches[0])
    frozen = copy.deepcopy(layer)
    frozen._mover = None
    moves = layer._mover.moves
    for net in (layer, frozen):
        net.zero_grad()
        sum(net(x).square().mean() for x in batches).backward()
    assert layer._mover.moves == moves
    assert torch.equal(layer.weight.grad, frozen.weight.grad)


def test_checkpointing_sees_one_function():
    layer = _layer()
    for x in _drifting(200, speed=0.02):
        x.requires_grad_()
        layer.zero_grad()
        checkpoint(layer, x, use_reentrant=False).square().mean().backward()
        check = copy.deepcopy(layer)
        check._mover = None
        check.zero_grad()
        check(x.detach()).square().mean().backward()
        torch.testing.assert_close(layer.weight.grad, check.weight.grad)
        _written(layer)
    assert layer._mover.moves > 0


@pytest.mark.parametrize("value", [0.0, 7.0, 1e-40, 1e15, -1e30])
@pytest.mark.parametrize("rows", [1, 64])
def test_constant_inputs_never_give_nan(value, rows):
    layer = _layer()
    _passes(layer, [torch.full((rows, 2), value)] * 30)
    assert bool(layer.weight.isfinite().all())
    assert bool(layer.knots.isfinite().all())
    assert layer._mover.moves == 0


def test_far_leaps_and_huge_values_stay_finite():
    layer = _layer()
    for scale in (1.0, 1e-3, 1e3, 1e30):
        _passes(layer, [x * scale for x in _drifting(30)])
    assert bool(layer.weight.isfinite().all())
    assert bool((layer.knots.diff(dim=1) > 0).all())


def test_bad_rows_and_dead_nodes():
    with pytest.raises(DataError, match="NaN or infinite"):
        _layer()(torch.tensor([[float("inf"), 0.0]]))
    layer = _layer()
    layer.set_mask(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    batches = _drifting(80)
    for step in (31, 32, 33):
        batches[step] = batches[step].index_fill(0, torch.tensor([0]), float("nan"))
    _passes(layer, batches)
    assert bool(layer.weight.isfinite().all())
    assert bool(layer.knots.isfinite().all())
    assert layer._mover.moves > 0


def test_autocast_and_functional_transforms():
    layer = _layer()
    with torch.autocast("cpu", torch.bfloat16):
        _passes(layer, _drifting(60))
    assert layer._mover.moves > 0
    moves = layer._mover.moves
    for x in _drifting(8):
        _written(layer)
        torch.func.jacrev(lambda w, x=x: torch.func.functional_call(layer, {"weight": w}, (x,)))(layer.weight)
    assert layer._mover.moves == moves


def test_the_option_survives(tmp_path):
    head = KANHead(3, 1, (4,), moving_domain=True, generator=torch.Generator().manual_seed(0))
    for x in _drifting(60, width=3):
        head(x).sum().backward()
        for layer in head.kan_layers:
            _written(layer)
    assert sum(layer._mover.moves for layer in head.kan_layers) > 0
    save_head(head, tmp_path / "head.safetensors")
    keep = [torch.ones(4, 3, dtype=torch.bool).numpy(), torch.tensor([[1, 0, 1, 1]], dtype=torch.bool).numpy()]
    for new in (
        load_head(tmp_path / "head.safetensors"), head.refine(10), prune_head(head, keep)[0], copy.deepcopy(head),
        KANHead(**head.config),
    ):  # fmt: skip
        assert new.config["moving_domain"] is True
        assert all(layer.moving_domain and layer._mover is not None for layer in new.kan_layers)
    x = _drifting(1, width=3)[0]
    other = KANHead(**head.config)
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.eval()(x), head.eval()(x))
    assert set(KANHead(3, 1).state_dict()) == set(KANHead(3, 1, moving_domain=True).state_dict())


def test_a_move_knows_what_was_never_trained():
    layer = _layer()
    layer.weight.requires_grad_(False)
    _passes(layer, _drifting(80))
    assert layer._mover.moves > 0
    assert bool(layer.untouched.all())


def test_a_domain_set_by_hand_starts_the_histogram_anew():
    layer = _layer()
    _passes(layer, _drifting(40, speed=0.0))
    old = layer._mover.shares.clone()
    layer.set_domain(-50.0, 50.0)
    _passes(layer, _drifting(4, speed=0.0))
    assert float(old.sum()) > 2 * float(layer._mover.shares.sum())


def test_a_histogram_counts_and_knows_the_room():
    x = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1] = x[:, 1] * 0.2 + 0.4
    x[:, 2] += 0.5
    shares = count(x, torch.zeros(3), torch.full((3,), 5.0), grid=5)
    assert torch.allclose(shares.sum(1), torch.ones(3))
    expected = torch.histogram(x[:, 0], 5 * BINS, range=(0.0, 1.0)).hist / 1000
    torch.testing.assert_close(shares[0, 1 + 5 * BINS : 1 + 10 * BINS], expected)
    torch.testing.assert_close(
        gaps(shares, 5, tail=1e-3), torch.tensor([[0.0, 2.0, 2.5], [0.0, 2.0, -2.5]]), atol=1 / BINS, rtol=0
    )
    moved = rebinned(shares, torch.tensor([[0.0, 1.0, -1.0]] * 2), grid=5)
    torch.testing.assert_close(
        gaps(moved, 5, tail=1e-3), torch.tensor([[0.0, 1.0, 3.5], [0.0, 3.0, -3.5]]), atol=1 / BINS, rtol=0
    )


def test_a_compiled_layer_computes_the_same_and_does_not_move():
    layer = _layer(domain=(-1.0, 1.0))
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    for x in _drifting(9, speed=1.0):
        torch.testing.assert_close(compiled(x), copy.deepcopy(layer).eval()(x))
        _written(layer)
    assert layer._mover.moves == 0
