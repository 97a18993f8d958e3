"""Make a model read from columns that stay what it read from columns that go."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kaninterp.data import Batch
from kaninterp.measure.host import Columns
from kaninterp.nn import Entry, KANHead, splines_again_
from kaninterp.nn.readers import family_of
from kaninterp.pruning.substitutes import Gone

__all__ = ["EdgeStandIns", "fold"]


class EdgeStandIns:
    """What stands in for all edges out of an input of a head: edges out of others, fitted on rows, or their means.

    The fit is by least squares in the basis of the others, so that it can be added to their edges; with no others it is
    the mean of each edge, so that the mean of every node stays.

    Parameters
    ----------
    head
        Not changed.
    x : Tensor, shape (n, in_features)
        Rows of training data.
    """

    def __init__(self, head: KANHead, x: Tensor) -> None:
        self.layer = head.kan_layers[0]
        select = tuple(range(head.in_features)) if head.select is None else head.select
        self.place = {column: number for number, column in enumerate(select)}
        self._rows = x[:, list(select)]
        self._edges = self.layer.edges(self._rows)
        self._known: dict[tuple[int, tuple[int, ...]], Tensor] = {}
        self._basis: Tensor | None = None

    def constants(self, index: int) -> Tensor:
        """Mean of each edge out of a column, (dst,)."""
        return self._edges[:, :, self.place[index]].mean(0)

    def weights(self, index: int, others: tuple[int, ...]) -> Tensor:
        """What is added to the weights of the edges out of others, (dst, planes, len(others))."""
        if (index, others) not in self._known:
            if self._basis is None:
                self._basis = self.layer.basis(self._rows)
            basis = self._basis[:, :, [self.place[other] for other in others]]
            lost = self._edges[:, :, self.place[index]]
            design = basis.flatten(1).double().cpu()
            solution = torch.linalg.lstsq(design, lost.double().cpu(), driver="gelsd").solution
            extra = solution.T.reshape(lost.shape[1], *basis.shape[1:]).to(lost)
            alive = self.layer.mask[:, self.place[index]] > 0
            self._known[index, others] = extra * alive[:, None, None]
        return self._known[index, others]

    def values(self, index: int, others: tuple[int, ...], basis: Tensor) -> Tensor:
        """What stands in for the edges out of a column, (n, dst), where the basis is (n, planes, src)."""
        chosen = basis[:, :, [self.place[other] for other in others]]
        return torch.einsum("nps,dps->nd", chosen, self.weights(index, others))


@torch.no_grad()
def fold(model: nn.Module, found: Sequence[Entry], columns: Columns, batch: Batch, gone: Gone) -> nn.Module:
    """A copy of a model whose readers take from the stand-ins what they took from columns that are about to go.

    A linear reader adds the column's weights, times those of the stand-in, to the weights of the others: exact once
    the column is held at its intercept. A KAN that reads rows does what `EdgeStandIns` says, and its edges out of the
    column become zero.

    Parameters
    ----------
    model
        Not changed.
    found
        The modules that read raw columns.
    columns
        Where each column is.
    batch
        Training rows.
    gone
        The columns, and their stand-ins.
    """
    new = copy.deepcopy(model)
    for which, key in enumerate(batch.places):
        lost = {columns.places[i][1]: s for i, s in gone.items() if columns.places[i][0] == which}
        position = {i: place for i, (tensor, place) in enumerate(columns.places) if tensor == which}
        for entry in found:
            if entry.key != key or not lost:
                continue
            module = new.get_submodule(entry.path)
            moved = {place: tuple(position[other] for other in s.others) for place, s in lost.items()}
            if isinstance(module, KANHead) and _plain(entry):
                rows = batch.inputs[which].reshape(-1, batch.inputs[which].shape[-1])
                taken = {entry.columns.index(place): _taken(entry, others) for place, others in _seen(entry, moved)}
                _fold_edges(module, rows[:, list(entry.columns)], taken)
            elif not isinstance(module, KANHead):
                for place, others in _seen(entry, moved):
                    _fold_weights(module, entry, place, others, lost[place].weights)
    return new


def _plain(entry: Entry) -> bool:
    """Whether every column arrives once."""
    return len(entry.raw_columns) == len(entry.columns)


def _seen(entry: Entry, moved: dict[int, tuple[int, ...]]) -> list[tuple[int, tuple[int, ...]]]:
    return [(place, others) for place, others in moved.items() if place in entry.columns]


def _taken(entry: Entry, others: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(entry.columns.index(other) for other in others)


def _fold_weights(
    module: nn.Module, entry: Entry, position: int, others: Sequence[int], weights: Sequence[float]
) -> None:
    """Add weights of a column to those of others, at every place where each arrives (a flattened window has many)."""
    family = family_of(module)
    if family is None or family.groups(module) != 1:
        return
    kept = getattr(module, "kept_columns", tuple(range(len(entry.columns))))
    at = {raw: [kept.index(p) for p, c in enumerate(entry.columns) if c == raw and p in kept] for raw in entry.columns}
    for name in family.first_weights(module):
        matrix = family.by_column(module, module.get_parameter(name)).squeeze(-2)  # a view (..., columns)
        for other, weight in zip(others, weights, strict=True):
            for source, sink in zip(at[position], at[other], strict=True):
                matrix[..., sink] += weight * matrix[..., source]


def _fold_edges(head: KANHead, x: Tensor, moved: dict[int, tuple[int, ...]]) -> None:
    stand_ins = EdgeStandIns(head, x)
    layer, place = head.kan_layers[0], stand_ins.place
    before = layer.mask.clone()
    mask = before.clone()
    extra, taking = torch.zeros_like(layer.weight), torch.zeros_like(layer.mask, dtype=torch.bool)
    for index, others in moved.items():
        if index not in place:
            continue  # it was cut away before
        if not others:
            layer.bias.add_(stand_ins.constants(index))
        else:
            for number, other in enumerate(others):
                extra[:, :, place[other]] += stand_ins.weights(index, others)[:, :, number]
                mask[before[:, place[index]] > 0, place[other]] = 1.0
                taking[before[:, place[index]] > 0, place[other]] = True
        mask[:, place[index]] = 0.0
    splines_again_(layer, taking)  # a formula cannot take anything over
    layer.weight.mul_(before[:, None, :])  # what a masked edge held must not come back
    layer.weight.add_(extra)
    layer.weight.mul_(mask[:, None, :])
    layer.set_mask(mask)
