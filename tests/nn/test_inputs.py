"""Raw-input columns: who reads them, how strongly, how they become zero, and that dropped means dropped."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from kaninterp.core.errors import (
    DataError,
    InputError,
    InputTypeError,
    KanInterpError,
    ModelError,
    PlanError,
    ShapeError,
)
from kaninterp.nn.head import KANHead
from kaninterp.nn.hybrid import Hybrid
from kaninterp.nn.inputs import Entry, check_dropped, column_norms, entries, narrow, proximal_step_
from kaninterp.nn.layer import KANLayer

WIDTH = 5


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


READERS = {
    "lstm": lambda: nn.LSTM(WIDTH, 4, batch_first=True),
    "lstm, 2 layers, both ways": lambda: nn.LSTM(WIDTH, 4, 2, bidirectional=True),
    "lstm without bias": lambda: nn.LSTM(WIDTH, 4, bias=False),
    "gru": lambda: nn.GRU(WIDTH, 4, batch_first=True, bidirectional=True),
    "gru without bias": lambda: nn.GRU(WIDTH, 4, bias=False),
    "rnn": lambda: nn.RNN(WIDTH, 4, nonlinearity="relu"),
    "linear": lambda: nn.Linear(WIDTH, 4),
    "linear without bias": lambda: nn.Linear(WIDTH, 4, bias=False),
    "kan": lambda: KANHead(WIDTH, 2, (3,)).eval(),
    "kan layer": lambda: KANLayer(WIDTH, 2).eval(),
}


def first(output):
    return output[0] if isinstance(output, tuple) and not isinstance(output, PackedSequence) else output


def held_at(x, fill, kept):
    x = x.clone()
    for column in range(WIDTH):
        if column not in kept:
            x[..., column] = fill[column]
    return x


def state_of(model):
    return [tensor.clone() for tensor in model.state_dict().values()], [m.training for m in model.modules()]


# narrowing


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kept", [(0, 3), (4,), (0, 1, 2, 3, 4), ()])
def test_narrow_holds_dropped_columns_at_the_fill(name, kept):
    module, x, fill = READERS[name](), draw(6, 7, WIDTH), draw(WIDTH, seed=1)
    before = state_of(module)
    small = narrow(module, kept, fill)
    torch.testing.assert_close(first(small(x)), first(module(held_at(x, fill, kept))), atol=1e-6, rtol=1e-5)
    zero = narrow(module, kept)
    torch.testing.assert_close(
        first(zero(x)), first(module(held_at(x, torch.zeros(WIDTH), kept))), atol=1e-6, rtol=1e-5
    )
    after = state_of(module)
    assert all(map(torch.equal, before[0], after[0]))
    assert before[1] == after[1]


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("value", [1e30, -3.0, float("nan"), float("inf")])
@pytest.mark.parametrize("kept", [(0, 3), ()])
def test_dropped_columns_move_no_bit(name, value, kept):
    small, x = narrow(READERS[name](), kept, draw(WIDTH, seed=1)).eval(), draw(6, 7, WIDTH)
    changed = held_at(x, torch.full((WIDTH,), value), kept)
    assert torch.equal(first(small(x)), first(small(changed)))


@pytest.mark.parametrize("name", [name for name in READERS if not name.startswith("kan")])
def test_a_narrowed_module_stays_in_its_family(name):
    module = READERS[name]()
    small = narrow(module.train(False), (1, 3), torch.ones(WIDTH))
    assert isinstance(small, type(module))
    assert not small.training
    assert (small.kept_columns, small.full_width) == ((1, 3), WIDTH)
    weight = small.weight if isinstance(small, nn.Linear) else small.weight_ih_l0
    assert weight.shape[-1] == 2
    assert "reads 2 of 5 columns" in repr(small)
    for other in (WIDTH - 1, WIDTH + 1, 2):
        with pytest.raises(ShapeError, match="5 columns"):
            small(draw(6, 7, other))


@pytest.mark.parametrize("name", READERS)
def test_narrowing_twice_composes(name):
    module, x, fill = READERS[name](), draw(6, 7, WIDTH), draw(WIDTH, seed=1)
    once = narrow(module, (0, 3), fill)
    twice = narrow(narrow(module, (0, 2, 3), fill), (0, 1, 3), fill)
    torch.testing.assert_close(first(once(x)), first(twice(x)), atol=1e-6, rtol=1e-5)
    if not name.startswith("kan"):
        assert once.kept_columns == twice.kept_columns == (0, 3)


@pytest.mark.parametrize("name", READERS)
def test_float64_copies_and_state_dicts(name):
    module = READERS[name]().double()
    x, fill = draw(6, 7, WIDTH, dtype=torch.float64), draw(WIDTH, seed=1, dtype=torch.float64)
    small = narrow(module, (0, 3), fill).eval()
    expected = first(module.eval()(held_at(x, fill, (0, 3))))
    torch.testing.assert_close(first(small(x)), expected, atol=1e-12, rtol=1e-10)
    other = narrow(READERS[name]().double(), (0, 3), fill).eval()
    saved = io.BytesIO()
    torch.save(small.state_dict(), saved)
    saved.seek(0)
    other.load_state_dict(torch.load(saved, weights_only=True))
    for twin in (other, copy.deepcopy(small)):
        assert torch.equal(first(twin(x)), first(small(x)))
    with pytest.raises(RuntimeError, match=r"columns|inputs"):
        narrow(READERS[name]().double(), (0, 2)).load_state_dict(small.state_dict())


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


def test_narrow_moves_no_random_state_and_keeps_frozen_weights_frozen():
    before = torch.get_rng_state()
    module = READERS["lstm"]()
    before = torch.get_rng_state()
    module.weight_ih_l0.requires_grad_(False)
    small = narrow(module, (1,), torch.ones(WIDTH))
    assert torch.equal(torch.get_rng_state(), before)
    assert not small.weight_ih_l0.requires_grad
    assert small.weight_hh_l0.requires_grad


def test_a_narrowed_module_trains():
    small = narrow(nn.LSTM(WIDTH, 4), (1, 2), draw(WIDTH))
    small(draw(6, 7, WIDTH))[0].sum().backward()
    assert all(parameter.grad is not None for parameter in small.parameters())


@pytest.mark.parametrize("name", READERS)
def test_masked_and_narrowed_agree(name):
    module, x, fill = READERS[name](), draw(6, 7, WIDTH), draw(WIDTH, seed=1)
    compact, masked = narrow(module, (0, 3), fill), narrow(module, (0, 3), fill, compact=False)
    torch.testing.assert_close(first(compact(x)), first(masked(x)), atol=1e-6, rtol=1e-5)
    assert sum(p.numel() for p in compact.parameters()) < sum(p.numel() for p in masked.parameters())


def test_bad_narrowing_is_refused():
    module = nn.Linear(WIDTH, 2)
    with pytest.raises(PlanError, match="0 to 4"):
        narrow(module, (0, 5))
    with pytest.raises(PlanError, match="distinct"):
        narrow(module, (1, 1))
    with pytest.raises(ShapeError, match=r"\(5,\)"):
        narrow(module, (1,), torch.zeros(4))
    with pytest.raises(InputTypeError, match="int64"):
        narrow(module, (1,), torch.zeros(WIDTH, dtype=torch.long))
    with pytest.raises(PlanError, match=r"not finite at dropped columns \[2\]"):
        narrow(module, (0, 1, 3, 4), torch.tensor([float("nan"), 0, float("nan"), 0, 0]))
    for odd in (nn.Conv1d(WIDTH, 2, 3), parametrizations.weight_norm(nn.Linear(WIDTH, 2))):
        with pytest.raises(ModelError, match="allowed"):
            narrow(odd, (0,))


# group norms and the proximal step


@pytest.mark.parametrize("name", READERS)
def test_a_group_is_everything_that_reads_the_column(name):
    module, x = READERS[name]().eval(), draw(6, 7, WIDTH)
    if isinstance(module, (KANHead, KANLayer)):
        layer = module.layers[0] if isinstance(module, KANHead) else module
        weights = [layer.weight]
    elif isinstance(module, nn.Linear):
        weights = [module.weight]
    else:
        weights = [p for n, p in module.named_parameters() if n.startswith("weight_ih_l0")]
    expected = sum(w.detach().square().reshape(-1, WIDTH).sum(0) for w in weights).sqrt()
    torch.testing.assert_close(column_norms(module).detach(), expected)
    after = proximal_step_(module, torch.tensor([0.0, 1e9, 0.0, 1e9, 0.0]))
    torch.testing.assert_close(column_norms(module).detach(), after)
    assert bool((after[[1, 3]] == 0).all())
    assert torch.equal(after[[0, 2, 4]], expected[[0, 2, 4]])
    changed = held_at(x, torch.full((WIDTH,), 7.0), (0, 2, 4))
    assert torch.equal(first(module(x)), first(module(changed))), "a zero group has no effect at all"


def test_the_proximal_step_solves_its_problem():
    """v = prox(w) minimises threshold ||v|| + ||v - w||^2 / 2: zero subgradient, or ||w|| below the threshold."""
    linear = nn.Linear(WIDTH, 3)
    before = linear.weight.detach().clone()
    threshold = column_norms(linear).detach().median()
    proximal_step_(linear, threshold)
    for w, v in zip(before.t(), linear.weight.detach().t(), strict=True):
        if w.norm() <= threshold:
            assert torch.equal(v, torch.zeros_like(v))
        else:
            torch.testing.assert_close(threshold * v / v.norm() + v - w, torch.zeros(3), atol=1e-6, rtol=0)


def test_groups_join_the_columns_of_a_flattened_window():
    linear = nn.Linear(6, 2)
    groups = (0, 1, 0, 1, 0, 1)
    norms = column_norms(linear, groups).detach()
    expected = torch.stack([linear.weight[:, 0::2].norm(), linear.weight[:, 1::2].norm()])
    torch.testing.assert_close(norms, expected.detach())
    proximal_step_(linear, torch.tensor([1e9, 0.0]), groups)
    assert bool((linear.weight[:, 0::2] == 0).all())
    assert bool((linear.weight[:, 1::2] != 0).all())


def test_norms_of_narrowed_modules_keep_the_full_width():
    for name, reader in READERS.items():
        if name == "kan layer":
            continue
        small = narrow(reader(), (0, 3))
        norms = column_norms(small)
        assert norms.shape == (WIDTH,)
        assert ((norms > 0).tolist()) == [True, False, False, True, False]
        proximal_step_(small, torch.tensor([0.0, 0.0, 0.0, 1e9, 0.0]))
        assert column_norms(small)[3] == 0
        assert column_norms(narrow(small, ())).tolist() == [0.0] * WIDTH


def test_norms_are_differentiable_at_zero():
    linear = nn.Linear(3, 2)
    with torch.no_grad():
        linear.weight[:, 1] = 0
    column_norms(linear).sum().backward()
    assert bool(linear.weight.grad.isfinite().all())
    assert linear.weight.grad[:, 1].tolist() == [0.0, 0.0]


def test_bad_steps_are_refused():
    with pytest.raises(InputError, match="0 or more"):
        proximal_step_(nn.Linear(3, 2), -1.0)
    with pytest.raises(InputError):
        proximal_step_(nn.Linear(3, 2), float("nan"))
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        proximal_step_(nn.Linear(3, 2), torch.ones(2))
    with pytest.raises(ShapeError, match="each of the 3 columns"):
        column_norms(nn.Linear(3, 2), (0, 1))
    with pytest.raises(ModelError, match="Conv1d"):
        column_norms(nn.Conv1d(3, 2, 1))


# finding the readers


class TwoReaders(nn.Module):
    """An LSTM, a skip connection from the last step, a slice, a flattened window, a second input."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.skip = nn.Linear(3, 4)
        self.part = nn.Linear(2, 4, bias=False)
        self.window = nn.Linear(12, 4)
        self.static = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 4))
        self.embed = nn.Embedding(3, 4)
        self.head = KANHead(4, 1)

    def forward(self, x, static, index):
        h = self.lstm(x)[0][:, -1] + self.skip(x[:, -1]) + self.part(x[:, 0, 1:])
        return self.head(h + self.window(x.flatten(1)) + self.static(static) + self.embed(index))


