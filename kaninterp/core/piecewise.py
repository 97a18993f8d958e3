"""`PiecewiseEdge`: a spline edge as the numbers of its polynomials, and as an expression of sympy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InputError
from .frozen import Array, floats

__all__ = ["PiecewiseEdge", "cell_polynomials"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PiecewiseEdge:
    """The function ``base_weight base(x) + p(x)``, p a polynomial between each two knots and beyond the ends.

    Attributes
    ----------
    knots : ndarray, shape (cells + 1,)
        Where p goes over from one polynomial to the next. For splines that fade out these include the fringe, for
        splines that go on straight or constant they end with the domain.
    coefficients : ndarray, shape (cells + 2, order + 1)
        Before the first knot, in every cell, after the last knot: p is the sum of ``coefficients[m, j] (x - t)^j``. t
        is the left knot of a cell, and the first and the last one beyond the ends.
    base : str
        "silu", which is x / (1 + exp(-x)), "identity" or "zero".
    base_weight : float
        0 without a base branch.

    Raises
    ------
    InputError
        Knots that do not increase, numbers that are not finite, or shapes that do not fit (ShapeError).

    Examples
    --------
    A hat on [0, 2].

    >>> pieces = [[0.0, 0.0], [0.0, 1.0], [1.0, -1.0], [0.0, 0.0]]
    >>> hat = PiecewiseEdge(knots=[0, 1, 2], coefficients=pieces, base="zero", base_weight=0)
    >>> hat(np.array([-1.0, 0.5, 1.5, 3.0]))
    array([0. , 0.5, 0.5, 0. ])
    >>> hat.to_sympy()
    Piecewise((0, x < 0), (1.0*x, x < 1.0), (2.0 - 1.0*x, x < 2.0), (0, True))
    """

    knots: Array
    coefficients: Array
    base: str
    base_weight: float

    def __post_init__(self) -> None:
        knots = floats(self.knots, (None,), "PiecewiseEdge: knots")
        if len(knots) < 2 or not bool((np.diff(knots) > 0).all()):
            raise InputError("PiecewiseEdge: knots must be two or more increasing numbers")
        pieces = floats(self.coefficients, (len(knots) + 1, None), "PiecewiseEdge: coefficients (cells + 2, order + 1)")
        object.__setattr__(self, "knots", knots)
        object.__setattr__(self, "coefficients", pieces)
        object.__setattr__(self, "base_weight", float(self.base_weight))
        if self.base not in _BASES:
            raise InputError(f"PiecewiseEdge: base={self.base!r}; allowed: {', '.join(_BASES)}")

    @property
    def order(self) -> int:
        """Degree of the polynomials."""
        return int(self.coefficients.shape[1] - 1)

    @property
    def origins(self) -> Array:
        """The point t of each row of `coefficients`."""
        return np.concatenate((self.knots[:1], self.knots))

    def polynomial(self, x: Array) -> Array:
        """The polynomial part p at ``x``, of any shape."""
        x = np.asarray(x, dtype=np.float64)
        piece = np.searchsorted(self.knots, x, side="right")
        at, rows = x - self.origins[piece], self.coefficients[piece]
        total = rows[..., -1]
        for power in range(self.order - 1, -1, -1):
            total = total * at + rows[..., power]
        return np.asarray(total)

    def __call__(self, x: Array) -> Array:
        """The whole function at ``x``, of any shape."""
        x = np.asarray(x, dtype=np.float64)
        base = np.zeros_like(x) if self.base == "zero" else x
        if self.base == "silu":
            base = x * 0.5 * (1 + np.tanh(0.5 * x))
        return np.asarray(self.polynomial(x) + self.base_weight * base)

    def powers(self) -> Array:
        """Coefficients of x^0, x^1, ... of each row, (cells + 2, order + 1); less exact where knots are far from 0."""
        found = np.zeros(self.coefficients.shape)
        for row, (t, local) in enumerate(zip(self.origins, self.coefficients, strict=True)):
            for value in local[::-1]:  # Horner, with polynomials for numbers
                found[row] = np.concatenate(([0.0], found[row, :-1])) - t * found[row]
                found[row, 0] += value
        return found

    def to_sympy(self, symbol: Any = "x") -> Any:
        """Write the function as an expression of sympy: a Piecewise in powers of x, plus the base branch.

        Parameters
        ----------
        symbol : str or sympy.Symbol
            The variable.

        Returns
        -------
        sympy.Expr
        """
        import sympy

        x = sympy.Symbol(symbol, real=True) if isinstance(symbol, str) else symbol
        total: Any = sympy.Integer(0)
        if self.coefficients.any():
            local = zip(self.origins, self.coefficients, strict=True)
            pieces = [_expression(sympy, x, float(t), row) for t, row in local]
            ends = [*(x < _number(sympy, float(knot)) for knot in self.knots), True]
            total = sympy.Piecewise(*zip(pieces, ends, strict=True), evaluate=False)
        if self.base_weight and self.base != "zero":
            base = x / (1 + sympy.exp(-x)) if self.base == "silu" else x
            total = total + _number(sympy, self.base_weight) * base
        return total


_BASES = ("silu", "identity", "zero")


def _number(sympy: Any, value: float) -> Any:
    return sympy.Float(value) if value else sympy.Integer(0)


def _expression(sympy: Any, x: Any, t: float, row: Array) -> Any:
    terms = [_number(sympy, float(value)) * (x - _number(sympy, t)) ** power for power, value in enumerate(row)]
    return sympy.Add(*terms)


def cell_polynomials(knots: Array, order: int) -> Array:
    """Every B-spline in every cell as a polynomial, by the recursion of Cox and de Boor.

    Parameters
    ----------
    knots : ndarray, shape (m,)
        Increasing, fringe included.
    order : int
        Polynomial degree.

    Returns
    -------
    ndarray, shape (m - 1 - order, m - 1, order + 1)
        Of each B-spline and cell the coefficients of powers of the distance from the cell's left knot.

    Examples
    --------
    >>> cell_polynomials(np.array([0.0, 1.0, 3.0]), 1)[0].tolist()
    [[0.0, 1.0], [1.0, -0.5]]
    """
    cells = len(knots) - 1
    found = np.zeros((cells, cells, order + 1))
    found[np.arange(cells), np.arange(cells), 0] = 1.0
    left = knots[:-1]  # where each cell begins
    for k in range(1, order + 1):
        start, end = knots[: cells - k], knots[k + 1 :]
        rise, fall = knots[k:-1] - start, end - knots[1:-k]
        found = _times_line(found[:-1], (left - start[:, None]) / rise[:, None], 1 / rise) + _times_line(
            found[1:], (end[:, None] - left) / fall[:, None], -1 / fall
        )
    return found


def _times_line(polynomials: Array, constant: Array, slope: Array) -> Array:
    """Polynomials (i, cell, power) times ``constant[i, cell] + slope[i] s``."""
    result = polynomials * constant[..., None]
    result[..., 1:] += polynomials[..., :-1] * slope[:, None, None]
    return np.asarray(result)
