"""`watch`: one pass over data that gives their trace, and what a check against a card needs beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.adapters import ModelView
from kaninterp.core import RangeCard, Trace
from kaninterp.core.errors import DataError
from kaninterp.core.frozen import BoolArray
from kaninterp.core.range_card import SeenColumns
from kaninterp.core.watch import Watched, WatchedColumns
from kaninterp.data import Batches
from kaninterp.measure.host import Columns
from kaninterp.measure.observer import Observer
from kaninterp.measure.outside import OutsideCounts, card_columns
from kaninterp.measure.tracing import observed

__all__ = ["watch"]


def watch(
    model: nn.Module,
    view: ModelView,
    batches: Batches,
    card: RangeCard,
    *,
    read: BoolArray | None = None,
    target_names: Sequence[str] | None = None,
    progress: bool = False,
) -> tuple[Trace, Watched]:
    """Trace data in the order of time, and hold them against a card on the way.

    Parameters
    ----------
    read : ndarray of bool, shape (F,), optional
        Which columns the model reads; None: all.

    Raises
    ------
    DataError
        The card has columns, and the data cannot be read as such.
    NamesError
        The columns are not those of the card.
    """
    widths = view.widths[:-1]
    if card.raw is None:
        observer = Observer(0, widths)
        return observed(model, view, batches, observer, target_names=target_names, progress=progress), Watched(
            columns=None, effective=observer.effective
        )
    if not Columns.readable(batches.first):
        shapes = ", ".join(str(tuple(x.shape)) for x in batches.first.inputs)
        raise DataError(
            f"{batches.kind}: the card has the columns {list(card.columns)[:8]}, inputs of shape {shapes} have "
            "none; give the data in the form the card was made from"
        )
    card_columns(batches, card)
    against = _Against(card.raw, widths)
    trace = observed(model, view, batches, against, target_names=target_names, progress=progress)
    every = np.ones(len(card.columns), bool) if read is None else read
    return trace, Watched(columns=against.columns(every), effective=against.effective)


class _Against(Observer):
    """Counts values outside the ranges of a card, too."""

    def __init__(self, raw: SeenColumns, widths: tuple[int, ...]) -> None:
        super().__init__(len(raw.names), widths)
        self._raw = raw
        self._counts = OutsideCounts(torch.as_tensor(np.stack([raw.nodes.low, raw.nodes.high])))

    def add_columns(self, values: Tensor) -> None:
        super().add_columns(values)
        cells = values.detach().cpu()
        if len(cells):
            self._counts.add(cells.reshape(-1, cells.shape[-1]))

    def columns(self, read: BoolArray) -> WatchedColumns:
        """What was seen of the columns."""
        known = self._raw.shapes
        return WatchedColumns(
            counts=self._counts.layer(),
            effective=self.persistence.effective,
            steps=self.steps,
            read=read,
            shapes=None if known is None else self.sketch.shapes(known),
        )
