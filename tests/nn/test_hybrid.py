"""Hybrid: what each readout hands to the head, checked with a head that does nothing."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from kaninterp.core.errors import InputError, InputTypeError, KanInterpError, ModelError, ShapeError
from kaninterp.nn.head import KANHead
from kaninterp.nn.hybrid import Hybrid
from kaninterp.nn.narrow import narrow

FAMILIES = [nn.LSTM, nn.GRU, nn.RNN]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bare(backbone, readout, **options):
    """A hybrid whose head hands its input through."""
    return Hybrid(backbone, nn.Identity(), readout, **options)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_readouts_of_a_recurrent_backbone(family, batch_first, layers):
    rnn = family(3, 5, layers, batch_first=batch_first)
    x = draw(4, 7, 3)
    sequence = rnn(x)[0]
    time = 1 if batch_first else 0
    torch.testing.assert_close(bare(rnn, "last")(x), sequence.select(time, -1))
    torch.testing.assert_close(bare(rnn, "mean")(x), sequence.mean(time))
    assert torch.equal(bare(rnn, "all")(x), sequence)


@pytest.mark.parametrize("family", FAMILIES)
def test_unbatched_input_gives_unbatched_output(family):
    rnn = family(3, 5, batch_first=True)
    x = draw(7, 3)
    for readout, shape in (("last", (5,)), ("mean", (5,)), ("all", (7, 5))):
        alone, among = bare(rnn, readout)(x), bare(rnn, readout)(x[None])[0]
        assert alone.shape == shape
        torch.testing.assert_close(alone, among)


@pytest.mark.parametrize("family", FAMILIES)
def test_last_of_two_directions_has_read_every_step(family):
    rnn = family(3, 5, bidirectional=True, batch_first=True)
    x = draw(4, 7, 3)
    sequence = rnn(x)[0]
    expected = torch.cat([sequence[:, -1, :5], sequence[:, 0, 5:]], -1)
    torch.testing.assert_close(bare(rnn, "last")(x), expected)
    x.requires_grad_()
    (grad,) = torch.autograd.grad(bare(rnn, "last")(x)[:, 5:].sum(), x)
    assert bool((grad != 0).any(-1).all()), "the backward half must depend on every step"


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
def test_projections_are_read():
    rnn = nn.LSTM(3, 8, proj_size=2, bidirectional=True, batch_first=True)
    model = Hybrid(rnn, KANHead(4, 1), "last")
    assert model(draw(5, 6, 3)).shape == (5, 1)
    with pytest.raises(ShapeError, match=r"gives 4 features.*reads 16"):
        Hybrid(rnn, KANHead(16, 1))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("readout", ["last", "mean", "all"])
def test_packed_rows_equal_the_rows_alone(family, bidirectional, readout):
    rnn = family(3, 5, batch_first=True, bidirectional=bidirectional)
    model = Hybrid(rnn, KANHead(10 if bidirectional else 5, 2), readout).eval()
    lengths = [4, 7, 1, 3]
    x = draw(4, 7, 3)
    out = model(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    if readout == "all":
        assert isinstance(out, PackedSequence)
        out, got = pad_packed_sequence(out, batch_first=True)
        assert got.tolist() == lengths
    for row, length in enumerate(lengths):
        alone = model(x[row : row + 1, :length])[0]
        torch.testing.assert_close(out[row, :length] if readout == "all" else out[row], alone)


class Custom(nn.Module):
    """A user's backbone: a tuple with the sequence in front, or a packed sequence."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 5, batch_first=True)

    def forward(self, x, scale=1.0):
        out, state = self.rnn(x)
        return (out, state) if isinstance(out, PackedSequence) else (out * scale, state)


def test_any_other_backbone():
    x = draw(4, 7, 3)
    custom = Custom()
    sequence = custom(x)[0]
    assert torch.equal(bare(custom, "last")(x), sequence[:, -1])
    torch.testing.assert_close(bare(custom, "mean")(x), sequence.mean(1))
    assert torch.equal(bare(custom, "all")(x, scale=2.0), sequence * 2)
    assert torch.equal(bare(custom, "all")(x=x, scale=2.0), sequence * 2)
    flat = nn.Linear(3, 5)
    for readout in ("last", "mean", "all"):
        assert torch.equal(bare(flat, readout)(x[:, 0]), flat(x[:, 0]))


