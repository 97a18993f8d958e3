"""One edge formula, many ways to write it: the one with the fewest numbers.

``c exp(a x + b) + d`` is ``(c e^b) exp(a x) + d``: what data cannot tell apart is not printed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from kaninterp.core.edge_formula import EdgeFormula

__all__ = ["canonical"]

Numbers = tuple[float, float, float, float]


def canonical(formula: EdgeFormula) -> EdgeFormula:
    """Rewrite a formula of a known family with as few numbers other than 0 and 1 as possible; the same function.

    Parameters
    ----------
    formula : EdgeFormula
        Of any family; one of the user's own is given back as it is.

    Examples
    --------
    >>> from kaninterp.core.families import FAMILIES
    >>> found = canonical(EdgeFormula(family=FAMILIES["x^2"], a=-2.0, b=6.0, c=0.5, d=1.0))
    >>> found.a, found.b, found.c, found.d
    (1.0, -3.0, 2.0, 1.0)
    """
    rewrite = _REWRITES.get(formula.family.name)
    if rewrite is None:
        return formula
    try:
        a, b, c, d = rewrite(formula.a, formula.b, formula.c, formula.d)
    except OverflowError:  # a power of a number of extreme units
        return formula
    if not all(map(math.isfinite, (a, b, c, d))):
        return formula
    return EdgeFormula(family=formula.family, a=a, b=b, c=c, d=d)


def _line(a: float, b: float, c: float, d: float) -> Numbers:
    return 1.0, 0.0, c * a, d + c * b


def _power(n: float) -> Callable[[float, float, float, float], Numbers]:
    """Whole powers, below 0 too: the factor of x moves out."""

    def rewrite(a: float, b: float, c: float, d: float) -> Numbers:
        return (1.0, b / a, c * a**n, d) if a else (a, b, c, d)

    return rewrite


def _root(n: float) -> Callable[[float, float, float, float], Numbers]:
    """Powers that are not whole: the size of the factor moves out, its sign stays."""

    def rewrite(a: float, b: float, c: float, d: float) -> Numbers:
        return (math.copysign(1.0, a), b / abs(a), c * abs(a) ** n, d) if a else (a, b, c, d)

    return rewrite


def _exp(a: float, b: float, c: float, d: float) -> Numbers:
    return (a, 0.0, c * math.exp(b), d) if b < 700.0 else (a, b, c, d)


def _log(a: float, b: float, c: float, d: float) -> Numbers:
    return (math.copysign(1.0, a), b / abs(a), c, d + c * math.log(abs(a))) if a else (a, b, c, d)


def _odd(a: float, b: float, c: float, d: float) -> Numbers:
    return (a, b, c, d) if a >= 0 else (-a, -b, -c, d)


def _even(a: float, b: float, c: float, d: float) -> Numbers:
    return (a, b, c, d) if a >= 0 else (-a, -b, c, d)


def _wave(a: float, b: float, c: float, d: float) -> Numbers:
    """Of sin: a and c above 0, the phase within half a turn of 0."""
    a, b, c, d = _odd(a, b, c, d)
    turns = round(b / math.pi)
    return a, b - turns * math.pi, -c if turns % 2 else c, d


def _cosine(a: float, b: float, c: float, d: float) -> Numbers:
    a, b, c, d = _even(a, b, c, d)
    turns = round(b / math.pi)
    return a, b - turns * math.pi, -c if turns % 2 else c, d


def _sigmoid(a: float, b: float, c: float, d: float) -> Numbers:
    return (a, b, c, d) if a >= 0 else (-a, -b, -c, d + c)


_REWRITES: dict[str, Callable[[float, float, float, float], Numbers]] = {
    "x": _line,
    **{f"x^{n}": _power(n) for n in (2, 3, 4, 5)},
    "1/x": _power(-1),
    **{f"1/x^{n}": _power(-n) for n in (2, 3, 4)},
    "sqrt": _root(0.5),
    "x^1.5": _root(1.5),
    "1/sqrt(x)": _root(-0.5),
    "abs": lambda a, b, c, d: _even(*_root(1.0)(a, b, c, d)),
    "exp": _exp,
    "log": _log,
    "sin": _wave,
    "cos": _cosine,
    "sgn": lambda a, b, c, d: (1.0, b / a, math.copysign(c, a * c), d) if a else (a, b, c, d),
    "tan": _odd,
    "tanh": _odd,
    "arcsin": _odd,
    "arctan": _odd,
    "arctanh": _odd,
    "gaussian": _even,
    "J0": _even,
    "sigmoid": _sigmoid,
    "0": lambda a, b, c, d: (0.0, 0.0, 0.0, d),  # noqa: ARG005
}
