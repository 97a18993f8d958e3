"""What pykan's notebooks import from ``kan.utils``.

::

    from kaninterp.compat.utils import create_dataset, ex_round, SYMBOLIC_LIB
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from kaninterp.core.errors import InputError
from kaninterp.core.families import ALIASES, FAMILIES, Family

from .dataset import create_dataset, create_dataset_from_data
from .rounding import ex_round
from .spelling import OWN

__all__ = ["SYMBOLIC_LIB", "add_symbolic", "create_dataset", "create_dataset_from_data", "ex_round"]

SYMBOLIC_LIB: Mapping[str, Family] = MappingProxyType(
    {**FAMILIES, **OWN, **{ours: FAMILIES[to] for ours, to in ALIASES.items()}}
)
"""The functions of formulas by the names that pykan has for them, and those that only kaninterp has."""


def add_symbolic(name: str, fun: Callable[..., Any], c: int = 1, fun_singularity: Any = None) -> None:
    """Refuse to change a library that all models share; the message says how to hand over a function of one's own.

    Parameters
    ----------
    name, fun, c, fun_singularity
        As for pykan; nothing is done with them.

    Raises
    ------
    InputError
        Always.

    Examples
    --------
    A function of one's own is a `Family`, given where it is used:

    >>> import numpy as np
    >>> from kaninterp.core import Family
    >>> cosh = Family(name="cosh", function=np.cosh, sympy="cosh(u)", complexity=3)
    >>> from kaninterp.compat import KAN, create_dataset
    >>> model = KAN([1, 1], seed=0)
    >>> losses = model.fit(create_dataset(lambda x: x.cosh(), n_var=1), steps=5, log=0)
    >>> model.fix_symbolic(0, 0, 0, cosh) > 0.999
    True
    """
    del fun, fun_singularity
    if name in SYMBOLIC_LIB:
        raise InputError(f"add_symbolic({name!r}): it is there already; use the name in lib=[...] or fix_symbolic")
    raise InputError(
        f"add_symbolic({name!r}): no library of functions is shared by all models. Make family = "
        f"kaninterp.core.Family(name={name!r}, function=<of numpy arrays>, sympy='<in u>', complexity={c!r}) and give "
        "it where it is used: auto_symbolic(lib=['x', family]), fix_symbolic(l, i, j, family)"
    )
