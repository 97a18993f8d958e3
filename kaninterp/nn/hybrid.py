"""A backbone and a head as one module: which of the backbone's time steps the head reads is one word."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from kaninterp.core.errors import InputError, InputTypeError, ModelError, ShapeError

__all__ = ["READOUTS", "Hybrid"]

READOUTS = ("last", "mean", "all")


class Hybrid(nn.Module):
    """Backbone, readout, head: ``head(readout(backbone(x)))``.

    Parameters
    ----------
    backbone
        `nn.LSTM`, `nn.GRU`, `nn.RNN` (batch first or not, bidirectional, with `proj_size`; padded, packed or
        unbatched input), or any other module that returns a tensor or a tuple whose first element is one.
    head
        A `KANHead`, or any module that maps (..., H) to (..., O).
    readout
        "last": what is known after the whole sequence. For a recurrent backbone these are the final states of
        its top layer: forward direction at the last *valid* step (packed sequences), backward direction at
        the first step, joined as torch joins them (so both have read every step; the backward half of the
        output at the last step has read only one). For any other backbone with outputs (B, T, H): step T - 1.
        "mean": mean over the valid time steps. "all": the head at every time step, in the layout of the
        backbone's output (packed in, packed out).
        Outputs without a time axis, (B, H) or (H,), are passed on as they are by every readout.
    feature_axis
        Axis of the features in the output of a non-recurrent backbone; 1 for convolutions, whose (B, C, T) or
        (B, C, Y, X) is then read as (B, T, C) or (B, Y, X, C). "mean" averages over all axes in between.

    Raises
    ------
    ShapeError
        The backbone's features are not as many as the head reads: at construction where the width is known
        (recurrent, linear), otherwise in forward; both widths are named.
    ModelError
        The backbone returns something without a tensor in front.

    Examples
    --------
    >>> import torch
    >>> lstm = torch.nn.LSTM(3, 8, batch_first=True)
    >>> model = Hybrid(lstm, torch.nn.Linear(8, 1), readout="last")
    >>> model(torch.randn(5, 24, 3)).shape
    torch.Size([5, 1])
    >>> Hybrid(lstm, torch.nn.Linear(8, 1), readout="all")(torch.randn(5, 24, 3)).shape
    torch.Size([5, 24, 1])
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, readout: str = "last", *, feature_axis: int = -1) -> None:
        for role, module in (("backbone", backbone), ("head", head)):
            if not isinstance(module, nn.Module):
                raise InputTypeError(f"{role} must be a torch.nn.Module, got {type(module).__name__}")
        if readout not in READOUTS:
            raise InputError(f"readout must be one of {', '.join(map(repr, READOUTS))}, got {readout!r}")
        _check_width(_known_width(backbone), head, backbone)
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.readout = readout
        self.feature_axis = feature_axis

    def forward(self, input: Any = None, /, *args: Any, **kwargs: Any) -> Any:  # noqa: A002 (torch's word)
        """Run the backbone on whatever it takes (positional, or by keyword only), read out, run the head.

        Returns
        -------
        Tensor or PackedSequence
            (B, O) for "last" and "mean" ((O,) unbatched), (B, T, O) in the backbone's layout for "all"; a
            PackedSequence for "all" when the backbone was given one.
        """
        output = self.backbone(**kwargs) if input is None else self.backbone(input, *args, **kwargs)
        if isinstance(self.backbone, nn.RNNBase):
            features = _read_recurrent(self.backbone, output, self.readout)
        else:
            features = self._read_any(output)
        packed = isinstance(features, PackedSequence)
        values = features.data if packed else features
        _check_width(values.shape[-1], self.head, self.backbone, values)
        result = self.head(values)
        return features._replace(data=result) if packed else result

    def extra_repr(self) -> str:
        """Show the readout."""
        axis = "" if self.feature_axis == -1 else f", feature_axis={self.feature_axis}"
        return f"readout={self.readout!r}{axis}"

    def _read_any(self, output: Any) -> Any:
        first = output
        if isinstance(output, (tuple, list)) and not isinstance(output, PackedSequence):
            first = output[0] if output else None
        if isinstance(first, PackedSequence):
            return _read_packed(first, self.readout)
        if not isinstance(first, Tensor) or first.dim() == 0:
            raise ModelError(
                f"the backbone {type(self.backbone).__name__} returned {_described(output)}; allowed: a "
                "tensor (B, H) or (B, T, H), or a tuple with such a tensor in front"
            )
        values = first if self.feature_axis == -1 else first.movedim(self.feature_axis, -1)
        if values.dim() < 3 or self.readout == "all":
            return values
        if self.readout == "mean":
            return values.flatten(1, -2).mean(1)
        if values.dim() > 3:
            raise ShapeError(
                f"readout 'last' needs one time axis, (B, T, H); the backbone returned {tuple(first.shape)}; "
                "use readout='mean' or 'all'"
            )
        return values[:, -1]


def _read_recurrent(backbone: nn.RNNBase, output: Any, readout: str) -> Any:
    """Features of torch's own recurrent modules, whose outputs are ``(sequence, state)``."""
    sequence, state = output
    if readout == "all":
        return sequence
    if readout == "last":
        final = state[0] if isinstance(state, tuple) else state
        directions = 2 if backbone.bidirectional else 1
        return torch.cat([final[place] for place in range(-directions, 0)], dim=-1)
    if isinstance(sequence, PackedSequence):
        return _packed_mean(sequence)
    unbatched = sequence.dim() == 2
    return sequence.mean(0 if unbatched or not backbone.batch_first else 1)


def _read_packed(sequence: PackedSequence, readout: str) -> Any:
    """Features of another module that returns a packed sequence: its last valid step, masked mean, or all."""
    if readout == "all":
        return sequence
    if readout == "mean":
        return _packed_mean(sequence)
    padded, lengths = pad_packed_sequence(sequence)
    rows = torch.arange(padded.shape[1], device=padded.device)
    return padded[lengths.to(padded.device) - 1, rows]


def _packed_mean(sequence: PackedSequence) -> Tensor:
    padded, lengths = pad_packed_sequence(sequence)  # zeros after the end: (T, B, H)
    counts = lengths.to(device=padded.device, dtype=padded.dtype)
    return padded.sum(0) / counts[:, None]


def _known_width(backbone: nn.Module) -> int | None:
    """Count the features the backbone will return, where its class tells."""
    if isinstance(backbone, nn.RNNBase):
        directions = 2 if backbone.bidirectional else 1
        return directions * int(backbone.proj_size or backbone.hidden_size)
    return int(backbone.out_features) if isinstance(backbone, nn.Linear) else None


def _check_width(width: int | None, head: nn.Module, backbone: nn.Module, values: Tensor | None = None) -> None:
    expected = getattr(head, "in_features", None)
    if width is None or not isinstance(expected, int) or width == expected:
        return
    seen = "" if values is None else f" (shape {tuple(values.shape)} after the readout)"
    raise ShapeError(
        f"the backbone {type(backbone).__name__} gives {width} features{seen}, the head "
        f"{type(head).__name__} reads {expected}; give the head in_features={width}; for convolutions "
        "(B, C, T) set feature_axis=1"
    )


def _described(output: Any) -> str:
    if isinstance(output, (tuple, list)):
        return f"{type(output).__name__} of ({', '.join(type(part).__name__ for part in output)})"
    return f"{tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
