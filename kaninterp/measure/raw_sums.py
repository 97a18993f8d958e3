"""Moments of the user's own columns over a block of rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kaninterp.core import NodeTable, RawTable
from kaninterp.core.frozen import Array
from kaninterp.core.tables import Floats, whole_numbers

__all__ = ["numbers", "raw_block"]

CACHED = 2**17
"""Values that are summed up at a time: a megabyte, which stays in the cache between the passes."""
WIDE = 1024
"""Values in a row over which a sum over rows runs at full speed."""


def raw_block(values: Tensor, names: tuple[str, ...]) -> RawTable:
    """Moments and co-moments of raw columns, values (rows, lags, columns)."""
    found: RawTable | None = None
    for part in torch.split(values.reshape(-1, values.shape[-1]), max(CACHED // max(values.shape[-1], 1), 1)):
        rows = numbers(part)
        co, table = _moments(rows) if len(rows) else (np.zeros((len(names), len(names))), NodeTable.of_columns(rows.T))
        block = RawTable(names=names, nodes=table, co=co, lags=int(values.shape[1]))
        found = block if found is None else found.merge(block)
    assert found is not None  # noqa: S101 - `torch.split` gives at least one part
    return found


def numbers(values: Tensor) -> Floats:
    """As numpy reads them: in memory of the processor, float32 or float64."""
    values = values.detach().cpu()
    array: Floats = (values if values.dtype in (torch.float32, torch.float64) else values.double()).numpy()
    return array


def _moments(rows: Floats) -> tuple[Array, NodeTable]:
    """Co-moments (columns, columns) of rows (n, columns), and the table of the columns."""
    low, high = (_over_rows(end, rows).astype(np.float64) for end in (np.minimum, np.maximum))
    centred = rows.astype(np.float64)
    mean = np.where(low == high, low, _over_rows(np.add, centred) / len(rows))  # equal numbers: their mean may round
    centred -= mean
    co = centred.T @ centred
    whole = whole_numbers(rows.T)
    return co, NodeTable(count=len(rows), mean=mean, m2=co.diagonal().copy(), low=low, high=high, whole=whole)


def _nothing(columns: int) -> tuple[Array, NodeTable]:
    return np.zeros((columns, columns)), NodeTable.of(np.zeros((0, columns)))


def _over_rows(reduce: np.ufunc, rows: Floats) -> Floats:
    """Reduce (n, columns) over the rows, many narrow ones taken as few wide ones: several times as fast."""
    columns = max(rows.shape[1], 1)
    fold = max(1, WIDE // columns)
    end = len(rows) // fold * fold
    wide = reduce.reduce(rows[:end].reshape(-1, fold * columns), 0).reshape(fold, columns) if end else rows[:0]
    found: Floats = reduce.reduce(np.concatenate([wide, rows[end:]]), 0)
    return found
