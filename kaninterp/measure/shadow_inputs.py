"""Losses with a shadow in the place of a raw column: the whole model runs again, the rest of the row stays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from kaninterp.core.frozen import Array, BoolArray, IntArray
from kaninterp.data import Batch
from kaninterp.measure.ablation import Rows
from kaninterp.measure.host import outputs
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.tracing import PROGRESS_DELAY

__all__ = ["input_losses", "input_rows", "parameters_run"]

WORK = 2**35
"""Parameters x time steps x rows that the shadows of all columns may cost: some seconds on one core."""
FEWEST_ROWS = 200
"""Rows are not cut below this to save work: a few hundred are what a comparison of losses needs."""
TRIED = 64
"""Rows on which columns that the model does not read are counted, to plan the work."""


def input_rows(model: nn.Module, few: Rows, copies: int, limit: int) -> int:
    """Rows to use, at most ``limit``, so that the work stays within `WORK`; call it inside `untouched`."""
    read = sum(1 for column in range(len(few.columns.places)) if _is_read(model, few, column))
    per_row = parameters_run(model) * few.columns.lags * copies * max(read, 1)
    return min(limit, max(FEWEST_ROWS, WORK // max(per_row, 1)))


def parameters_run(model: nn.Module) -> int:
    """Parameters that take part in every row: all but tables that rows are looked up in."""
    tables = sum(p.numel() for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters())
    return max(1, sum(p.numel() for p in model.parameters()) - tables)


def input_losses(
    model: nn.Module, held: Rows, loss: Loss, orders: IntArray, progress: bool
) -> tuple[float, Array, BoolArray, str]:
    """Mean losses of the intact model and with one column moved; call it inside `untouched`.

    Parameters
    ----------
    model, held, loss
        As for `ablate`.
    orders : ndarray of int, shape (S, rows)
        How the rows of a column are moved; the same for every column.
    progress : bool

    Returns
    -------
    base : float
    losses : ndarray, shape (S, F)
        Equal to the intact loss for columns that are not tested.
    tested : ndarray of bool, shape (F,)
        False where the first move changes no output by one bit: the column is constant or not read.
    name : str
        Name of the loss.
    """
    intact = outputs(model, held.batch)
    measure, name = row_losses(loss, held.batch.target, intact)
    base = float(measure(intact).mean())
    count = len(held.columns.places)
    losses, tested = np.full((len(orders), count), base), np.zeros(count, bool)
    steps = tqdm(range(count), desc="shadow inputs", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    for column in steps:
        mean_loss = _moved_loss(model, held, measure, column)
        first = outputs(model, _moved(held, column, orders[0]))
        if torch.equal(first, intact):
            continue
        tested[column] = True
        losses[0, column] = float(measure(first).mean())
        losses[1:, column] = [mean_loss(order) for order in orders[1:]]
    return base, losses, tested, name


def _moved_loss(
    model: nn.Module, held: Rows, measure: Callable[[torch.Tensor], Array], column: int
) -> Callable[[IntArray], float]:
    return lambda order: float(measure(outputs(model, _moved(held, column, order))).mean())


def _is_read(model: nn.Module, few: Rows, column: int) -> bool:
    backwards = np.arange(few.n)[::-1].copy()
    return not torch.equal(outputs(model, few.batch), outputs(model, _moved(few, column, backwards)))


def _moved(held: Rows, column: int, order: IntArray) -> Batch:
    """The rows with one column, all its lags together, taken from other rows."""
    which, position = held.columns.places[column]
    values = held.batch.inputs[which]
    changed = values.clone()
    changed[..., position] = values[torch.from_numpy(order).to(values.device)][..., position]
    inputs = (*held.batch.inputs[:which], changed, *held.batch.inputs[which + 1 :])
    return Batch(inputs=inputs, keys=held.batch.keys, target=held.batch.target)