def test_packed_output_of_another_backbone():
    custom, x, lengths = Custom(), draw(3, 6, 3), [6, 2, 4]
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    last, mean = bare(custom, "last")(packed), bare(custom, "mean")(packed)
    for row, length in enumerate(lengths):
        sequence = custom(x[row : row + 1, :length])[0][0]
        torch.testing.assert_close(last[row], sequence[-1])
        torch.testing.assert_close(mean[row], sequence.mean(0))


def test_convolutions_name_their_feature_axis():
    conv, x = nn.Conv1d(3, 5, 2), draw(4, 3, 7)
    torch.testing.assert_close(bare(conv, "mean", feature_axis=1)(x), conv(x).mean(-1))
    assert torch.equal(bare(conv, "last", feature_axis=1)(x), conv(x)[..., -1])
    image = nn.Conv2d(3, 5, 2)
    torch.testing.assert_close(
        bare(image, "mean", feature_axis=1)(draw(2, 3, 6, 4)), image(draw(2, 3, 6, 4)).mean((2, 3))
    )
    with pytest.raises(ShapeError, match="one time axis"):
        bare(image, "last", feature_axis=1)(draw(2, 3, 6, 4))
    with pytest.raises(ShapeError, match=r"gives 6 features.*feature_axis=1"):
        Hybrid(conv, KANHead(5, 1), "all")(x)


def test_bad_parts_are_refused_before_anything_runs():
    with pytest.raises(ShapeError, match=r"LSTM gives 8 features.*reads 6"):
        Hybrid(nn.LSTM(3, 8), KANHead(6, 1))
    with pytest.raises(ShapeError, match=r"Linear gives 8 features.*in_features=8"):
        Hybrid(nn.Linear(3, 8), KANHead(6, 1))
    with pytest.raises(InputError, match="'last', 'mean', 'all'"):
        Hybrid(nn.LSTM(3, 8), KANHead(8, 1), "first")
    with pytest.raises(InputTypeError, match="function"):
        Hybrid(lambda x: x, KANHead(8, 1))


@pytest.mark.parametrize("output", [None, {"out": torch.zeros(2, 5)}, (None, 1), (), torch.tensor(1.0)])
def test_a_backbone_without_a_tensor_in_front_is_named(output):
    class Odd(nn.Module):
        def forward(self, x):
            return output

    with pytest.raises(ModelError, match="Odd returned"):
        Hybrid(Odd(), KANHead(5, 1))(draw(2, 3))


def test_hybrid_trains_copies_and_saves():
    model = Hybrid(nn.LSTM(3, 5, batch_first=True), KANHead(5, 1), "last")
    model(draw(6, 4, 3)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    twin = copy.deepcopy(model)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin.eval()(draw(6, 4, 3)), model.eval()(draw(6, 4, 3)))
    assert "readout='last'" in repr(model)
    double = copy.deepcopy(model).double()
    assert double(draw(6, 4, 3).double()).dtype == torch.float64


def test_a_dead_unit_feeding_the_head_trains_on():
    rnn = nn.LSTM(3, 4, batch_first=True)
    model = Hybrid(rnn, KANHead(4, 1, (3,)), "last")
    with torch.no_grad():  # unit 2: output gate shut, h = 0 always
        for gate in range(4):
            for weight in (rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0):
                weight[gate * 4 + 2] = 0.0
        rnn.bias_ih_l0[3 * 4 + 2] = -1e4
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    x, y = draw(64, 5, 3), draw(64, 1, seed=1)
    for _ in range(20):
        optimiser.zero_grad()
        loss = (model(x) - y).square().mean() + 1e-3 * model.head.penalty(smooth=0.1)
        loss.backward()
        assert all(bool(p.grad.isfinite().all()) for p in model.parameters())
        optimiser.step()
    assert bool(rnn(x)[0][..., 2].abs().max() == 0)
    assert bool(loss.isfinite())
    model.head.update()
    assert bool(model(x).isfinite().all())
    assert bool(model.head.refine(10)(rnn(x)[0]).isfinite().all())


def test_a_narrowed_backbone_is_still_a_recurrent_one():
    rnn = nn.GRU(3, 5, batch_first=True)
    model = Hybrid(narrow(rnn, (0, 2)), KANHead(5, 1), "last")
    x = draw(4, 6, 3)
    changed = x.clone()
    changed[..., 1] = float("inf")
    assert torch.equal(model.eval()(x), model(changed))
    with pytest.raises(KanInterpError):
        model(draw(4, 6, 2))
