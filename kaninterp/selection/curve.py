"""The survival curve: held-out loss against the number of inputs kept, and the choice of one standard error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kaninterp.core.evidence import Z95
from kaninterp.core.frozen import Array

__all__ = ["CurvePoint", "one_standard_error", "survival_curve"]

FOLDS = 5


@dataclass(frozen=True)
class CurvePoint:
    """One point of the curve.

    Attributes
    ----------
    inputs : int
        How many are kept.
    added : str
        The last of them; empty for none.
    loss, error : float
        Mean squared error on rows the fit did not see, over the target's variance; its standard error over rows.
    chosen : bool
        Whether this is the one-standard-error choice.
    """

    inputs: int
    added: str
    loss: float
    error: float
    chosen: bool

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the loss."""
        return self.loss - Z95 * self.error, self.loss + Z95 * self.error


def survival_curve(
    columns: Array, y: Array, readers: Sequence[frozenset[int]], order: Sequence[int], names: Sequence[str]
) -> tuple[CurvePoint, ...]:
    """Fit the terms that read only the first 0, 1, 2, ... inputs, in five folds of neighbouring rows.

    Parameters
    ----------
    columns : ndarray, shape (n, terms)
        Values of the terms.
    y : ndarray, shape (n,)
        Target.
    readers : sequence of frozenset of int, per term
        Inputs it reads.
    order : sequence of int
        Inputs, most needed first.
    names : sequence of str
        Of all inputs.

    Notes
    -----
    Coefficients are fitted on the other folds; which terms there are was found on all rows, so the curve compares
    numbers of inputs but flatters the whole a little.
    """
    losses = []
    for count in range(len(order) + 1):
        some = frozenset(order[:count])
        losses.append(_row_losses(columns[:, [read <= some for read in readers]], y))
    means = [float(rows.mean()) for rows in losses]
    errors = [float(rows.std() / len(rows) ** 0.5) for rows in losses]
    chosen = one_standard_error(means, errors)
    return tuple(
        CurvePoint(count, "" if count == 0 else names[order[count - 1]], means[count], errors[count], count == chosen)
        for count in range(len(order) + 1)
    )


def one_standard_error(losses: Sequence[float], errors: Sequence[float]) -> int:
    """The fewest inputs whose loss is within one standard error of the best (Breiman et al. 1984, section 3.4.3).

    Examples
    --------
    >>> one_standard_error([1.0, 0.30, 0.29, 0.28], [0.1, 0.03, 0.03, 0.03])
    1
    """
    best = int(np.argmin(losses))
    return next(count for count, loss in enumerate(losses) if loss <= losses[best] + errors[best])


def _row_losses(columns: Array, y: Array) -> Array:
    rows = len(y)
    design = np.column_stack((np.ones(rows), columns))
    losses = np.empty(rows)
    for fold in np.array_split(np.arange(rows), min(FOLDS, rows)):
        rest = np.ones(rows, bool)
        rest[fold] = False
        coefficients = np.linalg.lstsq(design[rest], y[rest], rcond=None)[0]
        losses[fold] = (y[fold] - design[fold] @ coefficients) ** 2
    scaled: Array = losses / max(float(y.var()), np.finfo(float).tiny)
    return scaled
