"""What could be added to a model next: how much of the residual each candidate explains beyond the model.

Three families. *Edges*: the functions of one feature, smoothest first. *Products* of the smooth functions of two
features; scores of all of them at once are one matrix product, ``G' diag(r) G``, so pairs cost no more memory than
columns. *Extensions*: products of two terms of the model that read three features or more.

A candidate has several functions, and how many an unknown curve needs is unknown. Its score is the largest
``-log p`` over the first 1, 2, 3, ... of them (a smooth test in the sense of Neyman 1937, with the number chosen by
the data as in Ledwina 1994); what that choice costs is known to the null distribution, see `kaninterp.selection.null`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple, Protocol

import numpy as np
from scipy.stats import chi2

from kaninterp.core.frozen import Array

from .expansion import Term, product

__all__ = ["PAIR_FUNCTIONS", "Edges", "Extensions", "Family", "Found", "Model", "Products", "best", "highest"]

PAIR_FUNCTIONS = 3
"""Functions per feature in a product: 3 x 3 say what a smooth interaction of noisy data shows."""

NOTHING_NEW = 1e-4
"""Share of a candidate's variance outside the model below which it is a copy of what the model has."""


class Found(NamedTuple):
    """The best candidate of a family.

    Attributes
    ----------
    score : float
        Its ``-log p``, before the choice among candidates is accounted for.
    terms : tuple of Term
        What it adds.
    """

    score: float
    terms: tuple[Term, ...]


class Model:
    """The terms found so far: their columns, and an orthonormal basis of what they span with the constant."""

    def __init__(self, values: Sequence[Array], rows: int) -> None:
        self.values = values
        self.rows = rows
        self.terms: list[Term] = []
        self.columns: list[Array] = []
        self.basis = np.full((rows, 1), rows**-0.5)

    def add(self, term: Term) -> bool:
        """Add a term unless the model has it already; say whether it was added."""
        column = product(self.values, term)
        column = column - column.mean()
        size = np.linalg.norm(column)
        left = self.outside(self.outside(column))
        rest = np.linalg.norm(left)
        if not rest**2 > NOTHING_NEW * size**2:
            return False
        self.basis = np.column_stack((self.basis, left / rest))
        self.terms.append(term)
        self.columns.append(column)
        return True

    def outside(self, values: Array) -> Array:
        """Take off what the model spans, from columns (n,) or (n, m)."""
        left: Array = values - self.basis @ (self.basis.T @ values)
        return left


class Family(Protocol):
    """Candidates of one kind."""

    name: str

    def watch(self, model: Model) -> None:
        """Account for what the model has now; called after every change of it."""
        ...

    def squares(self, residual: Array) -> tuple[Array, tuple[int, ...]]:
        """Cumulated squared scores (candidates, sizes) of a residual of unit length, and the sizes."""
        ...

    def terms(self, index: int, count: int) -> tuple[Term, ...]:
        """The first functions of a candidate."""
        ...


def best(family: Family, residual: Array) -> Found:
    """The candidate that explains most of a residual of unit length, outside the model."""
    cumulated, sizes = family.squares(residual)
    if not cumulated.size:
        return Found(0.0, ())
    logs = -chi2.logsf(cumulated, np.array(sizes))
    index, size = np.unravel_index(int(logs.argmax()), logs.shape)
    return Found(float(logs[index, size]), family.terms(int(index), sizes[int(size)]))


def highest(family: Family, residual: Array) -> float:
    """Score of the best candidate alone; the null distribution asks for nothing else."""
    cumulated, sizes = family.squares(residual)
    if not cumulated.size:
        return 0.0
    return float((-chi2.logsf(cumulated.max(0), np.array(sizes))).max())


