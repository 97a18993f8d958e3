"""Modules that read raw columns, one of each kind that can be narrowed, and inputs for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from kaninterp.nn import KANHead, KANLayer
from kaninterp.nn.readers import column_axis

WIDTH = 6

READERS = {
    "lstm": lambda: nn.LSTM(WIDTH, 4, batch_first=True),
    "lstm, 2 layers, both ways": lambda: nn.LSTM(WIDTH, 4, 2, bidirectional=True),
    "lstm without bias": lambda: nn.LSTM(WIDTH, 4, bias=False),
    "gru": lambda: nn.GRU(WIDTH, 4, batch_first=True, bidirectional=True),
    "gru without bias": lambda: nn.GRU(WIDTH, 4, bias=False),
    "rnn": lambda: nn.RNN(WIDTH, 4, nonlinearity="relu"),
    "linear": lambda: nn.Linear(WIDTH, 4),
    "linear without bias": lambda: nn.Linear(WIDTH, 4, bias=False),
    "conv1d": lambda: nn.Conv1d(WIDTH, 4, 3, stride=2),
    "conv1d, zeros padded": lambda: nn.Conv1d(WIDTH, 4, 3, padding=2, dilation=2),
    "conv1d, same, without bias": lambda: nn.Conv1d(WIDTH, 4, 5, padding="same", bias=False),
    "conv1d, circular": lambda: nn.Conv1d(WIDTH, 4, 3, padding=1, padding_mode="circular"),
    "conv1d, 2 groups": lambda: nn.Conv1d(WIDTH, 4, 3, groups=2, padding=1),
    "conv1d, depthwise": lambda: nn.Conv1d(WIDTH, 2 * WIDTH, 3, groups=WIDTH),
    "kan": lambda: KANHead(WIDTH, 2, (3,)).eval(),
    "kan layer": lambda: KANLayer(WIDTH, 2).eval(),
}


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def sample_for(module: nn.Module, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Six rows of seven steps; channels in front of the steps where the module wants them there."""
    return draw(6, 7, WIDTH, dtype=dtype).movedim(-1, column_axis(module)).contiguous()


def held_at(x: Tensor, fill: Tensor, kept: Any, axis: int = -1) -> Tensor:
    """A copy with all columns that are not kept set to their constant."""
    held = x.clone()
    columns = held.movedim(axis, -1)
    for column in range(columns.shape[-1]):
        if column not in kept:
            columns[..., column] = fill[column]
    return held


def first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) and not isinstance(output, PackedSequence) else output


def state_of(model: nn.Module) -> tuple[list[Tensor], list[bool]]:
    return [tensor.clone() for tensor in model.state_dict().values()], [m.training for m in model.modules()]
