"""`periods`: which period of the data left the range of a card."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.adapters import ModelView, as_view
from kaninterp.core.errors import ShapeError
from kaninterp.core.frozen import Array, IntArray
from kaninterp.core.periods import Periods
from kaninterp.core.range_card import RangeCard
from kaninterp.data import Batch, given_labels, row_labels
from kaninterp.measure.host import Columns, by_row, row_axis, run, untouched
from kaninterp.measure.outside import beyond, card_columns
from kaninterp.measure.tracing import card_of, prepared

__all__ = ["periods"]

MOST = 60
"""Periods at most; an even number, since neighbours are put together."""
LEAST = 20
"""Rows of a period at least: of fewer, a single one is more than the rise of 5 % that is called leaving."""
LABEL = 200
"""Characters of a label that are kept."""


def periods(
    model: nn.Module,
    data: Any,
    card: RangeCard | str | os.PathLike[str],
    *,
    target: Any = None,
    feature_names: Sequence[str] | None = None,
    labels: Any = None,
    path: str | None = None,
    batch_size: int = 1024,
) -> Periods:
    """Cut rows in the order given, that of time, into equal periods, and say which of them left the range of a card.

    Parameters
    ----------
    model, data, target, feature_names, path, batch_size
        As for `trace`.
    card : RangeCard or path
        Of this model, made from the data it was trained on (`range_card`).
    labels
        One per row, read by position: list, array, tensor, Series (its values) or Index.
        None: the ascending index of a DataFrame or the times of `windows`, else row numbers.

    Returns
    -------
    Periods
        At most 60 periods of at least 20 rows; its size does not grow with the rows.

    Raises
    ------
    ShapeError, NamesError
        The card is of another model or of other columns; there are more or fewer labels than rows.
    InputTypeError
        Labels without a length or an order, such as a generator.
    KanInterpError
        As for `trace`.

    Notes
    -----
    One pass in bounded memory. Of a window the raw columns of its last time step count, so that every time step counts
    once (those before the end of the first window do not). Where the number of rows is not known before the pass,
    periods start with 20 rows, and neighbours are put together whenever there are more than 60.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> head = ki.KANHead(1, 1, domain=(-1, 1))
    >>> card = ki.range_card(head, torch.linspace(-1, 1, 9)[:, None], feature_names=["wind"])
    >>> wind = torch.zeros(300, 1)
    >>> wind[200:] = 2.0
    >>> print(periods(head, wind, card, feature_names=["wind"]).departures()[0])
    wind: left its range in 200 to 219 (period 10), in 5 periods; at most 100 % of rows outside, 0 % on the data of
    the card
    """
    view, card = as_view(model, path), RangeCard.given(card)
    card_of(model, view).check_reference(card.card)
    batches = prepared(model, data, target=target, feature_names=feature_names, batch_size=batch_size)
    columns = card_columns(batches, card)
    known = row_labels(data) if labels is None else given_labels(labels)
    _check_labels(known, batches.n_rows)
    with untouched(model):
        axis = row_axis(model, view, batches.first)
        counted = _Counted(batches.n_rows, 0 if columns is None else len(columns.names), view, axis)
        for batch in batches:
            if batch.n_rows:
                counted.add(_row_shares(model, view, card, columns, axis, batch))
    _check_labels(known, counted.rows)
    return _noun(counted, card, columns, axis, known)


class _Counted:
    """Sums over rows, period by period; when there are too many periods, neighbours are put together."""

    def __init__(self, rows: int | None, columns: int, view: ModelView, axis: int | None) -> None:
        width = columns + (0 if axis is None else sum(view.widths[:-1]))
        self.width = LEAST if rows is None else max(LEAST, -(-rows // MOST))
        self.rows = 0
        self._sums = np.zeros((MOST, width))

    def add(self, shares: Array) -> None:
        """Take the next rows, (n, columns and nodes)."""
        while self.rows + len(shares) > self.width * MOST:
            pairs = self._sums.reshape(MOST // 2, 2, -1).sum(1)
            self._sums = np.concatenate([pairs, np.zeros_like(pairs)])
            self.width *= 2
        np.add.at(self._sums, (self.rows + np.arange(len(shares))) // self.width, shares)
        self.rows += len(shares)

    def shares(self) -> tuple[IntArray, IntArray, Array]:
        """First row and rows of each period, and mean shares, (periods, columns and nodes)."""
        starts = np.arange(0, self.rows, self.width)
        counts, sums = np.diff(starts, append=self.rows), self._sums[: len(starts)].copy()
        if len(starts) > 1 and 2 * counts[-1] < self.width:  # a rest too short to be compared joins its neighbour
            sums[-2] += sums[-1]
            counts[-2] += counts[-1]
            starts, counts, sums = starts[:-1], counts[:-1], sums[:-1]
        return starts, counts, sums / counts[:, None]


def _row_shares(  # noqa: PLR0917 (internal; one batch of the pass)
    model: nn.Module, view: ModelView, card: RangeCard, columns: Columns | None, axis: int | None, batch: Batch
) -> Array:
    """Per row of a batch, 1 for a column outside its range, and for a node the share of its steps outside."""
    parts: list[Tensor] = []
    if columns is not None and card.raw is not None:
        parts.append(beyond(columns.values(batch)[:, -1], np.stack([card.raw.nodes.low, card.raw.nodes.high])))
    _, head = run(model, view, batch)
    if axis is not None:
        for layer, values in zip(card.layers, view.activations(head)[:-1], strict=True):
            outside = beyond(values, layer.ranges.knots[:, [0, -1]].T)
            parts.append(by_row(outside, batch.n_rows, axis).double().mean(1))
    shares: Array = torch.cat([part.double() for part in parts], dim=1).cpu().numpy()
    return shares


def _noun(counted: _Counted, card: RangeCard, columns: Columns | None, axis: int | None, labels: Any) -> Periods:
    starts, counts, shares = counted.shares()
    names = () if columns is None else columns.names
    layers = () if axis is None else card.layers
    widths = [len(names), *(len(layer.inputs.mean) for layer in layers)]
    parts = np.split(shares, np.cumsum(widths)[:-1], axis=1)
    stops = starts + counts - 1
    return Periods(
        rows=counted.rows,
        starts=starts,
        counts=counts,
        first=tuple(_label(labels, row) for row in starts.tolist()),
        last=tuple(_label(labels, row) for row in stops.tolist()),
        labelled=labels is not None,
        names=names,
        columns=parts[0],
        nodes=tuple(tuple(card.node_name(depth, i) for i in range(width)) for depth, width in enumerate(widths[1:])),
        layers=tuple(parts[1:]),
        before=tuple(1.0 - layer.ranges.zones[:, 0] for layer in layers),
    )


def _label(labels: Any, row: int) -> str:
    if labels is None:
        return str(row)
    text = str(labels[row])
    return text if len(text) <= LABEL else text[: LABEL - 1] + "…"


def _check_labels(labels: Any, rows: int | None) -> None:
    if labels is not None and rows is not None and len(labels) != rows:
        raise ShapeError(f"labels: {len(labels)} of them for {rows} rows of data; give one per row, or leave them out")