def test_every_reader_is_found():
    model = TwoReaders()
    found = entries(model, (draw(5, 4, 3), draw(5, 2), torch.tensor([0, 1, 2, 0, 1])))
    assert found == (
        Entry(path="lstm", kind="lstm", columns=(0, 1, 2), key=0),
        Entry(path="skip", kind="linear", columns=(0, 1, 2), key=0),
        Entry(path="part", kind="linear", columns=(1, 2), key=0),
        Entry(path="window", kind="linear", columns=(0, 1, 2) * 4, key=0),
        Entry(path="static.1", kind="linear", columns=(0, 1), key=1),
    )
    by_name = entries(model, {"x": draw(5, 4, 3), "static": draw(5, 2), "index": torch.tensor([0, 1, 2, 0, 1])})
    assert [entry.key for entry in by_name] == ["x", "x", "x", "x", "static"]


class Packing(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x):
        packed = pack_padded_sequence(x, [4, 2], batch_first=True)
        return self.lstm(packed)[1][0][-1]


def test_copies_of_the_rows_are_recognised():
    (entry,) = entries(Packing(), draw(2, 4, 3))
    assert (entry.path, entry.kind, entry.columns) == ("lstm", "lstm", (0, 1, 2))
    hybrid = Hybrid(nn.GRU(3, 4), KANHead(4, 1))
    packed = pack_padded_sequence(draw(4, 2, 3), [4, 2])
    assert [(e.path, e.kind) for e in entries(hybrid, packed)] == [("backbone", "gru")]
    direct = KANHead(3, 1)
    assert entries(direct, draw(5, 3)) == (Entry(path="", kind="kan", columns=(0, 1, 2), key=0),)
    narrowed = Hybrid(narrow(nn.LSTM(3, 4), (0,)), KANHead(4, 1))
    assert entries(narrowed, draw(6, 2, 3))[0] == Entry(path="backbone", kind="lstm", columns=(0, 1, 2), key=0)


