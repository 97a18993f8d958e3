"""Edges written as formulas, put together to one expression per output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import InputError, ShapeError
from kaninterp.core.families import Family
from kaninterp.core.frozen import Array
from kaninterp.symbolic.canonical import canonical

if TYPE_CHECKING:
    import sympy

__all__ = ["LayerFormula", "NumericEdge", "composed", "expression_of", "in_units", "shifted", "written"]

Edge = tuple[int, int]


@dataclass(frozen=True, slots=True)
class NumericEdge:
    """An edge that stayed a spline.

    Attributes
    ----------
    function : callable
        Values at an array, of its shape.
    numbers : int
        Coefficients it has.
    """

    function: Callable[[Array], Array]
    numbers: int

    def __call__(self, x: Array) -> Array:
        """Values at ``x``."""
        return self.function(x)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerFormula:
    """One layer: every node the sum of its edges and a constant.

    Attributes
    ----------
    bias : ndarray, shape (dst,)
        Constants.
    src : int
        Number of nodes it reads.
    formulas : mapping of (dst, src) to EdgeFormula
        Edges that are formulas.
    numeric : mapping of (dst, src) to NumericEdge
        Edges that stayed splines.
    """

    bias: Array
    src: int
    formulas: Mapping[Edge, EdgeFormula]
    numeric: Mapping[Edge, NumericEdge]


def in_units(
    layers: Sequence[LayerFormula],
    inputs: tuple[Array, Array] | None = None,
    outputs: tuple[Array, Array] | None = None,
) -> tuple[LayerFormula, ...]:
    """Undo a normalisation in the numbers of the formulas.

    Parameters
    ----------
    layers : sequence of LayerFormula
        Of a network that reads ``(x - centre) / size`` and gives ``(y - centre) / size``.
    inputs, outputs : (ndarray, ndarray), optional
        Centre and size of each input, of each output.

    Returns
    -------
    tuple of LayerFormula
        Of the network that reads x and gives y.

    Raises
    ------
    ShapeError
        Not one centre and one size per input or output.
    """
    found = list(layers)
    if inputs is not None:
        centre, size = _pair(inputs, found[0].src, "inputs")
        found[0] = replace(
            found[0],
            formulas={
                (j, i): replace(each, a=each.a / size[i], b=each.b - each.a * centre[i] / size[i])
                for (j, i), each in found[0].formulas.items()
            },
            numeric={(j, i): _rescaled(each, centre[i], size[i]) for (j, i), each in found[0].numeric.items()},
        )
    if outputs is not None:
        centre, size = _pair(outputs, len(found[-1].bias), "outputs")
        found[-1] = replace(
            found[-1],
            bias=found[-1].bias * size + centre,
            formulas={
                (j, i): replace(each, c=each.c * size[j], d=each.d * size[j])
                for (j, i), each in found[-1].formulas.items()
            },
            numeric={(j, i): _scaled(each, size[j]) for (j, i), each in found[-1].numeric.items()},
        )
    return tuple(found)


def composed(layers: Sequence[LayerFormula]) -> tuple[list[Any], dict[str, NumericEdge]]:
    """Put the layers together.

    Parameters
    ----------
    layers : sequence of LayerFormula
        From the inputs to the outputs.

    Returns
    -------
    list of sympy.Expr
        One per output, in the symbols ``x_0``, ``x_1``, ... of the inputs. An edge that stayed numeric is an undefined
        function such as ``phi_1_0_2``: layer, node it leads to, node it leaves.
    dict of str to NumericEdge
        These functions.
    """
    import sympy

    nodes: list[Any] = [symbol_of(i) for i in range(layers[0].src)]
    numeric: dict[str, NumericEdge] = {}
    for depth, layer in enumerate(layers):
        sums: list[list[Any]] = [[sympy.Float(float(constant))] for constant in layer.bias]
        for (j, i), formula in sorted(layer.formulas.items()):
            sums[j].append(written(canonical(formula), nodes[i]))
        for (j, i), edge in sorted(layer.numeric.items()):
            name = f"phi_{depth}_{j}_{i}"
            numeric[name] = edge
            sums[j].append(sympy.Function(name)(nodes[i]))
        nodes = [sympy.Add(*terms) for terms in sums]
    return nodes, numeric


@cache
def symbol_of(i: int) -> sympy.Symbol:
    """The symbol of an input: of our own making, whatever the user called it, and real."""
    import sympy

    return sympy.Symbol(f"x_{i}", real=True)


def expression_of(family: Family) -> Any:
    """A family as sympy's expression of the symbol u.

    Raises
    ------
    InputError
        Its text is none, or one of something else than u.
    """
    import sympy
    from sympy.core.function import AppliedUndef

    u = sympy.Symbol("u")
    try:  # from a `Family`, that is from code, never from a file
        form = sympy.sympify(family.sympy, {"u": u})
    except Exception as error:
        form = error
    if not isinstance(form, sympy.Expr) or form.free_symbols - {u} or form.atoms(AppliedUndef):
        raise InputError(
            f"Family {family.name!r}: sympy={family.sympy!r} is no expression of u in sympy's functions, such as "
            "'log(1 + exp(u))'"
        )
    return form


def written(formula: EdgeFormula, x: Any) -> Any:
    """``c f(a x + b) + d`` of an expression; factors of 1 and terms of 0 are left out."""
    import sympy

    u = sympy.Symbol("u")
    form = expression_of(formula.family)
    inner = (x if formula.a == 1 else sympy.Float(formula.a) * x) if formula.a else sympy.Integer(0)
    if formula.b:
        inner = inner + sympy.Float(formula.b)
    outer = form.subs(u, inner)
    if formula.c != 1:
        outer = sympy.Float(formula.c) * outer if formula.c else sympy.Integer(0)
    return outer + sympy.Float(formula.d) if formula.d else outer


def _pair(given: tuple[Array, Array], n: int, what: str) -> tuple[Array, Array]:
    centre, size = (np.asarray(part, dtype=np.float64).reshape(-1) for part in given)
    if centre.shape != (n,) or size.shape != (n,) or not (size > 0).all():
        raise ShapeError(
            f"{what}: centres of shape {centre.shape} and sizes of shape {size.shape}; expected {n} of each, and sizes "
            "above 0"
        )
    return centre, size


def shifted(edge: NumericEdge, by: float) -> NumericEdge:
    """An edge and a constant."""
    return NumericEdge(lambda x: edge(x) + by, edge.numbers)


def _rescaled(edge: NumericEdge, centre: float, size: float) -> NumericEdge:
    return NumericEdge(lambda x: edge((x - centre) / size), edge.numbers)


def _scaled(edge: NumericEdge, size: float) -> NumericEdge:
    return NumericEdge(lambda x: edge(x) * size, edge.numbers)
