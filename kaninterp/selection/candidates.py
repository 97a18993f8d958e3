"""What could be added to a model next: how much of the residual each candidate explains beyond the model.

Three families. *Edges*: the functions of one feature, smoothest first. *Products* of two features, see
`kaninterp.selection.products`. *Extensions*: products of two terms of the model that read three features or more.

A candidate has several functions, and how many an unknown curve needs is unknown. Its score is the largest
``-log p`` over the first 1, 2, 3, ... of them (a smooth test in the sense of Neyman 1937, with the number chosen by
the data as in Ledwina 1994); what that choice costs is known to the null distribution, see `kaninterp.selection.null`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import chdtrc, gammaln

from kaninterp.core.frozen import Array

from .expansion import Term, product

__all__ = ["NOTHING_NEW", "Edges", "Extensions", "Family", "Found", "Model", "best", "highest", "minus_log_p"]

NOTHING_NEW = 1e-4
"""Share of a candidate's variance outside the model below which it is a copy of what the model has."""

ROUNDING = 1e-5
"""Relative difference of two squared scores in single precision that says nothing."""

FAR = 300.0
"""Half a squared score from which its tail probability is taken from the asymptotic series (to 1e-8)."""

MOST_EXTENSIONS = 2000
"""Extensions tried, those of the earliest terms first: the columns are held in memory."""


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
    sizes: tuple[int, ...]
    """How many functions of a candidate are tried."""

    def watch(self, model: Model) -> None:
        """Account for what the model has now; called after every change of it."""
        ...

    def squares(self, residuals: Array) -> Iterator[Array]:
        """Squared scores (candidates, sizes), cumulated over functions, per residual (n, k) of unit length."""
        ...

    def terms(self, index: int, count: int) -> tuple[Term, ...]:
        """The first functions of a candidate."""
        ...


def best(family: Family, residual: Array) -> Found:
    """The candidate that explains most of a residual of unit length, outside the model; of copies, the first."""
    (squares,) = family.squares(residual[:, None])
    if not squares.size:
        return Found(0.0, ())
    tops = squares.max(0)
    scores = minus_log_p(tops, np.array(family.sizes))
    size = int(scores.argmax())
    index = int((squares[:, size] >= (1 - ROUNDING) * tops[size]).argmax())
    return Found(float(scores[size]), family.terms(index, family.sizes[size]))


def highest(family: Family, residuals: Array) -> list[float]:
    """Scores of the best candidate alone, per residual (n, k); the null distribution asks for nothing else."""
    sizes = np.array(family.sizes)
    return [
        float(minus_log_p(squares.max(0), sizes).max()) if squares.size else 0.0
        for squares in family.squares(residuals)
    ]


def minus_log_p(square: Array, size: Array) -> Array:
    """``-log p`` of a chi-squared value with `size` degrees of freedom, also where p is too small for a float.

    Examples
    --------
    >>> minus_log_p(np.array([3.841459, 4000.0]), np.array([1, 1])).round(3)
    array([   2.996, 2004.373])
    """
    half, a = np.asarray(square) / 2, np.asarray(size) / 2
    p = chdtrc(size, square)
    large = np.maximum(half, FAR)
    tail = np.log1p((a - 1) / large * (1 + (a - 2) / large))  # of the asymptotic series of the incomplete gamma
    far = large - (a - 1) * np.log(large) + gammaln(a) - tail
    return np.asarray(np.where(half < FAR, -np.log(np.maximum(p, np.finfo(float).tiny)), far))


class Edges:
    """One feature through its own functions.

    What the model spans is taken off the functions' Gram matrices, not off the functions: residuals are outside the
    model, so their products with a function are those with what the model leaves of it.
    """

    name = "edge"

    def __init__(self, values: Sequence[Array]) -> None:
        self._most = max((1, *(v.shape[1] for v in values)))
        padded = [np.pad(v, ((0, 0), (0, self._most - v.shape[1]))) for v in values]
        self._values = np.concatenate(padded, axis=1)
        blocks = [v.T @ v for v in padded]
        self._gram = np.stack(blocks)
        self._whole = np.diagonal(self._gram, axis1=1, axis2=2).copy()
        self._weights = np.zeros_like(self._gram)
        self._watched = 0
        self.sizes = tuple(size for size in (1, 2, 3, 4, 6) if size <= self._most)

    def watch(self, model: Model) -> None:
        """Weights that make each feature's functions orthonormal outside the model, in their order."""
        shares = (model.basis.T[self._watched :] @ self._values).reshape(-1, *self._whole.shape)
        self._gram -= np.einsum("qfm,qfk->fmk", shares, shares)
        self._watched = model.basis.shape[1]
        weights = np.zeros_like(self._gram)
        for m in range(self._most):
            weight = np.zeros_like(self._whole)
            weight[:, m] = 1.0
            for earlier in range(m):
                share = np.einsum("fk,fkl,fl->f", weights[:, earlier], self._gram, weight)
                weight -= share[:, None] * weights[:, earlier]
            size = np.einsum("fk,fkl,fl->f", weight, self._gram, weight)
            new = size > NOTHING_NEW * np.maximum(self._whole[:, m], 1.0)
            weights[:, m] = weight * np.where(new, 1 / np.sqrt(np.where(new, size, 1.0)), 0.0)[:, None]
        self._weights = weights

    def squares(self, residuals: Array) -> Iterator[Array]:
        """See `Family`."""
        dots = (residuals.T @ self._values).reshape(-1, *self._whole.shape)
        for each in dots:
            scores = np.square(np.einsum("fmk,fk->fm", self._weights, each)) * len(residuals)
            yield scores.cumsum(1)[:, [size - 1 for size in self.sizes]]

    def terms(self, index: int, count: int) -> tuple[Term, ...]:
        """See `Family`."""
        return tuple(((index, m),) for m in range(count))


class Extensions:
    """Products of two terms of the model, where they read three features or more together."""

    name = "extension"
    sizes: tuple[int, ...] = (1,)

    def __init__(self) -> None:
        self._terms: list[Term] = []
        self._left = np.zeros((0, 0))

    def watch(self, model: Model) -> None:
        """Multiply the terms the model has now."""
        known = {tuple(sorted(term)) for term in model.terms}
        made = {}
        for one, two in combinations(model.terms, 2):
            term = tuple(sorted({*one, *two}))
            if term not in known and term not in made and len({feature for feature, _ in term}) >= 3:
                made[term] = product(model.values, term)
            if len(made) == MOST_EXTENSIONS:
                break
        self._terms = list(made)
        columns = np.array([column - column.mean() for column in made.values()]).T.reshape(model.rows, -1)
        left = model.outside(columns)
        whole, size = np.square(columns).sum(0), np.square(left).sum(0)
        new = size > NOTHING_NEW * np.maximum(whole, 1e-300)
        self._left = left * np.where(new, 1 / np.sqrt(np.where(new, size, 1.0)), 0.0)

    def squares(self, residuals: Array) -> Iterator[Array]:
        """See `Family`."""
        for dots in residuals.T @ self._left:
            yield np.square(dots)[:, None] * len(residuals)

    def terms(self, index: int, count: int) -> tuple[Term, ...]:
        """See `Family`."""
        return (self._terms[index],)[:count]
