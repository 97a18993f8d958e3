"""A narrowed module: the same function with its dropped columns held, which it does not read at all."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence

from kaninterp.core.errors import InputTypeError, ModelError, PlanError, ShapeError
from kaninterp.nn import narrow
from kaninterp.nn.readers import column_axis
from tests.raw_readers import READERS, WIDTH, draw, first, held_at, sample_for, state_of

KEPT = [(0, 3), (4,), tuple(range(WIDTH)), ()]
HUGE = torch.finfo(torch.float32).max


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kept", KEPT)
def test_narrow_holds_dropped_columns_at_the_fill(name, kept):
    module, fill = READERS[name](), draw(WIDTH, seed=1)
    x, axis = sample_for(module), column_axis(module)
    before = state_of(module)
    small = narrow(module, kept, fill)
    for new, values in ((small, fill), (narrow(module, kept), torch.zeros(WIDTH))):
        expected = first(module(held_at(x, values, kept, axis)))
        torch.testing.assert_close(first(new(x)), expected, atol=1e-6, rtol=1e-5)
    after = state_of(module)
    assert all(map(torch.equal, before[0], after[0]))
    assert before[1] == after[1]


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("value", [HUGE, -3.0, float("nan"), float("inf")])
@pytest.mark.parametrize("kept", [(0, 3), ()])
def test_dropped_columns_move_no_bit(name, value, kept):
    module = READERS[name]()
    small, x = narrow(module, kept, draw(WIDTH, seed=1)).eval(), sample_for(module)
    changed = held_at(x, torch.full((WIDTH,), value), kept, column_axis(module))
    assert torch.equal(first(small(x)), first(small(changed)))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("value", [HUGE, -HUGE])
def test_dropped_columns_of_a_masked_module_move_no_bit_either(name, value):
    module = READERS[name]()
    masked, x = narrow(module, (0, 3), draw(WIDTH, seed=1), compact=False).eval(), sample_for(module)
    changed = held_at(x, torch.full((WIDTH,), value), (0, 3), column_axis(module))
    assert torch.equal(first(masked(x)), first(masked(changed)))


@pytest.mark.parametrize("name", [name for name in READERS if not name.startswith("kan")])
def test_a_narrowed_module_stays_in_its_family(name):
    module = READERS[name]()
    small = narrow(module.train(False), (1, 4), torch.ones(WIDTH))
    assert isinstance(small, type(module))
    assert not small.training
    assert (small.kept_columns, small.full_width) == ((1, 4), WIDTH)
    weight = small.weight_ih_l0 if isinstance(small, nn.RNNBase) else small.weight
    wide = module.weight_ih_l0 if isinstance(module, nn.RNNBase) else module.weight
    assert weight.shape[1] == {"conv1d, 2 groups": 1, "conv1d, depthwise": 1}.get(name, 2)
    assert weight.numel() < wide.numel() or name == "conv1d, depthwise"
    assert "reads 2 of 6 columns" in repr(small)
    for other in (WIDTH - 1, WIDTH + 1, 2):
        with pytest.raises(ShapeError, match="6 columns"):
            small(torch.zeros(6, other, other))


@pytest.mark.parametrize("name", READERS)
def test_narrowing_twice_composes(name):
    module, fill = READERS[name](), draw(WIDTH, seed=1)
    x = sample_for(module)
    once = narrow(module, (0, 3), fill)
    twice = narrow(narrow(module, (0, 2, 3), fill), (0, 1, 3), fill)
    torch.testing.assert_close(first(once(x)), first(twice(x)), atol=1e-6, rtol=1e-5)
    if not name.startswith("kan"):
        assert once.kept_columns == twice.kept_columns == (0, 3)


@pytest.mark.parametrize("name", READERS)
def test_float64_copies_and_state_dicts(name):
    module = READERS[name]().double()
    x, fill = sample_for(module, dtype=torch.float64), draw(WIDTH, seed=1, dtype=torch.float64)
    small = narrow(module, (0, 3), fill).eval()
    expected = first(module.eval()(held_at(x, fill, (0, 3), column_axis(module))))
    torch.testing.assert_close(first(small(x)), expected, atol=1e-12, rtol=1e-10)
    other = narrow(READERS[name]().double(), (0, 3), fill).eval()
    saved = io.BytesIO()
    torch.save(small.state_dict(), saved)
    saved.seek(0)
    other.load_state_dict(torch.load(saved, weights_only=True))
    for twin in (other, copy.deepcopy(small)):
        assert torch.equal(first(twin(x)), first(small(x)))
    with pytest.raises(RuntimeError, match=r"columns|inputs"):
        narrow(READERS[name]().double(), (0, 2), fill).load_state_dict(small.state_dict())


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_packed_and_unbatched_sequences(name):
    module, fill = READERS[name](), draw(WIDTH, seed=1)
    small = narrow(module, (0, 3), fill)
    x = draw(3, 6, WIDTH)
    packed = pack_padded_sequence(x, [2, 6, 3], batch_first=True, enforce_sorted=False)
    held = packed._replace(data=held_at(packed.data, fill, (0, 3)))
    torch.testing.assert_close(small(packed)[0].data, module(held)[0].data, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(small(x[0])[0], module(held_at(x[0], fill, (0, 3)))[0], atol=1e-6, rtol=1e-5)
    with pytest.raises(ShapeError):
        small(pack_padded_sequence(x[..., :2], [6, 6, 6], batch_first=True))


@pytest.mark.parametrize("name", [name for name in READERS if name.startswith("conv1d")])
@pytest.mark.parametrize("steps", [5, 12])
def test_unbatched_convolutions_of_any_length(name, steps):
    module, fill, x = READERS[name](), draw(WIDTH, seed=1), draw(WIDTH, steps)
    small = narrow(module, (0, 3), fill)
    torch.testing.assert_close(small(x), module(held_at(x, fill, (0, 3), -2)), atol=1e-6, rtol=1e-5)


def test_groups_of_channels_shrink_together():
    module = nn.Conv1d(WIDTH, 4, 3, groups=2)
    small = narrow(module, (0, 1, 5))
    assert small.places == (0, 1, 5, -1)
    assert small.weight.shape == (4, 2, 3)
    assert torch.equal(small.weight[2:, 1], torch.zeros(2, 3))
    assert torch.equal(small.weight[2:, 0], module.weight[2:, 2])


def test_narrow_moves_no_random_state_and_keeps_frozen_weights_frozen():
    module = READERS["lstm"]()
    before = torch.get_rng_state()
    module.weight_ih_l0.requires_grad_(False)
    small = narrow(module, (1,), torch.ones(WIDTH))
    assert torch.equal(torch.get_rng_state(), before)
    assert not small.weight_ih_l0.requires_grad
    assert small.weight_hh_l0.requires_grad


def test_hooks_come_along():
    module, seen = nn.Linear(WIDTH, 2), []
    module.register_forward_pre_hook(lambda part, args, kwargs: seen.append(kwargs), with_kwargs=True)
    narrow(module, (0,))(draw(3, WIDTH))
    assert seen == [{}]


@pytest.mark.parametrize("name", READERS)
def test_a_narrowed_module_trains(name):
    module = READERS[name]()
    small = narrow(module, (1, 2), draw(WIDTH))
    first(small(sample_for(module))).sum().backward()
    assert all(parameter.grad is not None for parameter in small.parameters())


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kept", KEPT)
def test_masked_and_narrowed_agree(name, kept):
    module, fill = READERS[name](), draw(WIDTH, seed=1)
    x = sample_for(module)
    compact, masked = narrow(module, kept, fill), narrow(module, kept, fill, compact=False)
    torch.testing.assert_close(first(compact(x)), first(masked(x)), atol=1e-6, rtol=1e-5)
    sizes = [sum(p.numel() for p in part.parameters()) for part in (compact, masked)]
    assert sizes[0] < sizes[1] or len(kept) == WIDTH or name == "conv1d, depthwise"


def test_bad_narrowing_is_refused():
    module = nn.Linear(WIDTH, 2)
    with pytest.raises(PlanError, match="0 to 5"):
        narrow(module, (0, 6))
    with pytest.raises(PlanError, match="distinct"):
        narrow(module, (1, 1))
    with pytest.raises(ShapeError, match=r"\(6,\)"):
        narrow(module, (1,), torch.zeros(4))
    with pytest.raises(InputTypeError, match="int64"):
        narrow(module, (1,), torch.zeros(WIDTH, dtype=torch.long))
    with pytest.raises(PlanError, match=r"not finite at dropped columns \[2\]"):
        narrow(module, (0, 1, 3, 4, 5), torch.tensor([float("nan"), 0, float("nan"), 0, 0, 0]))
    for odd in (nn.Conv2d(WIDTH, 2, 3), nn.LayerNorm(WIDTH), parametrizations.weight_norm(nn.Linear(WIDTH, 2))):
        with pytest.raises(ModelError, match="allowed"):
            narrow(odd, (0,))
