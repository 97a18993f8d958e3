"""Columns cut into stretches of lags, so that even a window of few columns has parts that can be put in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from kaninterp.core.frozen import Array, BoolArray
from kaninterp.data import Batch
from kaninterp.measure.rows import Rows

__all__ = ["Cell", "cells_of", "labels_of", "places_in", "weights_of"]

MOST_BANDS = 12
"""Cells that a window of few columns is cut into: enough to tell a good order from a lucky one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One raw column at some neighbouring lags.

    Attributes
    ----------
    column : int
        Which of all raw columns.
    which, position : int
        Input tensor and place on its last axis.
    first, last : int
        Lags, both included; 0 is the last time step.
    steps : int
        Time steps of that input; 1 for a table.
    """

    column: int
    which: int
    position: int
    first: int
    last: int
    steps: int


def cells_of(held: Rows, reads: BoolArray) -> tuple[Cell, ...]:
    """Cells of all columns that the model reads: whole columns where there are many, stretches of lags where few.

    Stretches grow with the lag (0, 1 to 2, 3 to 6, ...): what is recent is told apart more finely.

    Parameters
    ----------
    held : Rows
        Rows and columns.
    reads : ndarray of bool, shape (F,)
        Columns that take part; the others would be free points for every order.
    """
    read = np.flatnonzero(reads)
    found = []
    for column in map(int, read):
        which, position = held.columns.places[column]
        tensor = held.batch.inputs[which]
        steps = tensor.shape[1] if tensor.dim() == 3 else 1
        for first, last in _bands(steps, max(1, MOST_BANDS // len(read))):
            found.append(Cell(column=column, which=which, position=position, first=first, last=last, steps=steps))
    return tuple(found)


def _bands(steps: int, wanted: int) -> list[tuple[int, int]]:
    """At most so many stretches of lags, longer further back (up to rounding)."""
    ends = np.unique(np.round(np.geomspace(1, steps + 1, min(wanted, steps) + 1)).astype(int)) - 1
    return [(int(a), int(b) - 1) for a, b in pairwise(ends)]


def weights_of(cells: Sequence[Cell], magnitude: Array) -> Array:
    """Summed attribution of each cell, shape (cells,), from magnitudes (lags, columns)."""
    return np.array([float(magnitude[cell.first : cell.last + 1, cell.column].sum()) for cell in cells])


def labels_of(cells: Sequence[Cell], batch: Batch) -> dict[int, Tensor]:
    """For each float input the cell that each place of a row belongs to, shaped like a row; ``len(cells)`` for none."""
    labels = {
        which: torch.full(x.shape[1:], len(cells), dtype=torch.long, device=x.device)
        for which, x in enumerate(batch.inputs)
        if x.is_floating_point()
    }
    for number, cell in enumerate(cells):
        label = labels[cell.which]
        if label.dim() == 1:
            label[cell.position] = number
        else:
            label[cell.steps - 1 - cell.last : cell.steps - cell.first, cell.position] = number
    return labels


def places_in(chosen: BoolArray, labels: Tensor) -> Tensor:
    """Which places lie in chosen cells: (..., cells) and labels (*shape) -> bool (..., *shape)."""
    none = np.zeros((*chosen.shape[:-1], 1), dtype=bool)
    return torch.from_numpy(np.concatenate([chosen, none], axis=-1)).to(labels.device)[..., labels]
