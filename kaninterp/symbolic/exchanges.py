"""What parts of a formula may be exchanged for something with fewer numbers: to be tried on the rows, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from kaninterp.core.frozen import Array
from kaninterp.symbolic.compose import NumericEdge
from kaninterp.symbolic.dag import Graph
from kaninterp.symbolic.merging import One

__all__ = ["Exchange", "exchanges", "numbers_of"]

NEAR = 0.03
"""Share of a factor by which a whole number or a multiple of pi may differ to be tried in its place."""
LARGEST_WHOLE = 10
"""Larger whole numbers, or halves of pi, are no simpler to a reader than the number itself."""
CONSTANT = 1e-9
"""Spread, as a share of the mean, below which values are one value and rounding."""
WAVES = ("sin", "cos", "tan")


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """Parts of an expression, each with what to put there and its values at the rows.

    Attributes
    ----------
    new : mapping of sympy.Expr to sympy.Expr
        What to put in place of each part.
    values : mapping of sympy.Expr to ndarray or float
        The values of that.
    saved : int
        Numbers that it saves, as far as the parts alone can tell: some may stand elsewhere, too.
    gone : tuple of sympy.Expr
        Terms that it leaves out; none where it only makes them simpler.
    """

    new: Mapping[Any, Any]
    values: Mapping[Any, Any]
    saved: int
    gone: tuple[Any, ...] = ()


def exchanges(
    expression: Any,
    graph: Graph,
    numeric: Mapping[str, NumericEdge],
    *,
    ones: Callable[[Any], Sequence[One]] | None = None,
) -> Iterator[Exchange]:
    """Simpler things in place of parts of an expression.

    Parameters
    ----------
    expression : sympy.Expr
    graph : Graph
        The same at the rows.
    numeric : mapping of str to NumericEdge
        Functions in it that are splines.
    ones : callable, optional
        From a sum of terms in one input to single functions in place of them, see `kaninterp.symbolic.merging`. Without
        it, terms and splines alone are tried: the rest is for formulas that are short.

    Yields
    ------
    Exchange
        A term, or two or all of the terms of a sum in the same inputs: their means. Two or all of those in one input:
        a single function. A function: the line or the parabola that is nearest to it on the rows. A constant in a
        sum: 0. A factor near a whole number, in a wave near a multiple of half of pi, a power near a whole or a half:
        that.
    """
    import sympy

    for part in dict.fromkeys(sympy.preorder_traversal(expression)):
        if not part.free_symbols:
            continue
        if part.is_Add:
            for terms in _together(part):
                yield _means(terms, graph, numeric)
                if ones is not None:
                    yield from _merged(terms, ones, numeric)
        elif _is_function(part) and (ones is not None or _is_spline(part, numeric)):
            yield from _polynomials(part, graph, numeric)
        if ones is not None:
            yield from _constants(part, graph)


def numbers_of(term: Any, numeric: Mapping[str, NumericEdge]) -> int:
    """Numbers that a term was fitted with: those written, and the coefficients of its splines."""
    import sympy
    from sympy.core.function import AppliedUndef

    splines = {each.func.__name__ for each in term.atoms(AppliedUndef)}
    return len(term.atoms(sympy.Float)) + sum(numeric[name].numbers for name in splines)


def _together(part: Any) -> Iterator[tuple[Any, ...]]:
    """Terms of a sum that depend on an input: each alone, and two or all of those in the same inputs."""
    groups: dict[frozenset[Any], list[Any]] = {}
    for term in part.args:
        if term.free_symbols:
            yield (term,)
            groups.setdefault(frozenset(term.free_symbols), []).append(term)
    for group in groups.values():
        yield from combinations(group, 2)
        if len(group) > 2:
            yield tuple(group)


def _means(terms: tuple[Any, ...], graph: Graph, numeric: Mapping[str, NumericEdge]) -> Exchange:
    import sympy

    means = {term: float(graph.of(term).mean()) for term in terms}
    saved = sum(max(1, numbers_of(term, numeric)) for term in terms)
    return Exchange({term: sympy.Float(mean) for term, mean in means.items()}, means, saved, gone=terms)


def _merged(
    terms: tuple[Any, ...], ones: Callable[[Any], Sequence[One]], numeric: Mapping[str, NumericEdge]
) -> Iterator[Exchange]:
    """One function of an input in place of several."""
    import sympy

    if len(terms) < 2 or len(terms[0].free_symbols) != 1:
        return
    first, *others = terms
    before = sum(numbers_of(term, numeric) for term in terms)
    for one in ones(sympy.Add(*terms)):
        if before - one.numbers >= 1:
            new = {first: one.expression, **dict.fromkeys(others, sympy.Integer(0))}
            yield Exchange(new, {first: one.values, **dict.fromkeys(others, 0.0)}, before - one.numbers)


def _is_spline(part: Any, numeric: Mapping[str, NumericEdge]) -> bool:
    return part.is_Function and part.func.__name__ in numeric


def _is_function(part: Any) -> bool:
    """Whether a part is a function of one other part: sin(u), u**3, a spline; not exp of a number, nor u**v."""
    if part.is_Pow:
        return bool(part.args[0].free_symbols) and not part.args[1].free_symbols
    return bool(part.is_Function) and sum(bool(each.free_symbols) for each in part.args) == 1


def _argument(part: Any) -> Any:
    return next(each for each in part.args if each.free_symbols)


def _polynomials(part: Any, graph: Graph, numeric: Mapping[str, NumericEdge]) -> Iterator[Exchange]:
    """The line, and of one other part the parabola, that is nearest to a function on the rows."""
    import sympy

    argument = _argument(part)
    inner, absorbed, at_inner = _inner(argument, graph)
    spline = _is_spline(part, numeric)
    own = numeric[part.func.__name__].numbers - 1 if spline else 0  # a spline has no factor of its own: a line has
    values = graph.of(part)
    for degree in (1, 2):
        saved = absorbed + own - (degree - 1)
        if saved < 1 or (degree == 2 and ((inner is argument and not spline) or part.is_Pow)):
            continue
        at, where = (inner, at_inner) if degree == 2 else (argument, graph.of(argument))
        found = _fitted(where, values, degree)
        if found is None:
            continue
        coefficients, fitted = found
        new = sympy.Add(*(sympy.Float(each) * at**k for k, each in enumerate(coefficients)))
        yield Exchange({part: new}, {part: fitted}, saved)


def _inner(argument: Any, graph: Graph) -> tuple[Any, int, Array]:
    """The part s of an argument ``a s + b``, how many of a and b there are, and its values; itself if it is none."""
    rest = [each for each in argument.args if each.free_symbols] if argument.is_Add else [argument]
    constants = len(argument.args) > len(rest) if argument.is_Add else False
    if len(rest) > 1:
        return argument, int(constants), graph.of(argument)
    factor, inner = rest[0].as_coeff_Mul()  # of a product of three, the rest is no part of the graph
    return inner, int(constants) + int(factor.is_Float), graph.of(rest[0]) / float(factor)


def _fitted(x: Array, y: Array, degree: int) -> tuple[list[float], Array] | None:
    """Least-squares polynomial; None if one of the two is constant or not finite."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    centre, size = float(x.mean()), float(x.std())
    if not np.isfinite(size) or size <= CONSTANT * abs(centre):
        return None
    design = ((x - centre) / size)[:, None] ** np.arange(degree + 1)
    found = np.linalg.lstsq(design, y, rcond=None)[0]
    polynomial = np.polynomial.Polynomial(found)(np.polynomial.Polynomial([-centre / size, 1 / size]))
    coefficients = [float(each) for each in polynomial.coef]
    return (coefficients, design @ found) if np.isfinite(coefficients).all() else None


