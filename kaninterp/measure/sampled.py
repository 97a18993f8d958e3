"""Effects of columns at their time lags without a gradient: for backbones with a rounding, a tree or a lookup inside.

A cell (a column at a lag) is put in place of the baseline, or of its mean, and the model runs again. The effects on the
outputs are Shapley values by drawn orders (Castro, Gómez & Tejada 2009), which add up to the difference to the baseline
whatever the model; those on nodes are the changes when one cell takes its mean (occlusion, Zeiler & Fergus 2014).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from kaninterp.core.frozen import Array
from kaninterp.measure.probe_shapley import drawn_orders
from kaninterp.measure.tracing import PROGRESS_DELAY

__all__ = ["Cell", "cells_of", "fitting_rows", "occluded", "sampled"]

Cell = tuple[int, int | None, int]
"""Input, time step (None: a table) and column in it."""

ORDERS = 4
"""Orders in which the cells are put in, two and their reverses."""

MOST_RUNS = 100_000
"""Rows that the model runs on at most for one baseline; with many cells fewer rows are explained."""

FEWEST_ROWS = 8


def cells_of(inputs: Sequence[Tensor]) -> list[Cell]:
    """All cells of float inputs, tables (n, F) and sequences (n, T, F)."""
    return [
        (which, step, column)
        for which, x in enumerate(inputs)
        for step in (range(x.shape[1]) if x.dim() == 3 else (None,))
        for column in range(x.shape[-1])
    ]


def fitting_rows(inputs: Sequence[Tensor]) -> int:
    """How many rows can be explained within `MOST_RUNS`, but not fewer than `FEWEST_ROWS`."""
    return max(FEWEST_ROWS, MOST_RUNS // (ORDERS * len(cells_of(inputs))))


def sampled(
    value: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    base: Sequence[Tensor],
    rng: np.random.Generator,
    *,
    progress: bool,
) -> list[tuple[Tensor, ...]]:
    """Shapley values of every cell for every output.

    Parameters
    ----------
    value : callable
        Float inputs -> (rows, outputs), without gradients.
    inputs, base : sequence of Tensor
        The rows and what they are held against.
    rng
        Of the orders.
    progress
        Show a progress bar.

    Returns
    -------
    list of tuple of Tensor
        Per output the effects, each of the shape of its input.
    """
    cells = cells_of(inputs)
    orders = drawn_orders(len(cells), ORDERS, rng)
    start = value(*base).double()
    totals = [
        [torch.zeros(x.shape, dtype=torch.float64, device=x.device) for x in inputs] for _ in range(start.shape[1])
    ]
    bar = tqdm(total=orders.size, desc="sampling", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    with bar:
        for order in orders:
            here, before = [x.clone() for x in base], start
            for number in order:
                _put(here, cells[number], inputs)
                after = value(*here).double()
                for total, change in zip(totals, (after - before).T, strict=True):
                    _part(total, cells[number]).add_(change / len(orders))
                before = after
                bar.update()
    return [tuple(parts) for parts in totals]


def occluded(
    nodes: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], means: Sequence[Tensor]
) -> Iterator[tuple[Cell, tuple[Array, ...]]]:
    """Per cell the mean absolute change of every node when the cell takes its column's mean, one (n_l,) per layer."""
    usual = nodes(*inputs)
    for cell in cells_of(inputs):
        here = [x.clone() if which == cell[0] else x for which, x in enumerate(inputs)]
        _put(here, cell, means)
        moved = nodes(*here)
        yield cell, tuple((a - b).double().abs().mean(0).cpu().numpy() for a, b in zip(moved, usual, strict=True))


def _put(here: Sequence[Tensor], cell: Cell, source: Sequence[Tensor]) -> None:
    _part(here, cell).copy_(_part(source, cell))


def _part(values: Sequence[Tensor], cell: Cell) -> Tensor:
    """The values of a cell, (rows,)."""
    which, step, column = cell
    return values[which][:, column] if step is None else values[which][:, step, column]
