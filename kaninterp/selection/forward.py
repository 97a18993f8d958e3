"""Build a model term by term as long as the data support it, then take out what later terms made needless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import f as f_law

from kaninterp.core.frozen import Array, IntArray

from .candidates import Edges, Extensions, Family, Found, Model, best
from .null import Null
from .products import PAIR_FUNCTIONS, Products

__all__ = ["Step", "forward", "left_over", "removal_p_values", "without_needless"]

CLEAR = 1e-6
"""p-value from which a null distribution of an earlier step will do: residuals change, the law of scores hardly."""

HOPELESS = 0.5
"""p-value from which an earlier null distribution may also say no."""

TERMS_PER_ROW = 0.2
"""Terms per row, at most: a fit with more says little."""

NOISELESS = 1e-12
"""Share of the variance that counts as none: there, what is left is rounding."""

MOST_PAIRED = 600
"""Columns of functions up to which products are tried with three functions per feature; beyond it, with two or one."""


@dataclass(frozen=True)
class Step:
    """One addition.

    Attributes
    ----------
    family : str
        "edge", "product" or "extension".
    features : tuple of int
        What was added reads.
    p_value : float
        Family-wise: accounts for the choice among all candidates of the family.
    explained : float
        Share of the target's variance the model explains afterwards.
    """

    family: str
    features: tuple[int, ...]
    p_value: float
    explained: float


def forward(model: Model, y: Array, *, alpha: float, moves: list[IntArray], nulls: dict[str, Null]) -> tuple[Step, ...]:
    """Add the best candidate as long as one is significant.

    Parameters
    ----------
    model : Model
        Without terms; takes what is found.
    y : ndarray, shape (n,)
        Target, of mean 0.
    alpha : float
        Family-wise error of a step, shared evenly between the families.
    moves : list of ndarray of int, each (n,)
        See `kaninterp.selection.null.moved`.
    nulls : dict
        Null distributions of the first step, per family; made when missing, so that a second search has them.
    """
    families = _families(model.values)
    search = _Search(families, model, moves, nulls)
    steps: list[Step] = []
    while len(model.terms) < max(TERMS_PER_ROW * len(y), 1):
        residual = model.outside(model.outside(y))
        if not residual @ residual > NOISELESS * (y @ y):
            break
        family, found, p_value = search.best(residual)
        if p_value > alpha / len(families):
            break
        added = [term for term in found.terms if model.add(term)]
        if not added:
            break
        left = model.outside(y)
        features = tuple(sorted({feature for term in added for feature, _ in term}))
        steps.append(Step(family, features, p_value, 1 - float(left @ left) / float(y @ y)))
    return tuple(steps)


def _families(values: Sequence[Array]) -> list[Family]:
    functions = max(1, min(PAIR_FUNCTIONS, MOST_PAIRED // max(len(values), 1)))
    return [Edges(values), Products(values, functions=functions), Extensions()]


class _Search:
    """Families with their null distributions. A law found at an earlier step serves until the answer is close."""

    def __init__(self, families: Sequence[Family], model: Model, moves: list[IntArray], nulls: dict[str, Null]) -> None:
        self._families = families
        self._model = model
        self._moves = moves
        self._first = nulls
        self._nulls = dict(nulls)

    def best(self, residual: Array) -> tuple[str, Found, float]:
        """The candidate with the smallest p-value, of all families; of equally clear ones, the simplest."""
        unit = residual / np.linalg.norm(residual)
        found: dict[str, tuple[Family, Found]] = {}
        for family in self._families:
            family.watch(self._model)
            candidate = best(family, unit)
            if candidate.terms:
                found[family.name] = family, candidate
        fresh: set[str] = set()
        while found:
            p_values = {
                name: self._p_value(family, candidate, unit, fresh) for name, (family, candidate) in found.items()
            }
            name = min(found, key=lambda key: p_values[key])
            if name in fresh or not CLEAR <= p_values[name] <= HOPELESS:
                return name, found[name][1], p_values[name]
            del self._nulls[name]
        return "", Found(0.0, ()), 1.0

    def _p_value(self, family: Family, found: Found, unit: Array, fresh: set[str]) -> float:
        if family.name not in self._nulls:
            self._nulls[family.name] = Null.of(family, self._model, unit, self._moves)
            self._first.setdefault(family.name, self._nulls[family.name])
            fresh.add(family.name)
        return self._nulls[family.name].p_value(found.score)


def removal_p_values(columns: Array, y: Array, readers: Sequence[frozenset[int]]) -> dict[int, float]:
    """F-test, per input, of leaving out all terms that read it.

    Parameters
    ----------
    columns : ndarray, shape (n, terms)
        The model's terms.
    y : ndarray, shape (n,)
        Target of mean 0.
    readers : sequence of frozenset of int, per term
        Inputs it reads.
    """
    full, free = left_over(columns, y)
    noise = max(full / max(free, 1), NOISELESS * float(y @ y) / len(y))
    found = {}
    for unit in sorted(frozenset().union(*readers)):
        without, more = left_over(columns[:, [unit not in read for read in readers]], y)
        lost = more - free
        found[unit] = float(f_law.sf((without - full) / lost / noise, lost, max(free, 1))) if lost > 0 else 1.0
    return found


def without_needless(
    columns: Array, y: Array, readers: Sequence[frozenset[int]], *, alpha: float, units: int
) -> tuple[list[int], dict[int, float]]:
    """Leave out the least needed input until all are significant.

    Returns
    -------
    kept : list of int
        Terms that stay.
    gone : dict
        Per input left out: its p-value then, corrected for the number of `units`.
    """
    kept, gone = list(range(columns.shape[1])), dict[int, float]()
    while kept:
        p_values = removal_p_values(columns[:, kept], y, [readers[t] for t in kept])
        worst = max(p_values, key=lambda unit: p_values[unit])
        if p_values[worst] * units <= alpha:
            break
        kept = [t for t in kept if worst not in readers[t]]
        gone[worst] = min(p_values[worst] * units, 1.0)
    return kept, gone


def left_over(columns: Array, y: Array) -> tuple[float, int]:
    """Residual sum of squares of a fit with a constant, and the degrees of freedom left."""
    q, r = np.linalg.qr(np.column_stack((np.ones(len(y)), columns)))
    size = np.abs(np.diag(r))
    q = q[:, size > 1e-9 * size.max()]
    left = y - q @ (q.T @ y)
    return float(left @ left), len(y) - q.shape[1]
