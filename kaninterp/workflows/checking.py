"""`check`: hold new data against the range card of a model. One call, for a shell, a notebook or CI."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pandas as pd
from torch import nn

from kaninterp.adapters import as_view
from kaninterp.analysis.checking import check_findings
from kaninterp.core import RangeCard
from kaninterp.core.errors import NamesError
from kaninterp.data.convert import table_names
from kaninterp.measure.tracing import card_of, prepared
from kaninterp.measure.watching import watch
from kaninterp.render import CheckReport
from kaninterp.workflows.drifting import columns_read

__all__ = ["check"]

SHOWN = 8


def check(
    model: nn.Module,
    data: Any,
    *,
    card: RangeCard | str | os.PathLike[str],
    target: Any = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    batch_size: int = 1024,
    progress: bool = True,
) -> CheckReport:
    """Find out whether data still lie where a model was trained: raw columns, and the inputs of every KAN layer.

    Parameters
    ----------
    model : nn.Module
        The model of the card; left bit-identical.
    data
        In any form that `trace` takes. Columns of a lone DataFrame are found by name, in whatever order and
        beside others; of a pair (DataFrame, y) they must come in the order of the card.
    card : RangeCard or path
        Of the data the model was trained on.
    target
        Which column or key is the target, so that it is not taken for an input.
    feature_names : sequence of str, optional
        Names of the raw columns of arrays and tensors; needed where the card has names.
    path, batch_size, progress
        As for `trace`.

    Returns
    -------
    CheckReport
        ``ok``, ``findings``; `print` it, or take ``to_json()`` or ``to_junit()``.

    Raises
    ------
    NamesError
        Columns are missing, or come in another order where order is all there is.
    ShapeError
        The card is of another model.
    MissingFileError, FileFormatError, InputTypeError
        No card, or not one of ours.
    ModelError, DataError
        As for `trace`; missing values among them.

    Notes
    -----
    A column is named if more than 1 % of its values lie outside the card's range, a node if 5 % more of its rows than
    on the card's data left the domain of its grid, and if chance does not explain it (`kaninterp.analysis.exceedance`):
    the share keeps a million rows from making a problem of nothing, the test a slow series from leaving its own
    range.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> from kaninterp.measure import range_card
    >>> head = ki.KANHead(2, 1, domain=(-1, 1))
    >>> before = torch.rand(100, 2, generator=torch.Generator().manual_seed(0))
    >>> card = range_card(head, before)
    >>> check(head, before, card=card).ok, check(head, before + 0.5, card=card).ok
    (True, False)
    """
    card = RangeCard.given(card)
    view = as_view(model, path)
    card_of(model, view).check_reference(card.card)
    if isinstance(data, pd.DataFrame):
        data = _by_name(data, card, target)
    batches = prepared(model, data, target=target, feature_names=feature_names, batch_size=batch_size)
    batches.again()
    seen, watched = watch(model, view, batches, card, read=columns_read(model, batches), progress=progress)
    return CheckReport(findings=check_findings(seen, card, watched), card=card, rows=seen.rows, data=seen.data)


def _by_name(frame: pd.DataFrame, card: RangeCard, target: Any) -> pd.DataFrame:
    """The card's columns in its order, and the target."""
    if not card.columns:
        return frame
    names = table_names(frame, "data")
    missing = [name for name in card.columns if name not in names]
    if missing:
        raise NamesError(
            f"data: {len(missing)} of the card's {len(card.columns)} columns are missing: {missing[:SHOWN]}; the data "
            f"have {list(names[:SHOWN])}"
        )
    targets = [target] if isinstance(target, str) else list(target) if isinstance(target, list | tuple) else []
    wanted = [*card.columns, *(name for name in targets if name in names and name not in card.columns)]
    result: pd.DataFrame = frame.iloc[:, [names.index(name) for name in wanted]]
    return result
