"""Products of two features, all pairs at once: the family of candidates that takes the time.

Scores of all pairs are one matrix product, ``G' diag(r) G``; in single precision, and only its half above the diagonal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kaninterp.core.evidence import CORRELATED
from kaninterp.core.frozen import Array

from .candidates import NOTHING_NEW, Model
from .expansion import Term

__all__ = ["PAIR_FUNCTIONS", "Products"]

PAIR_FUNCTIONS = 3
"""Functions per feature in a product: 3 x 3 say what a smooth interaction of noisy data shows."""

BLOCK = 96
"""Columns of products at a time: small blocks skip the half below the diagonal, large ones multiply faster."""


class Products:
    """Two features, each through its smoothest functions.

    Features that carry nearly the same make no pair: their product is a function of one of them, that is an edge.
    """

    name = "product"

    def __init__(self, values: Sequence[Array], *, functions: int = PAIR_FUNCTIONS) -> None:
        self._functions = functions
        self._features = [f for f, v in enumerate(values) if v.shape[1]]
        rows = len(values[0]) if values else 0
        stack = np.zeros((rows, len(self._features), functions), dtype=np.float32)
        for place, feature in enumerate(self._features):
            few = values[feature][:, :functions]
            stack[:, place, : few.shape[1]] = few
        self._stack = stack.reshape(rows, -1)
        squared = np.square(self._stack)
        self._left = self._upper(squared, squared)
        self._whole = self._left.copy()
        self._per_square = np.zeros_like(self._left)
        self._watched = 0
        first, second = np.triu_indices(len(self._features), 1)
        smooth = self._stack[:, ::functions]
        alike = np.abs(smooth.T @ smooth)[first, second] >= CORRELATED * rows
        self._pairs = first[~alike], second[~alike]
        self._order = sorted(np.ndindex(functions, functions), key=lambda ab: (sum(ab), ab))
        self.sizes = (*(size for size in (1, 3, 6, 8) if size < functions**2), functions**2)

    def watch(self, model: Model) -> None:
        """Keep the squared length of every product outside the model."""
        for q in model.basis.T[self._watched :]:
            self._left -= np.square(self._dots(q))
        self._watched = model.basis.shape[1]
        new = self._left > NOTHING_NEW * np.maximum(self._whole, 1.0)
        self._per_square = np.where(new, 1 / np.where(new, self._left, 1.0), 0.0)

    def squares(self, residuals: Array) -> Iterator[Array]:
        """See `Family`."""
        first, second = self._pairs
        for residual in residuals.T:
            scores = np.square(self._dots(residual)) * self._per_square * len(residual)
            cumulated = scores[:, :, first, second][tuple(np.array(self._order).T)].cumsum(0)
            yield cumulated[[size - 1 for size in self.sizes]].T

    def terms(self, index: int, count: int) -> tuple[Term, ...]:
        """See `Family`."""
        first, second = (self._features[pair[index]] for pair in self._pairs)
        return tuple(((first, int(a)), (second, int(b))) for a, b in self._order[:count])

    def _dots(self, weights: Array) -> Array:
        return self._upper(self._stack, self._stack * weights[:, None].astype(np.float32))

    def _upper(self, left: NDArray[np.float32], right: NDArray[np.float32]) -> Array:
        """``left.T @ right`` as (functions, functions, features, features), where the second feature is not before."""
        count, each = len(self._features), self._functions
        found = np.zeros((count * each, count * each), dtype=np.float32)
        step = each * max(BLOCK // each, 1)
        for start in range(0, count * each, step):
            found[start : start + step, start:] = left[:, start : start + step].T @ right[:, start:]
        blocks: Array = found.reshape(count, each, count, each).transpose(1, 3, 0, 2).astype(np.float64)
        return blocks