def _constants(part: Any, graph: Graph) -> Iterator[Exchange]:
    """Without the constant of a sum; with a simpler factor or power where one is near."""
    if part.is_Add:
        constant, rest = part.as_coeff_Add()
        if constant.is_Float and rest.free_symbols:
            yield Exchange({part: rest}, {part: graph.of(part) - float(constant)}, 1)
    elif part.is_Mul:
        yield from _factors(part, graph, _whole(part))
    elif part.is_Pow:
        yield from _powers(part, graph)
    elif part.func.__name__ in WAVES:
        argument = part.args[0]
        for term in argument.args if argument.is_Add else (argument,):
            if term.is_Mul:
                yield from _factors(term, graph, _turns(term))


def _powers(part: Any, graph: Graph) -> Iterator[Exchange]:
    """A whole or half power for one that is near it."""
    import sympy

    if not part.exp.is_Float:
        return
    halves = round(2 * float(part.exp))
    if halves and abs(halves / 2 - float(part.exp)) <= NEAR * abs(float(part.exp)):
        with np.errstate(all="ignore"):
            values = graph.of(part.base) ** (halves / 2)
        yield Exchange({part: part.base ** sympy.Rational(halves, 2)}, {part: values}, 1)


def _factors(part: Any, graph: Graph, factors: list[Any]) -> Iterator[Exchange]:
    """A product with another number in front."""
    factor, rest = part.as_coeff_Mul()
    for each in factors:
        if abs(float(each) - float(factor)) <= NEAR * abs(float(factor)):
            yield Exchange({part: each * rest}, {part: graph.of(part) * (float(each) / float(factor))}, 1)


def _whole(part: Any) -> list[Any]:
    import sympy

    factor = part.as_coeff_Mul()[0]
    nearest = round(float(factor)) if factor.is_Float else 0
    return [sympy.Integer(nearest)] if 1 <= abs(nearest) <= LARGEST_WHOLE else []


def _turns(part: Any) -> list[Any]:
    import sympy

    factor = part.as_coeff_Mul()[0]
    halves = round(float(factor) / (np.pi / 2)) if factor.is_Float else 0
    return [sympy.Rational(halves, 2) * sympy.pi] if 1 <= abs(halves) <= LARGEST_WHOLE else []
