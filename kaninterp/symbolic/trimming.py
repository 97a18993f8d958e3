"""A formula made shorter by what data support: needless terms out, numbers rounded, each with its effect measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from kaninterp.core.errors import DataError
from kaninterp.core.families import Family, families_of
from kaninterp.core.frozen import Array
from kaninterp.symbolic.common_factor import factors_out
from kaninterp.symbolic.compose import NumericEdge, symbol_of
from kaninterp.symbolic.dag import Graph
from kaninterp.symbolic.exchanges import Exchange, exchanges, numbers_of
from kaninterp.symbolic.expressions import Formula, evaluated
from kaninterp.symbolic.merging import One, as_one
from kaninterp.symbolic.polish import polished

__all__ = ["Trimmed", "trimmed"]

RESOLUTION = 1e-6
"""Errors below this share of an output's standard deviation count as none: float32 knows no more."""
ROUNDING = 0.002
"""Share of the loss that all rounding together may add: of a squared error, an RMSE larger by a thousandth."""
DIGITS = range(1, 13)
"""Significant digits that are tried for a number."""
NEAR = 0.01
"""Share of a number that rounding may change: 100 for 108 is another number, whatever a few rows say."""
NEAR_PI = 1e-5
"""Share of a number up to which a fraction of pi is tried in its place: chance alone is seldom so near."""
_PI = {sign * k * np.pi / m: (sign * k, m) for m in (6, 4, 3, 2, 1) for k in range(1, 13) for sign in (1, -1)}
"""Fractions of pi that occur in formulas, by value."""
MOST_OPERATIONS = 80
"""Operations up to which sympy is asked for a shorter form, and every function is weighed; beyond, it takes seconds."""


