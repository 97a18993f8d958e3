"""The functions a formula is written in: `FAMILIES`, and how to add one.

An edge is fitted as ``c f(a x + b) + d`` with f from this table. Everything else (fitting, torch modules, sympy)
reads the table, so a family is added in one place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from .errors import InputError, InputTypeError
from .frozen import Array, BoolArray

__all__ = ["ALIASES", "FAMILIES", "Family", "families_of"]

BESSEL_STEPS, BESSEL_TERMS = 16, 9
"""Points per unit where J0 and J1 are expanded, and terms there: (1/32)^9 / 9! is far below the rounding of float64."""
BESSEL_FAR = 64.0
"""From here on the series for large arguments is exact to rounding."""
STEP = 6e-6
"""Step of the central difference for a family without a slope: the cube root of the rounding of float64."""

Elementwise = Callable[[Array], Array]
Defined = Callable[[Array, Array], BoolArray]


def _everywhere(low: Array, high: Array) -> BoolArray:
    return np.isfinite(low) & np.isfinite(high)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """One function f of one number.

    Attributes
    ----------
    name : str
        As users write it: "sin", "x^2".
    function : callable
        f, elementwise on a float64 array of any shape.
    sympy : str
        f as an expression of ``u`` in sympy's names: "sin(u)", "besselj(0, u)".
    complexity : int
        How much a reader has to know; 1 is a straight line. Ties between fits go to the smaller.
    parameters : int
        Numbers in ``c f(a x + b) + d`` that the data can tell apart: 2 for a line, 3 for exp
        (a shift of x is a factor) and x^3 (so is a factor of x), 4 for sin.
    slope : callable, optional
        First derivative of f; by central differences if it is not given.
    defined : callable, optional
        Of the least and the greatest argument, arrays of one shape: whether f is finite and smooth on the whole
        interval between them. Everywhere if it is not given.

    Raises
    ------
    InputTypeError, InputError
        A part of the wrong kind.

    Examples
    --------
    >>> softplus = Family(name="softplus", function=lambda u: np.logaddexp(u, 0), sympy="log(1 + exp(u))", complexity=3)
    >>> float(softplus.derivative(np.zeros(1))[0].round(6))
    0.5
    """

    name: str
    function: Elementwise
    sympy: str
    complexity: int = 2
    parameters: int = 4
    slope: Elementwise | None = None
    defined: Defined = _everywhere

    def __post_init__(self) -> None:
        for what, value in (("function", self.function), ("defined", self.defined)):
            if not callable(value):
                raise InputTypeError(f"Family {self.name!r}: {what} is {value!r}; give a function of arrays")
        for what in (self.name, self.sympy):
            if type(what) is not str or not what.strip():
                raise InputTypeError(f"Family: name={self.name!r}, sympy={self.sympy!r}; both are texts, not empty")
        if not (self.complexity >= 0 and 1 <= self.parameters <= 4):
            raise InputError(
                f"Family {self.name!r}: complexity={self.complexity!r} (from 0 on), parameters={self.parameters!r} "
                "(1 to 4, those of c f(a x + b) + d that data can tell apart)"
            )

    def __reduce__(self) -> tuple[Callable[..., Family], tuple[Any, ...]]:
        """Copies and pickles of a family of the table are that family; its functions have no name to go by."""
        if FAMILIES.get(self.name) is self:
            return _family, (self.name,)
        return _again, ({field.name: getattr(self, field.name) for field in fields(self)},)

    def derivative(self, u: Array) -> Array:
        """First derivative at ``u``."""
        if self.slope is not None:
            return self.slope(u)
        step = STEP * np.maximum(np.abs(u), 1.0)
        return np.asarray((self.function(u + step) - self.function(u - step)) / (2 * step), dtype=np.float64)


def families_of(which: Iterable[str | Family] | None = None) -> tuple[Family, ...]:
    """Families by name, or one's own.

    Parameters
    ----------
    which : iterable of str or Family, optional
        Names of `FAMILIES`, and families of one's own; None means all of `FAMILIES`.

    Raises
    ------
    InputError
        A name that is not in the table, one that is given twice, or none at all.
    InputTypeError
        Something that is neither a name nor a Family.

    Examples
    --------
    >>> [family.complexity for family in families_of(["x", "sin"])]
    [1, 2]
    """
    if which is None:
        return tuple(FAMILIES.values())
    if isinstance(which, str):
        raise InputTypeError(f"families: {which!r} is a text; give a list of names, such as ['x', 'sin']")
    if not isinstance(which, Iterable):
        raise InputTypeError(f"families: {which!r} is no list; give one of names, such as ['x', 'sin']")
    found = tuple(_family(each) for each in which)
    names = [family.name for family in found]
    if not found or len(set(names)) < len(names):
        raise InputError(f"families: {names}; give at least one, and each once")
    return found


def _again(parts: dict[str, Any]) -> Family:
    return Family(**parts)


def _family(given: str | Family) -> Family:
    if isinstance(given, Family):
        return given
    if not isinstance(given, str):
        raise InputTypeError(f"families: {given!r} is neither a name nor a Family")
    if given not in FAMILIES:
        raise InputError(
            f"families: there is no {given!r}; allowed: {', '.join(FAMILIES)}. Give a `Family` of your own for others"
        )
    return FAMILIES[given]


def _power(n: float) -> tuple[Elementwise, Elementwise]:
    return lambda u: u**n, lambda u: n * u ** (n - 1)


def _one_sign(low: Array, high: Array) -> BoolArray:
    return _everywhere(low, high) & (low * high > 0)


def _positive(low: Array, high: Array) -> BoolArray:
    return _everywhere(low, high) & (low > 0)


def _not_negative(low: Array, high: Array) -> BoolArray:
    return _everywhere(low, high) & (low >= 0)


def _within_one(low: Array, high: Array) -> BoolArray:
    return (low >= -1) & (high <= 1)


def _inside_one(low: Array, high: Array) -> BoolArray:
    return (low > -1) & (high < 1)


def _one_branch(low: Array, high: Array) -> BoolArray:
    """Between two poles of tan."""
    same: BoolArray = np.floor(low / math.pi + 0.5) == np.floor(high / math.pi + 0.5)
    return _everywhere(low, high) & same


def _exponents(low: Array, high: Array) -> BoolArray:
    """No overflow."""
    return (low > -math.inf) & (high < 700.0)


def _bessel(order: int) -> Elementwise:
    """J0 or J1; NaN where u is not finite."""

    def function(u: Array) -> Array:
        u = np.asarray(u, dtype=np.float64)
        size = np.abs(u)
        near = np.where(size < BESSEL_FAR, size, 0.0)
        values = _expanded(near, _bessel_table()[order])
        far = np.isfinite(size) & (size >= BESSEL_FAR)
        values[far] = _bessel_far(order, size[far])
        return np.asarray(np.where(np.isfinite(size), values * np.sign(u) if order else values, np.nan))

    return function


@lru_cache(maxsize=1)
def _bessel_table() -> tuple[Array, Array]:
    """Taylor coefficients of J0 and J1, (points, terms): the integral of cos(u sin t) over a circle, derived in u."""
    points = 64 + int(BESSEL_FAR)  # the trapezoid rule is exact to rounding from there on
    t = (np.arange(points) + 0.5) * (math.pi / points)
    angle = np.outer(np.arange(int(BESSEL_FAR) * BESSEL_STEPS + 1) / BESSEL_STEPS, np.sin(t))
    waves, signs = (np.cos(angle), np.sin(angle)), (1, -1, -1, 1)  # cos, -sin, -cos, sin: its derivatives
    slopes = np.stack([signs[k % 4] * (waves[k % 2] @ np.sin(t) ** k) / points for k in range(BESSEL_TERMS + 1)], 1)
    factorials = np.array([math.factorial(k) for k in range(BESSEL_TERMS)], dtype=np.float64)
    return slopes[:, :-1] / factorials, -slopes[:, 1:] / factorials


def _expanded(u: Array, table: Array) -> Array:
    """Taylor sums about the nearest of the table's points."""
    nearest = np.rint(u * BESSEL_STEPS).astype(np.int64)
    away = u - nearest / BESSEL_STEPS
    total = table[nearest, -1]
    for k in range(table.shape[1] - 2, -1, -1):
        total = total * away + table[nearest, k]
    return np.asarray(total)


