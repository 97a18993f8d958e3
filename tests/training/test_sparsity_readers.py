"""Group sparsity of raw columns, whoever reads them: channels, columns beside embeddings, columns behind a gate."""

import numpy as np
import torch
from torch import nn

from kaninterp.nn import Hybrid, KANHead, gate_inputs
from kaninterp.training import Sparsity, fit

RNG = np.random.default_rng(2)
ROWS, STEPS = 900, 6
SERIES = RNG.normal(size=(ROWS, STEPS, 4)).astype(np.float32)
Y = (SERIES[:, -1, 0] + np.tanh(2 * SERIES[:, -2, 1])).astype(np.float32)


def train(model, data, **options):
    return fit(
        model, data, **{"sparsity": Sparsity(), "epochs": 30, "lr": 0.01, "seed": 0, "progress": False, **options}
    )


class Convolved(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv1d(4, 8, 3), KANHead(8, 1, grid=3)

    def forward(self, x):
        return self.head(torch.tanh(self.conv(x.transpose(1, 2))[..., -1]))


class BesideWords(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag, self.linear, self.head = nn.EmbeddingBag(5, 2), nn.Linear(2 + 5, 12), KANHead(12, 1, grid=3)

    def forward(self, words, numbers):
        return self.head(torch.tanh(self.linear(torch.cat([self.bag(words), numbers], -1))))


def test_channels_of_noise_become_exactly_zero():
    torch.manual_seed(0)
    model = Convolved()
    result = train(model, (SERIES, Y))
    assert result.dropped_inputs == ("x2", "x3")
    assert not model.conv.weight[:, 2:].any()
    assert model.conv.weight[:, :2].any()
    model.eval()
    changed = torch.from_numpy(SERIES).clone()
    changed[..., 2:] = 1e30
    assert torch.equal(model(torch.from_numpy(SERIES)), model(changed))


def test_numbers_beside_words_are_shrunk_and_the_words_are_not():
    torch.manual_seed(0)
    words = RNG.integers(0, 5, size=(ROWS, 3))
    numbers = RNG.normal(size=(ROWS, 5)).astype(np.float32)
    y = (numbers[:, 0] - np.abs(numbers[:, 1]) + 0.5 * (words == 2).sum(1)).astype(np.float32)
    model = BesideWords()
    data = {"words": torch.from_numpy(words), "numbers": torch.from_numpy(numbers)}
    result = train(model, (data, torch.from_numpy(y)))
    assert result.dropped_inputs == ("numbers.2", "numbers.3", "numbers.4")
    assert not model.linear.weight[:, 4:].any()
    assert model.linear.weight[:, :2].any()


def test_columns_behind_a_gate_count_as_dropped():
    torch.manual_seed(0)
    model = Hybrid(nn.LSTM(4, 8, batch_first=True), KANHead(8, 1))
    gated = gate_inputs(model, {0: (0, 3)}, {0: torch.zeros(4)})
    held = gated.backbone.weight_ih_l0[:, [0, 3]].detach().norm()
    result = train(gated, (SERIES, Y), epochs=4)
    assert {"x0", "x3"} <= set(result.dropped_inputs)
    assert gated.backbone.weight_ih_l0[:, [0, 3]].norm() > held / 2, "its weights stay, unread"