Losses = Callable[[Array], Array]
Kind = Literal["squared", "absolute", "nats"]
"""Losses in squared or single units of the outputs, whose scale says nothing by itself, or negative log-likelihoods."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trimmed:
    """A formula and what trimming did.

    Attributes
    ----------
    formula : Formula
        The shorter one.
    loss_before, loss : float
        Of the formula as it came, and of the shorter one, on the rows given.
    dropped : tuple of str
        Terms that were replaced by their mean, in the user's names, numbers to three digits.
    """

    formula: Formula
    loss_before: float
    loss: float
    dropped: tuple[str, ...]


def trimmed(
    formula: Formula,
    x: Array,
    losses: Losses,
    *,
    kind: Kind = "squared",
    families: Iterable[str | Family] | None = None,
) -> Trimmed:
    """Leave out what the rows do not support, then round.

    Parts of the formula are exchanged for simpler ones (`kaninterp.symbolic.exchanges`: terms for their means,
    functions and splines for the nearest line or parabola, constants for 0, factors for whole numbers near them) when
    that costs less than it is worth by the Bayesian information criterion (Schwarz 1978): ``n ln(L' / L) <= k ln n``
    with L the mean squared error and k the numbers saved; ``2 n ln(L' / L) <= k ln n`` with L a mean absolute error, of
    which the log-likelihood knows the scale as little; or ``2 n (L' - L) <= k ln n`` for a loss that is a negative
    log-likelihood. The numbers that are left are fitted to the rows once more (`kaninterp.symbolic.polish`), and
    rounded one after the other, as far as all rounding together adds less than `ROUNDING` to the loss.

    Parameters
    ----------
    formula : Formula
        As composed.
    x : ndarray, shape (n, inputs)
        Rows, those it was fitted on among them: the criterion counts the numbers that they fixed.
    losses : callable
        Outputs (n, outputs) to the loss of every row (n,).
    kind : {"squared", "absolute", "nats"}
        Whether that is a squared error, one in the units of the outputs, or a negative log-likelihood in nats. A
        loss with a mean below 0 has to be the latter, and is taken for it.
    families : iterable of str or Family, optional
        Functions that may stand in for several terms in one input; all of `kaninterp.core.FAMILIES`.

    Returns
    -------
    Trimmed

    Raises
    ------
    ShapeError
        Rows that do not fit.
    DataError
        No rows, or the formula is not finite on these: they leave its domain.

    Examples
    --------
    >>> from kaninterp.symbolic.compose import symbol_of
    >>> import sympy
    >>> long = 2.0004 * symbol_of(0) + 0.0003 * sympy.sin(symbol_of(1))
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> y = 2 * x[:, 0] + 0.1 * rng.normal(size=200)
    >>> formula = Formula(expressions=(long,), input_names=("a", "b"), output_names=("y",))
    >>> trimmed(formula, x, lambda outputs: (outputs[:, 0] - y) ** 2).formula.text()
    '2*a'
    """
    outputs = formula(x)
    if not len(outputs):
        raise DataError("no rows to trim a formula by")
    for column, name in zip(outputs.T, formula.output_names, strict=True):
        if not np.isfinite(column).all():
            raise DataError(
                f"the formula of {name!r} is not finite on {int((~np.isfinite(column)).sum())} of {len(x)} rows: they "
                "leave its domain; give rows from the range of the data it was fitted on"
            )
    before = float(losses(outputs).mean())
    kind = kind if before >= 0 else "nats"
    tried = families_of(families)
    expressions, dropped = [], []
    for k, expression in enumerate(formula.expressions):
        error = _Error(formula.numeric, np.asarray(x, dtype=np.float64), losses, outputs, k, kind, tried)
        shorter, gone = _without_needless(expression, error)
        shorter, more = _without_needless(_shortest(factors_out(polished(shorter, error))), error)
        dropped += [replace(formula, expressions=(_in_short(each),)).text() for each in (*gone, *more)]
        shorter = _shortest(polished(shorter, error))  # what sympy merges is rounded as one
        expressions.append(_shortest(_rounded(shorter, error)))
        outputs[:, k] = error.values(expressions[-1])
    result = replace(formula, expressions=tuple(expressions), numeric=_left(expressions, formula.numeric))
    return Trimmed(formula=result, loss_before=before, loss=float(losses(outputs).mean()), dropped=tuple(dropped))


class _Error:
    """Loss as a function of the expression of one output; ``least`` is a difference that counts as none."""

    def __init__(  # noqa: PLR0917 (internal)
        self,
        numeric: Mapping[str, NumericEdge],
        x: Array,
        losses: Losses,
        outputs: Array,
        k: int,
        kind: Kind,
        families: Sequence[Family],
    ) -> None:
        self.numeric, self.x, self._losses = numeric, x, losses
        self._outputs, self._k, self._kind, self._families = outputs.copy(), k, kind, families
        self._ones: dict[Any, tuple[One, ...]] = {}
        middle = outputs.copy()
        middle[:, k] = middle[:, k].mean()
        self.least = float(losses(middle).mean()) * (RESOLUTION**2 if kind == "squared" else RESOLUTION)

    def values(self, expression: Any) -> Array:
        return evaluated(expression, self.x, self.numeric)

    def of(self, expression: Any) -> float:
        return self.of_values(self.values(expression))

    def ones(self, total: Any) -> tuple[One, ...]:
        """Single functions in place of a sum of terms in one input."""
        if total not in self._ones:
            [column] = [i for i in range(self.x.shape[1]) if symbol_of(i) in total.free_symbols]
            self._ones[total] = as_one(total, column, self.x, self.numeric, self._families)
        return self._ones[total]

    def graph(self, expression: Any, numbers: Mapping[Any, float] | None = None, before: Graph | None = None) -> Graph:
        """The expression at the rows, part by part."""
        return Graph(expression, self.x, self.numeric, numbers, before)

    def of_values(self, values: Array) -> float:
        if not np.isfinite(values).all():
            return np.inf
        self._outputs[:, self._k] = values
        try:
            found = float(self._losses(self._outputs).mean())
        except DataError:
            return np.inf  # outputs so large that their loss is no number
        return found if np.isfinite(found) else np.inf

    def rows(self, values: Array) -> Array:
        """Of every row."""
        outputs = self._outputs.copy()
        outputs[:, self._k] = values
        return self._losses(outputs)

    def slack(self, loss: float) -> float:
        """What all rounding together may add; the zero of a likelihood says nothing, so there it is a few nats."""
        return ROUNDING / 2 if self._kind == "nats" else ROUNDING * loss

    def nats_lost(self, now: float, then: float) -> float:
        """Twice the log-likelihood that a rise of the loss costs, in nats."""
        if not np.isfinite(then):
            return np.inf
        if self._kind == "nats" or min(now, then) < 0:
            return len(self.x) * 2 * (then - now)
        least = max(self.least, float(np.finfo(np.float64).tiny))
        scales = 1 if self._kind == "squared" else 2  # a squared error is the square of a scale
        return len(self.x) * scales * float(np.log((then + least) / (now + least)))


def _without_needless(expression: Any, error: _Error) -> tuple[Any, list[Any]]:
    """Exchange parts for simpler ones, the most worthwhile first, as long as one is not worth its numbers."""
    gone: list[Any] = []
    graph, per_number = error.graph(expression), float(np.log(len(error.x)))
    while True:
        now = error.of_values(graph.values())
        worth: list[tuple[float, float, Exchange]] = []
        for each in exchanges(expression, graph, error.numeric, ones=error.ones if _is_short(expression) else None):
            if not all(np.isfinite(values).all() for values in each.values.values()):
                continue
            lost = error.nats_lost(now, error.of_values(graph.values(each.values)))
            if lost <= each.saved * per_number:
                worth.append((lost - each.saved * per_number, lost, each))
        for _, lost, each in sorted(worth, key=lambda found: found[0]):
            shorter = expression.xreplace(dict(each.new))
            if lost <= _saved(expression, shorter, each, error.numeric) * per_number:
                break
        else:
            return expression, gone
        gone += each.gone
        expression = shorter
        graph = error.graph(expression, before=graph)


def _saved(before: Any, after: Any, exchange: Exchange, numeric: Mapping[str, NumericEdge]) -> float:
    """Numbers that an exchange really saves: those of a part may stand elsewhere, too; below 0 if it saves none."""
    saved = numbers_of(before, numeric) - numbers_of(after, numeric)
    return max(1, saved) if exchange.gone else saved if saved >= 1 else -math.inf


def _left(expressions: list[Any], numeric: Mapping[str, NumericEdge]) -> dict[str, NumericEdge]:
    """Splines that still stand in the expressions."""
    from sympy.core.function import AppliedUndef

    names = {each.func.__name__ for expression in expressions for each in expression.atoms(AppliedUndef)}
    return {name: edge for name, edge in numeric.items() if name in names}


def _rounded(expression: Any, error: _Error) -> Any:
    """Every number with as few digits as the error allows, the largest first; what one leaves, the next may use."""
    import sympy

    floats = sorted(expression.atoms(sympy.Float), key=lambda each: (-abs(each), each))
    places = [sympy.Symbol(f"p_{k}", real=True) for k in range(len(floats))]
    numbers = [float(each) for each in floats]
    form = expression.xreplace(dict(zip(floats, places, strict=True)))
    graph = error.graph(form, dict(zip(places, numbers, strict=True)))
    exact = error.of(expression)
    for k, number in enumerate(numbers):
        allowed = exact + (error.slack(exact) + error.least) * (k + 1) / len(numbers)
        for value in _candidates(number):
            if error.of_values(graph.values({places[k]: value})) <= allowed:
                graph.put({places[k]: value})
                numbers[k] = value
                break
    return expression.xreplace({old: _number(new) for old, new in zip(floats, numbers, strict=True)})


def _candidates(number: float) -> list[float]:
    """Shorter numbers in its place, the shortest first: 0, a fraction of pi, whole or rounded ones that are near it."""
    whole = [float(round(number))] if abs(number) < 100 else []  # of larger ones the digits count
    rounded = [*whole, *(float(f"{number:.{digits}g}") for digits in DIGITS)]
    near = [each for each in dict.fromkeys(rounded) if abs(each - number) <= NEAR * abs(number)]
    return [0.0, *(each for each in _PI if abs(each - number) <= NEAR_PI * abs(number)), *near]


def _number(value: float) -> Any:
    """Whole numbers as such, so that sympy may drop a factor of 1; others without digits that say nothing."""
    import sympy

    if value in _PI:
        return sympy.Rational(*_PI[value]) * sympy.pi
    return sympy.Integer(int(value)) if value == int(value) and abs(value) < 1e6 else sympy.Float(repr(value), 15)


def _in_short(term: Any) -> Any:
    """A term for people, whose numbers nobody will compute with."""
    import sympy

    return term.xreplace({each: sympy.Float(f"{float(each):.3g}") for each in term.atoms(sympy.Float)})


def _is_short(expression: Any) -> bool:
    import sympy

    return bool(sympy.count_ops(expression) <= MOST_OPERATIONS)


def _shortest(expression: Any) -> Any:
    """Of the forms that sympy knows, the one with the fewest operations; in doubt the given one."""
    import sympy

    if not _is_short(expression):
        return expression
    forms = [expression, sympy.expand(expression), sympy.powsimp(expression)]
    return min(forms, key=lambda form: (sympy.count_ops(form), forms.index(form)))
