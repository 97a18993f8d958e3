"""What all schedules take, and the checks of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from kaninterp.analysis import PruneRule
from kaninterp.core import PrunePlan
from kaninterp.core.errors import InputError
from kaninterp.measure.losses import Loss

if TYPE_CHECKING:
    import os

__all__ = ["Options", "Rule", "check_fit_options", "check_whole", "described"]

Rule = PruneRule | PrunePlan

ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Where a function happens to lie in memory says nothing about it, and differs after a restart."""


class Options(TypedDict, total=False):
    """What all schedules take beside their own options.

    Attributes
    ----------
    target, feature_names, path
        As for `trace`.
    held_out
        Data that only judge. None: the last fifth of the data, in time order.
    loss
        As for `fit`; None chooses by the target.
    fit_options : mapping
        Further options of `fit`: lr, batch_size, optimizer, ... Not: validation (held-out rows are not trained on).
    checkpoint
        A folder. If it holds this very run, the run goes on where it was killed and ends the same, bit for bit.
    resume : bool
        False: begin anew and forget what the folder holds.
    rows : int
        Rows on which losses are measured at most.
    efficiency : bool
        Measure parameters, multiply-adds and time of every step's model.
    seed : int
        Of training and bootstrap; global generators stay as they are.
    progress : bool
        Show a progress bar.
    """

    target: Any
    held_out: Any
    loss: Loss
    feature_names: Sequence[str] | None
    path: str | None
    fit_options: Mapping[str, Any] | None
    checkpoint: str | os.PathLike[str] | None
    resume: bool
    rows: int
    efficiency: bool
    seed: int
    progress: bool


def check_whole(**numbers: object) -> None:
    """Refuse numbers of epochs or rounds that are not whole, 0 or more."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError(f"{name}: expected a whole number of 0 or more, got {value!r}")


def check_fit_options(options: dict[str, Any]) -> None:
    """Refuse options of `fit` that a schedule sets itself."""
    ours = {"validation", "target", "epochs", "seed", "checkpoint", "resume", "progress", "loss", "sparsity"}
    taken = sorted(ours & set(options))
    if taken:
        raise InputError(
            f"fit_options: {', '.join(taken)} cannot be set there; the schedule sets them (loss=, seed= and epochs are "
            "options of the schedule itself, and held-out rows are not trained on)"
        )


def described(value: object) -> Any:
    """A value as text or a number that is the same after a restart."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PrunePlan):
        return f"plan {value!r} {value.fingerprint}"
    if callable(value) and not dataclasses.is_dataclass(value):
        return getattr(value, "__qualname__", type(value).__name__)
    return ADDRESS.sub("", str(value))
