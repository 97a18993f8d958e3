"""What every optimiser of this package is to a run: something that spends an epoch and says how it went."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from kaninterp.core.errors import StateError
from kaninterp.training.feeds import Feeds

__all__ = ["EpochStats", "Remembering", "Stepper", "check_finite"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochStats:
    """Means over an epoch: loss without penalty, penalty, norm of the gradient before clipping; and its extent."""

    loss: float
    penalty: float
    grad_norm: float
    rows: int
    steps: int


class Remembering(Protocol):
    """Something whose state goes into a checkpoint, as every torch optimizer's does."""

    def state_dict(self) -> dict[str, Any]:
        """Give the state."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Go on from a state."""


class Stepper(Protocol):
    """An optimiser that knows how to spend an epoch."""

    @property
    def optimizer(self) -> Remembering:
        """Keep what a checkpoint needs."""

    @property
    def start_lr(self) -> float:
        """Start with this learning rate."""

    @property
    def converged(self) -> bool:
        """Say whether no step is left to make."""

    def epoch(self, feeds: Feeds, generator: torch.Generator, *, lr: float) -> EpochStats:
        """Train for one epoch."""

    def domains_moved(self) -> None:
        """Hear that the parameters were changed without changing the function."""

    def take_pilot(self, feeds: Feeds, *, rows: int, steps: int, rates: float) -> None:
        """Fix the push on the inputs at the end of the warm-up.

        `rows` and `steps` of an epoch; `rates` is the sum of learning rate x push over the epochs to come.
        """


def check_finite(value: Tensor, where: str, loss: Tensor, penalty: Tensor | None) -> None:
    """Raise `StateError` if a number of the training is not finite, and say where it was."""
    if math.isfinite(value.item()):
        return
    push = "" if penalty is None else f", penalty {penalty.item():g}"
    raise StateError(
        f"training diverged at {where}: loss {loss.item():g}{push}, gradient not finite; try a smaller lr, stronger "
        "clipping (clip=1.0) or standardized data."
    )
