"""Data against the card of a model: everything that is measured of it in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from kaninterp.core import ModelError, RangeCard
from kaninterp.core.drift import DriftEvidence
from kaninterp.core.errors import DataError
from kaninterp.core.frozen import BoolArray
from kaninterp.core.watch import Watched
from kaninterp.data import Batches
from kaninterp.measure import clip, periods
from kaninterp.measure.host import Columns
from kaninterp.training.sparsity import RawColumns

__all__ = ["columns_read", "drift_evidence"]


def columns_read(model: nn.Module, batches: Batches) -> BoolArray:
    """Say which raw columns the model reads, (F,); none where there are no columns."""
    if not Columns.readable(batches.first):
        return np.zeros(0, bool)
    flags = dict(zip(batches.names, RawColumns.of(model, batches).alive().tolist(), strict=True))
    return np.array([flags[name] for name in Columns.of(batches.first, batches.names_per_input).names], bool)


def drift_evidence(
    model: nn.Module,
    batches: Batches,
    card: RangeCard,
    watched: Watched,
    *,
    labels: Any = None,
    reference: Any = None,
    target: Any = None,
    loss: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    path: str | None = None,
    seed: int = 0,
) -> DriftEvidence:
    """Measure when data left the ranges of a card, and what follows from it.

    Parameters
    ----------
    watched
        What was seen of the data against the card, see `watch`.
    labels
        One per row, in the order of time; None: row numbers.
    reference, target
        The data of the card, where they are at hand, and the name of their target: for the rise of the loss.

    Raises
    ------
    ShapeError, NamesError
        The card is of another model or of other columns.
    """
    clipping, remark = None, ""
    options: dict[str, Any] = {"target": target, "loss": loss, "path": path, "seed": seed, "progress": False}
    try:
        clipping = clip(model, batches, card, reference=reference, **options)
    except (ModelError, DataError) as error:
        remark = str(error)
    when = periods(model, batches, card, labels=labels, path=path)
    return DriftEvidence(card=card, watched=watched, periods=when, clipping=clipping, remark=remark)
