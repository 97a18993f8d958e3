"""A module that no longer reads some of its columns: same interface, physically smaller weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from kaninterp.core.errors import InputTypeError, ModelError, PlanError, ShapeError
from kaninterp.nn.head import KANHead, head_of
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.readers import READABLE, Family, Narrowed, family_of, input_kind, input_width
from kaninterp.nn.readers.narrowed import NOTHING
from kaninterp.nn.surgery import narrow_head

__all__ = ["input_kind", "narrow"]

_HOOKS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
    "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_backward_hooks",
)  # fmt: skip


def narrow(module: nn.Module, keep: Sequence[int], fill: Tensor | None = None, *, compact: bool = True) -> nn.Module:
    """Make a smaller module of the same family that reads only some columns of its full-width input.

    Parameters
    ----------
    module
        `nn.LSTM`, `nn.GRU`, `nn.RNN`, `nn.Linear`, `nn.Conv1d` (its channels are the columns), `KANHead`, or one
        narrowed before. Not changed. A `KANLayer` comes back as a `KANHead` of one layer, which can select.
    keep
        Indices of the columns that may still be read, in the numbering of the full-width input (also when
        the module was narrowed before: the maps compose, what was dropped stays dropped). Empty: none.
    fill
        Shape (full_width,): the constant each dropped column is held at, for example its training mean
        (entries of kept columns are not used). It is folded into the input bias; a module without bias gains
        one. None: 0.
    compact
        True: the weights of dropped columns are removed. False: they are set to 0 (finite values there have
        no effect, NaN has); for comparing with the compact module.

    Returns
    -------
    nn.Module
        A new module with ``new(x) == module(x with dropped columns set to fill)`` for every x. It does not
        read the dropped columns at all: NaN or inf there changes no bit of the output.

    Raises
    ------
    ModelError
        A module of another kind. PlanError, ShapeError, InputTypeError for `keep` or `fill` that do not fit.

    Examples
    --------
    >>> import torch
    >>> lstm = torch.nn.LSTM(4, 8, batch_first=True)
    >>> small = narrow(lstm, (0, 2), fill=torch.ones(4))
    >>> isinstance(small, torch.nn.LSTM), small.weight_ih_l0.shape
    (True, torch.Size([32, 2]))
    >>> x = torch.randn(5, 7, 4)
    >>> held = x.clone()
    >>> held[..., [1, 3]] = 1.0
    >>> torch.allclose(small(x)[0], lstm(held)[0], atol=1e-6)
    True
    """
    family = family_of(module)
    if family is None and not isinstance(module, (KANHead, KANLayer)):
        raise ModelError(f"cannot narrow a {type(module).__name__}; allowed: {READABLE}")
    full_width = input_width(module)
    kept = _checked_columns(keep, full_width)
    _check_fill(fill, kept, full_width)
    if family is None:
        return _narrow_kan(module, kept, fill, compact=compact)
    return _rebuilt(module, family, kept, fill, compact=compact)


def _checked_columns(keep: Sequence[int], full_width: int) -> tuple[int, ...]:
    columns = [int(column) for column in keep]
    if len(set(columns)) != len(columns) or any(not 0 <= column < full_width for column in columns):
        raise PlanError(
            f"keep must be distinct column indices from 0 to {full_width - 1}, got {tuple(columns)}; "
            "give the columns to keep, in the numbering of the full-width input"
        )
    return tuple(sorted(columns))


def _check_fill(fill: Any, kept: tuple[int, ...], full_width: int) -> None:
    if fill is None:
        return
    if not isinstance(fill, Tensor) or not fill.is_floating_point():
        got = fill.dtype if isinstance(fill, Tensor) else type(fill).__name__
        raise InputTypeError(f"fill must be a float tensor of shape ({full_width},), got {got}")
    if fill.shape != (full_width,):
        raise ShapeError(f"fill must have one value per column, shape ({full_width},), got {tuple(fill.shape)}")
    finite = fill.detach().isfinite().index_fill(0, torch.tensor(kept, dtype=torch.long, device=fill.device), True)
    bad = [column for column, fine in enumerate(finite.tolist()) if not fine]
    if bad:
        raise PlanError(f"fill is not finite at dropped columns {bad}; give the constant each is held at")


def _narrow_kan(module: nn.Module, kept: tuple[int, ...], fill: Tensor | None, *, compact: bool) -> nn.Module:
    head = head_of(module) if isinstance(module, KANLayer) else cast("KANHead", module)
    return narrow_head(head, kept, fill, compact=compact)


def _rebuilt(
    module: nn.Module, family: Family, kept: tuple[int, ...], fill: Tensor | None, *, compact: bool
) -> nn.Module:
    full_width = input_width(module)
    before = module.places if isinstance(module, Narrowed) else tuple(range(full_width))
    stay = set(kept)
    after = _places_left(before, stay, family.groups(module)) if compact else before
    new = family.empty_twin(module, len(after), bias=fill is not None)
    with torch.no_grad():
        at = {column: place for place, column in enumerate(before)}
        moves = [(at[column], place) for place, column in enumerate(after) if column in stay]
        _copy_weights(family, module, new, moves)
        family.fold(module, new, _held(before, stay, fill).to(next(module.parameters()).device))
    new.remember(after, full_width, next(new.parameters()).device)
    for name in _HOOKS:
        getattr(new, name).update(copy.copy(getattr(module, name)))
    return new.train(module.training)


def _places_left(before: tuple[int, ...], kept: set[int], groups: int) -> tuple[int, ...]:
    """Columns that stay, group by group; all groups are as wide as the widest, and never empty."""
    size = len(before) // groups
    blocks = [[column for column in before[at : at + size] if column in kept] for at in range(0, len(before), size)]
    width = max(1, *map(len, blocks))
    return tuple(column for block in blocks for column in [*block, *[NOTHING] * (width - len(block))])


def _copy_weights(family: Family, module: nn.Module, new: Narrowed, moves: list[tuple[int, int]]) -> None:
    """Fill the twin: columns of first weights go (from, to) their places, all other parameters stay as they are."""
    first = family.first_weights(module)
    old = {name: parameter.detach() for name, parameter in module.named_parameters()}
    for name, parameter in new.named_parameters():
        parameter.zero_()
        if name not in first and name in old:
            parameter.copy_(old[name])
        if name in first:
            ours, theirs = family.by_column(new, parameter), family.by_column(module, old[name])
            sources, places = torch.tensor(moves, dtype=torch.long, device=parameter.device).view(-1, 2).unbind(1)
            ours[..., places // ours.shape[-1], places % ours.shape[-1]] = theirs[
                ..., sources // theirs.shape[-1], sources % theirs.shape[-1]
            ]
        parameter.requires_grad_(_wants_grad(module, name))


def _held(before: tuple[int, ...], kept: set[int], fill: Tensor | None) -> Tensor:
    """What each column the weights read is held at from now on; 0 for those that stay."""
    held = torch.zeros(len(before), dtype=torch.float64)
    if fill is not None:
        gone = [place for place, column in enumerate(before) if column != NOTHING and column not in kept]
        held[gone] = fill.detach().cpu().double()[[before[place] for place in gone]]
    return held


def _wants_grad(module: nn.Module, name: str) -> bool:
    parameter = getattr(module, name, None)
    source = parameter if parameter is not None else next(module.parameters())
    return bool(source.requires_grad)
