"""Labels of rows, where data come with an ordered index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from kaninterp.core.errors import InputTypeError, ShapeError
from kaninterp.data.convert import describe, pandas_index
from kaninterp.data.windows import Windows

__all__ = ["given_labels", "row_labels"]


def given_labels(labels: Any) -> Any:
    """Labels as the user gives them, one per row: what has a length and is read by position.

    Parameters
    ----------
    labels
        List, tuple, range, array, tensor, Series or Index. Of a Series the values count, not its own index.

    Returns
    -------
    Sequence, ndarray or Index
        The same labels; ``labels[i]`` is that of row ``i``.

    Raises
    ------
    InputTypeError
        Something without a length or an order: a generator, a set, a dict, one string.
    ShapeError
        A table or an array that is not one label per row.

    Examples
    --------
    >>> given_labels(pd.Series(["may", "june"], index=[7, 0]))[0]
    'may'
    """
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    if isinstance(labels, pd.DataFrame | np.ndarray) and labels.ndim != 1:
        raise ShapeError(f"labels: expected one per row, got {describe(labels)}; give one column of it")
    if isinstance(labels, pd.Series | pd.api.extensions.ExtensionArray):
        return pd.Index(labels)
    if isinstance(labels, str | bytes) or not isinstance(labels, Sequence | np.ndarray | pd.Index):
        raise InputTypeError(
            f"labels: expected a list, array, Series or Index with one label per row, got a {type(labels).__name__}; "
            "give a list in the order of the rows"
        )
    return labels


def row_labels(data: Any) -> pd.Index | None:
    """Labels that put the rows in order: the index of a DataFrame, or the times of windows.

    Parameters
    ----------
    data
        As for `as_batches`; in a pair or a dict the first table counts.

    Returns
    -------
    Index or None
        None where there is no index, it is not ascending, or it is only pandas' own 0, 1, 2, ...

    Examples
    --------
    >>> frame = pd.DataFrame({"wind": [0.0, 1.0]}, index=pd.to_datetime(["2020-01-01", "2020-01-02"]))
    >>> row_labels((frame, [1.0, 2.0]))[-1]
    Timestamp('2020-01-02 00:00:00')
    >>> row_labels(frame.reset_index(drop=True)) is None
    True
    """
    if isinstance(data, Windows):
        times: pd.Index = pd.Index(data.times)
        return times
    if isinstance(data, tuple | dict):
        parts = data.values() if isinstance(data, dict) else data
        found: list[pd.Index | None] = [row_labels(part) for part in parts]
        return next((labels for labels in found if labels is not None), None)
    index = pandas_index(data)
    ordered = index is not None and not isinstance(index, pd.RangeIndex) and bool(index.is_monotonic_increasing)
    return index if ordered else None
