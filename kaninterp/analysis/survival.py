"""Statistics behind the verdict on a raw input: corrected p-values, a floor for the size of the effect, twins."""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np
from numpy.typing import ArrayLike

from kaninterp.core.evidence import CORRELATED, Z95, InputAblation, SurvivalCurve
from kaninterp.core.frozen import Array, BoolArray, floats
from kaninterp.core.tables import RawTable

__all__ = [
    "ALPHA",
    "ALPHA_TENTATIVE",
    "FLOOR",
    "FLOOR_TENTATIVE",
    "Need",
    "holm",
    "loss_span",
    "measure_need",
    "twins",
]

ALPHA = 0.01
"""Family-wise error of "keep": one noise column kept by chance in a hundred models."""

ALPHA_TENTATIVE = 0.05
"""Family-wise error of "tentative"."""

FLOOR = 0.001
"""Rise of the loss, as a share of what all inputs together bring, below which an input is practically null however sure
its p-value is. The weakest column to be kept on the planted ladder (1/63 of the variance) brings 0.016."""

FLOOR_TENTATIVE = 0.01
"""A rise of this share keeps an input in discussion when `ALPHA` is met without correction: losing it would show. Costs
at most one doubtful column in a hundred columns of noise."""

FEW_HITS = 0.001
"""Bootstrap p-values up to this rest on a handful of draws, so the tail is taken from the normal law with the standard
error of the interval: with 28 columns and 1000 draws no corrected p-value could otherwise get below 0.028."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Need:
    """How much the model needs each raw column.

    Attributes
    ----------
    share : ndarray, shape (F,)
        Rise of the loss over what all inputs together bring (`loss_span`).
    p_value, p_holm : ndarray, shape (F,)
        One-sided, plain and Holm-corrected over the columns that are read and vary.
    tested : ndarray of bool, shape (F,)
        Columns that were in the family: read, and not constant.
    span : float
        What all inputs together bring, in units of the loss.
    """

    share: Array
    p_value: Array
    p_holm: Array
    tested: BoolArray
    span: float

    def __post_init__(self) -> None:
        for name in ("share", "p_value", "p_holm"):
            object.__setattr__(self, name, floats(getattr(self, name), (None,), f"Need.{name}"))


def measure_need(ablation: InputAblation, curve: SurvivalCurve | None, constant: BoolArray) -> Need:
    """Sizes and p-values of all columns, on one scale."""
    tested = ablation.reads & ~constant
    span = loss_span(ablation, curve)
    plain = np.where(tested, _tails(ablation), 1.0)
    corrected = np.ones(len(plain))
    corrected[tested] = holm(plain[tested])
    share = ablation.change / span if span > 0 else np.zeros(len(plain))
    return Need(share=share, p_value=plain, p_holm=corrected, tested=tested, span=span)


def loss_span(ablation: InputAblation, curve: SurvivalCurve | None) -> float:
    """What all inputs together bring: loss with every column shuffled minus the intact loss.

    Taken from the survival curve; without one, the sum of the single rises stands in (too small where
    columns are redundant, too large where they interact).
    """
    joint = float(curve.loss[0]) - ablation.base.value if curve is not None else 0.0
    single = float(np.maximum(ablation.change, 0.0).sum())
    return joint if joint > 0 else single


def holm(p_values: ArrayLike) -> Array:
    """Holm's step-down correction: p-values that bound the chance of a single false alarm (Holm 1979).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def twins(raw: RawTable, index: int) -> tuple[tuple[int, float], ...]:
    """Columns that carry nearly the same signal, with their correlation, closest first."""
    row = raw.correlation[index]
    close = [int(i) for i in np.flatnonzero(np.abs(row) >= CORRELATED) if i != index]
    return tuple((i, float(row[i])) for i in sorted(close, key=lambda i: (-abs(row[i]), i)))


def _tails(ablation: InputAblation) -> Array:
    error = (ablation.high - ablation.low) / (2 * Z95)
    z = np.divide(ablation.change, error, out=np.zeros(len(error)), where=error > 0)
    normal = np.array([0.5 * erfc(value / sqrt(2)) for value in z])
    few = (ablation.p_value <= FEW_HITS) & (error > 0)
    p = np.where(few, np.minimum(ablation.p_value, normal), ablation.p_value)
    return np.where(ablation.change > 0, p, np.maximum(p, 0.5))
