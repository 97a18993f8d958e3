"""An expression as a graph of arrays: what one part is worth elsewhere costs only the parts above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from kaninterp.core.frozen import Array
from kaninterp.symbolic.compose import NumericEdge, symbol_of
from kaninterp.symbolic.expressions import bessel

__all__ = ["Graph"]

Values = Any
"""An array over the rows, or one number for all of them."""


class Graph:
    """An expression at some rows, every part computed once.

    Parameters
    ----------
    expression : sympy.Expr
        In the symbols of the inputs, and of numbers.
    x : ndarray, shape (n, inputs)
        Rows.
    numeric : mapping of str to NumericEdge
        Functions in it that are splines.
    numbers : mapping of sympy.Symbol to float
        Values of the symbols that stand for numbers.
    before : Graph, optional
        Of the same rows, whose parts need not be computed again.

    Examples
    --------
    >>> import sympy
    >>> x = symbol_of(0)
    >>> graph = Graph(2 * sympy.sin(x) + 1, np.array([[0.0], [np.pi / 2]]), {})
    >>> graph.values().tolist(), graph.values({sympy.sin(x): 0.5}).tolist()
    ([1.0, 3.0], [2.0, 2.0])
    """

    def __init__(
        self,
        expression: Any,
        x: Array,
        numeric: Mapping[str, NumericEdge],
        numbers: Mapping[Any, float] | None = None,
        before: Graph | None = None,
    ) -> None:
        self._top, self._rows, self._numeric = expression, len(x), numeric
        self._columns = {symbol_of(i): column for i, column in enumerate(x.T)}
        self._values: dict[Any, Values] = {}
        self._above: dict[Any, list[Any]] = {}
        self._known = {} if before is None else before._values
        self._add(expression, dict(numbers or {}))
        self._known = {}
        self._order = {part: place for place, part in enumerate(self._values)}

    def of(self, part: Any) -> Array:
        """Values (n,) of a part."""
        return self._real(self._values[part])

    def values(self, instead: Mapping[Any, Values] | None = None) -> Array:
        """Values (n,) of the whole, with other values in place of some of its parts; NaN where they are not real."""
        changed = self._changed(instead or {})
        return self._real(changed.get(self._top, self._values[self._top]))

    def put(self, instead: Mapping[Any, Values]) -> None:
        """Keep other values in place of parts."""
        self._values.update(self._changed(instead))

    def _changed(self, instead: Mapping[Any, Values]) -> dict[Any, Values]:
        """New values of these parts and of all above them."""
        changed: dict[Any, Values] = dict(instead)
        above = list(instead)
        touched: set[Any] = set()
        while above:
            for part in self._above[above.pop()]:
                if part not in touched and part not in changed:
                    touched.add(part)
                    above.append(part)
        for part in sorted(touched, key=self._order.__getitem__):
            changed[part] = self._computed(part, [changed.get(each, self._values[each]) for each in part.args])
        return changed

    def _add(self, part: Any, numbers: dict[Any, float]) -> None:
        """Values of a part, those of its own parts first."""
        if part in self._values:
            return
        for each in part.args:
            self._add(each, numbers)
        if part in self._known:
            self._values[part] = self._known[part]
        elif part in self._columns:
            self._values[part] = self._columns[part]
        elif part in numbers:
            self._values[part] = numbers[part]
        elif part.is_number:
            self._values[part] = _number(part)
        else:
            self._values[part] = self._computed(part, [self._values[each] for each in part.args])
        self._above[part] = []
        for each in dict.fromkeys(part.args):
            self._above[each].append(part)

    def _computed(self, part: Any, given: Sequence[Values]) -> Values:
        with np.errstate(all="ignore"):
            if part.is_Add:
                return _folded(np.add, given)
            if part.is_Mul:
                return _folded(np.multiply, given)
            if part.is_Pow:
                return np.asarray(given[0], dtype=np.float64) ** given[1]
            name = part.func.__name__
            return self._numeric[name](given[0]) if name in self._numeric else _function(part.func, len(given))(*given)

    def _real(self, values: Values) -> Array:
        found = np.broadcast_to(np.asarray(values), self._rows)
        if np.iscomplexobj(found):
            found = np.where(found.imag == 0, found.real, np.nan)
        return np.array(found, dtype=np.float64)


def _folded(operation: Callable[[Values, Values], Values], given: Sequence[Values]) -> Values:
    """Sum or product, numbers first: they cost nothing."""
    ordered = sorted(given, key=np.ndim)
    found = ordered[0]
    for each in ordered[1:]:
        found = operation(found, each)
    return found


def _number(part: Any) -> Values:
    value = complex(part)
    return value.real if value.imag == 0 else np.nan


@cache
def _function(func: Any, arguments: int) -> Callable[..., Values]:
    """A function of sympy's as one of arrays."""
    import sympy

    symbols = [sympy.Dummy() for _ in range(arguments)]
    found: Callable[..., Values] = sympy.lambdify(symbols, func(*symbols), modules=[{"besselj": bessel}, "numpy"])
    return found
