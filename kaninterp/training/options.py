"""What can be chosen about a training run, checked in one place before anything is changed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kaninterp.core.errors import InputError, InputTypeError

__all__ = ["FitOptions", "OptimizerChoice", "Sparsity"]

OptimizerChoice = str | Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

DEFAULT_LR = {"adam": 3e-3, "lbfgs": 1.0}
OPTIMIZERS = (*DEFAULT_LR, "lm")
SCHEDULES = ("cosine", "constant")
COSINE_FLOOR = 0.02
"""Where the cosine ends, as a share of the learning rate: small steps settle, none at all would waste epochs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparsity:
    """How hard, and when, training pushes edges and raw inputs to zero.

    Training with sparsity has four phases: *warm-up* (no push; its weights are the pilot of the adaptive
    lasso), *ramp* (the push grows linearly), *hold* (full push) and *debias* (zero columns stay exactly
    zero, the push on the inputs ends, so that the survivors recover from shrinkage: the relaxed lasso of
    Meinshausen, 2007).

    Attributes
    ----------
    head : float
        Weight of `KANHead.penalty` in the loss, summed over all KAN heads of the model; it stays on to the
        end, because edges near zero would come back without it.
    edge, entropy, smooth : float
        Parts of that penalty.
    inputs : float
        Strength of the group lasso on the raw columns of the backbone's first weights, in units of the
        noise of their gradients; 0: off. See Notes.
    gamma : float
        Adaptive lasso (Zou, 2006): a column's push is multiplied by (median norm / its norm) ** gamma, at most 2,
        norms taken at the end of the warm-up. 0: all columns are pushed alike.
    warmup, ramp, debias : float
        Shares of the epochs; at least one epoch warms up and at least one debiases.

    Notes
    -----
    A column that does not matter still has a gradient, of the size of the standard error of a mean over n
    rows. The lasso drops such columns if its weight is above that (for a group of p weights and F columns:
    by the factor 1 + sqrt(2 log F / p); Buehlmann and van de Geer 2011, section 4). Adam divides gradients
    by their root mean square over batches of B rows, so in its units the standard error is sqrt(B / n)
    whatever the loss, the data and the model: after every step with learning rate lr a column loses

        lr x sqrt(p) x inputs x sqrt(B / n) x (1 + sqrt(2 log F / p)) x its adaptive weight

    of its norm (proximal step: exactly zero if there is not that much). So `inputs` = 1 is the border below which
    noise survives, and the default keeps some distance. Runs too short to bring an unsupported column down to zero
    get a stronger push. Steps of Adam make an unsupported column hover around norm sqrt(p) x lr / (2 x push), where
    push and kicks balance; columns still within twice that at the end of the hold phase are set to zero then. After a
    third of the debias phase, once the survivors have recovered, dropped columns get a second chance: the gradient
    over all rows is measured on 32 parts in their order (so that what lasts for some time counts as noise too), and a
    column whose gradient exceeds `inputs` times its noise is let go again. With L-BFGS the same penalty is a term of
    the loss, its noise measured in that way. Columns are compared with each other: standardize them.

    Examples
    --------
    >>> plan = Sparsity(inputs=1.5, warmup=0.2, ramp=0.2, debias=0.3)
    >>> [plan.phase(epoch, 10) for epoch in (0, 2, 4, 7)]
    ['warm-up', 'ramp', 'hold', 'debias']
    >>> [round(plan.push(epoch, 10), 2) for epoch in (1, 2, 3, 4, 7)]
    [0.0, 0.5, 1.0, 1.0, 0.0]
    """

    head: float = 1e-3
    edge: float = 1.0
    entropy: float = 1.0
    smooth: float = 0.0
    inputs: float = 2.0
    gamma: float = 1.0
    warmup: float = 0.2
    ramp: float = 0.2
    debias: float = 0.3

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_number(f"Sparsity.{field.name}", getattr(self, field.name), least=0.0)
        if self.warmup + self.ramp + self.debias > 1:
            raise InputError(
                f"Sparsity: warmup + ramp + debias are shares of the epochs and must leave room, got {self.warmup} + "
                f"{self.ramp} + {self.debias} > 1."
            )

    def bounds(self, epochs: int) -> tuple[int, int, int]:
        """Epochs (counted from 0) at which ramp, hold and debias begin."""
        debias = max(1, epochs - max(1, round(self.debias * epochs)))
        ramp = min(max(1, round(self.warmup * epochs)), debias)
        return ramp, min(ramp + round(self.ramp * epochs), debias), debias

    def recall(self, epochs: int) -> int:
        """Epoch (from 0) before which dropped columns are given a second chance; `epochs` if there is no time."""
        *_, debias = self.bounds(epochs)
        return debias + -(-(epochs - debias) // 3) if epochs - debias >= 3 else epochs

    def phase(self, epoch: int, epochs: int) -> str:
        """Name the phase of an epoch counted from 0."""
        ramp, hold, debias = self.bounds(epochs)
        if epoch >= debias:
            return "debias"
        if epoch < ramp:
            return "warm-up"
        return "ramp" if epoch < hold else "hold"

    def push(self, epoch: int, epochs: int) -> float:
        """Share of the full push on the raw inputs in an epoch counted from 0."""
        phase = self.phase(epoch, epochs)
        return 0.0 if phase == "debias" else self.ramped(epoch, epochs)

    def ramped(self, epoch: int, epochs: int) -> float:
        """Share of the full head penalty in an epoch counted from 0: it stays on after the ramp."""
        ramp, hold, _ = self.bounds(epochs)
        if epoch < ramp:
            return 0.0
        return 1.0 if epoch >= hold else (epoch - ramp + 1) / (hold - ramp)

    def settled(self, epochs: int) -> int:
        """First epoch (from 0) with the final objective; only from here on epochs compete to be the best."""
        _, hold, debias = self.bounds(epochs)
        return min(debias if self.inputs else hold, epochs - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """Everything that decides the outcome of a run, apart from model and data; see `fit`."""

    epochs: int
    batch_size: int | None
    optimizer: OptimizerChoice
    lr: float | None
    schedule: str
    clip: float | None
    lbfgs_steps: int
    sparsity: Sparsity | None
    domain_updates: float
    domain_every: int
    patience: int | None
    seed: int | None

    def __post_init__(self) -> None:
        _check_whole("epochs", self.epochs, least=1)
        _check_whole("lbfgs_steps", self.lbfgs_steps, least=1)
        if self.batch_size is not None:
            _check_whole("batch_size", self.batch_size, least=1)
        if self.patience is not None:
            _check_whole("patience", self.patience, least=1)
        if self.seed is not None:
            _check_whole("seed", self.seed, least=0)
        if self.lr is not None:
            _check_number("lr", self.lr, least=0.0)
        if self.clip is not None:
            _check_number("clip", self.clip, least=0.0)
        _check_number("domain_updates", self.domain_updates, least=0.0)
        _check_whole("domain_every", self.domain_every, least=1)
        if self.sparsity is not None and not isinstance(self.sparsity, Sparsity):
            raise InputTypeError(f"sparsity: expected a Sparsity(...), got {type(self.sparsity).__name__}.")
        _check_name("schedule", self.schedule, SCHEDULES)
        if isinstance(self.optimizer, str):
            _check_name("optimizer", self.optimizer, OPTIMIZERS)
        elif not callable(self.optimizer):
            raise InputTypeError(
                "optimizer: expected 'adam', 'lbfgs', 'lm' or a callable that makes a torch optimizer from parameters, "
                f"got {type(self.optimizer).__name__}."
            )

        if self.optimizer == "lm" and self.lr is not None:
            raise InputError(
                f"lr={self.lr!r} with optimizer='lm': its steps have no learning rate, their damping follows from how "
                "well they do. Leave lr out, or use optimizer='lbfgs' or 'adam'."
            )

    @property
    def full_batch(self) -> bool:
        """Whether a step sees all rows."""
        return self.optimizer in ("lbfgs", "lm")

    def follows(self, epoch: int, epochs: int) -> bool:
        """Whether domains may move after an epoch counted from 0."""
        return epoch < self.domain_updates * epochs and (epoch + 1) % self.domain_every == 0

    def rate(self, epoch: int, start: float) -> float:
        """Learning rate of an epoch counted from 0, `start` at first."""
        if self.schedule == "constant" or self.full_batch:
            return start
        share = epoch / max(self.epochs - 1, 1)
        return start * (COSINE_FLOOR + (1 - COSINE_FLOOR) * (1 + math.cos(math.pi * share)) / 2)

    def described(self) -> dict[str, Any]:
        """JSON-able text of all options, to tell whether a checkpoint belongs to this run."""
        values = dataclasses.asdict(self)
        if not isinstance(self.optimizer, str):
            values["optimizer"] = getattr(self.optimizer, "__qualname__", type(self.optimizer).__name__)
        return values


def _check_name(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}.")


def _check_whole(name: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name}: expected a whole number >= {least}, got {value!r}.")


def _check_number(name: str, value: object, *, least: float) -> None:
    fine = isinstance(value, int | float) and not isinstance(value, bool)
    if not (fine and math.isfinite(float(value)) and float(value) >= least):  # type: ignore[arg-type]
        raise InputError(f"{name}: expected a finite number >= {least:g}, got {value!r}.")