class Edges:
    """One feature through its own functions."""

    name = "edge"

    def __init__(self, values: Sequence[Array]) -> None:
        self._most = max((v.shape[1] for v in values), default=0)
        self._values = np.stack([np.pad(v, ((0, 0), (0, self._most - v.shape[1]))) for v in values], axis=1)
        self._left = self._values
        self._sizes = tuple(size for size in (1, 2, 3, 4, 6) if size <= self._most)

    def watch(self, model: Model) -> None:
        """Orthonormalise each feature's functions outside the model, in their order."""
        rows, features, most = self._values.shape
        left = model.outside(self._values.reshape(rows, -1)).reshape(rows, features, most)
        whole = np.square(self._values).sum(0)
        for m in range(most):
            for earlier in range(m):
                share = np.einsum("nf,nf->f", left[:, :, earlier], left[:, :, m])
                left[:, :, m] -= share * left[:, :, earlier]
            size = np.square(left[:, :, m]).sum(0)
            new = size > NOTHING_NEW * np.maximum(whole[:, m], 1.0)
            left[:, :, m] *= np.where(new, 1 / np.sqrt(np.where(new, size, 1.0)), 0.0)
        self._left = left

    def squares(self, residual: Array) -> tuple[Array, tuple[int, ...]]:
        """See `Family`."""
        scores = np.square(np.einsum("nfm,n->fm", self._left, residual)) * len(residual)
        cumulated = scores.cumsum(1)
        return cumulated[:, [size - 1 for size in self._sizes]], self._sizes

    def terms(self, index: int, count: int) -> tuple[Term, ...]:
        """See `Family`."""
        return tuple(((index, m),) for m in range(count))


class Products:
    """Two features, each through its smoothest functions."""

    name = "product"

    def __init__(self, values: Sequence[Array], *, functions: int = PAIR_FUNCTIONS) -> None:
        self._functions = functions
        self._features = [f for f, v in enumerate(values) if v.shape[1]]
        rows = len(values[0]) if values else 0
        stack = np.zeros((rows, len(self._features), functions))
        for place, feature in enumerate(self._features):
            few = values[feature][:, :functions]
            stack[:, place, : few.shape[1]] = few
        self._stack = stack.reshape(rows, -1)
        self._left = np.square(self._stack).T @ np.square(self._stack)
        self._whole = self._left.copy()
        self._watched = 0
        self._pairs = np.array(list(combinations(range(len(self._features)), 2)), dtype=np.intp).reshape(-1, 2)
        self._order = sorted(np.ndindex(functions, functions), key=lambda ab: (sum(ab), ab))
        self._sizes = tuple(size for size in (1, 3, 6, 8, 9) if size <= functions**2)

    def watch(self, model: Model) -> None:
        """Keep the squared length of every product outside the model."""
        for q in model.basis.T[self._watched :]:
            self._left -= np.square(self._stack.T @ (q[:, None] * self._stack))
        self._watched = model.basis.shape[1]

    def squares(self, residual: Array) -> tuple[Array, tuple[int, ...]]:
        """See `Family`."""
        dots = self._stack.T @ (residual[:, None] * self._stack)
        new = self._left > NOTHING_NEW * np.maximum(self._whole, 1.0)
        scores = np.where(new, np.square(dots) / np.where(new, self._left, 1.0), 0.0) * len(residual)
        count = len(self._features)
        blocks = scores.reshape(count, self._functions, count, self._functions)
        first, second = self._pairs.T
        ordered = np.stack([blocks[first, a, second, b] for a, b in self._order], axis=1)
        cumulated = ordered.cumsum(1)
        return cumulated[:, [size - 1 for size in self._sizes]], self._sizes

    def terms(self, index: int, count: int) -> tuple[Term, ...]:
        """See `Family`."""
        first, second = (self._features[i] for i in self._pairs[index])
        return tuple(((first, int(a)), (second, int(b))) for a, b in self._order[:count])


class Extensions:
    """Products of two terms of the model, where they read three features or more together."""

    name = "extension"

    def __init__(self) -> None:
        self._terms: list[Term] = []
        self._left = np.zeros((0, 0))

    def watch(self, model: Model) -> None:
        """Multiply the terms the model has now."""
        made = {}
        for (one, left), (two, right) in combinations(zip(model.terms, model.columns, strict=True), 2):
            term = tuple(sorted({*one, *two}))
            if len({feature for feature, _ in term}) >= 3:
                made[term] = left * right
        self._terms = list(made)
        columns = np.array([column - column.mean() for column in made.values()]).T.reshape(model.rows, -1)
        left = model.outside(columns)
        whole, size = np.square(columns).sum(0), np.square(left).sum(0)
        new = size > NOTHING_NEW * np.maximum(whole, 1e-300)
        self._left = left * np.where(new, 1 / np.sqrt(np.where(new, size, 1.0)), 0.0)

    def squares(self, residual: Array) -> tuple[Array, tuple[int, ...]]:
        """See `Family`."""
        scores = np.square(residual @ self._left)[:, None] * len(residual)
        return scores, (1,)

    def terms(self, index: int, count: int) -> tuple[Term, ...]:
        """See `Family`."""
        return (self._terms[index],)[:count]
