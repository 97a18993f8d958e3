"""pykan's symbolic calls: edges as formulas by hand or by themselves, and the formula of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from kaninterp.analysis.symbolic import EdgeFit, fit_edges, suggest
from kaninterp.core import Trace
from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import InputError, ShapeError
from kaninterp.nn import KANHead
from kaninterp.nn.formulas import formulas_of, with_formulas
from kaninterp.nn.head import original_ids
from kaninterp.symbolic.compose import symbol_of
from kaninterp.symbolic.of_head import head_formula

from .spelling import families_given, index

__all__ = ["all_fixed", "expressions", "fixed", "shortened", "suggestion"]

END = 1e-6
"""Share of an edge's range that is left out at each end where a function is only asked for a value, not for a slope."""

Edge = tuple[int, int, int]
Measures = tuple[Any, Any] | Sequence[Any] | None


def fixed(trace: Trace, head: KANHead, edge: Edge, family: Any, *, fitted: bool) -> tuple[KANHead, float]:
    """A head in which one edge is a formula of a family, and how well that fits the edge.

    Parameters
    ----------
    trace, head
        The trace is of the head.
    edge
        (layer, dst, src).
    family
        Name or Family.
    fitted
        Whether the numbers of ``c f(a x + b) + d`` are fitted; else f itself, a = c = 1 and b = d = 0.

    Returns
    -------
    KANHead
        A new one.
    float
        R^2 of the formula on the edge. However poor, the formula was put in, as asked.

    Raises
    ------
    InputError
        The function is not defined on the range of the edge's input on the rows of the trace.
    """
    layer, dst, src = edge
    chosen = families_given([family])
    if not fitted:
        formula = EdgeFormula(family=chosen[0], a=1.0, b=0.0, c=1.0, d=0.0)
        _check_defined(trace, edge, formula)
        return with_formulas(head, {edge: formula}), _r2(trace, edge, formula)
    [fit] = suggest(trace, layer, dst, src, chosen, top=1)
    formula, r2 = fit.formula, fit.r2
    if formula.family is not chosen[0] and formula.c == 0 and not _still(trace, edge):
        raise InputError(
            f"edge (l={layer}, i={src}, j={dst}) cannot be written with {chosen[0].name!r}: its values range over "
            f"{fit.low:.4g} to {fit.high:.4g}, where no scaling and shift of it is defined; choose another function"
        )
    return with_formulas(head, {edge: formula}), r2


def suggestion(trace: Trace, edge: Edge, lib: Any, topk: int) -> tuple[EdgeFit, ...]:
    """The best formulas of an edge, the best first."""
    return suggest(trace, *edge, families_given(lib), top=index("topk", topk))


def all_fixed(
    trace: Trace, head: KANHead, lib: Any, least_r2: float
) -> tuple[KANHead, tuple[tuple[Edge, EdgeFit], ...]]:
    """A head in which every spline edge that a formula may stand for is that formula; the others stay splines.

    Returns
    -------
    KANHead
        A new one.
    tuple of ((layer, dst, src), EdgeFit)
        What was found for each edge that was a spline, also where it stays one (``good`` is False, or ``r2`` below
        ``least_r2``).
    """
    families = families_given(lib)
    already = formulas_of(head)
    found: list[tuple[Edge, EdgeFit]] = []
    for depth, table in enumerate(trace.layers):
        edges = [(d, s) for d, s in np.argwhere(table.edges.alive).tolist() if (depth, d, s) not in already]
        if edges:
            found += [((depth, fit.dst, fit.src), fit) for fit in fit_edges(table, edges, families)]
    taken = {edge: fit.formula for edge, fit in found if fit.good and fit.r2 >= least_r2}
    return with_formulas(head, taken), tuple(found)


