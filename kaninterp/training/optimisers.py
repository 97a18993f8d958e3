"""One epoch of an optimiser: many small steps (Adam and its kind), or one large one (L-BFGS)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from kaninterp.core.errors import InputTypeError, ModelError, StateError
from kaninterp.training.feeds import Feeds
from kaninterp.training.gradients import column_gradients
from kaninterp.training.objective import Objective
from kaninterp.training.options import DEFAULT_LR, FitOptions
from kaninterp.training.sparsity import InputShrinkage

__all__ = ["EpochStats", "Remembering", "Stepper", "as_stepper"]


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


class SmallSteps:
    """A step per batch, with gradient clipping and proximal steps."""

    converged = False

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        objective: Objective,
        *,
        clip: float | None,
        shrinkage: InputShrinkage | None,
    ) -> None:
        self.optimizer = optimizer
        self.start_lr = float(optimizer.param_groups[0]["lr"])
        self._objective = objective
        self._clip = math.inf if clip is None else clip
        self._shrinkage = shrinkage
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def epoch(self, feeds: Feeds, generator: torch.Generator, *, lr: float) -> EpochStats:
        """Make a pass over the training rows."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        losses, penalties, norms, rows, steps = 0.0, 0.0, 0.0, 0, 0
        for number, batch in enumerate(feeds.shuffled(generator)):
            self.optimizer.zero_grad(set_to_none=True)
            loss, penalty = self._objective.loss(batch), self._objective.penalty()
            total = loss if penalty is None else loss + penalty
            _check_finite(total, f"batch {number}", loss, penalty)
            total.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(self._parameters, self._clip)
            _check_finite(norm, f"batch {number} (gradient)", loss, penalty)
            self.optimizer.step()
            if self._shrinkage is not None:
                self._shrinkage.step()
            losses += loss.item() * batch.n_rows
            penalties += 0.0 if penalty is None else penalty.item()
            norms += norm.item()
            rows, steps = rows + batch.n_rows, steps + 1
        return EpochStats(
            loss=losses / rows, penalty=penalties / steps, grad_norm=norms / steps, rows=rows, steps=steps
        )

    def domains_moved(self) -> None:
        """Go on: the moments of Adam adapt within a few steps."""

    def take_pilot(self, feeds: Feeds, *, rows: int, steps: int, rates: float) -> None:  # noqa: ARG002
        """Fix the push from the noise of a batch's gradient."""
        if self._shrinkage is not None:
            self._shrinkage.take_pilot(noise=math.sqrt(1 / steps), budget=rates * steps)


class LargeStep:
    """L-BFGS with a strong Wolfe line search on all rows, one outer step per epoch.

    The gradient is summed over batches, so memory does not grow with the rows. Penalties are part of the
    loss; columns that come near zero are then set to zero and kept there.
    """

    converged = False

    def __init__(
        self,
        parameters: list[nn.Parameter],
        objective: Objective,
        *,
        lr: float,
        steps: int,
        shrinkage: InputShrinkage | None,
    ) -> None:
        self.start_lr = lr
        self._objective = objective
        self._shrinkage = shrinkage
        self.optimizer: torch.optim.Optimizer = torch.optim.LBFGS(
            parameters, lr=lr, max_iter=steps, line_search_fn="strong_wolfe"
        )
        self._seen: EpochStats | None = None

    def epoch(self, feeds: Feeds, generator: torch.Generator, *, lr: float) -> EpochStats:  # noqa: ARG002
        """Make one outer step."""
        self._seen = None
        self.optimizer.step(lambda: self._evaluate(feeds))
        if self._shrinkage is not None and self._shrinkage.pushing and self._shrinkage.zero_negligible():
            self.domains_moved()
        assert self._seen is not None  # noqa: S101 - the optimiser has called the closure
        return self._seen

    def domains_moved(self) -> None:
        """Forget the curvature: it was measured in other coordinates."""
        self.optimizer.state.clear()

    def take_pilot(self, feeds: Feeds, *, rows: int, steps: int, rates: float) -> None:  # noqa: ARG002
        """Fix the push from the noise of the gradient, measured on parts of the data."""
        if self._shrinkage is None:
            return
        _, errors = column_gradients(self._objective.model, self._objective, feeds, self._shrinkage)
        self._shrinkage.take_pilot_in_loss(errors=errors)

    def _evaluate(self, feeds: Feeds) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        total, rows = 0.0, 0
        n = feeds.n_train
        for batch in feeds.ordered():
            # rows of a stream may be unknown beforehand: then sum first and divide the gradient afterwards
            loss = self._objective.loss(batch) * (batch.n_rows / (n or 1))
            _check_finite(loss, "full batch", loss, None)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
            rows += batch.n_rows
        parameters = [p for p in self.optimizer.param_groups[0]["params"] if p.grad is not None]
        if n is None:
            total /= rows
            for parameter in parameters:
                parameter.grad /= rows
        penalty = self._objective.penalty()
        if penalty is not None:
            penalty.backward()  # type: ignore[no-untyped-call]
        if self._shrinkage is not None:
            self._shrinkage.mask_gradients()
        push = 0.0 if penalty is None else penalty.item()
        norm = nn.utils.get_total_norm([p.grad for p in parameters]).item()
        if self._seen is None:
            self._seen = EpochStats(loss=total, penalty=push, grad_norm=norm, rows=rows, steps=1)
        return total + push


def as_stepper(
    options: FitOptions, objective: Objective, parameters: list[nn.Parameter], shrinkage: InputShrinkage | None
) -> Stepper:
    """Make the optimiser that was chosen.

    Raises
    ------
    ModelError
        The model has nothing to train.
    InputTypeError
        A callable that does not return a torch optimizer.
    """
    if not parameters:
        raise ModelError("the model has no parameter that requires a gradient, so there is nothing to train.")
    if options.optimizer == "lbfgs":
        lr = DEFAULT_LR["lbfgs"] if options.lr is None else options.lr
        return LargeStep(parameters, objective, lr=lr, steps=options.lbfgs_steps, shrinkage=shrinkage)
    optimizer: Any
    if options.optimizer == "adam":
        lr = DEFAULT_LR["adam"] if options.lr is None else options.lr
        optimizer = torch.optim.Adam(parameters, lr=lr)
    else:
        assert not isinstance(options.optimizer, str)  # noqa: S101 - names were checked with the options
        optimizer = options.optimizer(parameters)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InputTypeError(f"optimizer: the callable returned a {type(optimizer).__name__}, no torch optimizer.")
        if options.lr is not None:
            for group in optimizer.param_groups:
                group["lr"] = options.lr
    return SmallSteps(optimizer, objective, clip=options.clip, shrinkage=shrinkage)


def _check_finite(value: Tensor, where: str, loss: Tensor, penalty: Tensor | None) -> None:
    if math.isfinite(value.item()):
        return
    push = "" if penalty is None else f", penalty {penalty.item():g}"
    raise StateError(
        f"training diverged at {where}: loss {loss.item():g}{push}, gradient not finite; try a smaller lr, stronger "
        "clipping (clip=1.0) or standardized data."
    )
