"""Gradient boosting for any target a model here may have, its rounds chosen on the last rows it learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.core.errors import DataError, ModelError
from kaninterp.core.frozen import Array
from kaninterp.measure.losses import Loss

__all__ = ["Boosting", "Task"]

ROUNDS = 200
"""Trees per output at most, fewer where cells and classes are many; how many are used is chosen."""
LEAST_ROUNDS = 30
"""Of so many, at a rate of 0.1, the mean is learnt to a twentieth: fewer are no model."""
MOST_SCANS = 400_000
"""Trees times cells: 784 columns and ten classes take over a minute with 200 rounds, which is more than the rest."""
RATE = 0.1
LEAVES = 15
"""Leaves of a tree: enough for products of three columns; with 31, trees of 2,000 rows mostly fit noise."""
BINS = 64
"""Steps of a column that trees can tell apart; 255 take four times as long and no planted truth needs them."""
PER_LEAF = 20
"""Rows of a leaf, or a twentieth of the rows where they are few."""
CHOSEN_ON = 0.2
"""Share of the rows, the last ones, on which the number of rounds is chosen; then all rows are learnt."""
MOST_OUTPUTS = 8
"""Numbers to predict per row: each needs its own trees."""
MOST_CLASSES = 50
"""Classes; each needs its own trees in every round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be predicted, and in which form the loss wants it.

    Attributes
    ----------
    kind : str
        "numbers", "flags" (logits of yes) or "classes" (logits per class).
    shape : tuple of int
        Shape of the output of the explained model per row.
    absolute : bool
        Whether medians are asked for (loss "mae") instead of means.
    """

    kind: str
    shape: tuple[int, ...]
    absolute: bool

    @classmethod
    def of(cls, loss: Loss, target: Tensor, intact: Tensor) -> Task:
        """Read the task from the loss, the target and the output of the explained model.

        Raises
        ------
        ModelError
            A target that boosting cannot learn here, or too many numbers per row.
        """
        shape, name = tuple(intact.shape[1:]), _name(loss)
        values = intact[0].numel()
        integer = not target.is_floating_point() and target.dtype != torch.bool
        if integer and name not in {"mse", "mae", "huber"}:
            if target[0].numel() != 1 or len(shape) != 1 or shape[0] < 2:
                raise ModelError(f"class labels {tuple(target.shape)} of several steps per row are not learnt here")
            return cls(kind="classes", shape=shape, absolute=False)
        if name == "cross_entropy":
            raise ModelError("targets that are probabilities of classes are not learnt here")
        if target[0].numel() != values or values > MOST_OUTPUTS:
            raise ModelError(
                f"{target[0].numel()} numbers per row for outputs of {values}; learnt here are up to {MOST_OUTPUTS}, "
                "as many as there are outputs"
            )
        binary = target.dtype == torch.bool or name.startswith(("bce", "binary_cross_entropy"))
        if binary and not bool(((target == 0) | (target == 1)).all()):
            raise ModelError("targets of 'bce' between 0 and 1 are not learnt here")
        return cls(kind="flags" if binary else "numbers", shape=shape, absolute=name in {"mae", "l1loss", "l1_loss"})

    def columns(self, target: Tensor) -> Array:
        """The target as a table, (rows, numbers)."""
        values = target.detach().cpu()
        kind = values.double() if self.kind == "numbers" else values.long()
        return np.asarray(kind.reshape(len(kind), -1).numpy())

    def output(self, values: Array, like: Tensor) -> Tensor:
        """Predictions, (rows, numbers or classes), as an output of the explained model would be."""
        return torch.from_numpy(values).to(like).reshape(len(values), *self.shape)


class Boosting:
    """Histogram gradient boosting (Ke et al. 2017, as in scikit-learn), one model per output.

    Parameters
    ----------
    task : Task
        What to predict.
    x : ndarray, shape (rows, cells)
        Rows in time order.
    y : ndarray, shape (rows, numbers)
        Their target, see `Task.columns`.
    gap : int
        Rows left out before those on which the number of rounds is chosen.
    seed : int
        Random state of the trees.

    Raises
    ------
    ModelError
        scikit-learn is not installed.
    DataError
        The target is constant, so there is nothing to learn.
    """

    def __init__(self, task: Task, x: Array, y: Array, *, gap: int, seed: int) -> None:
        if not np.ptp(y, axis=0).any():
            raise DataError("the target is constant on the rows to learn from")
        self._task, self._rows = task, len(x)
        self._parts = [_fitted(task, x, column, gap=gap, seed=seed) for column in y.T]

    @property
    def trees(self) -> int:
        """Rounds, of the largest of the models."""
        return max((int(part.n_iter_) for part in self._parts if not isinstance(part, float)), default=0)

    def predict(self, x: Array) -> Array:
        """Numbers, logits of yes, or log-probabilities of classes: (rows, numbers or classes)."""
        if self._task.kind == "numbers":
            return np.stack([_numbers(part, x) for part in self._parts], axis=1)
        if self._task.kind == "flags":
            yes = np.stack([self._chances(part, x, 2)[:, 1] for part in self._parts], axis=1)
            return np.asarray(np.log(yes) - np.log1p(-yes), dtype=np.float64)
        return np.asarray(np.log(self._chances(self._parts[0], x, self._task.shape[0])), dtype=np.float64)

    def _chances(self, part: Any, x: Array, classes: int) -> Array:
        """Probabilities, (rows, classes): none is surer than one row more of every class would allow (Laplace)."""
        found = np.zeros((len(x), classes))
        if isinstance(part, float):
            found[:, int(part)] = 1.0
        else:
            found[:, part.classes_] = part.predict_proba(x)
        return np.asarray((self._rows * found + 1.0) / (self._rows + classes), dtype=np.float64)


def _fitted(task: Task, x: Array, y: Array, *, gap: int, seed: int) -> Any:
    """A model with its best number of rounds, or the only value there is."""
    if not np.ptp(y):
        return float(y[0])
    cut = round(len(x) * (1 - CHOSEN_ON))
    early, late = slice(0, max(cut - gap, 1)), slice(cut, len(x))
    most = rounds = _most_rounds(task, x, y)
    if np.ptp(y[early]) and (task.kind == "numbers" or set(y[late]) <= set(y[early])):
        trial = _model(task, most, early.stop, seed).fit(x[early], y[early])
        rounds = 1 + int(np.argmin(_late_losses(task, trial, x[late], y[late])))
    return _model(task, rounds, len(x), seed).fit(x, y)


def _most_rounds(task: Task, x: Array, y: Array) -> int:
    """`ROUNDS`, or fewer where each is dear: a round is a tree per class."""
    classes = len(np.unique(y)) if task.kind == "classes" else 1
    trees = classes if classes > 2 else 1
    return int(np.clip(MOST_SCANS // (trees * max(1, x.shape[1])), LEAST_ROUNDS, ROUNDS))


def _late_losses(task: Task, model: Any, x: Array, y: Array) -> list[float]:
    if task.kind == "numbers":
        power = 1 if task.absolute else 2
        return [float((np.abs(found - y) ** power).mean()) for found in model.staged_predict(x)]
    place = np.searchsorted(model.classes_, y)
    tiny = np.finfo(np.float64).tiny
    return [-float(np.log(np.maximum(p[np.arange(len(y)), place], tiny)).mean()) for p in model.staged_predict_proba(x)]


def _model(task: Task, rounds: int, rows: int, seed: int) -> Any:
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    except ImportError as error:
        raise ModelError("scikit-learn is not installed; install kaninterp[sklearn]") from error
    options: dict[str, Any] = {
        "max_iter": rounds,
        "learning_rate": RATE,
        "max_leaf_nodes": LEAVES,
        "max_bins": BINS,
        "min_samples_leaf": max(1, min(PER_LEAF, rows // PER_LEAF)),
        "early_stopping": False,
        "random_state": seed,
    }
    if task.kind == "numbers":
        return HistGradientBoostingRegressor(loss="absolute_error" if task.absolute else "squared_error", **options)
    return HistGradientBoostingClassifier(**options)


def _numbers(part: Any, x: Array) -> Array:
    return np.full(len(x), part) if isinstance(part, float) else np.asarray(part.predict(x), dtype=np.float64)


def _name(loss: Loss) -> str:
    if loss is None or isinstance(loss, str):
        return loss or ""
    return str(getattr(loss, "__name__", type(loss).__name__ if isinstance(loss, nn.Module) else "")).lower()
