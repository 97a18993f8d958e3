"""Losses with a shadow in the place of a raw column: the whole model runs again, the rest of the row stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from kaninterp.core.frozen import Array, BoolArray, IntArray
from kaninterp.measure.fills import with_shuffled
from kaninterp.measure.host import outputs
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.rows import Rows
from kaninterp.measure.tracing import PROGRESS_DELAY

__all__ = ["InputLosses", "input_losses", "input_rows", "parameters_run"]

WORK = 2**38
"""Parameters x time steps x rows that the shadows of all columns may cost: up to half a minute on one core."""
MOST_WORK = 2**39
"""What they may cost with the fewest rows; beyond it columns that hardly move the output are left out."""
FEWEST_ROWS = 200
"""Rows are not cut below this to save work: a few hundred are what a comparison of losses needs."""
TRIED = 64
"""Rows on which columns that the model does not read are counted, to plan the work."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputLosses:
    """Mean losses with one column moved in time.

    Attributes
    ----------
    base : float
        Of the intact model.
    shadows : ndarray, shape (S, F)
        Equal to ``base`` for columns that are not tested.
    tested : ndarray of bool, shape (F,)
        False where the first move changes no output by one bit (the column is constant or not read) and where the
        work would be too much.
    left_out : int
        Columns left out to save work.
    name : str
        Name of the loss.
    """

    base: float
    shadows: Array
    tested: BoolArray
    left_out: int
    name: str


def input_rows(model: nn.Module, few: Rows, copies: int, limit: int) -> int:
    """Rows to use, at most ``limit``, so that the work stays within `WORK`; call it inside `untouched`."""
    intact, backwards = outputs(model, few.batch), torch.arange(few.n).flip(0)
    changed = (outputs(model, with_shuffled(few, [column], backwards)) for column in range(len(few.columns.places)))
    read = sum(1 for output in changed if not torch.equal(output, intact))
    per_row = parameters_run(model) * few.columns.lags * copies * max(read, 1)
    return min(limit, max(FEWEST_ROWS, WORK // max(per_row, 1)))


def parameters_run(model: nn.Module) -> int:
    """Parameters that take part in every row: all but tables that rows are looked up in."""
    tables = sum(p.numel() for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters())
    return max(1, sum(p.numel() for p in model.parameters()) - tables)


def input_losses(model: nn.Module, held: Rows, loss: Loss, orders: IntArray, progress: bool) -> InputLosses:
    """Measure the columns; call it inside `untouched`.

    Parameters
    ----------
    model, held, loss
        As for `ablate`.
    orders : ndarray of int, shape (S, rows)
        How the rows of a column are moved; the same for every column.
    progress : bool
    """
    intact = outputs(model, held.batch)
    measure, name = row_losses(loss, held.batch.target, intact)
    base = float(measure(intact).mean())
    moves = [torch.from_numpy(order) for order in orders]
    count = len(held.columns.places)
    losses, moved = np.full((len(orders), count), base), np.zeros(count)
    for column in range(count):
        first = outputs(model, with_shuffled(held, [column], moves[0]))
        losses[0, column] = float(measure(first).mean())
        moved[column] = float((first - intact).double().square().mean())
    chosen = _within_budget(model, held, moved, len(orders))
    steps = tqdm(chosen, desc="shadow inputs", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    for column in steps:
        shifted = (outputs(model, with_shuffled(held, [column], move)) for move in moves[1:])
        losses[1:, column] = [float(measure(output).mean()) for output in shifted]
    tested = np.isin(np.arange(count), chosen)
    losses[:, ~tested] = base
    return InputLosses(
        base=base, shadows=losses, tested=tested, left_out=int((moved > 0).sum()) - len(chosen), name=name
    )


def _within_budget(model: nn.Module, held: Rows, moved: Array, copies: int) -> list[int]:
    """Columns that move the output at all; if they are too many, those that move it most."""
    price = parameters_run(model) * held.columns.lags * held.n * copies
    most = max(1, MOST_WORK // max(price, 1))
    strongest = np.argsort(-moved, kind="stable")[:most]
    return sorted(int(column) for column in strongest if moved[column] > 0)
