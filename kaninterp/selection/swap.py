"""The swap test: could the other inputs do without this one, had they been free to take its place from the start.

Forward search is greedy. An input that resembles the target itself may come in first and never go, although the
inputs behind the target, once all found, explain everything. So for every kept input the search is done again without
it; if the other model is the better one, it is taken. The same searches tell who would replace an input, and what it
would cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kaninterp.core.frozen import Array

from .expansion import Expansion
from .forward import Step, left_over

__all__ = ["Fitted", "Replacement", "swapped", "unexplained"]

ROUNDING = 1e-9
"""Difference in unexplained variance that says nothing."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model found by a search, after needless terms went.

    Attributes
    ----------
    expansion : Expansion
        Its terms.
    readers : tuple of frozenset of int
        Inputs each term reads.
    steps : tuple of Step
        How the search went.
    needless : dict
        Per input that came in and was taken out again: its p-value then, corrected for the number of inputs.
    explained : float
        Share of the target's variance explained on the rows of the search.
    unexplained : float
        See `unexplained`.
    """

    expansion: Expansion
    readers: tuple[frozenset[int], ...]
    steps: tuple[Step, ...]
    needless: dict[int, float]
    explained: float
    unexplained: float

    @property
    def kept(self) -> frozenset[int]:
        """Inputs the model reads."""
        return frozenset().union(*self.readers)


@dataclass(frozen=True)
class Replacement:
    """What a search without one input found.

    Attributes
    ----------
    newcomers : tuple of int
        Inputs it took that the model with the input does without.
    explained : float
        Share of the variance it explains.
    """

    newcomers: tuple[int, ...]
    explained: float


def unexplained(y: Array, columns: Array) -> float:
    """Estimate the variance that noise has, as a share of the target's: residuals over the degrees of freedom left.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 101)
    >>> bool(np.isclose(unexplained(x, x[:, None]), 0.0)), unexplained(x, np.zeros((101, 0)))
    (True, 1.0)
    """
    left, free = left_over(columns, y)
    total = float(np.var(y, ddof=1))
    return left / max(free, 1) / total if total > 0 else 1.0


def swapped(
    start: Fitted, search: Callable[[frozenset[int]], Fitted]
) -> tuple[Fitted, dict[int, Replacement], frozenset[int]]:
    """Do without every input that the others replace at no loss.

    Parameters
    ----------
    start : Fitted
        The model found with all inputs.
    search : callable
        Searches again, without some inputs.

    Returns
    -------
    model : Fitted
        The best model.
    replacements : dict
        Per input of that model.
    gone : frozenset of int
        Inputs of the first model that went.
    """
    model, banned = start, frozenset[int]()
    replacements: dict[int, Replacement] = {}
    open_questions = sorted(model.kept)
    while open_questions:
        unit = open_questions.pop(0)
        other = search(banned | {unit})
        replacements[unit] = Replacement(tuple(sorted(other.kept - model.kept)), other.explained)
        if _better(other, model):
            model, banned = other, banned | {unit}
            replacements = {}
            open_questions = sorted(model.kept)
    return model, {unit: replacements[unit] for unit in sorted(model.kept)}, start.kept - model.kept


def _better(other: Fitted, model: Fitted) -> bool:
    """Whether a model explains more than another, or as much from fewer inputs."""
    gain = model.unexplained - other.unexplained
    return gain > ROUNDING or (gain > -ROUNDING and len(other.kept) < len(model.kept))
