"""Rows for a second model to learn from, and later rows to judge both models by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from kaninterp.core.errors import DataError, NamesError
from kaninterp.core.frozen import Array
from kaninterp.data import Batches, time_split
from kaninterp.measure.rows import Rows, held_rows
from kaninterp.measure.tracing import prepared

__all__ = ["JUDGE", "LEARN", "TwoParts", "column_correlation", "two_parts"]

LEARN = 2000
"""Rows learnt from at most, evenly spaced: a second model of a report has to be ready in seconds."""
JUDGE = 1000
"""Rows judged on at most: ranks of columns settle long before losses do."""
SHARE = 0.7
"""Share of the rows that is learnt from where no training data were given."""
LEAST = 8
"""Rows each part needs: with fewer, a mean over blocks of rows has no interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoParts:
    """Two parts that share no row.

    Attributes
    ----------
    learn, judge : Rows
        Rows to learn from; later rows, or other data, to judge by.
    remark : str
        Where the rows to learn from come from, in words.
    """

    learn: Rows
    judge: Rows
    remark: str


def two_parts(
    model: nn.Module, data: Any, *, reference: Any = None, target: Any = None, feature_names: Any = None
) -> TwoParts:
    """Choose the rows.

    Parameters
    ----------
    model
        Gives number type and device; not called.
    data, target, feature_names
        As for `trace`; with a target.
    reference
        Data with a target to learn from, in the same form: then all of ``data`` judges. None, or without a target:
        the first `SHARE` of ``data`` in time order is learnt from and the rest judges, with as many rows left out
        between them as windows overlap.

    Raises
    ------
    DataError
        No target, or too few rows.
    NamesError
        The columns of the two differ.
    ModelError
        The inputs are neither tables nor sequences.

    Examples
    --------
    >>> import torch
    >>> parts = two_parts(torch.nn.Linear(2, 1), (torch.zeros(100, 2), torch.zeros(100)))
    >>> parts.learn.n, parts.judge.n, parts.remark
    (70, 30, 'the first 70 % of the data')
    """
    batches = prepared(model, data, target=target, feature_names=feature_names)
    if batches.first.target is None:
        raise DataError("a second model needs a target to learn, and the data have none; pass (X, y) or target=")
    if reference is not None:
        label = target if isinstance(target, str | list | tuple) and not isinstance(reference, Batches) else None
        other = prepared(model, reference, target=label, feature_names=feature_names)
        if other.names != batches.names:
            mine, theirs = list(batches.names)[:8], list(other.names)[:8]
            raise NamesError(f"reference: its raw columns {theirs} are not those of the data, {mine}")
        if other.first.target is not None:
            parts = held_rows(other, LEARN), held_rows(batches, JUDGE)
            return _checked(*parts, remark="the reference data")
    rows = held_rows(batches, round(LEARN / SHARE))
    lags = rows.columns.lags
    gap = math.ceil(lags / rows.spacing) if lags > 1 else 0
    try:
        first, last = time_split(rows.n, (SHARE, 1 - SHARE), gap=gap)
    except DataError as error:
        raise DataError(f"{rows.n} rows are too few for a second model ({error}); pass reference=") from error
    share = f"the first {100 * SHARE:.0f} % of the data"
    return _checked(_part(rows, first), _part(rows, last), remark=share)


def column_correlation(rows: Rows) -> Array:
    """Correlation of the raw columns over all rows and time steps, (F, F); 0, also with itself, for a constant column.

    Examples
    --------
    >>> import torch
    >>> from kaninterp.data import as_batches
    >>> x = torch.tensor([[0.0, 0.0, 5.0], [1.0, -2.0, 5.0], [2.0, -4.0, 5.0]])
    >>> column_correlation(held_rows(as_batches(x), 10)).round(2).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    values = rows.columns.values(rows.batch).detach().double().flatten(0, 1).cpu().numpy()
    # a constant far from 0 leaves rounding behind, which is no signal
    varies = np.ptp(values, axis=0) > 0
    centred = np.where(varies, values - values.mean(0), 0.0)
    scale = np.sqrt((centred**2).sum(0))
    unit = np.divide(centred, scale, out=np.zeros_like(centred), where=scale > 0)
    found = np.clip(unit.T @ unit, -1.0, 1.0)
    np.fill_diagonal(found, varies)
    return np.asarray(found, dtype=np.float64)


def _part(rows: Rows, part: slice) -> Rows:
    return Rows(batch=rows.batch.rows(part), columns=rows.columns, spacing=rows.spacing)


def _checked(learn: Rows, judge: Rows, *, remark: str) -> TwoParts:
    if min(learn.n, judge.n) < LEAST:
        raise DataError(
            f"{learn.n} rows to learn from and {judge.n} to judge by are too few for a second model; give {LEAST} or "
            "more of each"
        )
    return TwoParts(learn=learn, judge=judge, remark=remark)
