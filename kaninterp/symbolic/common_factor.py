"""A factor common to the terms under a power or a logarithm is taken out: nothing in the data tells the two apart."""

from __future__ import annotations

from typing import Any

__all__ = ["factors_out"]

NEARLY_WHOLE = 0.01
"""Share by which a ratio of two factors may miss a whole number and count as simple."""
LARGEST_WHOLE = 10
"""Larger ratios are no simpler for being whole."""


def factors_out(expression: Any) -> Any:
    """Write ``(k g)**p`` as ``k**p g**p`` and ``log(k g)`` as ``log(k) + log(g)``, for sums g; the same function.

    Of the factors of a sum the one is taken out that leaves the most whole numbers behind.

    Parameters
    ----------
    expression : sympy.Expr

    Returns
    -------
    sympy.Expr
        With at least one number less per sum that was rewritten.

    Examples
    --------
    >>> import sympy
    >>> x, y = sympy.symbols("x y", real=True)
    >>> factors_out(sympy.log(0.5 * x + 0.5 * y**2 + 1.0)).evalf(3)
    log(x + y**2 + 2.0) - 0.693
    """
    if not expression.args:
        return expression
    parts = [factors_out(part) for part in expression.args]
    if any(new is not old for new, old in zip(parts, expression.args, strict=True)):
        expression = expression.func(*parts)
    if expression.is_Pow and expression.exp.is_Number and expression.base.is_Add:
        factor, rest = _factor(expression.base, signed=bool(expression.exp.is_Integer))
        return factor**expression.exp * rest**expression.exp if rest is not None else expression
    if expression.func.__name__ == "log" and expression.args[0].is_Add:
        import sympy

        factor, rest = _factor(expression.args[0], signed=False)
        return sympy.log(factor) + sympy.log(rest) if rest is not None else expression
    return expression


def _factor(whole: Any, *, signed: bool) -> tuple[Any, Any]:
    """A factor of a sum and what it leaves; none where a term has no number to give. Above 0 unless `signed`."""
    import sympy

    terms = [term.as_coeff_Mul() for term in whole.args]
    numbers = [number for number, _ in terms]
    if not all(number.is_Float for number, rest in terms if rest.free_symbols) or any(
        number == 0 for number in numbers
    ):
        return None, None
    choices = [number if signed else abs(number) for number, rest in terms if rest.free_symbols]
    factor = max(choices, key=lambda each: (sum(_is_whole(number / each) for number in numbers), -abs(float(each))))
    left = [_ratio(number, factor) * rest for number, rest in terms]
    return factor, sympy.Add(*left)


def _ratio(number: Any, factor: Any) -> Any:
    import sympy

    return sympy.Integer(1) if number == factor else sympy.Integer(-1) if number == -factor else number / factor


def _is_whole(ratio: Any) -> bool:
    nearest = round(float(ratio))
    return 1 <= abs(nearest) <= LARGEST_WHOLE and abs(float(ratio) - nearest) <= NEARLY_WHOLE * abs(nearest)
