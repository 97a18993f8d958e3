"""Levenberg-Marquardt as an optimiser of a run: a step per epoch, fresh starts when stuck, an end when done."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from kaninterp.core.errors import FileFormatError
from kaninterp.nn.head import KANHead
from kaninterp.training.domains import follow_inputs
from kaninterp.training.edge_push import EdgePush
from kaninterp.training.edge_scales import calibrated
from kaninterp.training.feeds import EVALUATION_ROWS, Feeds
from kaninterp.training.head_rows import HeadRows
from kaninterp.training.jacobian import HeadTwin
from kaninterp.training.levenberg import Descent
from kaninterp.training.objective import Objective
from kaninterp.training.options import Sparsity
from kaninterp.training.stepping import EpochStats, Remembering

__all__ = ["DampedSteps"]

STALL_STEPS, STALL_DROP = 10, 0.02
"""Stalled: loss plus penalty fell by less than this share over so many steps; long tails fall faster than that."""

POOR = 1e-5
"""A stall above this share of the target's variance is poor: a fresh start may do better. (R^2 = .99999, about where
pykan's 50 steps on its first tutorial end.)"""

RIVALS, RIVAL_STEPS = 3, 30
"""Fresh starts that are tried, once per run, and steps each of them gets at most; never more than the run has made.
They bring the worst of seven seeds of exp(sin(pi x) + y^2) on [2, 1, 1] from an error of .6 to .007."""


