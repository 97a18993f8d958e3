"""Dynamic: importance is tracked while the model trains; what was set aside may come back."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kaninterp.adapters import as_view
from kaninterp.analysis import DEFAULT_RULE, PruneRule, layer_scores
from kaninterp.analysis.bundle import LayerScores
from kaninterp.core import EdgeMask, ModelError, PrunePlan
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.nn import KANHead
from kaninterp.pruning.schedules.averaged import averaged
from kaninterp.pruning.schedules.driver import Driver, begin
from kaninterp.pruning.schedules.options import Options, check_whole
from kaninterp.pruning.steps import PruneRun

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["dynamic"]

FADE = 0.1
"""What is left of the weights of an edge that is set aside. Not 0: a node whose edges on both sides are 0 has no
gradient, and could never come back."""


def dynamic(
    model: nn.Module,
    data: Any,
    rule: PruneRule = DEFAULT_RULE,
    *,
    rounds: int = 5,
    epochs: int = 5,
    decay: float = 0.5,
    fade: float = FADE,
    fine_tune: int = 10,
    **options: Unpack[Options],
) -> PruneRun:
    """Let edges fade and recover while training goes on; cut for good only at the end.

    In every round importance is measured and averaged with the rounds before, the rule decides on the averages, the
    edges it gives up fade (what they give up on average goes into the bias), and all edges train on. An edge
    that the loss needs grows again and comes back. (Dynamic network surgery, Guo et al. 2016; soft pruning, He et al.
    2018.)

    Parameters
    ----------
    model, data
        As for `one_shot`. The head must be a `KANHead`.
    rule : PruneRule
        Decides on averaged scores.
    rounds, epochs
        Rounds, and epochs of training in each.
    decay : float
        Weight of the past in the moving average, 0 <= decay < 1; the older, the less.
    fade : float
        Factor on the weights of an edge that is set aside.
    fine_tune : int
        Epochs after the final cut.
    **options
        See `Options`.

    Returns
    -------
    PruneRun
        One step per round, whose model is what a cut at that time would have left (the number of edges may rise
        again); then the final cut, and the fine-tuning. `PruneRun.undo` goes back to any of them.

    Raises
    ------
    ModelError
        The head is no `KANHead`: another's weights cannot be faded.
    PlanError, InputError, DataError, StateError
        As for `one_shot`.
    """
    check_whole(rounds=rounds, epochs=epochs, fine_tune=fine_tune)
    for name, value in (("decay", decay), ("fade", fade)):
        if not 0 <= value < 1:
            raise InputError(f"{name}: expected a number from 0 to below 1, got {value}")
    if not callable(rule):
        raise InputTypeError(f"rule: a dynamic schedule asks it in every round, got {type(rule).__name__}")
    head_of(model, options.get("path"))
    schedule = {"name": "dynamic", "rule": rule, "rounds": rounds, "epochs": epochs, "decay": decay, "fade": fade}
    with begin(model, data, {**schedule, "fine_tune": fine_tune}, **options) as driver:
        tracked = _Tracked(driver, rule, decay)
        before: EdgeMask | None = None
        for number in range(rounds):
            plan = tracked.decide()
            back = 0 if before is None else (plan.mask - before).count
            _snapshot(driver, plan, f"round {number + 1}: {rule}" + (f", {back} came back" if back else ""))
            before = plan.mask
            faded = copy.deepcopy(driver.model)
            fade_(head_of(faded, driver.path), plan, fade)
            driver.model = faded
            if epochs:
                driver.train(epochs)
        driver.carry(tracked.decide(), f"cut for good: {rule}")
        driver.fine_tune(fine_tune)
    return driver.run


class _Tracked:
    """A rule on moving averages of scores and probes."""

    def __init__(self, driver: Driver, rule: PruneRule, decay: float) -> None:
        self._driver, self._rule, self._decay = driver, rule, decay
        self._scores: tuple[LayerScores, ...] | None = None
        self._extra: dict[str, Any] = {}

    def decide(self) -> PrunePlan:
        trace = self._driver.trace()
        self._scores = averaged(self._scores, layer_scores(trace), self._decay)
        extra = self._driver.needs(self._rule)
        self._extra = {key: averaged(self._extra.get(key), value, self._decay) for key, value in extra.items()}
        return self._rule(trace, self._scores, **self._extra)


def _snapshot(driver: Driver, plan: PrunePlan, label: str) -> None:
    """Write down what a cut now would leave, and go on with all edges."""
    model, report = driver.smaller(driver.model, plan)
    driver.note(label, report=report, model=model)


@torch.no_grad()
def fade_(head: KANHead, plan: PrunePlan, fade: float) -> None:
    """Shrink the edges that a plan gives up, in place; the mean of every node stays."""
    for layer, kept, constants in zip(head.kan_layers, plan.mask.layers, plan.constants, strict=True):
        gone = torch.from_numpy(~kept).to(layer.mask.device) & (layer.mask > 0)
        factors = torch.where(gone, fade, 1.0).to(layer.weight)
        layer.weight.mul_(factors[:, None, :])
        if layer.formulas is not None:
            dst, src = layer.formulas.pairs.unbind(1)
            layer.formulas.numbers[:, 2:] *= factors[dst, src].unsqueeze(1)
        means = torch.from_numpy(constants.copy()).to(layer.bias)
        layer.bias.add_((1 - fade) * (means * gone).sum(1))


def head_of(model: nn.Module, path: str | None) -> KANHead:
    """The KANHead of a model.

    Raises
    ------
    ModelError
        Its KAN is of another family.
    """
    module = as_view(model, path).module
    if not isinstance(module, KANHead):
        raise ModelError(
            f"this schedule changes the weights of single edges, which it knows how to do for a KANHead only; the KAN "
            f"found is a {type(module).__name__}. Use one_shot, iterative or adaptive"
        )
    return module
