"""`ex_round`: the numbers in an expression of sympy, rounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kaninterp.core.errors import InputError, InputTypeError

from .spelling import index

if TYPE_CHECKING:
    import sympy

__all__ = ["ex_round"]


def ex_round(expression: Any, n_digit: int) -> sympy.Expr:
    """Round every decimal number in an expression, as pykan does; what that does to the loss is not measured.

    `kaninterp.formula` rounds by what the data support, and measures it.

    Parameters
    ----------
    expression : sympy.Expr
        Such as ``model.symbolic_formula()[0][0]``.
    n_digit : int
        Digits behind the point, 0 or more.

    Returns
    -------
    sympy.Expr
        Whole numbers, fractions and named constants stay.

    Raises
    ------
    InputTypeError
        No expression. InputError: a negative number of digits.

    Examples
    --------
    >>> import sympy
    >>> ex_round(sympy.sympify("1.00001*exp(0.9996*x) + 2"), 3)
    1.0*exp(1.0*x) + 2
    """
    import sympy

    digits = index("n_digit", n_digit)
    if digits < 0:
        raise InputError(f"n_digit={digits}: expected the number of digits behind the point, 0 or more")
    if not isinstance(expression, sympy.Expr):
        raise InputTypeError(f"expected an expression of sympy, got {type(expression).__name__}")
    rounded: sympy.Expr = expression.xreplace(
        {number: sympy.Float(round(float(number), digits)) for number in expression.atoms(sympy.Float)}
    )
    return rounded