class DampedSteps:
    """One step on all rows per epoch.

    Once per run, when progress has stalled at a poor loss, `RIVALS` heads with fresh weights are trained within one
    epoch; the best of them takes over if it has a lower loss plus penalty. The next stall is the end (`converged`).
    Only a head that was fresh itself has rivals: the functions of a trained one are not thrown away.

    Everything in front of the head runs in eval mode, once; what the head is given is kept.

    Parameters
    ----------
    head : KANHead
        Trained in place.
    objective : Objective
        Its model, and the weight of the penalty.
    sparsity : Sparsity or None
        What the penalty consists of.
    follow : callable
        Whether a rival's domains follow their inputs after a step, of so many (a run does that by itself).
    """

    start_lr = 1.0

    def __init__(
        self, head: KANHead, objective: Objective, *, sparsity: Sparsity | None, follow: Callable[[int, int], bool]
    ) -> None:
        self.converged = False
        self.optimizer: Remembering = self
        self._head, self._objective, self._sparsity, self._follow = head, objective, sparsity, follow
        self._descent: Descent | None = None
        self._resumed: dict[str, Any] | None = None
        self._values: list[float] = []
        self._stuck, self._steps, self._weight = False, 0, 0.0
        self._challenged = len(head.kan_layers) == 1  # linear in its numbers: there is nothing else to find

    def epoch(self, feeds: Feeds, generator: torch.Generator, *, lr: float) -> EpochStats:  # noqa: ARG002
        """Make one step."""
        descent = self._started(feeds)
        if self._objective.head_weight != self._weight:
            self._weight = self._objective.head_weight
            self._values, self._stuck, self.converged = [], False, False
        if self._weight > 0 or descent.push is not None:
            descent.set_push(self._push(self._head))
        if self._stalled() and not self._challenged:
            self._challenge(descent, generator)
        taken = descent.step()
        _watch(self._head, descent)
        self._steps, self._stuck = self._steps + 1, not taken.accepted
        self._values = [*self._values[-STALL_STEPS:], taken.loss + taken.penalty]
        self.converged = self._stalled() and (self._challenged or not _is_poor(taken.loss, descent.data))
        return EpochStats(
            loss=taken.loss, penalty=taken.penalty, grad_norm=taken.grad_norm, rows=descent.data.rows, steps=1
        )

    def domains_moved(self) -> None:
        """Read the head anew: the numbers of the same functions are others now."""
        self._stuck = self.converged = False
        if self._descent is not None:
            self._descent.reread()

    def take_pilot(self, feeds: Feeds, *, rows: int, steps: int, rates: float) -> None:
        """Have no input sparsity."""

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on, in float64 where the model may have less."""
        descent = self._descent
        return {
            "numbers": None if descent is None else descent.twin.read(),
            "damping": None if descent is None else [descent.damping, descent.growth],
            "values": self._values,
            "stuck": self._stuck,
            "steps": self._steps,
            "weight": self._weight,
            "challenged": self._challenged,
            "converged": self.converged,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        numbers = state_dict["numbers"]
        if numbers is not None and tuple(numbers.shape) != (HeadTwin(self._head).size,):
            raise FileFormatError("the checkpoint's optimizer state belongs to another model.")
        self._values = [float(value) for value in state_dict["values"]]
        self._stuck, self._steps = bool(state_dict["stuck"]), int(state_dict["steps"])
        self._weight, self._challenged = float(state_dict["weight"]), bool(state_dict["challenged"])
        self.converged = bool(state_dict["converged"])
        self._resumed = state_dict

    def _started(self, feeds: Feeds) -> Descent:
        """The descent, from the second epoch on the same."""
        if self._descent is None:
            parts = -(-(feeds.n_train or 1) // EVALUATION_ROWS)
            data = HeadRows.collect(self._objective.model, self._head, feeds.in_parts(parts))
            if not calibrated((self._head,)):
                with torch.no_grad():  # the first batch, all rows here, sets the first domain
                    self._head(data.features)
            self._challenged = self._challenged or (self._resumed is None and not _is_fresh(self._head))
            self._descent = Descent(self._head, data)
            if self._resumed is not None and self._resumed["numbers"] is not None:
                self._descent.twin.write(self._resumed["numbers"].to(data.x.device))
                self._descent.damping, self._descent.growth = (float(v) for v in self._resumed["damping"])
        return self._descent

    def _push(self, head: KANHead) -> EdgePush | None:
        if self._sparsity is None or self._weight == 0:
            return None
        return EdgePush.of(head, self._weight, edge=self._sparsity.edge, entropy=self._sparsity.entropy)

    def _stalled(self) -> bool:
        if self._stuck:
            return True
        values = self._values
        return len(values) > STALL_STEPS and values[-1] > (1 - STALL_DROP) * values[0]

    def _challenge(self, descent: Descent, generator: torch.Generator) -> None:
        """Train fresh heads; the best one takes over if it is better than the present one."""
        self._challenged, self._values, self._stuck = True, [], False
        best, value, damping = None, descent.value(), descent.damping
        for _ in range(RIVALS):
            rival = _fresh(self._head, descent.data, generator)
            found = self._trained(rival, descent.data)
            if found.value() < value:
                best, value, damping = rival, found.value(), found.damping
            if not _is_poor(value, descent.data):
                break
        if best is not None:
            self._head.load_state_dict(best.state_dict())
            descent.reread()
            descent.damping, descent.growth = damping, 2.0
            descent.set_push(self._push(self._head))

    def _trained(self, rival: KANHead, data: HeadRows) -> Descent:
        found = Descent(rival, data)
        found.set_push(self._push(rival))
        steps = min(self._steps, RIVAL_STEPS)
        for step in range(steps):
            accepted = found.step().accepted
            _watch(rival, found)
            moved = self._follow(step, steps) and follow_inputs((rival,))
            if moved:
                found.reread()
                found.set_push(self._push(rival))
            elif not accepted:
                break
        return found


def _is_fresh(head: KANHead) -> bool:
    """Whether no live edge has been trained yet."""
    return all(bool((layer.untouched | (layer.mask == 0)).all()) for layer in head.kan_layers)


def _is_poor(loss: float, data: HeadRows) -> bool:
    return loss > POOR * data.spread


@torch.no_grad()
def _watch(head: KANHead, descent: Descent) -> None:
    """Note the ranges of every layer's inputs, as a forward pass in train mode does."""
    passed = descent.passed
    if passed is None:
        head(descent.data.features)
        return
    for layer, x in zip(head.kan_layers, passed.inputs, strict=True):
        lo, hi = x.amin(0).to(layer.seen), x.amax(0).to(layer.seen)
        layer.seen.copy_(torch.stack((torch.minimum(layer.seen[0], lo), torch.maximum(layer.seen[1], hi))))


@torch.no_grad()
def _fresh(head: KANHead, data: HeadRows, generator: torch.Generator) -> KANHead:
    """A copy with new weights where they are trained, and with domains where its inputs are then."""
    device = head.kan_layers[0].weight.device
    rival = copy.deepcopy(head).cpu()
    for layer, old in zip(rival.kan_layers, head.kan_layers, strict=True):
        start = layer.start.clone()
        layer.reset_parameters(generator)
        if not old.weight.requires_grad:
            layer.weight.copy_(old.weight)
            layer.start.copy_(start)
        if not old.bias.requires_grad:
            layer.bias.copy_(old.bias)
    rival = rival.to(device)
    return rival if head.options["domain"] is not None else rival.calibrate(data.features)
