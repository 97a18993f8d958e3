"""Many small steps per epoch: Adam and its kind."""

from __future__ import annotations

import math

import torch
from torch import nn

from kaninterp.training.feeds import Feeds
from kaninterp.training.objective import Objective
from kaninterp.training.sparsity import InputShrinkage
from kaninterp.training.stepping import EpochStats, check_finite

__all__ = ["SmallSteps"]


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
            check_finite(total, f"batch {number}", loss, penalty)
            total.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(self._parameters, self._clip)
            check_finite(norm, f"batch {number} (gradient)", loss, penalty)
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
