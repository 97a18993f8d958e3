"""One group of weights per raw column: its norm, and the proximal step that makes groups exactly zero."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kaninterp.core.errors import InputError, ModelError, ShapeError
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.narrow import Narrowed, input_kind, input_width

__all__ = ["column_norms", "proximal_step_"]


def column_norms(module: nn.Module, groups: Sequence[int] | None = None) -> Tensor:
    """Euclidean norm of all weights that read each raw column: every gate, both directions, every edge.

    Parameters
    ----------
    module
        `nn.LSTM`, `nn.GRU`, `nn.RNN`, `nn.Linear` or `KANHead`, also narrowed ones.
    groups
        For each column the module takes, its raw column (`Entry.columns`); columns of one number form one
        group. None: every column is its own.

    Returns
    -------
    Tensor
        (full width,), or (max(groups) + 1,) if `groups` is given; 0 for columns that are not read.
        Differentiable (with subgradient 0 at 0), so that its sum is the group lasso of Yuan and Lin (2006).

    Raises
    ------
    ModelError
        A module of another kind. ShapeError if `groups` does not fit its width.

    Examples
    --------
    >>> import torch
    >>> linear = torch.nn.Linear(3, 2)
    >>> with torch.no_grad():
    ...     _ = linear.weight.copy_(torch.tensor([[3.0, 0.0, 1.0], [4.0, 0.0, 0.0]]))
    >>> column_norms(linear).detach()
    tensor([5., 0., 1.])
    """
    weights, kept, width = _readers(module)
    raw, n_groups = _group_of(kept, groups, width)
    squares = _squares(module, weights, len(kept))
    total = squares.new_zeros(n_groups).index_add(0, raw.to(squares.device), squares)
    positive = total > 0  # sqrt has no derivative at 0; a dead column stays at 0 with gradient 0
    roots = total.where(positive, torch.ones_like(total)).sqrt()
    return roots.where(positive, torch.zeros_like(roots))


@torch.no_grad()
def proximal_step_(module: nn.Module, threshold: float | Tensor, groups: Sequence[int] | None = None) -> Tensor:
    """Shrink each column's group of weights in place: ``w <- w max(0, 1 - threshold / ||w||)``.

    This is the proximal operator of ``threshold * sum_i ||w_i||`` (group lasso; Parikh and Boyd 2014, section
    6.5.4): called after an optimiser step with threshold = learning rate x strength, it makes columns exactly
    zero.

    Parameters
    ----------
    module
        As for `column_norms`. Changed in place.
    threshold
        Not negative: one number, or one per group (adaptive lasso), in units of the norm.
    groups
        As for `column_norms`.

    Returns
    -------
    Tensor
        The norms after the step, (number of groups,).

    Raises
    ------
    InputError
        A negative or NaN threshold. ShapeError if there is not one per group.

    Examples
    --------
    >>> import torch
    >>> linear = torch.nn.Linear(2, 1)
    >>> with torch.no_grad():
    ...     _ = linear.weight.copy_(torch.tensor([[2.0, 0.5]]))
    >>> proximal_step_(linear, 1.0)
    tensor([1., 0.])
    """
    weights, kept, width = _readers(module)
    raw, n_groups = _group_of(kept, groups, width)
    limits = torch.as_tensor(threshold, dtype=weights[0].dtype, device=weights[0].device)
    if limits.dim() > 0 and limits.shape != (n_groups,):
        raise ShapeError(
            f"threshold must be one number or one per column, shape ({n_groups},), got {tuple(limits.shape)}"
        )
    if not bool((limits >= 0).all()):
        raise InputError(f"threshold must be 0 or more, got {threshold}")
    norms = column_norms(module, groups)
    after = (norms - limits).clamp_min(0)
    factors = torch.where(after > 0, after / norms, torch.zeros_like(norms))
    for weight in weights:
        weight[..., : len(kept)] *= factors[raw.to(weight.device)]
    return after


def _readers(module: nn.Module) -> tuple[list[nn.Parameter], tuple[int, ...], int]:
    """Parameters whose last axis is the column, the column number of each place on it, and the full width."""
    kind = input_kind(module)
    if kind == "other":
        raise ModelError(
            f"cannot tell which weights of a {type(module).__name__} read which column; allowed: nn.LSTM, "
            "nn.GRU, nn.RNN, nn.Linear, KANHead and KANLayer"
        )
    width = input_width(module)
    if isinstance(module, Narrowed):
        return _first_parameters(module), module.kept_columns, width
    select = getattr(module, "select", None)
    return _first_parameters(module), tuple(range(width)) if select is None else tuple(select), width


def _first_parameters(module: nn.Module) -> list[nn.Parameter]:
    if isinstance(module, nn.RNNBase):
        ends = ["l0", "l0_reverse"] if module.bidirectional else ["l0"]
        return [module.get_parameter(f"weight_ih_{end}") for end in ends]
    return [_first_layer(module).get_parameter("weight")]


def _first_layer(module: nn.Module) -> nn.Module:
    from kaninterp.nn.head import KANHead

    return module.kan_layers[0] if isinstance(module, KANHead) else module


def _squares(module: nn.Module, weights: list[nn.Parameter], count: int) -> Tensor:
    """Sum of squares of every place on the last axis (count,); masked edges of a KAN do not count."""
    first = _first_layer(module)
    effective = [first.masked_weight()] if isinstance(first, KANLayer) else weights
    return torch.stack([weight.square().flatten(0, -2).sum(0) for weight in effective]).sum(0)[:count]


def _group_of(kept: tuple[int, ...], groups: Sequence[int] | None, width: int) -> tuple[Tensor, int]:
    if groups is None:
        return torch.tensor(kept, dtype=torch.long), width
    if len(groups) != width:
        raise ShapeError(f"groups must name the raw column of each of the {width} columns, got {len(groups)} numbers")
    if any(group < 0 for group in groups):
        raise ShapeError(f"groups must be raw column numbers, 0 or more, got {tuple(groups)}")
    return torch.tensor([groups[column] for column in kept], dtype=torch.long), max(groups, default=-1) + 1
