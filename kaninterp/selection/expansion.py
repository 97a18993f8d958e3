"""A KAN of one layer with product nodes, as data: which functions of which columns, and products of them.

``f(x) = b + sum_t c_t prod_(i, m) in t g_im(x_i)`` with the smooth functions ``g`` of `SmoothFunctions`: edges of a
Kolmogorov-Arnold network, and the multiplication nodes of KAN 2.0 (arXiv 2408.10205). It is linear in ``c``, so a fit
is one least-squares problem and a test is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from kaninterp.core.frozen import Array

from .functions import SmoothFunctions

__all__ = ["Expansion", "Factor", "Term"]

Factor = tuple[int, int]
"""Feature and number of its function, smoothest first."""

Term = tuple[Factor, ...]
"""A product of functions; a single one is an edge."""


@dataclass(frozen=True, eq=False)
class Expansion:
    """Functions of every feature, and the products a model is made of.

    Attributes
    ----------
    functions : tuple of SmoothFunctions
        Per feature.
    terms : tuple of Term
        What the model is made of, in the order it was found.

    Examples
    --------
    >>> x = np.linspace(0, 1, 50)
    >>> made = Expansion((SmoothFunctions.of(x),), (((0, 0),), ((0, 0), (0, 1))))
    >>> made.columns(x[:, None]).shape
    (50, 2)
    """

    functions: tuple[SmoothFunctions, ...]
    terms: tuple[Term, ...]

    def columns(self, x: Array) -> Array:
        """Values of the terms (n, terms) at rows (n, features)."""
        used = sorted({feature for term in self.terms for feature, _ in term})
        values = {feature: self.functions[feature](x[:, feature]) for feature in used}
        made = [product(values, term) for term in self.terms]
        return np.stack(made, axis=1) if made else np.zeros((len(x), 0))

    def features(self, term: Term) -> frozenset[int]:
        """Features a term reads."""
        return frozenset(feature for feature, _ in term)


def product(values: dict[int, Array] | Sequence[Array], term: Term) -> Array:
    """Values of a term, from those of the functions of every feature."""
    found: Array = reduce(np.multiply, (values[feature][:, number] for feature, number in term))
    return found
