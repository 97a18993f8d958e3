"""Which family a module belongs to."""

from __future__ import annotations

from torch import nn

from kaninterp.nn.head import KANHead
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.readers.conv import Conv1dFamily
from kaninterp.nn.readers.family import Family
from kaninterp.nn.readers.linear import LinearFamily
from kaninterp.nn.readers.narrowed import Narrowed
from kaninterp.nn.readers.recurrent import GRUFamily, LSTMFamily, RNNFamily

__all__ = ["FAMILIES", "READABLE", "column_axis", "family_of", "input_kind", "input_width"]

FAMILIES: tuple[Family, ...] = (LinearFamily(), LSTMFamily(), GRUFamily(), RNNFamily(), Conv1dFamily())
"""Every family; a `KANHead` is cut by its own surgery and is none of them."""

READABLE = "nn.LSTM, nn.GRU, nn.RNN, nn.Linear, nn.Conv1d (without parametrizations or a forward of their own), KANHead"
"""What error messages say is allowed."""


def family_of(module: nn.Module) -> Family | None:
    """The family of a module; None for a KAN and for what is not known."""
    return next((family for family in FAMILIES if family.owns(module)), None)


def input_kind(module: nn.Module) -> str:
    """Name what kind of reader of raw columns a module is.

    Parameters
    ----------
    module
        Any module.

    Returns
    -------
    str
        "linear", "lstm", "gru", "rnn", "conv1d" (torch's own, or narrowed ones), "kan" (KANHead, KANLayer), or
        "other". A subclass with a forward of its own and a module with parametrizations (weight norm) are
        "other": what they do with their weights is not known.

    Examples
    --------
    >>> import torch
    >>> input_kind(torch.nn.GRU(3, 4)), input_kind(torch.nn.ReLU())
    ('gru', 'other')
    """
    if isinstance(module, (KANHead, KANLayer)):
        return "kan"
    family = family_of(module)
    return "other" if family is None else family.kind


def input_width(module: nn.Module) -> int:
    """Width of the input a module of a known kind accepts (the full width if it was narrowed)."""
    if isinstance(module, Narrowed):
        return module.full_width
    family = family_of(module)
    return int(module.in_features) if family is None else family.width(module)  # type: ignore[arg-type]


def column_axis(module: nn.Module) -> int:
    """Axis of a module's input that holds the columns."""
    family = family_of(module)
    return -1 if family is None else family.axis
