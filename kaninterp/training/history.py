"""What a training run tells about itself."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

__all__ = ["COLUMNS", "FitResult", "as_history"]

COLUMNS = (
    "epoch",
    "phase",
    "train_loss",
    "penalty",
    "validation_loss",
    "lr",
    "grad_norm",
    "inputs_alive",
    "edges",
    "seconds",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """How a run went. The model itself was trained in place.

    Attributes
    ----------
    history : DataFrame
        One row per epoch: epoch (from 1), phase ("train", or the sparsity phase), train_loss (mean over the
        rows as the epoch went by, without penalty), penalty, validation_loss, lr, grad_norm (mean over the
        steps, before clipping), inputs_alive (raw columns that are not exactly zero), edges (effective
        number of edges: exp of the entropy of the edge strengths), seconds. NaN where something does not
        apply.
    best_epoch : int
        The epoch (from 1) whose weights the model has now.
    best_loss : float
        Its validation loss; without validation its training loss.
    stopped : str
        "epochs": all were run; "patience": no better validation loss for so many epochs; "converged":
        no further step of Levenberg-Marquardt helps.
    n_train, n_validation : int or None
        Rows used; None if a stream did not say.
    dropped_inputs : tuple of str
        Raw columns whose weights are exactly zero wherever the model reads them.
    """

    history: pd.DataFrame
    best_epoch: int
    best_loss: float
    stopped: str
    n_train: int | None
    n_validation: int | None
    dropped_inputs: tuple[str, ...]

    def __repr__(self) -> str:
        dropped = f", dropped {len(self.dropped_inputs)} inputs" if self.dropped_inputs else ""
        return (
            f"FitResult(best loss {self.best_loss:.4g} at epoch {self.best_epoch} of {len(self.history)}, stopped by "
            f"{self.stopped}{dropped})"
        )


def as_history(rows: list[dict[str, float | str]]) -> pd.DataFrame:
    """Make the table of epochs; columns are there even before the first one.

    Examples
    --------
    >>> as_history([]).columns.tolist()[:3]
    ['epoch', 'phase', 'train_loss']
    """
    table: pd.DataFrame = pd.DataFrame(rows, columns=list(COLUMNS))
    return table
