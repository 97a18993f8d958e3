"""Convolutions over time: the channels are the columns, (batch, channels, time)."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from kaninterp.nn.readers.family import Family
from kaninterp.nn.readers.narrowed import Narrowed

__all__ = ["Conv1dFamily", "NarrowConv1d"]


class NarrowConv1d(Narrowed, nn.Conv1d):
    """An `nn.Conv1d` that accepts all its channels, (full_width, T) or (B, full_width, T), and reads those it kept.

    Attributes
    ----------
    held : Tensor or None
        Shape (out_channels, 1, kernel_size): what channels held at constants add at each tap. A constant channel is
        no longer constant where zeros are padded beside it, so that its share is not a bias there.
    """

    narrow_kind = "conv1d"
    column_axis = -2
    held: Tensor | None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name torch gives it)
        """Run the smaller convolution on the kept channels."""
        x = self.select_columns(input)
        output = super().forward(x)
        if self.held is None:
            return output
        ones = x.new_ones(1, 1, x.shape[-1])
        return output + functional.conv1d(ones, self.held, None, self.stride, self.padding, self.dilation)[0]


class Conv1dFamily(Family):
    """`nn.Conv1d`, with any padding, stride and dilation.

    With `groups` > 1 the groups stay equally wide: a group that loses more channels than another is fed zeros, so
    that a depthwise convolution gets no smaller.
    """

    kind = "conv1d"
    plain = nn.Conv1d
    narrowed = NarrowConv1d
    axis = -2

    def groups(self, module: nn.Module) -> int:
        """Count the groups of channels."""
        return cast("nn.Conv1d", module).groups

    def width(self, module: nn.Module) -> int:
        """`in_channels`."""
        return cast("nn.Conv1d", module).in_channels

    def first_weights(self, module: nn.Module) -> dict[str, str]:
        """One kernel."""
        del module
        return {"weight": "bias"}

    def options(self, module: nn.Module, width: int, *, bias: bool) -> dict[str, Any]:
        """Arguments of `nn.Conv1d`."""
        names = ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        return {
            **{name: getattr(module, name) for name in names},
            "in_channels": width,
            "bias": module.bias is not None or bias,
        }

    def by_column(self, module: nn.Module, weight: Tensor) -> Tensor:
        """(out per group, taps, groups, channels per group)."""
        return weight.view(self.groups(module), -1, *weight.shape[1:]).permute(1, 3, 0, 2)

    def fold(self, module: nn.Module, new: Narrowed, held: Tensor) -> None:
        """Per tap where zeros are padded, else into the bias."""
        old, narrow = cast("nn.Conv1d", module), cast("NarrowConv1d", new)
        before = old.held if isinstance(old, NarrowConv1d) else None
        narrow.register_buffer("held", None if before is None else before.clone())
        if not bool(held.any()):
            return
        taps = (self.by_column(old, old.weight.double()) * held.view(old.groups, -1)).sum(-1)
        taps = taps.permute(2, 0, 1).flatten(0, 1)  # (out, taps)
        if _pads_zeros(old):
            taps = taps if before is None else taps + before[:, 0].double()
            narrow.register_buffer("held", taps[:, None].to(old.weight.dtype))
        elif narrow.bias is not None:
            narrow.bias.copy_(narrow.bias.double() + taps.sum(-1))


def _pads_zeros(conv: nn.Conv1d) -> bool:
    if conv.padding_mode != "zeros" or conv.padding == "valid":
        return False
    return conv.padding == "same" or bool(torch.tensor(conv.padding).any())