def _bessel_far(order: int, u: Array) -> Array:
    """Hankel's series for large arguments (NIST Digital Library of Mathematical Functions, 10.17.3)."""
    waves, term = [np.zeros_like(u), np.zeros_like(u)], np.ones_like(u)
    for k in range(BESSEL_TERMS + 4):
        waves[k % 2] += (-1) ** (k // 2) * term
        term = term * (4 * order**2 - (2 * k + 1) ** 2) / (8 * (k + 1) * u)
    phase = u - (order / 2 + 0.25) * math.pi
    return np.asarray(np.sqrt(2 / (math.pi * u)) * (waves[0] * np.cos(phase) - waves[1] * np.sin(phase)))


_BESSEL_0, _BESSEL_1 = _bessel(0), _bessel(1)


def _table() -> dict[str, Family]:
    def family(  # noqa: PLR0917 (one line per function)
        name: str, complexity: int, parameters: int, function: Elementwise, slope: Elementwise, sympy: str,
        defined: Defined = _everywhere,
    ) -> Family:  # fmt: skip
        return Family(
            name=name, function=function, sympy=sympy, complexity=complexity, parameters=parameters, slope=slope,
            defined=defined,
        )  # fmt: skip

    def inverse(n: int, complexity: int) -> Family:
        return family(f"1/x^{n}" if n > 1 else "1/x", complexity, 3, *_power(-n), f"1/u**{n}", _one_sign)

    with_slope = [
        family("x", 1, 2, lambda u: u, np.ones_like, "u"),
        family("x^2", 2, 3, *_power(2), "u**2"),
        family("x^3", 3, 3, *_power(3), "u**3"),
        family("x^4", 3, 3, *_power(4), "u**4"),
        family("x^5", 3, 3, *_power(5), "u**5"),
        inverse(1, 2),
        inverse(2, 2),
        inverse(3, 3),
        inverse(4, 4),
        family("sqrt", 2, 3, np.sqrt, lambda u: 0.5 / np.sqrt(u), "sqrt(u)", _positive),
        family("x^1.5", 4, 3, *_power(1.5), "u**Rational(3, 2)", _not_negative),
        family("1/sqrt(x)", 3, 3, *_power(-0.5), "1/sqrt(u)", _positive),
        family("exp", 2, 3, np.exp, np.exp, "exp(u)", _exponents),
        family("log", 2, 3, np.log, lambda u: 1 / u, "log(u)", _positive),
        family("abs", 3, 3, np.abs, np.sign, "Abs(u)"),
        family("sin", 2, 4, np.sin, np.cos, "sin(u)"),
        family("cos", 2, 4, np.cos, lambda u: -np.sin(u), "cos(u)"),
        family("tan", 3, 4, np.tan, lambda u: 1 + np.tan(u) ** 2, "tan(u)", _one_branch),
        family("tanh", 3, 4, np.tanh, lambda u: 1 - np.tanh(u) ** 2, "tanh(u)"),
        family("sigmoid", 3, 4, _sigmoid, lambda u: _sigmoid(u) * _sigmoid(-u), "1/(1 + exp(-u))"),
        family("sgn", 3, 3, np.sign, np.zeros_like, "sign(u)"),
        family("arcsin", 4, 4, np.arcsin, lambda u: 1 / np.sqrt(1 - u**2), "asin(u)", _inside_one),
        family("arccos", 4, 4, np.arccos, lambda u: -1 / np.sqrt(1 - u**2), "acos(u)", _inside_one),
        family("arctan", 4, 4, np.arctan, lambda u: 1 / (1 + u**2), "atan(u)"),
        family("arctanh", 4, 4, np.arctanh, lambda u: 1 / (1 - u**2), "atanh(u)", _inside_one),
        family("gaussian", 3, 4, lambda u: np.exp(-(u**2)), lambda u: -2 * u * np.exp(-(u**2)), "exp(-u**2)"),
        family("J0", 4, 4, _BESSEL_0, lambda u: -_BESSEL_1(u), "besselj(0, u)"),
        family("0", 0, 1, np.zeros_like, np.zeros_like, "0"),
    ]
    return {each.name: each for each in with_slope}


def _sigmoid(u: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * u)))


FAMILIES: Mapping[str, Family] = MappingProxyType(_table())
"""Functions by name. "0" is the constant: an edge that has died."""

ALIASES: Mapping[str, str] = MappingProxyType({"x^0.5": "sqrt", "1/x^0.5": "1/sqrt(x)"})
"""Other names of these, as pykan has them."""
