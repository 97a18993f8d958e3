"""The loss of the best constant prediction: what a model that knows nothing of its inputs would reach."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from kaninterp.core.frozen import Array
from kaninterp.measure.boosting import Task

__all__ = ["constant_losses"]


def constant_losses(losses: Callable[[Tensor], Array], task: Task, target: Tensor, like: Tensor) -> Array:
    """Loss of every row under one prediction for all, fitted on these very rows.

    Parameters
    ----------
    losses : callable
        Of `row_losses`, for these rows.
    task : Task
        What is predicted.
    target : Tensor, shape (rows, ...)
    like : Tensor, shape (rows, ...)
        Output of the explained model.

    Returns
    -------
    ndarray, shape (rows,)
        Of frequencies for classes and flags; of the mean or the median for numbers, whichever loses less.
    """
    values = task.columns(target)
    if task.kind == "numbers":
        tried = [values.mean(0), np.median(values, axis=0)]
    else:
        classes = task.shape[0] if task.kind == "classes" else 2
        counts = np.stack([np.bincount(column, minlength=classes) for column in values.T]).astype(np.float64)
        # half a row more of every class: frequencies of 0 have no logarithm
        logs = np.log((counts + 0.5) / (len(values) + 0.5 * classes))
        tried = [logs[0] if task.kind == "classes" else logs[:, 1] - logs[:, 0]]
    found = [losses(task.output(np.tile(one, (len(values), 1)), like)) for one in tried]
    return min(found, key=lambda one: float(one.mean()))
