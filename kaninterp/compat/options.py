"""pykan's options without a counterpart here: which values are taken, and what to do instead of the others.

An option that cannot change a result is taken whatever its value. One that does is taken with the values that mean
what is done here anyway, above all pykan's default; any other is refused by name, never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import torch

from kaninterp.core.errors import InputError

__all__ = ["OPTIONS", "Option", "check_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One argument of pykan.

    Attributes
    ----------
    taken : callable
        Of a value: whether it means what is done here.
    allowed : str
        The values that are taken, in words.
    instead : str
        What is done here, and what to do instead of another value.
    """

    taken: Callable[[Any], bool]
    allowed: str
    instead: str


def _any(value: Any) -> bool:  # noqa: ARG001 (an option without an effect)
    return True


def _only(*values: Any, instead: str) -> Option:
    """An option with a few values; True and 1 are two values."""

    def taken(value: Any) -> bool:
        return any(isinstance(value, bool) is isinstance(each, bool) and _same(value, each) for each in values)

    return Option(taken=taken, allowed=" or ".join(map(repr, values)), instead=instead)


def _same(value: Any, allowed: Any) -> bool:
    kinds = Real if isinstance(allowed, Real) else type(allowed)
    return isinstance(value, kinds) and bool(value == allowed)


def _number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and 0 < float(value) < float("inf")


def _from_the_start(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) <= 0


def _device(value: Any) -> bool:
    try:
        torch.device(value)
    except (RuntimeError, TypeError):
        return False
    return True


FREE = Option(taken=_any, allowed="anything", instead="")
EITHER = "it changes nothing here: give True or False"
RANGE = Option(
    taken=_number, allowed="a finite number above 0", instead="a formula goes on as a constant where it has no value"
)
GRID_START = Option(
    taken=_from_the_start,
    allowed="a whole number up to 0",
    instead="grids follow their inputs from the first steps on; fit(..., update_grid=False) for the steps before, then "
    "fit again",
)

OPTIONS: Mapping[str, Mapping[str, Option]] = {
    "KAN": {
        "mult_arity": FREE,  # of nodes that `widths_of` refuses
        "noise_scale_base": _only(
            0.1, instead="base functions start uniform around scale_base_mu / sqrt(inputs); use scale_base_sigma"
        ),
        "scale_base": _only(1.0, 1, instead="use scale_base_mu and scale_base_sigma"),
        "grid_eps": _only(
            0.02, 1.0, instead="grids are even; for knots at quantiles use kaninterp.nn.KANHead(uniform=False)"
        ),
        "sp_trainable": _only(True, False, instead="the scale of a spline is part of its coefficients"),
        "sb_trainable": _only(
            True, instead="base functions train with their splines; use base_fun='zero' to have none"
        ),
        "sparse_init": _only(False, instead="start dense and prune, or remove_edge what you do not want"),
        "symbolic_enabled": _only(
            True, instead="an edge that is a formula counts; unfix_symbolic_all() makes them splines again"
        ),
        "affine_trainable": _only(
            False,
            instead="the constants of nodes train anyway (bias_trainable), and their scales are part of the edges",
        ),
        "save_act": FREE,
        "auto_save": FREE,
        "first_init": FREE,
        "ckpt_path": FREE,
        "state_id": FREE,
        "round": FREE,
    },
    "fit": {
        "start_grid_update_step": GRID_START,
        "singularity_avoiding": _only(False, True, instead=EITHER),
        "sglr_avoid": _only(False, True, instead=EITHER),
        "y_th": RANGE,
        "reg_metric": _only(
            "edge_forward_spline_n", "edge_forward_spline_u",
            instead="edges count by their standard deviation on their domain, see kaninterp.nn.penalty.layer_penalty; "
            "for others use kaninterp.fit and its sparsity",
        ),
        "small_mag_threshold": _only(1e-16, instead="the penalty grows evenly, also that of small edges"),
        "small_reg_factor": _only(1.0, 1, instead="the penalty grows evenly, also that of small edges"),
        "display_metrics": FREE,
        "video_name": FREE,
        "device": Option(taken=_device, allowed="a device", instead="it changes nothing here: use model.to(device)"),
    },
}  # fmt: skip
"""Arguments of pykan that are no parameters here, by call: a grid is even and follows the data, formulas always train,
nothing is kept on disk."""


def check_options(given: Mapping[str, Any], call: str, base: Any = None) -> None:
    """Refuse arguments that pykan has not, and those whose value would change the result and cannot be met here.

    Parameters
    ----------
    given
        Arguments without a parameter of their own.
    call : {"KAN", "fit"}
        What was called.
    base
        The base function of the model.

    Raises
    ------
    TypeError
        As Python itself does for an unknown argument.
    InputError
        A value that is not taken.

    Examples
    --------
    >>> check_options({"auto_save": True, "grid_eps": 0.02}, "KAN")
    >>> check_options({"affine_trainable": True}, "KAN")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    kaninterp.core.errors.InputError: KAN(affine_trainable=True): only False is taken; the constants ...
    """
    for name, value in given.items():
        option = OPTIONS[call].get(name)
        if option is None:
            raise TypeError(f"{call}() got an unexpected keyword argument {name!r}")
        free = name == "sb_trainable" and value is False and base == "zero"  # no base, nothing to train
        if not free and not option.taken(value):
            raise InputError(f"{call}({name}={value!r}): only {option.allowed} is taken; {option.instead}")
