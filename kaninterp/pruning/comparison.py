"""Two models on the same held-out rows: loss and accuracy, before and after, with intervals of the difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.core.frozen import Array
from kaninterp.core.pruned import HeldOut
from kaninterp.data import check_seed, preserved_rng
from kaninterp.measure import BlockBootstrap, block_of
from kaninterp.measure.host import outputs, untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.tracing import prepared

__all__ = ["measure_held_out"]

ROWS = 4000
"""Rows used at most, evenly spaced; the interval says what they are worth."""
TINY = np.finfo(np.float64).tiny


def measure_held_out(
    before: nn.Module,
    after: nn.Module,
    data: Any,
    *,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    rows: int = ROWS,
    seed: int = 0,
) -> HeldOut:
    """Measure what a pruning costs on data that neither model was trained on.

    Parameters
    ----------
    before, after : nn.Module
        Left bit-identical.
    data, target, loss, feature_names
        As for `kaninterp.measure.ablate`; without a target the "loss" is the change of the output. Images and other
        inputs with more axes will do too.
    rows : int
        Rows used at most, evenly spaced.
    seed : int
        Of the moving-block bootstrap.

    Returns
    -------
    HeldOut
        With R2 (mean over outputs) for numbers to predict, accuracy for classes.

    Raises
    ------
    ModelError, DataError, ShapeError
        A model that cannot be called with the data, or targets that do not fit its outputs.

    Examples
    --------
    >>> x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    >>> good, bad = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    >>> held = measure_held_out(good, bad, (x, good(x).detach()), seed=0)
    >>> held.loss, held.before.value, held.score, held.score_before.value, held.difference.low > 0
    ('mse', 0.0, 'R2', 1.0, True)
    """
    check_seed(seed)
    batches = prepared(before, data, target=target, feature_names=feature_names)
    with preserved_rng():
        batch = batches.sample(rows)
    with untouched(before), untouched(after):
        said = [outputs(model, batch) for model in (before, after)]
    boot = BlockBootstrap(batch.n_rows, block_of(batch, batches), np.random.default_rng(seed))
    losses, name = row_losses(loss, batch.target, said[0])
    old, new = map(losses, said)
    kind, score = _score(batch.target, said[0])
    found: dict[str, Any] = {}
    if score is not None:
        was, now = map(score, said)
        found = {
            "score": kind,
            "score_before": boot.estimate(was),
            "score_after": boot.estimate(now),
            "score_difference": boot.estimate(now - was),
        }
    return HeldOut(
        loss=name,
        rows=batch.n_rows,
        before=boot.estimate(old),
        after=boot.estimate(new),
        difference=boot.estimate(new - old),
        **found,
    )


def _score(target: Tensor | None, output: Tensor) -> tuple[str, Callable[[Tensor], Array] | None]:
    """Name of the score and the function that gives it for every row; the mean over rows is the score."""
    if target is None:
        return "", None
    if target.is_floating_point():
        return ("R2", _explained(target)) if target.numel() == output.numel() else ("", None)
    if target.dtype == torch.bool or output.numel() == target.numel():
        fits = output.numel() == target.numel()
        return ("accuracy", lambda out: _hits(out.reshape(target.shape) > 0, target.bool())) if fits else ("", None)
    return "accuracy", lambda out: _hits(out.argmax(-1).reshape(target.shape), target)


def _explained(target: Tensor) -> Callable[[Tensor], Array]:
    """1 - squared error / variance of the target, per row: its mean over the rows is R2, averaged over outputs."""
    wanted = target.double().reshape(len(target), -1)
    spread = wanted.var(0, unbiased=False).clamp(min=TINY)

    def rows(output: Tensor) -> Array:
        gaps = (output.double().reshape(wanted.shape) - wanted) ** 2
        values: Array = (1 - (gaps / spread).mean(1)).cpu().numpy()
        return values

    return rows


def _hits(said: Tensor, true: Tensor) -> Array:
    values: Array = (said == true).double().reshape(len(true), -1).mean(1).cpu().numpy()
    return values
