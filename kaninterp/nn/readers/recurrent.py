"""Recurrent modules: the columns are read by the input weights of the first layer, in every direction."""

from __future__ import annotations

from typing import Any

from torch import nn

from kaninterp.nn.readers.family import Family
from kaninterp.nn.readers.narrowed import Narrowed

__all__ = ["GRUFamily", "LSTMFamily", "NarrowGRU", "NarrowLSTM", "NarrowRNN", "RNNFamily"]


class NarrowLSTM(Narrowed, nn.LSTM):
    """An `nn.LSTM` that accepts full-width sequences (padded, packed, unbatched), reads its kept columns."""

    narrow_kind = "lstm"

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002 (the name torch gives it)
        """Run the smaller LSTM on the kept columns."""
        return super().forward(self.select_columns(input), hx)


class NarrowGRU(Narrowed, nn.GRU):
    """An `nn.GRU` that accepts full-width sequences (padded, packed, unbatched), reads its kept columns."""

    narrow_kind = "gru"

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        """Run the smaller GRU on the kept columns."""
        return super().forward(self.select_columns(input), hx)


class NarrowRNN(Narrowed, nn.RNN):
    """An `nn.RNN` that accepts full-width sequences (padded, packed, unbatched), reads its kept columns."""

    narrow_kind = "rnn"

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        """Run the smaller RNN on the kept columns."""
        return super().forward(self.select_columns(input), hx)


class _Recurrent(Family):
    """What LSTM, GRU and RNN share."""

    def width(self, module: nn.Module) -> int:
        """`input_size`."""
        return int(module.input_size)  # type: ignore[arg-type]

    def first_weights(self, module: nn.Module) -> dict[str, str]:
        """Input weights of the first layer, one set per direction."""
        ends = ["l0", "l0_reverse"] if module.bidirectional else ["l0"]
        return {f"weight_ih_{end}": f"bias_ih_{end}" for end in ends}

    def options(self, module: nn.Module, width: int, *, bias: bool) -> dict[str, Any]:
        """Arguments of `nn.RNNBase`."""
        names = ("hidden_size", "num_layers", "batch_first", "dropout", "bidirectional")
        return {
            **{name: getattr(module, name) for name in names},
            "input_size": width,
            "bias": bool(module.bias) or bias,
        }


class LSTMFamily(_Recurrent):
    """`nn.LSTM`, also with projections."""

    kind = "lstm"
    plain = nn.LSTM
    narrowed = NarrowLSTM

    def options(self, module: nn.Module, width: int, *, bias: bool) -> dict[str, Any]:
        """Add the width of the projection."""
        return {**super().options(module, width, bias=bias), "proj_size": module.proj_size}


class GRUFamily(_Recurrent):
    """`nn.GRU`."""

    kind = "gru"
    plain = nn.GRU
    narrowed = NarrowGRU


class RNNFamily(_Recurrent):
    """`nn.RNN` with tanh or ReLU."""

    kind = "rnn"
    plain = nn.RNN
    narrowed = NarrowRNN

    def options(self, module: nn.Module, width: int, *, bias: bool) -> dict[str, Any]:
        """Add the nonlinearity."""
        return {**super().options(module, width, bias=bias), "nonlinearity": module.nonlinearity}
