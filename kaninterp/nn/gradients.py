"""Functions that need gradients, whatever mode their caller is in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from kaninterp.core.errors import StateError

__all__ = ["with_gradients"]

P = ParamSpec("P")
R = TypeVar("R")


def with_gradients(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function run with gradients on, under a caller's ``torch.no_grad()`` too; outside nothing changes.

    Under ``torch.inference_mode()`` the function raises `StateError`: tensors made there never have gradients.

    Parameters
    ----------
    function : callable

    Returns
    -------
    callable
        With the same signature.

    Examples
    --------
    >>> @with_gradients
    ... def slope(x):
    ...     x = torch.tensor(x, requires_grad=True)
    ...     (x**2).backward()
    ...     return x.grad.item()
    >>> with torch.no_grad():
    ...     slope(3.0)
    6.0
    """

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.is_inference_mode_enabled():
            raise StateError(
                f"{function.__name__} takes gradients, and in torch.inference_mode() there are none: call it outside "
                "(torch.no_grad() is fine)"
            )
        with torch.enable_grad():
            return function(*args, **kwargs)

    return called
