"""A model on rows in memory: what its loss is when raw columns are gone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kaninterp.core.frozen import Array
from kaninterp.data import Batch
from kaninterp.measure.host import Columns, outputs
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.nn import KANHead
from kaninterp.pruning.folding import EdgeStandIns
from kaninterp.pruning.substitutes import Gone, Substitute, replaced

__all__ = ["HeadSubject", "Subject", "stand_ins_of", "subject_of"]

MOST_VALUES = 2**26
"""Edge values (rows x dst x src) held for a plain KAN: a quarter of a gigabyte in float32."""
FEW = 4
"""Columns that are exchanged one by one, before everything is summed anew."""


class Subject:
    """A model on some rows in memory: losses with columns gone. Use it inside `untouched`.

    Parameters
    ----------
    model, batch, columns
        The model, the rows, and their raw columns.
    loss
        As for `kaninterp.nn.resolve_loss`.
    """

    def __init__(self, model: nn.Module, batch: Batch, columns: Columns, loss: Loss) -> None:
        self.model, self.batch, self.columns = model, batch, columns
        self.intact = outputs(model, batch)
        self._losses, self.loss_name = row_losses(loss, batch.target, self.intact)
        self.base = self._losses(self.intact)

    def without(self, gone: Gone) -> Array:
        """Loss of every row with columns replaced by their stand-ins."""
        return self._losses(outputs(self.model, replaced(self.batch, self.columns, gone)))

    def of(self, model: nn.Module) -> Array:
        """Loss of every row under another model."""
        return self._losses(outputs(model, self.batch))

    def reads(self, gone: Gone) -> bool:
        """Whether replacing columns changes any output by a single bit."""
        return not torch.equal(outputs(self.model, replaced(self.batch, self.columns, gone)), self.intact)


class HeadSubject(Subject):
    """The same for a model that is a KAN: edges out of a column are replaced, not the column.

    The mean of an edge is not its value at the mean of its input, and it is the former that keeps the mean of
    every node. All edges of the first layer are evaluated once, which also makes trials cheap.
    """

    def __init__(self, head: KANHead, batch: Batch, columns: Columns, loss: Loss, stand_ins: EdgeStandIns) -> None:
        super().__init__(head, batch, columns, loss)
        self._head, self._stand_ins = head, stand_ins
        self._rows = batch.inputs[0][:, list(stand_ins.place)]
        self._edges = stand_ins.layer.edges(self._rows)
        self._basis: Tensor | None = None
        self._moved: dict[tuple[int, tuple[int, ...]], Tensor] = {}
        self._near: Gone = {}
        self._nodes = self._edges.sum(2) + stand_ins.layer.bias

    def without(self, gone: Gone) -> Array:
        """Loss of every row with the edges out of columns replaced by their stand-ins."""
        values = self._first_nodes({index: s for index, s in gone.items() if index in self._stand_ins.place})
        for layer in self._head.kan_layers[1:]:
            values = layer(values)
        return self._losses(values)

    def _first_nodes(self, gone: Gone) -> Tensor:
        """Nodes of layer 1; trials differ in a few columns, and only these are exchanged."""
        changed = {i for i in {*gone, *self._near} if gone.get(i) != self._near.get(i)}
        if len(changed) > FEW:
            place = [self._stand_ins.place[index] for index in gone]
            left = [i for i in range(self._edges.shape[2]) if i not in set(place)]
            self._nodes = self._edges[:, :, left].sum(2) + self._stand_ins.layer.bias
            for index, stand_in in gone.items():
                self._nodes = self._nodes + self._stand_in(index, stand_in)
            self._near, changed = dict(gone), set()
        values = self._nodes
        for index in sorted(changed):
            values = values - self._stand_in(index, self._near.get(index)) + self._stand_in(index, gone.get(index))
        return values

    def _stand_in(self, index: int, stand_in: Substitute | None) -> Tensor:
        """What the nodes get in place of a column's edges; None: these edges themselves."""
        if stand_in is None:
            return self._edges[:, :, self._stand_ins.place[index]]
        if not stand_in.others:
            return self._stand_ins.constants(index)
        if (index, stand_in.others) not in self._moved:
            if self._basis is None:
                self._basis = self._stand_ins.layer.basis(self._rows)
            self._moved[index, stand_in.others] = self._stand_ins.values(index, stand_in.others, self._basis)
        return self._moved[index, stand_in.others]


def subject_of(model: nn.Module, batch: Batch, columns: Columns, loss: Loss, stand_ins: EdgeStandIns | None) -> Subject:
    """The right subject for a model; ``stand_ins`` from `stand_ins_of`."""
    if stand_ins is not None and isinstance(model, KANHead):
        return HeadSubject(model, batch, columns, loss, stand_ins)
    return Subject(model, batch, columns, loss)


def stand_ins_of(model: nn.Module, batch: Batch) -> EdgeStandIns | None:
    """Stand-ins for the edges of a model that is a KAN on rows of a table; None for others, and very wide ones."""
    if not isinstance(model, KANHead) or len(batch.inputs) != 1 or batch.inputs[0].dim() != 2:
        return None
    if batch.n_rows * model.widths[0] * model.widths[1] > MOST_VALUES:
        return None
    return EdgeStandIns(model, batch.inputs[0])
