"""Laws 4 and 5 for whole models: every kind of backbone, random columns dropped, any finite value in their place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import kaninterp as ki
from kaninterp.analysis import keep_all
from kaninterp.measure import ablate
from kaninterp.nn import check_dropped, entries, gated_columns, prune_model
from tests.raw_readers import draw, held_at

WIDTH, STEPS, ROWS = 6, 9, 5
FINITE = torch.finfo(torch.float32)


def head(width: int) -> ki.KANHead:
    return ki.KANHead(width, 1, generator=torch.Generator().manual_seed(0))


class Through(nn.Module):
    """Something in front, a convolution over time, a head on its mean."""

    def __init__(self, conv: nn.Conv1d, *, transpose: bool) -> None:
        super().__init__()
        self.conv, self.transpose, self.head = conv, transpose, head(conv.out_channels)

    def forward(self, x):
        return self.head(torch.tanh(self.conv(x.transpose(1, 2) if self.transpose else x)).mean(-1))


class Skip(nn.Module):
    """The head reads units and the raw columns of the last step, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(WIDTH, 3, batch_first=True), head(3 + WIDTH)

    def forward(self, x):
        return self.head(torch.cat([self.gru(x)[0][:, -1], x[:, -1]], -1))


class Transformer(nn.Module):
    """A projection of the columns, an encoder, a head on the last step; without the projection it reads them raw."""

    def __init__(self, *, project: bool) -> None:
        super().__init__()
        width = 8 if project else WIDTH
        self.project = nn.Linear(WIDTH, width) if project else nn.Identity()
        layer = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.position = nn.Parameter(draw(STEPS, width, seed=9))
        self.head = head(width)

    def forward(self, x):
        z = self.project(x)
        return self.head(self.encoder(z + self.position if isinstance(self.project, nn.Linear) else z)[:, -1])


class Image(nn.Module):
    """The table (steps, columns) taken as a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 3, 3), head(3)

    def forward(self, x):
        return self.head(self.conv(x[:, None]).flatten(2).mean(-1))


class Outside(nn.Module):
    """Half of it computes in numpy, where nobody can look."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.head = nn.Linear(WIDTH, 3), head(3)

    def forward(self, x):
        waves = torch.from_numpy(np.sin(x.detach().numpy()).mean((1, 2), keepdims=True)[:, 0].astype(np.float32))
        return self.head(self.linear(x[:, -1]) + waves)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend, self.head = nn.MultiheadAttention(WIDTH, 2, batch_first=True), head(WIDTH)

    def forward(self, x):
        return self.head(self.attend(x, x, x)[0][:, -1])


def scaled_lstm() -> nn.Module:
    return nn.Sequential(nn.LayerNorm(WIDTH), ki.Hybrid(nn.LSTM(WIDTH, 4, batch_first=True), head(4)))


STRUCTURAL = {
    "gru and columns into the head": Skip,
    "lstm": lambda: ki.Hybrid(nn.LSTM(WIDTH, 4, batch_first=True), head(4)),
    "conv1d, channels in front": lambda: Through(nn.Conv1d(WIDTH, 4, 3, padding=1), transpose=False),
    "conv1d, transposed": lambda: Through(nn.Conv1d(WIDTH, 4, 3, padding="same", dilation=2), transpose=True),
    "conv1d, groups": lambda: Through(nn.Conv1d(WIDTH, 4, 2, groups=2), transpose=True),
    "conv1d, depthwise": lambda: Through(nn.Conv1d(WIDTH, 6, 3, groups=6, padding=2), transpose=True),
    "transformer, projected": lambda: Transformer(project=True),
}
GATED = {
    "transformer on raw columns": lambda: Transformer(project=False),
    "attention on raw columns": Attention,
    "normalised before the lstm": scaled_lstm,
    "picture": Image,
    "numpy inside": Outside,
}
AXIS = {"conv1d, channels in front": 1}
LAWS = settings(max_examples=8, deadline=None, derandomize=True)