def test_what_cannot_be_narrowed_is_called_other():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return self.linear(self.linear(x))

    assert [e.kind for e in entries(Shared(), draw(5, 3))] == ["other"]
    conv = nn.Sequential(nn.Conv1d(3, 4, 2), nn.Flatten(), nn.Linear(12, 1))
    assert [(e.path, e.kind) for e in entries(conv, draw(5, 3, 4))] == [("0", "other")]
    norm = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 1))
    assert [(e.path, e.kind, e.columns) for e in entries(norm, draw(5, 3))] == [("0", "other", (0, 1, 2))]

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 1))

        def forward(self, x):
            return x @ self.weight

    assert [(e.path, e.kind) for e in entries(nn.Sequential(Functional()), draw(5, 3))] == [("0", "other")]
    with pytest.raises(InputTypeError, match="float"):
        entries(nn.Embedding(3, 2), torch.tensor([0, 1]))
    with pytest.raises(DataError, match="empty"):
        entries(nn.Linear(3, 1), torch.zeros(0, 3))


def test_looking_leaves_the_model_and_the_random_state_alone():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), KANHead(4, 1))
    model[1].eval()
    narrowed = nn.Sequential(narrow(nn.Linear(3, 4), (1, 2)), model[1:])
    before, state, x = state_of(model), torch.get_rng_state(), draw(5, 3)
    kept = x.clone()
    entries(model, x)
    check_dropped(narrowed, x, (0,))
    after = state_of(model)
    assert all(map(torch.equal, before[0], after[0]))
    assert before[1] == after[1]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, kept)
    assert not any(m._forward_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_hooks_go_away_when_the_model_fails():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 1))
    with pytest.raises(RuntimeError):
        entries(model, draw(2, 3))
    assert not any(m._forward_hooks for m in model.modules())
    assert model.training


