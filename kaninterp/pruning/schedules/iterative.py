"""Iterative: cut a little, train a little, again and again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from kaninterp.adapters import as_view
from kaninterp.analysis import DEFAULT_RULE, plan_of
from kaninterp.core import PrunePlan, Trace
from kaninterp.core.errors import NothingLeftError
from kaninterp.pruning.schedules.driver import Driver, begin
from kaninterp.pruning.schedules.options import Options, Rule, check_whole
from kaninterp.pruning.schedules.original import original_mask
from kaninterp.pruning.steps import PruneRun

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["iterative"]


def iterative(
    model: nn.Module,
    data: Any,
    rule: Rule = DEFAULT_RULE,
    *,
    rounds: int = 5,
    epochs: int = 10,
    warmup: int = 0,
    rewind: bool = False,
    **options: Unpack[Options],
) -> PruneRun:
    """Cut by a rule and train, again and again; the rule meets a fresh trace in every round.

    Parameters
    ----------
    model, data, rule
        As for `one_shot`. A rule that takes a share of the edges (`Fraction`) goes on for all rounds; one with a fixed
        threshold ends when nothing falls below it any more.
    rounds : int
        Cuts at most.
    epochs : int
        Of training after each cut.
    warmup : int
        Epochs of training before the first cut.
    rewind : bool
        After each cut the survivors go back to the weights the run started with, and train from there (lottery
        ticket; Frankle and Carbin 2019, Renda et al. 2020). False: they go on from where they are.
    **options
        See `Options`.

    Returns
    -------
    PruneRun
        Cuts and trainings as steps of their own. The number of edges never rises. It ends early when the rule takes
        nothing more, or would take everything.

    Raises
    ------
    PlanError
        The rule would remove everything in the first round already.
    InputError, DataError, StateError
        As for `one_shot`.
    """
    check_whole(rounds=rounds, epochs=epochs, warmup=warmup)
    schedule = {"name": "iterative", "rule": rule, "rounds": rounds, "epochs": epochs, "warmup": warmup}
    with begin(model, data, {**schedule, "rewind": rewind}, **options) as driver:
        origin = driver.trace() if rewind else None
        driver.fine_tune(warmup)
        for number in range(rounds):
            if not _cut(driver, rule, first=number == 0):
                break
            if origin is not None and epochs:
                _rewind(driver, origin)
            driver.fine_tune(epochs)
    return driver.run


def _cut(driver: Driver, rule: Rule, *, first: bool) -> bool:
    """Cut once; False if there is nothing to take, or nothing but everything."""
    try:
        return driver.prune(rule)
    except NothingLeftError:
        if first:
            raise
        return False


def _rewind(driver: Driver, origin: Trace) -> None:
    """Give the survivors the weights that the run started with."""
    start = driver.run.start
    mask = original_mask(as_view(start, driver.path), as_view(driver.model, driver.path))
    plan = plan_of(origin, mask.layers, [])
    gone = {name for step in driver.run.steps if step.report is not None for name in step.report.dropped_inputs}
    inputs = plan.inputs & np.array([name not in gone for name in plan.input_names], bool)
    rewound: PrunePlan = replace(plan, inputs=inputs)
    driver.model, _ = driver.smaller(start, rewound)
