"""KANLayer: its laws, its domain, its options, what it refuses."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from kaninterp.core.errors import DataError, InputError, InputTypeError, ShapeError, StateError
from kaninterp.nn.domain import DOMAIN_MARGIN
from kaninterp.nn.layer import KANLayer

F64 = torch.float64
OUTSIDE = ("base", "linear", "clamp")


def draw(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def made(n_in=3, n_out=4, *, dtype=F64, calibrate=True, **options):
    layer = KANLayer(n_in, n_out, dtype=dtype, generator=torch.Generator().manual_seed(1), **options)
    with torch.no_grad():
        layer.bias.copy_(draw(n_out, seed=2))
        layer.coef.copy_(draw(*layer.coef.shape, seed=3))
    if calibrate:
        layer(draw(200, n_in, dtype=dtype))
    return layer.eval()


@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (F64, 1e-10)])
@pytest.mark.parametrize("rows", [7, 3000])
def test_additivity(outside, uniform, dtype, atol, rows):
    layer = made(outside=outside, uniform=uniform, dtype=dtype)
    layer.set_mask(torch.tensor([[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0]]))
    x = draw(rows, 3, seed=5, dtype=dtype) * 2
    torch.testing.assert_close(layer.edges(x).sum(-1) + layer.bias, layer(x), atol=atol, rtol=atol)
    parts = layer.edges(x, part="spline") + layer.edges(x, part="base")
    torch.testing.assert_close(parts, layer.edges(x), atol=atol, rtol=atol)


def test_views_and_shapes():
    layer = made(grid=4, order=2)
    assert layer.weight.shape == (4, 7, 3)
    assert layer.weight.is_contiguous()
    assert layer.coef.shape == (6, 4, 3)
    assert layer.base_weight.shape == (4, 3)
    assert layer.knots.shape == (3, 5)
    assert layer.domain.shape == (2, 3)
    assert layer.basis(draw(5, 3)).shape == (5, 7, 3)
    assert layer.edges(draw(5, 3)).shape == (5, 4, 3)
    layer.coef.data[1, 2, 0] = 9.0
    assert layer.weight[2, 1, 0] == 9.0
    for shape in ((3,), (2, 3), (2, 5, 3), (0, 3), (4, 0, 3)):
        assert layer(draw(*shape)).shape == (*shape[:-1], 4)


def test_float64_points_give_float64_edges():
    layer = made(dtype=torch.float32)
    assert layer.edges(draw(2, 3)).dtype == F64
    assert layer.basis(draw(2, 3)).dtype == F64


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("order", range(1, 6))
@pytest.mark.parametrize("outside", OUTSIDE)
def test_continuous_everywhere_and_right_at_the_ends(outside, order, uniform):
    layer = made(2, 1, outside=outside, order=order, uniform=uniform, base="zero")
    (lo, hi), step = layer.domain, 1e-7
    cell = (hi - lo) / layer.grid
    for at in (lo, hi, lo - order * cell, hi + order * cell):
        before, after = layer.edges(torch.stack((at - step, at + step)))
        torch.testing.assert_close(before, after, atol=1e-4, rtol=0)
    far = torch.stack((lo - 100 * cell, lo - 99 * cell, hi + 99 * cell, hi + 100 * cell))
    values = layer.edges(far)[:, 0]
    ends = layer.edges(layer.domain)[:, 0]
    if outside == "base":
        assert (values == 0).all()
    elif outside == "clamp":
        torch.testing.assert_close(values, ends.repeat_interleave(2, 0))
    else:
        inner = torch.stack((lo + step * cell, hi - step * cell))
        slopes = (layer.edges(inner)[:, 0] - ends) / (inner - layer.domain)
        torch.testing.assert_close(values[0], ends[0] - 100 * cell * slopes[0], atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(values[3], ends[1] + 100 * cell * slopes[1], atol=1e-3, rtol=1e-4)


def test_base_branch_sees_the_true_input():
    layer = made(outside="clamp")
    x = torch.full((1, 3), 50.0, dtype=F64)
    torch.testing.assert_close(layer.edges(x, part="base")[0], layer.base_weight * 50.0)


# --- the domain ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uniform", [True, False])
def test_first_training_batch_sets_the_domain(uniform):
    layer = made(calibrate=False, uniform=uniform)
    x = draw(50, 3) * 4 + 1
    layer(x)
    assert torch.equal(layer.domain, torch.tensor([[-1.0] * 3, [1.0] * 3], dtype=F64)), "eval leaves it alone"
    assert not layer.calibrated
    layer.train()(x)
    assert layer.calibrated
    width = x.amax(0) - x.amin(0)
    torch.testing.assert_close(layer.domain[0], x.amin(0) - DOMAIN_MARGIN * width)
    torch.testing.assert_close(layer.domain[1], x.amax(0) + DOMAIN_MARGIN * width)
    before = layer.knots.clone()
    layer(x * 10)
    assert torch.equal(layer.knots, before), "only the first batch does"
    torch.testing.assert_close(layer.seen, torch.stack((x.amin(0).minimum((x * 10).amin(0)), (x * 10).amax(0))))


@pytest.mark.parametrize("x", [torch.zeros(40, 3), torch.ones(1, 3), torch.tensor([[0.0, 1.0, 7e4]] * 9)])
@pytest.mark.parametrize("uniform", [True, False])
def test_constant_columns_and_single_rows_train_without_nan(x, uniform):
    layer = made(dtype=torch.float32, uniform=uniform, calibrate=False).train()
    x.requires_grad_()
    for change in (lambda: None, layer.update, lambda: layer.update(-1.0, 1.0)):
        change()
        layer.zero_grad()
        out = layer(x)
        out.square().sum().backward()
        assert out.isfinite().all()
        assert all(p.grad.isfinite().all() for p in layer.parameters())
        assert x.grad.isfinite().all()
    assert layer.refine(10)(x).isfinite().all()


def test_given_domain_is_kept():
    layer = KANLayer(2, 1, domain=(0.0, torch.tensor([1.0, 5.0])))
    layer(torch.full((3, 2), 9.0))
    assert layer.domain.tolist() == [[0.0, 0.0], [1.0, 5.0]]


@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("order", range(1, 6))
def test_refining_to_a_multiple_is_exact(outside, uniform, order):
    layer = made(outside=outside, uniform=uniform, order=order)
    layer.set_mask(torch.tensor([[1, 0, 1]] * 4))
    finer = layer.refine(3 * layer.grid)
    x = torch.lerp(layer.domain[0], layer.domain[1], torch.rand(200, 1, dtype=F64))
    if outside != "base":  # the fringe is finer too, so fading differs; the other two agree everywhere
        x = torch.cat((x, x * 5))
    torch.testing.assert_close(finer(x), layer(x), atol=1e-10, rtol=1e-10)
    assert finer.grid == 15
    assert torch.equal(finer.mask, layer.mask)
    assert torch.equal(finer.domain, layer.domain)


def test_refining_approximates_otherwise_and_leaves_the_old_one():
    layer = made(grid=7)
    before = copy.deepcopy(layer.state_dict())
    rng = torch.random.get_rng_state()
    finer = layer.refine(60)
    assert torch.equal(torch.random.get_rng_state(), rng)
    x = torch.lerp(layer.domain[0], layer.domain[1], torch.rand(200, 1, dtype=F64))
    assert (finer(x) - layer(x)).abs().max() < 1e-2 * layer(x).std()
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())
    assert finer.weight.data_ptr() != layer.weight.data_ptr()


@pytest.mark.parametrize("outside", ["linear", "clamp"])
def test_update_keeps_the_function(outside):
    """Extending by whole cells on both sides nests the knots: exact; else close on the new domain."""
    layer = made(outside=outside, grid=4, order=1 if outside == "clamp" else 3)
    layer.set_domain(-1.0, 1.0)
    x = torch.linspace(-1, 1, 400, dtype=F64).unsqueeze(1).expand(-1, 3)
    want = layer(x)
    layer.update(-1.0, 0.0)  # half of the domain on as many cells: nested
    half = x[:, 0] <= 0
    torch.testing.assert_close(layer(x[half]), want[half], atol=1e-10, rtol=1e-10)


def test_update_without_a_range_takes_what_training_saw():
    layer = made()
    with pytest.raises(StateError, match="update"):
        made(calibrate=False).update()
    layer.train()(draw(50, 3) * 3)
    lo, hi = layer.seen.clone()
    layer.update()
    assert (layer.domain[0] <= lo).all()
    assert (layer.domain[1] >= hi).all()
    assert not layer.seen.isfinite().any(), "the range starts anew"


def test_update_is_robust_to_degenerate_data():
    layer = made(dtype=torch.float32).train()
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1], x[:, 2] = 5.0, x[:, 0]  # constant, duplicated
    layer(x)
    layer.update()
    assert layer.weight.isfinite().all()
    assert layer(x).isfinite().all()


# --- masks, states, moves --------------------------------------------------------------------------------------


def test_masked_edges_are_silent_and_get_no_gradient():
    layer = made()
    mask = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    layer.set_mask(mask)
    x = draw(10, 3)
    assert (layer.edges(x)[:, ~mask] == 0).all()
    moved = x.clone()
    moved[:, 1] += 1e6
    assert torch.equal(layer(x)[:, :2], layer(moved)[:, :2])
    layer(x).square().sum().backward()
    assert (layer.weight.grad.permute(0, 2, 1)[~mask] == 0).all()
    layer.set_mask(torch.ones(4, 3))
    assert layer.masked_weight() is layer.weight, "an unpruned layer pays nothing"


def test_state_dict_round_trip_syncs_everything():
    layer = made()
    layer.set_mask(torch.tensor([[1, 0, 1]] * 4))
    other = KANLayer(3, 4, dtype=F64, generator=torch.Generator().manual_seed(9))
    other.gram()
    other.load_state_dict(layer.state_dict())
    other.eval()
    x = draw(300, 3)
    assert torch.equal(other(x), layer(x))
    assert torch.equal(other.gram(), layer.gram())
    domain = other.domain
    other.train()(x * 9)
    assert torch.equal(other.domain, domain), "a loaded layer is calibrated"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(4, 9, 2)}, "weight has shape"),
        ({"knots": torch.zeros(3, 6)}, "increasing"),
        ({"knots": torch.tensor([[0.0, 1, 2, 3, 4, 9]] * 3)}, "equally spaced"),
        ({"knots": torch.full((3, 6), math.nan)}, "increasing"),
        ({"mask": torch.full((4, 3), 0.5)}, "0 and 1"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    layer = made()
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(RuntimeError, match=message):
        layer.load_state_dict({**made().state_dict(), "bias": torch.ones(4), **change})
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_copies_and_moves():
    layer = made(dtype=torch.float32)
    layer.gram()
    twin = copy.deepcopy(layer)
    x = draw(20, 3, dtype=torch.float32)
    assert torch.equal(twin(x), layer(x))
    twin.double()
    torch.testing.assert_close(twin(x.double()).float(), layer(x), atol=1e-5, rtol=1e-5)
    assert twin.gram().dtype == F64
    exact = twin.edges(x.double()).sum(-1) + twin.bias
    torch.testing.assert_close(twin(x.double()), exact, atol=1e-10, rtol=1e-10)
    half = copy.deepcopy(layer).bfloat16()
    assert half(x.bfloat16()).dtype == torch.bfloat16
    meta = KANLayer(3, 4, device="meta").eval()
    assert meta(torch.empty(5, 3, device="meta")).shape == (5, 4)


def test_autocast():
    layer = made(dtype=torch.float32)
    x = draw(64, 3, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(x)
        linear = nn.Linear(3, 4)(x)
        stacked = KANLayer(4, 2)(low)
    assert low.dtype == linear.dtype == stacked.dtype == torch.bfloat16
    assert (low.float() - layer(x)).abs().max() < 0.03 * layer(x).abs().max()


def test_per_sample_gradients_in_training_mode():
    layer = made().train()
    seen = layer.seen.clone()
    weights = {name: p.detach() for name, p in layer.named_parameters()}
    x = draw(5, 3, seed=4)

    def loss(parameters, row):
        return torch.func.functional_call(layer, parameters, (row,)).square().sum()

    grads = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, x * 100)
    assert torch.equal(seen, layer.seen), "transforms do not write to buffers"
    grads = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, x)
    layer.zero_grad()
    layer(x[:1]).square().sum().backward()
    torch.testing.assert_close(grads["weight"][0], layer.weight.grad)


@pytest.mark.parametrize("uniform", [True, False])
def test_compiled_equals_eager_in_training_and_eval(uniform):
    torch._dynamo.reset()
    layer = made(5, 6, dtype=torch.float32, calibrate=False, uniform=uniform)
    twin = copy.deepcopy(layer)
    fast = torch.compile(twin, fullgraph=True, backend="aot_eager")
    for mode, rows in ((True, 64), (True, 64), (False, 64), (True, 4096)):
        layer.train(mode)
        twin.train(mode)
        x = draw(rows, 5, seed=rows, dtype=torch.float32)
        want, got = layer(x), fast(x)
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
        layer.zero_grad()
        twin.zero_grad()
        want.square().sum().backward()
        got.square().sum().backward()
        torch.testing.assert_close(twin.weight.grad, layer.weight.grad, atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(twin.knots, layer.knots)
    torch.testing.assert_close(twin.seen, layer.seen)
    assert twin._calibrated


# --- options and refusals --------------------------------------------------------------------------------------


def test_generator_and_default_source():
    one = KANLayer(3, 4, generator=torch.Generator().manual_seed(5))
    state = torch.random.get_rng_state()
    two = KANLayer(3, 4, generator=torch.Generator().manual_seed(5))
    assert torch.equal(one.weight, two.weight)
    assert torch.equal(torch.random.get_rng_state(), state), "a given generator is the only source"
    KANLayer(3, 4)
    assert not torch.equal(torch.random.get_rng_state(), state)


def test_initial_scale():
    layer = KANLayer(400, 50, generator=torch.Generator().manual_seed(0))
    assert layer.coef.std().item() == pytest.approx(0.1 / 20, rel=0.05)
    assert layer.base_weight.abs().max() <= 1 / 20
    x = torch.rand(500, 400, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert 0.05 < layer(x).std() < 1.0


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"grid": 0}, "grid"),
        ({"grid": 2.0}, "grid"),
        ({"order": 0}, "order"),
        ({"order": 6}, "order"),
        ({"outside": "zero"}, "outside"),
        ({"base": "relu"}, "base"),
        ({"noise": -1.0}, "noise"),
        ({"noise": math.nan}, "noise"),
        ({"domain": (1.0, 1.0)}, "domain"),
        ({"domain": (0.0, math.inf)}, "domain"),
    ],
)
def test_options_out_of_range(options, name):
    with pytest.raises(InputError, match=name):
        KANLayer(3, 4, **options)


def test_sizes_and_domain_shapes():
    with pytest.raises(InputError, match="in_features"):
        KANLayer(-1, 4)
    with pytest.raises(ShapeError, match="domain"):
        KANLayer(3, 4, domain=(torch.zeros(2), torch.ones(2)))
    with pytest.raises(InputError, match="both ends"):
        made().update(lo=0.0)
    with pytest.raises(InputError, match="part"):
        made().edges(draw(2, 3), part="silu")


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(5, 4, dtype=F64), ShapeError, r"\(5, 4\)"),
        (torch.zeros((), dtype=F64), ShapeError, "shape"),
        (torch.zeros(5, 3, dtype=torch.long), InputTypeError, "int64"),
        (torch.zeros(5, 3), InputTypeError, "float32"),
        (torch.zeros(5, 3, dtype=F64, device="meta"), StateError, "meta"),
    ],
)
def test_inputs_that_do_not_fit(x, error, message):
    with pytest.raises(error, match=message):
        made()(x)


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(0, 3, dtype=F64),
        torch.tensor([[1.0, math.nan, 0.0]], dtype=F64),
        torch.full((2, 3), math.inf, dtype=F64),
    ],
)
def test_a_first_batch_that_cannot_set_the_domain(x):
    layer = made(calibrate=False).train()
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(DataError, match="first training batch"):
        layer(x)
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


@pytest.mark.parametrize("mask", [torch.ones(3, 4), torch.full((4, 3), 0.5)])
def test_masks_that_do_not_fit(mask):
    with pytest.raises(InputError, match="mask"):
        made().set_mask(mask)


def test_repr_names_options():
    layer = made()
    layer.set_mask(torch.tensor([[1, 0, 1]] * 4))
    assert repr(layer).startswith("KANLayer(3, 4, grid=5, order=3")
    assert "kept=8/12" in repr(layer)
