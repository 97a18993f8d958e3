"""The proof that nobody reads a dropped column."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from kaninterp.core.errors import KanInterpError, ModelError, ShapeError
from kaninterp.nn import KANHead, check_dropped, narrow
from tests.raw_readers import draw, state_of


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


def test_check_dropped_looks_along_the_axis_of_the_columns():
    conv = nn.Conv1d(3, 2, 2)
    check_dropped(narrow(conv, (0, 2)), draw(5, 3, 7), (1,), axis=1)
    with pytest.raises(ModelError, match="column 1"):
        check_dropped(conv, draw(5, 3, 7), (1,), axis=1)
    with pytest.raises(ShapeError, match="between 0 and 2"):
        check_dropped(conv, draw(5, 3, 7), (3,), axis=1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_check_dropped_stays_within_the_number_type(dtype):
    masked = narrow(nn.Linear(3, 1, dtype=dtype), (0, 1), compact=False)
    check_dropped(masked, draw(4, 3).to(dtype), (2,))


def test_checking_leaves_the_model_alone():
    model = nn.Sequential(narrow(nn.Linear(3, 4), (1, 2)), nn.BatchNorm1d(4), nn.Dropout())
    before, state, x = state_of(model), torch.get_rng_state(), draw(5, 3)
    check_dropped(model, x, (0,))
    after = state_of(model)
    assert all(map(torch.equal, before[0], after[0]))
    assert before[1] == after[1]
    assert torch.equal(torch.get_rng_state(), state)
