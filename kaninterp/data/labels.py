"""Labels of rows, where data come with an ordered index."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kaninterp.data.convert import pandas_index
from kaninterp.data.windows import Windows

__all__ = ["row_labels"]


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
