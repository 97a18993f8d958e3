"""One group of weights per raw column: its norm, and the proximal step that makes groups exactly zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kaninterp.core.errors import InputError, ModelError, ShapeError
from kaninterp.nn.head import KANHead
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.readers import READABLE, Narrowed, family_of, input_width
from kaninterp.nn.readers.narrowed import NOTHING
from kaninterp.nn.symbolic import SymbolicEdges

__all__ = ["column_norms", "proximal_step_"]


def column_norms(module: nn.Module, groups: Sequence[int] | None = None) -> Tensor:
    """Euclidean norm of all weights that read each raw column: every gate, both directions, every tap, every edge.

    Parameters
    ----------
    module
        `nn.LSTM`, `nn.GRU`, `nn.RNN`, `nn.Linear`, `nn.Conv1d` (a column is a channel) or `KANHead`, also narrowed
        ones.
    groups
        For each column the module takes, its raw column (`Entry.columns`); columns of one number form one
        group, those of -1 belong to none. None: every column is its own.

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
    reading = _reading(module)
    places, numbers, count = _groups_of(reading, groups)
    squares = reading.squares()
    total = squares.new_zeros(count).index_add(0, numbers, squares[places])
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
    reading = _reading(module)
    places, numbers, count = _groups_of(reading, groups)
    limits = torch.as_tensor(threshold, dtype=reading.weights[0].dtype, device=reading.weights[0].device)
    if limits.dim() > 0 and limits.shape != (count,):
        raise ShapeError(f"threshold must be one number or one per column, shape ({count},), got {tuple(limits.shape)}")
    if not bool((limits >= 0).all()):
        raise InputError(f"threshold must be 0 or more, got {threshold}")
    norms = column_norms(module, groups)
    after = (norms - limits).clamp_min(0)
    factors = norms.new_ones(len(reading.places))
    factors[places] = torch.where(after > 0, after / norms, torch.zeros_like(norms))[numbers]
    for weight in reading.weights:
        weight.mul_(factors.view(weight.shape[-2:]))
    if reading.formulas is not None:
        edges, _ = reading.formulas
        edges.numbers[:, 2] *= factors[edges.pairs[:, 1]]
    return after


@dataclass(frozen=True, slots=True)
class _Reading:
    """First weights of a module as (..., groups, columns per group), and which column stands at each place."""

    weights: list[Tensor]
    effective: list[Tensor]
    places: tuple[int, ...]
    width: int
    formulas: tuple[SymbolicEdges, Tensor] | None = None
    """Formulas of a KAN, whose c counts among the weights, and its mask."""

    def squares(self) -> Tensor:
        """Sum of squares of every place; masked edges of a KAN do not count."""
        total = torch.stack([weight.square().flatten(0, -3).sum(0).flatten() for weight in self.effective]).sum(0)
        if self.formulas is None:
            return total
        edges, mask = self.formulas
        return total + edges.spread(edges.numbers[:, 2], mask).square().sum(0)


def _reading(module: nn.Module) -> _Reading:
    family = family_of(module)
    if family is not None:
        names = family.first_weights(module)
        weights = [family.by_column(module, module.get_parameter(name)) for name in names]
        width = input_width(module)
        places = module.places if isinstance(module, Narrowed) else tuple(range(width))
        return _Reading(weights, weights, places, width)
    if not isinstance(module, (KANHead, KANLayer)):
        raise ModelError(
            f"cannot tell which weights of a {type(module).__name__} read which column; allowed: {READABLE}"
        )
    select = module.select if isinstance(module, KANHead) else None
    layer = module.kan_layers[0] if isinstance(module, KANHead) else module
    places = tuple(range(module.in_features)) if select is None else select
    weights, effective = [layer.weight.unsqueeze(-2)], [layer.masked_weight().unsqueeze(-2)]
    formulas = None if layer.formulas is None else (layer.formulas, layer.mask)
    return _Reading(weights, effective, places, module.in_features, formulas)


def _groups_of(reading: _Reading, groups: Sequence[int] | None) -> tuple[Tensor, Tensor, int]:
    """Places that belong to a group, the group of each, and the number of groups."""
    device = reading.weights[0].device
    if groups is None:
        groups, count = range(reading.width), reading.width
    else:
        _check_groups(groups, reading.width)
        count = max(groups, default=-1) + 1
    number = {place: groups[column] for place, column in enumerate(reading.places) if column != NOTHING}
    places = [place for place, group in number.items() if group >= 0]
    numbers = [number[place] for place in places]
    return torch.tensor(places, device=device).long(), torch.tensor(numbers, device=device).long(), count


def _check_groups(groups: Sequence[int], width: int) -> None:
    if len(groups) != width:
        raise ShapeError(f"groups must name the raw column of each of the {width} columns, got {len(groups)} numbers")
    if any(group < -1 for group in groups):
        raise ShapeError(f"groups must be raw column numbers, or -1 for what is not raw, got {tuple(groups)}")
