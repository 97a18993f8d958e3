"""Do models need the same raw columns? Twins count as one, and what is not above zero counts as nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from kaninterp.core.errors import InputError, ShapeError
from kaninterp.core.evidence import CORRELATED, Z95
from kaninterp.core.frozen import Array
from kaninterp.core.rank import spearman

__all__ = ["HOW", "Agreement", "Rises", "agree", "agree_all", "correlated_groups", "group_rises"]

HOW = ("ranks", "sizes")
"""Ways to compare."""
RANKED = 4
"""Groups of columns from which ranks are compared: of three, one order in six is right by chance."""
DRAWS = 1000
"""Draws behind an interval, of both models' rises within their own intervals; its ends then stand to about .01."""

Groups = Sequence[Sequence[int]]


class Rises(Protocol):
    """Anything that says what losing each column costs, with an interval: `InputAblation`, `BlackBox`."""

    @property
    def change(self) -> Array:
        """Rise of the loss, (F,)."""

    @property
    def low(self) -> Array:
        """Lower end of its interval."""

    @property
    def high(self) -> Array:
        """Upper end of its interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How alike two or more models are in what they need.

    Attributes
    ----------
    value, low, high : float
        Agreement, and its interval or the extremes; NaN where there is none.
    chance : float
        What models without anything in common would reach.
    groups : int
        Groups of columns compared.
    remark : str
        Why there is no value.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    chance: float = float("nan")
    groups: int
    remark: str = ""


def correlated_groups(correlation: Array) -> tuple[tuple[int, ...], ...]:
    """Columns that carry nearly the same signal, together: connected by |r| of `CORRELATED` or more.

    Parameters
    ----------
    correlation : ndarray, shape (F, F)
        With 0 on the diagonal for a column that is constant; such columns are in no group.

    Raises
    ------
    ShapeError
        Not a square matrix.

    Examples
    --------
    >>> correlated_groups(np.array([[1, 0.1, -0.99, 0], [0.1, 1, 0, 0], [-0.99, 0, 1, 0], [0, 0, 0, 0]]))
    ((0, 2), (1,))
    """
    r = np.asarray(correlation, dtype=np.float64)
    if r.ndim != 2 or r.shape[0] != r.shape[1]:
        raise ShapeError(f"correlation: expected a square matrix, got {r.shape}")
    label = np.arange(len(r))
    for first, second in zip(*np.nonzero(np.triu(np.abs(r) >= CORRELATED, 1)), strict=True):
        label[label == label[second]] = label[first]
    found = [tuple(np.flatnonzero(label == one).tolist()) for one in dict.fromkeys(label.tolist())]
    return tuple(sorted(group for group in found if r[group[0], group[0]] != 0))


def group_rises(rises: Rises, groups: Groups) -> Array:
    """Rise per group of columns: the sum, where a rise whose interval reaches zero counts as zero.

    Twins share one signal, and a model splits it between them as it likes: only their sum can be compared.
    """
    return _summed(_floored(rises.change, rises), groups)


def agree(left: Rises, right: Rises, groups: Groups, *, how: str = "ranks", seed: int = 0) -> Agreement:
    """Agreement of two models about the columns.

    Parameters
    ----------
    left, right : Rises
        What losing each column costs either of them.
    groups : sequence of sequence of int
        Columns that count as one, see `correlated_groups`; columns in no group are left out.
    how : {"ranks", "sizes"}
        Rank correlation of Spearman (1904), of `RANKED` groups or more; all columns count alike, also those that
        bring next to nothing. Or the overlap of sizes, 2 sum min(a, b) / (sum a + sum b) over the groups' rises
        (Czekanowski 1909; Bray and Curtis 1957): 1 where both need every group as much, 0 where they need different
        ones, and near 0 where one of them hardly needs any. For sizes both have to be rises of the same loss.
    seed : int
        Of the draws behind the interval.

    Returns
    -------
    Agreement
        Chance is 0 for ranks; for sizes the mean over all ways to swap the groups of one side at random. A model that
        needs nothing agrees by 0 with one that does; where neither does there is no value.

    Raises
    ------
    InputError
        Another way to compare.

    Notes
    -----
    The interval draws every rise of both sides anew from a normal law of its own interval, column by column. Drawing
    adds noise to rises that have theirs already, so it is stretched to hold the value.

    Examples
    --------
    >>> from kaninterp.core import Estimate, InputAblation
    >>> def ablation(*change):
    ...     n, values = len(change), np.array(change)
    ...     return InputAblation(names=tuple("abcdefgh"[:n]), loss="mse", rows=9, block=1, repeats=1,
    ...         base=Estimate(value=1.0, low=1.0, high=1.0), change=values, low=values, high=values,
    ...         p_value=np.zeros(n), reads=np.ones(n, bool), norms=np.ones(n), node_shares=())
    >>> agree(ablation(4.0, 2.0, 1.0, 0.0), ablation(9.0, 1.5, 1.0, -0.5), [[0], [1], [2], [3]]).value
    1.0
    >>> found = agree(ablation(3.0, 1.0), ablation(1.0, 3.0), [[0], [1]], how="sizes")
    >>> found.value, found.chance
    (0.5, 0.75)
    """
    sides = left, right
    found = _compared(group_rises(left, groups), [group_rises(right, groups)], how)
    if found.remark:
        return found
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        a, b = (_summed(_floored(_drawn(side, rng), side), groups) for side in sides)
        drawn.append(_alike(a, b, how))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return replace(found, low=min(float(low), found.value), high=max(float(high), found.value))


def agree_all(model: Rises, others: Sequence[Rises], groups: Groups, *, how: str = "ranks") -> Agreement:
    """Mean agreement of one model with each of several others, as for `agree`; ``low`` and ``high`` are the extremes.

    Two models that need nothing say nothing together: such a pair is left out.

    Raises
    ------
    ShapeError
        No other model.
    InputError
        Another way to compare.
    """
    if not others:
        raise ShapeError("others: expected one model or more, got none")
    return _compared(group_rises(model, groups), [group_rises(other, groups) for other in others], how)


def _compared(model: Array, others: Sequence[Array], how: str) -> Agreement:
    """Mean over the others, and the extreme ones."""
    if how not in HOW:
        raise InputError(f"how: expected one of {', '.join(HOW)}, got {how!r}")
    groups = len(model)
    spoken = [other for other in others if model.any() or other.any()]
    why = _why_not(groups, how) or ("" if spoken else "no column brings any of the models a rise above zero")
    if why:
        return Agreement(value=float("nan"), groups=groups, remark=why)
    values = [_alike(model, other, how) for other in spoken]
    chance = float(np.mean([_by_chance(model, other, how) for other in spoken]))
    return Agreement(value=float(np.mean(values)), low=min(values), high=max(values), chance=chance, groups=groups)


def _why_not(groups: int, how: str) -> str:
    if how == "ranks" and groups < RANKED:
        return f"ranks of {groups} columns say little; {RANKED} are needed, correlated ones count as one"
    return "" if groups > 1 else "there are no two columns to compare, correlated ones count as one"


def _alike(a: Array, b: Array, how: str) -> float:
    if not a.any() or not b.any():
        return 0.0
    if how == "sizes":
        return float(2 * np.minimum(a, b).sum() / (a.sum() + b.sum()))
    found = spearman(a, b)
    return found if np.isfinite(found) else 0.0


def _by_chance(a: Array, b: Array, how: str) -> float:
    """Mean over all permutations of one side: every group meets every other equally often."""
    if how == "ranks" or not a.any() or not b.any():
        return 0.0
    return float(2 * np.minimum.outer(a, b).sum() / len(a) / (a.sum() + b.sum()))


def _floored(change: Array, rises: Rises) -> Array:
    return np.where(rises.low > 0, np.maximum(change, 0.0), 0.0)


def _drawn(rises: Rises, rng: np.random.Generator) -> Array:
    error = np.maximum(rises.high - rises.low, 0.0) / (2 * Z95)
    return np.asarray(rises.change + error * rng.normal(size=len(error)))


def _summed(values: Array, groups: Groups) -> Array:
    return np.array([values[list(group)].sum() for group in groups], dtype=np.float64)
