"""Columns that others can stand in for: who, by how much, and where a model can be made to read those instead."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from kaninterp.core.frozen import Array, IntArray
from kaninterp.core.tables import RawTable
from kaninterp.data import Batch
from kaninterp.measure.host import Columns
from kaninterp.nn import Entry, KANHead
from kaninterp.nn.inputs import OTHER
from kaninterp.nn.readers import family_of

__all__ = ["Gone", "Substitute", "find_substitute", "foldable", "replaced"]

ENOUGH_R2 = 0.9
"""Share of a column's variance from which others stand in for it: |r| = .95 for a single one."""
FULL_R2 = 0.999
"""Share from which no further column is asked to help."""
MOST = 3
"""Columns that stand in together, at most: x7 = x1 + x2 needs two."""
LEAST_GAIN = 0.1
"""Share of what is left of the variance that a further column must explain."""
TINY = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitute:
    """A column as a linear function of others: ``intercept + sum(weights * others)``.

    Attributes
    ----------
    others : tuple of int
        Raw columns that stand in; empty: nobody does, and the intercept is the column's mean.
    weights : tuple of float
        One per column in ``others``.
    intercept : float
    r2 : float
        Share of the column's variance that they explain.
    """

    others: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    intercept: float
    r2: float = 0.0


Gone = dict[int, Substitute]
"""Columns that went, with what stands in for each."""


def find_substitute(raw: RawTable, index: int, kept: Collection[int]) -> Substitute:
    """Best stand-in for a column among those that are kept, by forward selection on the co-moments.

    Parameters
    ----------
    raw
        Moments of all columns.
    index
        The column that goes.
    kept
        Columns that may stand in.

    Examples
    --------
    >>> from kaninterp.core import NodeTable
    >>> x = np.random.default_rng(0).normal(size=(50, 1)) * [1.0, 2.0]
    >>> d = x - x.mean(0)
    >>> raw = RawTable(names=("a", "b"), nodes=NodeTable.of(x), co=d.T @ d, lags=1)
    >>> stand_in = find_substitute(raw, 0, [1])
    >>> stand_in.others, round(stand_in.weights[0], 6)
    ((1,), 0.5)
    """
    mean = raw.nodes.mean
    chosen = _forward(raw.co, index, np.array(sorted(set(kept) - {index}), np.int64))
    if not chosen:
        return Substitute(intercept=float(mean[index]))
    explained, weights = _explained(raw.co, chosen, index)
    if explained < ENOUGH_R2:
        return Substitute(intercept=float(mean[index]))
    return Substitute(
        others=tuple(chosen),
        weights=tuple(float(w) for w in weights),
        intercept=float(mean[index] - weights @ mean[chosen]),
        r2=min(explained, 1.0),
    )


def _forward(co: Array, index: int, candidates: IntArray) -> list[int]:
    """Forward selection: each time the column whose part that is new explains most of what is left."""
    diagonal = np.diag(co)[candidates]
    left, own, with_it = float(co[index, index]), diagonal.copy(), co[index, candidates].copy()
    total = left
    parts: list[Array] = []
    chosen: list[int] = []
    while len(chosen) < min(MOST, len(candidates)) and left > (1 - FULL_R2) * total:
        new = own > TINY * diagonal
        gain = np.divide(with_it**2, own, out=np.zeros(len(own)), where=new)
        best = int(np.argmax(gain))
        if gain[best] <= LEAST_GAIN * left:
            break
        root = np.sqrt(own[best])
        part = (co[candidates[best], candidates] - sum(p[best] * p for p in parts)) / root
        with_it -= part * with_it[best] / root
        own -= part**2
        left -= float(gain[best])
        parts.append(part)
        chosen.append(int(candidates[best]))
    return chosen


def replaced(batch: Batch, columns: Columns, gone: Mapping[int, Substitute]) -> Batch:
    """The batch with columns replaced by what stands in for them."""
    values = {}
    for index, stand_in in gone.items():
        value = torch.full_like(columns.one(batch, index), stand_in.intercept)
        for other, weight in zip(stand_in.others, stand_in.weights, strict=True):
            value += weight * columns.one(batch, other)
        values[index] = value
    return columns.put(batch, values)


def foldable(model: nn.Module, found: Sequence[Entry], columns: Columns, batch: Batch) -> IntArray:
    """Input tensor (raw columns,) whose columns may stand in for each other; -1 where a reader cannot be changed."""
    able = {entry.path: _can_fold(model.get_submodule(entry.path), entry) for entry in found}
    keys = batch.places
    return np.array(
        [
            which if all(able[e.path] for e in found if e.key == keys[which] and position in e.columns) else -1
            for which, position in columns.places
        ],
        np.int64,
    )


def _can_fold(module: nn.Module, entry: Entry) -> bool:
    if isinstance(module, KANHead):
        # on flattened windows it has several edges per column, each with functions of its own
        return len(entry.raw_columns) == len(entry.columns)
    family = family_of(module) if entry.kind != OTHER else None
    # weights of one group of a convolution cannot take over for those of another
    return family is not None and family.groups(module) == 1


def _explained(co: Array, others: list[int], index: int) -> tuple[float, Array]:
    """Share of a column's variance that others explain, and their weights."""
    solution, *_ = np.linalg.lstsq(co[np.ix_(others, others)], co[others, index], rcond=None)
    weights: Array = np.asarray(solution, np.float64)
    return float(weights @ co[others, index] / co[index, index]), weights