def expressions(
    head: KANHead, var: Sequence[Any] | None, normalizer: Measures, output_normalizer: Measures
) -> tuple[list[Any], list[Any]]:
    """Expressions of the outputs, and their variables.

    Parameters
    ----------
    head
        Edges that are splines appear as functions ``phi_layer_dst_src``.
    var
        Names or symbols, one for each input of the data or for each input that is read; None: ``x_1``, ``x_2``, ...
        with the number that the input has in the data, whatever was pruned.
    normalizer, output_normalizer
        (mean, standard deviation) that were taken out of inputs, of labels; the expressions are in the units before.

    Raises
    ------
    ShapeError
        Not as many names or numbers as there are inputs or outputs.
    """
    import sympy

    read = original_ids(head)[0]
    given = [sympy.Symbol(f"x_{i + 1}") for i in range(head.in_features)] if var is None else [
        sympy.Symbol(each) if isinstance(each, str) else each for each in var
    ]  # fmt: skip
    variables = _of_those_read(given, read, head.in_features, "var")
    plain = head_formula(head, (tuple(f"x{i}" for i in read), tuple(f"y{k}" for k in range(head.out_features))))
    inner: list[Any] = list(variables)
    if normalizer is not None:
        means, sizes = _measures(normalizer, "normalizer")
        means = _of_those_read(means, read, head.in_features, "normalizer")
        sizes = _of_those_read(sizes, read, head.in_features, "normalizer")
        inner = [(x - mean) / size for x, mean, size in zip(variables, means, sizes, strict=True)]
    swap = {symbol_of(i): each for i, each in enumerate(inner)}
    outputs = [each.subs(swap, simultaneous=True) for each in plain.expressions]
    if output_normalizer is not None:
        means, sizes = _measures(output_normalizer, "output_normalizer")
        if len(means) != len(outputs):
            raise ShapeError(f"output_normalizer: {len(means)} numbers; expected {len(outputs)}, one per output")
        outputs = [y * size + mean for y, mean, size in zip(outputs, means, sizes, strict=True)]
    return outputs, variables


def shortened(expression: Any, digits: int | None, simplify: bool) -> Any:
    """An expression, simplified by sympy if asked for, with its floating numbers rounded to digits behind the point."""
    import sympy

    shorter = sympy.simplify(expression) if simplify else expression
    if digits is None:
        return shorter
    return shorter.xreplace(
        {number: sympy.Float(round(float(number), digits)) for number in shorter.atoms(sympy.Float)}
    )


def _of_those_read(values: Sequence[Any], read: Sequence[int], width: int, what: str) -> list[Any]:
    if len(values) == width:
        return [values[i] for i in read]
    if len(values) == len(read):
        return list(values)
    some = "" if len(read) == width else f", or {len(read)}, one for each that is still read"
    raise ShapeError(f"{what}: {len(values)} given; expected {width}, one for each input{some}")


def _measures(given: Any, what: str) -> tuple[list[float], list[float]]:
    try:
        means, sizes = (_numbers(part) for part in given)
    except (TypeError, ValueError):
        raise ShapeError(f"{what}: expected (mean, standard deviation), each one number per column") from None
    if len(means) != len(sizes) or not all(size > 0 for size in sizes):
        raise ShapeError(f"{what}: {len(means)} means, {len(sizes)} standard deviations; the latter are above 0")
    return means, sizes


def _numbers(part: Any) -> list[float]:
    array = part.detach().cpu().numpy() if isinstance(part, Tensor) else part
    numbers: list[float] = np.asarray(array, dtype=np.float64).reshape(-1).tolist()
    return numbers


def _check_defined(trace: Trace, edge: Edge, formula: EdgeFormula) -> None:
    """Refuse a formula that has no value somewhere between the least and the greatest input of an edge."""
    layer, dst, src = edge
    table = trace.layers[layer].inputs
    low, high = float(table.low[src]), float(table.high[src])
    ends = np.array([low, high])
    room = END * (high - low)
    # a function may stop at an end, as sqrt at 0, where it has a value but no slope
    if np.isfinite(formula(ends)).all() and (room == 0 or formula.defined(ends[0] + room, ends[1] - room).all()):
        return
    raise InputError(
        f"edge (l={layer}, i={src}, j={dst}): {formula.family.name!r} as it is (fit_params_bool=False) is not defined "
        f"on all of {low:.4g} to {high:.4g}, the range of its input on the rows of the last fit; let it be scaled and "
        "shifted (fit_params_bool=True), or choose another function"
    )


def _still(trace: Trace, edge: Edge) -> bool:
    table = trace.layers[edge[0]].edges
    return not bool(table.m2[edge[1], edge[2]] > 0)


def _r2(trace: Trace, edge: Edge, formula: EdgeFormula) -> float:
    """Of a formula as it is, on the edge as it was drawn, unweighted; NaN gives 0."""
    layer, dst, src = edge
    table = trace.layers[layer]
    x, y = table.edges.curve_x[src], table.edges.curves[dst, src]
    inside = (x >= table.inputs.low[src]) & (x <= table.inputs.high[src])
    x, y = (x[inside], y[inside]) if inside.sum() > 1 else (x, y)
    total = float(((y - y.mean()) ** 2).sum())
    rest = float(((formula(x) - y) ** 2).sum())
    return 1.0 - rest / total if total > 0 and np.isfinite(rest) else 0.0