def built(name: str) -> tuple[nn.Module, torch.Tensor, int, str]:
    """A model in eval mode, rows for it, the axis of its columns, the path of its head."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = {**STRUCTURAL, **GATED}[name]().eval()
    axis = AXIS.get(name, -1)
    path = next(path for path, part in model.named_modules() if isinstance(part, ki.KANHead))
    return model, draw(ROWS, STEPS, WIDTH).movedim(-1, axis).contiguous(), axis, path


@pytest.mark.parametrize("name", [*STRUCTURAL, *GATED])
@LAWS
@given(kept=st.sets(st.integers(0, WIDTH - 1), max_size=WIDTH - 1), seed=st.integers(0, 99), data=st.data())
def test_dropped_columns_are_held_and_move_no_bit(name, kept, seed, data):
    model, x, axis, path = built(name)
    fill = draw(WIDTH, seed=seed)
    found = entries(model, x, axis=axis)
    part = model.get_submodule(path)
    whole = [np.ones((layer.out_features, layer.in_features), bool) for layer in part.kan_layers]
    compact, masked = (
        prune_model(model, path, whole, None, found, tuple(kept), fill, compact=compact) for compact in (True, False)
    )
    want = prune_model(model, path, whole)(held_at(x, fill, kept, axis))
    torch.testing.assert_close(compact(x), want, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(masked(x), compact(x), atol=1e-6, rtol=1e-5)
    gone = tuple(set(range(WIDTH)) - kept)
    assert gated_columns(compact) == ({0: gone} if name in GATED else {})
    check_dropped(compact, x, gone, axis=axis)
    values = data.draw(st.lists(st.floats(FINITE.min, FINITE.max, width=32), min_size=WIDTH, max_size=WIDTH))
    moved = held_at(x, torch.tensor(values), kept, axis)
    for new in (compact, masked):
        assert torch.equal(new(moved), new(x))


@pytest.mark.parametrize("name", [name for name in STRUCTURAL if "depthwise" not in name])
def test_what_is_cut_out_is_no_longer_there(name):
    model, x, axis, path = built(name)
    part = model.get_submodule(path)
    whole = [np.ones((layer.out_features, layer.in_features), bool) for layer in part.kan_layers]
    small = prune_model(model, path, whole, None, entries(model, x, axis=axis), (0, 5), torch.zeros(WIDTH))
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())


class Mixed(nn.Module):
    """Categories and words beside numbers: a table for a linear map, a sequence for an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.bag = nn.Embedding(4, 2), nn.EmbeddingBag(6, 3)
        self.linear, self.lstm = nn.Linear(3 + 3, 4), nn.LSTM(2 + 4, 4, batch_first=True)
        self.head = head(4)

    def forward(self, index, words, static, series):
        table = self.linear(torch.cat([self.bag(words), static], -1))
        steps = self.embed(index)[:, None].expand(-1, series.shape[1], -1)
        return self.head(torch.tanh(table + self.lstm(torch.cat([steps, series], -1))[1][0][-1]))


def rows_of_everything(rows: int = 60) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "index": torch.randint(4, (rows,), generator=generator),
        "words": torch.randint(6, (rows, 4), generator=generator),
        "static": draw(rows, 3, seed=4),
        "series": draw(rows, 7, 4, seed=5),
    }


@LAWS
@given(
    static=st.sets(st.integers(0, 2)),
    series=st.sets(st.integers(0, 3)),
    value=st.floats(-(2.0**126), 2.0**126, width=32),
)
def test_numbers_beside_embeddings_are_cut_out(static, series, value):
    model, inputs = Mixed().eval(), rows_of_everything(ROWS)
    fill = {"static": draw(3, seed=6), "series": draw(4, seed=7)}
    keep = {"static": tuple(static), "series": tuple(series)}
    found = entries(model, inputs)
    held = {**inputs, **{key: held_at(inputs[key], fill[key], keep[key]) for key in keep}}
    whole = [np.ones((1, 4), bool)]
    for compact in (True, False):
        new = prune_model(model, "head", whole, None, found, keep, fill, compact=compact)
        torch.testing.assert_close(new(**inputs), model(**held), atol=1e-6, rtol=1e-5)
        moved = {**inputs, **{key: held_at(inputs[key], torch.full((9,), value), keep[key]) for key in keep}}
        assert torch.equal(new(**moved), new(**inputs))
        assert not gated_columns(new)
        if compact:
            assert new.linear.weight.shape[1] == 3 + len(static)
            assert new.lstm.weight_ih_l0.shape[1] == 2 + len(series)


def dropping(model, data, names):
    plan = keep_all(ki.trace(model, data))
    return replace(plan, inputs=np.array([name not in names for name in plan.input_names]))


def test_the_public_verb_on_rows_of_several_inputs():
    model, data = Mixed().eval(), rows_of_everything()
    plan = dropping(model, data, {"static.1", "series.0", "series.3"})
    new, report = ki.prune(model, plan, example=data)
    assert report.dropped_inputs == ("static.1", "series.0", "series.3")
    assert new.lstm.kept_columns == (0, 1, 3, 4)
    moved = {**data, "series": held_at(data["series"], torch.full((4,), 1e30), (1, 2))}
    assert torch.equal(new(**moved), new(**data))


@pytest.mark.parametrize("name", [*GATED, "conv1d, transposed", "transformer, projected"])
def test_the_public_verb_on_every_backbone(name):
    model, x, _, _ = built(name)
    data = draw(40, STEPS, WIDTH, seed=8)
    new, report = ki.prune(model, dropping(model, data, {"x1", "x4"}), example=data)
    assert report.dropped_inputs == ("x1", "x4")
    assert gated_columns(new) == ({0: (1, 4)} if name in GATED else {})
    assert torch.equal(new(held_at(x, torch.full((6,), -1e30), (0, 2, 3, 5))), new(x))


@pytest.mark.parametrize("name", ["normalised before the lstm", "conv1d, transposed"])
def test_a_column_that_went_is_reported_as_unread(name):
    model, _, _, _ = built(name)
    data = draw(60, STEPS, WIDTH, seed=8)
    new, _ = ki.prune(model, dropping(model, data, {"x1"}), example=data)
    found, _ = ablate(new, (data, data[:, -1, 0]), progress=False)
    assert found.reads.tolist() == [True, False, True, True, True, True]
    assert np.isnan(found.norms[1]) if name in GATED else found.norms[1] == 0.0
