"""One large step per epoch on all rows: L-BFGS."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from kaninterp.core.errors import FileFormatError
from kaninterp.nn import KANHead
from kaninterp.training.edge_scales import EdgeScales, calibrated
from kaninterp.training.feeds import Feeds
from kaninterp.training.gradients import column_gradients
from kaninterp.training.objective import Objective
from kaninterp.training.sparsity import InputShrinkage
from kaninterp.training.stepping import EpochStats, Remembering, check_finite

__all__ = ["LargeStep"]


class LargeStep:
    """L-BFGS with a strong Wolfe line search on all rows, one outer step per epoch.

    The gradient is summed over batches, so memory does not grow with the rows. Penalties are part of the
    loss; columns that come near zero are then set to zero and kept there. Where edges are penalised it moves
    `EdgeScales` in place of their weights, but not in a head whose raw columns are to become zero.
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
        self.optimizer: Remembering = self
        self.start_lr = lr
        self._objective = objective
        self._shrinkage = shrinkage
        self._parameters = parameters
        self._steps = steps
        self._search: torch.optim.LBFGS | None = None
        self._scales: EdgeScales | None = None
        self._seen: EpochStats | None = None

    def epoch(self, feeds: Feeds, generator: torch.Generator, *, lr: float) -> EpochStats:  # noqa: ARG002
        """Make one outer step."""
        search = self._started(feeds)
        self._seen = None
        search.step(lambda: self._evaluate(feeds))  # type: ignore[no-untyped-call]
        if self._scales is not None:
            self._scales.write()  # the last place that was looked at need not be the one that was chosen
        if self._shrinkage is not None and self._shrinkage.pushing and self._shrinkage.zero_negligible():
            self.domains_moved()
        assert self._seen is not None  # noqa: S101 - the optimiser has called the closure
        return self._seen

    def domains_moved(self) -> None:
        """Forget the curvature: it was measured in other coordinates."""
        if self._search is not None:
            self._search.state.clear()
        if self._scales is not None:
            self._scales.read()

    def take_pilot(self, feeds: Feeds, *, rows: int, steps: int, rates: float) -> None:  # noqa: ARG002
        """Fix the push from the noise of the gradient, measured on parts of the data."""
        if self._shrinkage is None:
            return
        _, errors = column_gradients(self._objective.model, self._objective, feeds, self._shrinkage)
        self._shrinkage.take_pilot_in_loss(errors=errors)

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on."""
        return {
            "search": None if self._search is None else self._search.state_dict(),
            "scales": None if self._scales is None else self._scales.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        search = self._start()
        if (state_dict["scales"] is None) != (self._scales is None):
            raise FileFormatError("the checkpoint's optimizer state belongs to another run.")
        if self._scales is not None:
            self._scales.load_state_dict(state_dict["scales"])
        search.load_state_dict(state_dict["search"])

    def _started(self, feeds: Feeds) -> torch.optim.LBFGS:
        """The search, from the second epoch on the same."""
        if self._search is not None:
            return self._search
        if not calibrated(self._objective.penalised):
            with torch.no_grad():  # the first batch sets the first domain
                self._objective.loss(next(iter(feeds.ordered())))
        return self._start()

    def _start(self) -> torch.optim.LBFGS:
        parameters = self._parameters
        scaled = self._scaled()
        if scaled:
            self._scales = EdgeScales(scaled)
            parameters = self._scales.in_place_of_weights(parameters)
        self._search = torch.optim.LBFGS(
            parameters, lr=self.start_lr, max_iter=self._steps, line_search_fn="strong_wolfe"
        )
        return self._search

    def _scaled(self) -> tuple[KANHead, ...]:
        """Heads under a penalty, without those whose raw columns are pushed to zero.

        With scales in there about twice as many columns stayed that do not matter (tests/training/test_edge_scales.py);
        where a backbone reads the columns it made no difference.
        """
        shrinkage = self._shrinkage
        return tuple(h for h in self._objective.penalised if shrinkage is None or not shrinkage.reads_by(h))

    def _evaluate(self, feeds: Feeds) -> float:
        if self._scales is not None:
            self._scales.write()
        for parameter in self._parameters:
            parameter.grad = None
        total, rows = 0.0, 0
        n = feeds.n_train
        for batch in feeds.ordered():
            # rows of a stream may be unknown beforehand: then sum first and divide the gradient afterwards
            loss = self._objective.loss(batch) * (batch.n_rows / (n or 1))
            check_finite(loss, "full batch", loss, None)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
            rows += batch.n_rows
        if n is None:
            total /= rows
            for parameter in self._parameters:
                parameter.grad = None if parameter.grad is None else parameter.grad / rows
        penalty = self._objective.penalty()
        if penalty is not None and penalty.requires_grad:  # of frozen weights it is a constant
            penalty.backward()  # type: ignore[no-untyped-call]
        if self._shrinkage is not None:
            self._shrinkage.mask_gradients()
        if self._scales is not None:
            self._scales.pull_gradients()
        push = 0.0 if penalty is None else penalty.item()
        norm = nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None]).item()
        if self._seen is None:
            self._seen = EpochStats(loss=total, penalty=push, grad_norm=norm, rows=rows, steps=1)
        return total + push