# the proof that nobody reads a dropped column


def test_check_dropped_names_the_column_and_its_readers():
    model = TwoReaders()
    inputs = (draw(5, 4, 3), draw(5, 2), torch.tensor([0, 1, 2, 0, 1]))
    model.lstm = narrow(model.lstm, (0, 1))
    with pytest.raises(ModelError, match=r"column 2 of input 0 .*skip \(linear\)"):
        check_dropped(model, inputs, {0: (2,)})
    model.skip = narrow(model.skip, (0, 1))
    model.part = narrow(model.part, (0,))
    model.window = narrow(model.window, [c for c in range(12) if c % 3 != 2])
    check_dropped(model, inputs, {0: (2,)})
    with pytest.raises(ModelError, match="column 1 of input 1"):
        check_dropped(model, inputs, {0: (2,), 1: (1,)})


def test_check_dropped_sees_reads_outside_any_module():
    class Sneaky(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = narrow(nn.Linear(3, 1), (0, 1))

        def forward(self, x):
            return self.linear(x) + 1e-3 * x[:, 2:]

    with pytest.raises(ModelError, match="column 2 of input 'x'"):
        check_dropped(Sneaky(), {"x": draw(5, 3)}, (2,))


def test_check_dropped_on_packed_sequences_and_tuples():
    packed = pack_padded_sequence(draw(4, 2, 3), [4, 2])
    check_dropped(narrow(nn.LSTM(3, 4), (0, 1)), packed, (2,))
    with pytest.raises(ModelError, match="column 2"):
        check_dropped(nn.LSTM(3, 4), packed, (2,))


def test_check_dropped_refuses_what_it_cannot_judge():
    with pytest.raises(ShapeError, match=r"\[0, 1\]"):
        check_dropped(nn.Bilinear(2, 2, 1), (draw(3, 2), draw(3, 2)), (1,))
    with pytest.raises(ShapeError, match="between 0 and 2"):
        check_dropped(nn.Linear(3, 1), draw(4, 3), (3,))

    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)

    with pytest.raises(ModelError, match="random"):
        check_dropped(Noisy(), draw(4, 3), (0,))
    with pytest.raises(KanInterpError):
        check_dropped(nn.Linear(3, 1), "data", (0,))


def test_an_input_of_a_single_column_is_found():
    found = entries(nn.Linear(1, 2), torch.randn(4, 1))
    assert [(entry.kind, entry.columns) for entry in found] == [("linear", (0,))]
    found = entries(nn.LSTM(1, 2, batch_first=True), torch.randn(4, 3, 1))
    assert [(entry.kind, entry.columns) for entry in found] == [("lstm", (0,))]
