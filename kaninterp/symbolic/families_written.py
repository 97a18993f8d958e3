"""Families of the user's own: whether they can be written and computed is looked at before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kaninterp.core.errors import InputError
from kaninterp.core.families import FAMILIES, Family
from kaninterp.symbolic.compose import expression_of, symbol_of
from kaninterp.symbolic.expressions import evaluated

__all__ = ["check_written"]


def check_written(families: Iterable[Family]) -> None:
    """Refuse families whose expression is none, or cannot be computed from arrays.

    Raises
    ------
    InputError
        Such a family.

    Examples
    --------
    >>> check_written(FAMILIES.values())
    """
    for family in families:
        if FAMILIES.get(family.name) is family:
            continue
        form = expression_of(family)
        try:
            evaluated(form.xreplace({u: symbol_of(0) for u in form.free_symbols}), np.ones((2, 1)), {})
        except Exception as error:
            raise InputError(
                f"Family {family.name!r}: sympy={family.sympy!r} cannot be computed from arrays ({error}); write it in "
                "functions that numpy has"
            ) from error
