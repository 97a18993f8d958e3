"""`Formula`: what a network computes, as expressions a reader can check and a program can run."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import BuiltinFunctionType
from typing import Any

import numpy as np

from kaninterp.core.errors import InputError, InputTypeError, ShapeError
from kaninterp.core.families import FAMILIES
from kaninterp.core.frozen import Array
from kaninterp.symbolic.compose import NumericEdge, symbol_of

__all__ = ["Formula"]

UNWRITTEN = ("oo", "zoo", "nan")
"""Names under which sympy prints numbers and that it does not read back."""
SPLINE = re.compile(r"phi_\d+_\d+_\d+")
"""Names under which edges that stayed splines are printed."""
MODULES = ("numpy", "scipy")
"""Modules that a program may import."""
LATEX_SIGNS = {
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Formula:
    r"""Expressions of the outputs in the inputs.

    Attributes
    ----------
    expressions : tuple of sympy.Expr
        One per output, in the symbols ``x_0``, ``x_1``, ... of the inputs.
    input_names, output_names : tuple of str
        What the user calls them.
    numeric : mapping of str to NumericEdge
        Edges that stayed splines and stand in the expressions as functions of this name; none in a whole formula.

    Examples
    --------
    >>> from kaninterp.symbolic.compose import symbol_of
    >>> formula = Formula(expressions=(2 * symbol_of(0),), input_names=("wind speed",), output_names=("delay",))
    >>> formula.text(), formula.latex()
    ('2*`wind speed`', '2 \\text{wind speed}')
    >>> formula(np.array([[1.0], [2.0]])).tolist()
    [[2.0], [4.0]]
    """

    expressions: tuple[Any, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    numeric: Mapping[str, NumericEdge] = field(default_factory=dict)

    def text(self, output: int = 0) -> str:
        """The expression with the user's names, as sympy prints it.

        A name that is no identifier, a word of Python such as lambda, or something to sympy, as exp and pi are, is in
        backticks, those within it doubled: without them every name is a variable to ``sympy.parse_expr`` and to a
        reader. One that would look like that of an input before it has a number behind it.
        """
        import sympy

        shown = map(_shown, _told_apart(map(_in_one_line, self.input_names)))
        expression = self.sympy(output)
        named = expression.xreplace({symbol_of(i): sympy.Symbol(name) for i, name in enumerate(shown)})
        written: str = sympy.sstr(named, full_prec=False)  # a number alone without zeros at its end, too
        return written

    def latex(self, output: int = 0) -> str:
        """The expression in LaTeX; names are escaped."""
        import sympy

        shown = _told_apart(map(_in_one_line, self.input_names))
        names = {symbol_of(i): rf"\text{{{_escaped(name)}}}" for i, name in enumerate(shown)}
        written: str = sympy.latex(self.sympy(output), symbol_names=names)
        return written

    def python(self, output: int = 0, name: str = "formula") -> str:
        """Source of a Python function that computes the output from columns, with numpy.

        Raises
        ------
        InputError
            Some edges are numeric and cannot be written; or a name that no function can have: no identifier, a word of
            Python, or a module that the function uses.
        """
        from sympy.printing.numpy import SciPyPrinter

        if self.numeric:
            raise InputError(
                f"a formula with numeric edges ({', '.join(sorted(self.numeric))}) cannot be written as a program; "
                "call it on an array, or write these edges as piecewise polynomials"
            )
        if not name.isidentifier() or keyword.iskeyword(name) or name in MODULES:
            raise InputError(f"name={name!r} is not the name of a Python function that uses numpy")
        printer = SciPyPrinter()
        body = printer.doprint(self.sympy(output))
        used = self.inputs_of(output)
        words = [f"x_{i}" for i in used]
        told = "".join(
            f"    # {word}: {_in_one_line(self.input_names[i])}\n" for word, i in zip(words, used, strict=True)
        )
        modules = "".join(f"import {module}\n" for module in sorted(printer.module_imports))
        return f"{modules}\n\ndef {name}({', '.join(words)}):\n{told}    return {body}\n".lstrip()

    def sympy(self, output: int = 0) -> Any:
        """The expression itself, in the symbols ``x_0``, ``x_1``, ... of the inputs."""
        if output not in range(len(self.expressions)):
            raise InputError(f"output={output!r}: there are {len(self.expressions)}, numbered from 0")
        return self.expressions[int(output)]

    def inputs_of(self, output: int = 0) -> tuple[int, ...]:
        """Which inputs the expression reads."""
        symbols = self.sympy(output).free_symbols
        return tuple(i for i in range(len(self.input_names)) if symbol_of(i) in symbols)

    def __call__(self, x: Array) -> Array:
        """Outputs at rows x (n, inputs): (n, outputs); NaN where an expression is not defined.

        Raises
        ------
        ShapeError
            Another number of columns.
        InputTypeError
            Something else than numbers.
        """
        try:
            x = np.asarray(x, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputTypeError(f"x: expected rows of numbers, got {type(x).__name__} ({error})") from error
        if x.ndim != 2 or x.shape[1] != len(self.input_names):
            raise ShapeError(
                f"x of shape {x.shape}; expected (rows, {len(self.input_names)}), the inputs in their order"
            )
        return np.stack([evaluated(each, x, self.numeric) for each in self.expressions], axis=1)


def evaluated(expression: Any, x: Array, numeric: Mapping[str, NumericEdge]) -> Array:
    """Values (n,) of an expression at rows x (n, inputs); NaN where it is not defined or not real."""
    return compiled(expression, x.shape[1], numeric)(x)


def compiled(
    expression: Any, inputs: int, numeric: Mapping[str, NumericEdge], numbers: Sequence[Any] = ()
) -> Callable[..., Array]:
    """An expression as a function of rows (n, inputs) and of symbols that stand for numbers."""
    import sympy

    symbols = [*(symbol_of(i) for i in range(inputs)), *numbers]
    function = sympy.lambdify(symbols, expression, modules=[{"besselj": bessel, **numeric}, "numpy"])

    def values(x: Array, *given: float) -> Array:
        with np.errstate(all="ignore"):
            found = np.broadcast_to(np.asarray(function(*x.T, *given)), len(x))
        if np.iscomplexobj(found):
            found = np.where(found.imag == 0, found.real, np.nan)
        return np.array(found, dtype=np.float64)

    return values


def bessel(order: Any, u: Array) -> Array:
    if order:
        raise InputError(f"besselj({order}, ...) cannot be computed here; only order 0 can")
    return FAMILIES["J0"].function(np.asarray(u, dtype=np.float64))


def _escaped(name: str) -> str:
    return "".join(LATEX_SIGNS.get(sign, sign) for sign in _in_one_line(name))


def _shown(name: str) -> str:
    plain = name.isidentifier() and unicodedata.normalize("NFKC", name) == name  # as Python reads identifiers
    if plain and name not in _taken() and not keyword.iskeyword(name) and not SPLINE.fullmatch(name):
        return name
    return f"`{name.replace('`', '``')}`"


@lru_cache(maxsize=1)
def _taken() -> frozenset[str]:
    """Names that mean something in an expression: to sympy's parser, or as a function of the table."""
    import sympy

    functions = (name for name, each in vars(builtins).items() if isinstance(each, BuiltinFunctionType))
    return frozenset((*sympy.__all__, *functions, *FAMILIES, *UNWRITTEN)) - {"x"}  # a family, and the plainest name


def _told_apart(names: Iterable[str]) -> list[str]:
    """Give names that look alike a number each: one symbol for two inputs is another formula."""
    found: list[str] = []
    for name in names:
        unlike, k = name, 2
        while unlike in found:
            unlike, k = f"{name} ({k})", k + 1
        found.append(unlike)
    return found


def _in_one_line(name: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in name)
