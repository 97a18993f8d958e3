"""An independent model of the same columns: gradient boosting, trained on earlier rows and judged on later ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn
from tqdm import tqdm

from kaninterp.core.black_box import BlackBox
from kaninterp.core.errors import DataError
from kaninterp.core.evidence import Estimate
from kaninterp.core.frozen import Array
from kaninterp.data import check_seed
from kaninterp.measure.boosting import Boosting, Task
from kaninterp.measure.bootstrap import BlockBootstrap
from kaninterp.measure.fills import derangement
from kaninterp.measure.host import outputs, untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.skill import best_constant, saved_share
from kaninterp.measure.table_cells import Cells
from kaninterp.measure.tracing import PROGRESS_DELAY
from kaninterp.measure.two_parts import TwoParts, two_parts

__all__ = ["black_box"]

REPEATS = 2
"""Shuffles averaged per column, as for the explained model."""
MOST_RUNS = 200
"""Predictions of shuffled rows; with more columns than half of that, one shuffle each."""


def black_box(
    model: nn.Module,
    data: Any,
    *,
    reference: Any = None,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> BlackBox:
    """Train gradient boosting on the raw columns, and measure what losing each of them costs it.

    Parameters
    ----------
    model : nn.Module
        The explained model, left bit-identical; only its loss on the same rows is taken from it.
    data, reference, target, feature_names
        As for `kaninterp.measure.two_parts.two_parts`; ``data`` may be its result, the others are not used then.
    loss
        As for `kaninterp.nn.resolve_loss`; None chooses by the target. Functions of your own are taken for losses of
        numbers, or of logits where the target are class labels or flags.
    seed : int
        Of shuffles and bootstrap; global generators are not touched.
    progress : bool
        Show a progress bar.

    Returns
    -------
    BlackBox

    Raises
    ------
    ModelError
        scikit-learn is missing, or a target that is not learnt here.
    DataError
        No target, a constant one, or too few rows.

    Notes
    -----
    Histogram gradient boosting (Ke et al. 2017) of up to 200 rounds, fewer where columns and classes are many; how many
    is chosen on the last fifth of its training rows. Windows are flattened to cells: up to 16 recent lags one by one,
    earlier ones as means over spans that double. A column is shuffled with all its lags together (Breiman 2001).

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> X = torch.rand(600, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    >>> head = ki.KANHead(3, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    >>> found = black_box(head, (X, 2 * X[:, 0] + X[:, 1] ** 2), progress=False)
    >>> (found.low > 0).tolist(), found.skill.low > 0.9, found.model_skill.value < 0.5
    ([True, True, False], True, True)
    """
    check_seed(seed)
    if isinstance(data, TwoParts):
        parts = data
    else:
        parts = two_parts(model, data, reference=reference, target=target, feature_names=feature_names)
    judge, learn = parts.judge, parts.learn
    goal = judge.batch.target
    assert goal is not None  # noqa: S101 - `two_parts` has looked; for the type checker
    rng = np.random.default_rng(seed)
    with untouched(model):
        intact = outputs(model, judge.batch)
        losses, name = row_losses(loss, goal, intact)
        task = Task.of(loss, goal, intact)
        guess = best_constant(loss, name, intact, goal)
        if guess is None:
            raise DataError(f"the loss {name!r} has no gradient, so its best constant prediction is not known")
        constant, own = losses(guess.expand_as(intact)), losses(intact)
        if not constant.any():
            raise DataError("the target is constant on the rows to judge by")
        boosting, cells = _trained(task, parts, seed)
        x = cells.table(judge.batch, judge.columns)
        base = losses(task.output(boosting.predict(x), intact))
        repeats = REPEATS if REPEATS * len(judge.columns.names) <= MOST_RUNS else 1
        orders = [derangement(judge.n, rng) for _ in range(repeats)]
        change = np.zeros((judge.n, len(judge.columns.names)))
        steps = tqdm(range(change.shape[1]), desc="black box", delay=PROGRESS_DELAY, leave=False, disable=not progress)
        for column in steps:
            for order in orders:
                shuffled = np.where(cells.owner == column, x[order], x)
                change[:, column] += (losses(task.output(boosting.predict(shuffled), intact)) - base) / repeats
    boot = BlockBootstrap(judge.n, judge.block, rng)
    low, high = boot.interval(change)
    return BlackBox(
        names=judge.columns.names,
        loss=name,
        trained=learn.n,
        rows=judge.n,
        repeats=repeats,
        trees=boosting.trees,
        cells=cells.described,
        base=boot.estimate(base),
        change=change.mean(0),
        low=low,
        high=high,
        skill=_skill(boot, base, constant),
        model_skill=_skill(boot, own, constant),
    )


def _trained(task: Task, parts: TwoParts, seed: int) -> tuple[Boosting, Cells]:
    learn = parts.learn
    cells = Cells.of(learn.batch, learn.columns)
    assert learn.batch.target is not None  # noqa: S101 - `two_parts` has looked; for the type checker
    x, y = cells.table(learn.batch, learn.columns), task.columns(learn.batch.target)
    gap = int(np.ceil(cells.lags / learn.spacing)) if cells.lags > 1 else 0
    return Boosting(task, x, y, gap=gap, seed=seed), cells


def _skill(boot: BlockBootstrap, losses: Array, constant: Array) -> Estimate:
    """1 - loss / loss of the constant, with both means drawn together."""
    means = boot.means(np.stack([losses, constant], axis=1))
    low, high = saved_share(means)
    return Estimate(value=float(1 - losses.mean() / constant.mean()), low=low, high=high)
