"""Numbers that count something: rows, repeats, shadows."""

from __future__ import annotations

from numbers import Integral

from .errors import InputError, InputTypeError

__all__ = ["check_whole"]


def check_whole(name: str, value: object, least: int = 1, step: int = 1) -> None:
    """Refuse what is not a whole number of at least ``least`` and a multiple of ``step``; those of numpy are fine.

    Raises
    ------
    InputTypeError
        It is no whole number.
    InputError
        It is too small, or not a multiple.

    Examples
    --------
    >>> check_whole("rows", 0)
    Traceback (most recent call last):
    kaninterp.core.errors.InputError: rows: expected a number of at least 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputTypeError(f"{name}: expected a whole number, got {type(value).__name__}")
    if value < least or int(value) % step:
        kind = {1: "a number", 2: "an even number"}.get(step, f"a multiple of {step}")
        raise InputError(f"{name}: expected {kind} of at least {least}, got {value}")
