"""Who reads which raw column: found by following the columns through one forward pass."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from kaninterp.core.errors import DataError, InputTypeError, ShapeError
from kaninterp.nn import Hybrid, KANHead, entries, narrow
from tests.raw_readers import draw, state_of


def listed(model, inputs, **options):
    """Path, kind, columns and input of every entry."""
    return [(e.path, e.kind, e.columns, e.key) for e in entries(model, inputs, **options)]


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
    assert listed(model, (draw(5, 4, 3), draw(5, 2), torch.tensor([0, 1, 2, 0, 1]))) == [
        ("lstm", "lstm", (0, 1, 2), 0),
        ("skip", "linear", (0, 1, 2), 0),
        ("part", "linear", (1, 2), 0),
        ("window", "linear", (0, 1, 2) * 4, 0),
        ("static.1", "linear", (0, 1), 1),
    ]
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
    assert listed(direct, draw(5, 3)) == [("", "kan", (0, 1, 2), 0)]
    narrowed = Hybrid(narrow(nn.LSTM(3, 4), (0,)), KANHead(4, 1))
    assert listed(narrowed, draw(6, 2, 3))[0] == ("backbone", "lstm", (0, 1, 2), 0)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return self.linear(self.linear(x))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 1))

    def forward(self, x):
        return x @ self.weight


class Beside(nn.Module):
    """A reader that can be narrowed, and something that reads the same input beside it."""

    def __init__(self, beside):
        super().__init__()
        self.linear, self.beside = nn.Linear(3, 1), beside

    def forward(self, x):
        return self.linear(x) + self.beside(x)


@pytest.mark.parametrize(
    ("model", "path", "columns", "reason"),
    [
        (Shared(), "linear", (0, 1, 2), "called with different things"),
        (nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 1)), "0", (0, 1, 2), "LayerNorm computes"),
        (nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)), "0", (0, 1, 2), "BatchNorm1d computes"),
        (nn.Sequential(Functional()), "0", (0, 1, 2), "Functional computes"),
        (nn.TransformerEncoderLayer(3, 1, 8, batch_first=True), "", (0, 1, 2), "computes"),
    ],
)
def test_what_cannot_be_narrowed_is_called_other(model, path, columns, reason):
    model.eval()
    (entry,) = [e for e in entries(model, draw(5, 3)) if e.path == path]
    assert (entry.kind, entry.columns) == ("other", columns)
    assert reason in entry.reason


def test_channels_that_are_time_steps_are_called_other():
    conv = nn.Sequential(nn.Conv1d(3, 4, 2), nn.Flatten(), nn.Linear(12, 1))
    assert listed(conv, draw(5, 3, 4)) == [("0", "other", (0, 1, 2, 3), 0)]
    assert "along another axis" in entries(conv, draw(5, 3, 4))[0].reason


def test_columns_padded_with_constants_are_called_other():
    class Causal(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(3, 4, 3)

        def forward(self, x):
            return self.conv(functional.pad(x.mT, (2, 0)))

    (entry,) = entries(Causal(), draw(5, 7, 3))
    assert (entry.kind, entry.columns) == ("other", (0, 1, 2))
    assert "padded" in entry.reason


@pytest.mark.filterwarnings("ignore")  # torch's own, about scripting
def test_scripted_and_compiled_parts_are_seen_through():
    scripted = nn.Sequential(torch.jit.script(nn.Linear(3, 4)), nn.ReLU())
    assert listed(scripted, draw(5, 3)) == [("", "other", (0, 1, 2), 0)]
    compiled = nn.Sequential(torch.compile(nn.Linear(3, 4), backend="eager"), nn.ReLU())
    compiled(draw(5, 3))
    assert listed(compiled, draw(5, 3)) == [("0._orig_mod", "linear", (0, 1, 2), 0)]


@pytest.mark.parametrize(
    "read",
    [
        lambda x: torch.relu(x[:, 2:] - 1e9),  # dead on these rows, and still a read
        lambda x: (x[:, 2:] > 0).float(),
        lambda x: torch.where(x[:, 2:] > 0, 1.0, 0.0),
        lambda x: torch.from_numpy(np.sin(x.numpy()))[:, 2:],
        lambda x: torch.tensor([[float(x[0, 2])]]),
        lambda x: x[:, 2:].long().float(),
        lambda x: x[:, 2:].clone().mul_(2),
        lambda x: functional.embedding(x[:, 2].abs().long(), torch.ones(9, 1)),
        lambda x: x[:, 2:].contiguous().view(torch.int32).float(),
    ],
)
def test_no_read_beside_a_reader_stays_unseen(read):
    class Reading(nn.Module):
        def forward(self, x):
            return read(x)

    found = entries(Beside(Reading()), draw(5, 3))
    assert [(e.path, e.kind) for e in found] == [("linear", "linear"), ("beside", "other")]
    assert 2 in found[1].columns


@pytest.mark.parametrize(
    "look",
    [
        lambda x: torch.zeros_like(x[:, :1]) + x.shape[0] + x.new_ones(1),
        lambda x: 1.0 * bool(torch.isfinite(x).all()) - float(x.isnan().any()) + torch.isinf(x).sum(),
        lambda x: torch.cat([x, x], 1)[:, :0].sum(),
    ],
)
def test_looking_at_shapes_or_for_missing_numbers_is_no_read(look):
    class Looking(nn.Module):
        def forward(self, x):
            return look(x)

    assert listed(Beside(Looking()), draw(5, 3)) == [("linear", "linear", (0, 1, 2), 0)]


MOVES = {
    "transposed": (lambda x: x.transpose(1, 2), (0, 1, 2)),
    "transposed and copied": (lambda x: x.permute(0, 2, 1).contiguous(), (0, 1, 2)),
    "a channel again": (lambda x: torch.cat([x, x[..., :1]], -1).mT, (0, 1, 2, 0)),
    "other order": (lambda x: x[..., [2, 0]].mT, (2, 0)),
    "turned round in time": (lambda x: x.flip(1).roll(1, 1).mT, (0, 1, 2)),
    "edges repeated": (lambda x: functional.pad(x.mT, (2, 0), mode="replicate"), (0, 1, 2)),
    "with zeros beside": (lambda x: torch.cat([torch.zeros(5, 1, 4), x.mT], 1), (-1, 0, 1, 2)),
    "there and back": (lambda x: x.double().float().nan_to_num().mT, (0, 1, 2)),
    "stacked": (lambda x: torch.stack([x[..., 1], x[..., 0]], 1), (1, 0)),
    "einsum as permutation": (lambda x: torch.einsum("btf->bft", x), (0, 1, 2)),
}


@pytest.mark.parametrize("name", MOVES)
def test_raw_columns_are_followed_to_the_channels_of_a_convolution(name):
    move, columns = MOVES[name]

    class Moving(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(len(columns), 4, 2)

        def forward(self, x):
            return self.conv(move(x))

    assert listed(Moving(), draw(5, 4, 3)) == [("conv", "conv1d", columns, 0)]


def test_columns_written_into_a_buffer_are_followed_and_overwritten_ones_are_gone():
    class Writing(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(5, 1)

        def forward(self, x):
            room = torch.empty(len(x), 5)
            room[:, 0] = 1.0
            room[:, 1:4] = x
            room[:, 4] = x[:, 0]
            room[:, 2] = 0.0
            return self.linear(room)

    assert listed(Writing(), draw(5, 3)) == [("linear", "linear", (-1, 0, -1, 2, 0), 0)]


def test_data_may_arrive_with_the_channels_in_front():
    model = Hybrid(nn.Conv1d(3, 4, 2), KANHead(4, 1), feature_axis=1)
    assert listed(model, draw(5, 3, 7), axis=1) == [("backbone", "conv1d", (0, 1, 2), 0)]
    assert listed(model, (draw(5, 3, 7),), axis={0: -2}) == [("backbone", "conv1d", (0, 1, 2), 0)]
    (entry,) = entries(model, draw(5, 3, 7), axis=1)
    assert (entry.axis, entry.width) == (1, 3)
    with pytest.raises(ShapeError, match="axis 3"):
        entries(model, draw(5, 3, 7), axis=3)


class Mixed(nn.Module):
    """An embedding, a bag and two numeric inputs side by side, in front of a linear map and an LSTM."""

    def __init__(self):
        super().__init__()
        self.embed, self.bag = nn.Embedding(4, 2), nn.EmbeddingBag(6, 3)
        self.linear, self.lstm = nn.Linear(3 + 2 + 1, 4), nn.LSTM(2 + 2, 4, batch_first=True)
        self.head = KANHead(4, 1)

    def forward(self, index, words, static, series):
        table = self.linear(torch.cat([self.bag(words), static, series[:, -1, :1]], -1))
        steps = self.embed(index)[:, None].expand(-1, series.shape[1], -1)
        return self.head(table + self.lstm(torch.cat([steps, series], -1))[1][0][-1])


def mixed_inputs(rows=5):
    generator = torch.Generator().manual_seed(3)
    return {
        "index": torch.randint(4, (rows,), generator=generator),
        "words": torch.randint(6, (rows, 4), generator=generator),
        "static": draw(rows, 2, seed=4),
        "series": draw(rows, 6, 2, seed=5),
    }


def test_only_the_raw_columns_of_a_mixed_reader_count():
    assert listed(Mixed(), mixed_inputs()) == [
        ("linear", "linear", (-1, -1, -1, 0, 1, -1), "static"),
        ("linear", "linear", (-1, -1, -1, -1, -1, 0), "series"),
        ("lstm", "lstm", (-1, -1, 0, 1), "series"),
    ]
    assert entries(Mixed(), mixed_inputs())[0].raw_columns == (0, 1)


def test_a_reader_shared_by_two_inputs_cannot_lose_columns():
    class Twins(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 1)

        def forward(self, a, b):
            return self.linear(a) - self.linear(b)

    assert [entry.kind for entry in entries(Twins(), (draw(5, 3), draw(5, 3, seed=1)))] == ["other", "other"]


def test_inputs_that_cannot_be_followed_are_refused():
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
    entries(narrowed, x)
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


def test_an_input_of_a_single_column_is_found():
    found = entries(nn.Linear(1, 2), torch.randn(4, 1))
    assert [(entry.kind, entry.columns) for entry in found] == [("linear", (0,))]
    found = entries(nn.LSTM(1, 2, batch_first=True), torch.randn(4, 3, 1))
    assert [(entry.kind, entry.columns) for entry in found] == [("lstm", (0,))]
