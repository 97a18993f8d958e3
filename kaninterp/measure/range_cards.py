"""`range_card`: what a model sees on the data it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from kaninterp.adapters import as_view
from kaninterp.core.range_card import RangeCard, SeenColumns
from kaninterp.measure.host import Columns
from kaninterp.measure.observer import Observer
from kaninterp.measure.tracing import observed, prepared

__all__ = ["range_card"]


def range_card(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    batch_size: int = 1024,
    progress: bool = True,
) -> RangeCard:
    """Make the range card of a model: ranges, grids and histograms of every layer, to be saved beside the weights.

    Parameters
    ----------
    model, target, feature_names, path, batch_size, progress
        As for `trace`.
    data
        What the model was trained on, in any form that `trace` takes, and in the order of time if there is one: it
        tells how many independent rows there are.

    Raises
    ------
    KanInterpError
        As for `trace`.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> range_card(ki.KANHead(2, 1, domain=(-1, 1)), torch.zeros(5, 2))
    RangeCard(KANHead, widths=[2, 1], rows=5, columns=['x0', 'x1'])
    """
    view = as_view(model, path)
    batches = prepared(model, data, target=target, feature_names=feature_names, batch_size=batch_size)
    names: tuple[str, ...] = ()
    if Columns.readable(batches.first):
        names = Columns.of(batches.first, batches.names_per_input).names
    observer = Observer(len(names), view.widths[:-1])
    seen = observed(model, view, batches, observer, progress=progress)
    if seen.raw is None:
        return RangeCard.of(seen, effective=observer.effective)
    columns = replace(
        SeenColumns.of(seen.raw),
        effective=observer.persistence.effective,
        repeats=observer.persistence.repeats,
        shapes=observer.sketch.shapes(),
    )
    return RangeCard.of(seen, columns=columns, effective=observer.effective)
