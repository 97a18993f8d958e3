"""Adaptive: go on while the held-out loss stays within a tolerance; take the step back that left it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from kaninterp.analysis import Fraction, ScoreRule
from kaninterp.core.errors import InputError, NothingLeftError
from kaninterp.pruning.schedules.driver import Driver, begin
from kaninterp.pruning.schedules.options import Options, Rule, check_whole
from kaninterp.pruning.steps import PruneRun

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["adaptive"]

GENTLE = ScoreRule("kan2", amount=Fraction(0.2))
MOST_ROUNDS = 50


def adaptive(
    model: nn.Module,
    data: Any,
    rule: Rule = GENTLE,
    *,
    tolerance: float | None = None,
    epochs: int = 10,
    rounds: int = MOST_ROUNDS,
    **options: Unpack[Options],
) -> PruneRun:
    """Cut and train until the held-out loss leaves a tolerance, and undo what made it leave.

    Parameters
    ----------
    model, data, rule
        As for `one_shot`; by default a fifth of the edges in each round, the lowest KAN 2.0 scores of all layers.
    tolerance : float, optional
        Largest rise of the held-out loss over that of the given model, as a share of the latter (0.05: 5 %).
        None: one standard error of the given model's held-out loss (block bootstrap).
    epochs : int
        Of training after each cut, before the loss is judged.
    rounds : int
        Cuts at most.
    **options
        See `Options`.

    Returns
    -------
    PruneRun
        Every model in it is within the tolerance after its training. If a cut was taken back, the label of the last
        step says which, and what it would have cost; its model is the one before that cut.

    Raises
    ------
    PlanError, InputError, DataError, StateError
        As for `one_shot`.
    """
    check_whole(rounds=rounds, epochs=epochs)
    if tolerance is not None and not tolerance >= 0:
        raise InputError(f"tolerance: expected a share of the loss, 0 or more, got {tolerance}")
    schedule = {"name": "adaptive", "rule": rule, "tolerance": tolerance, "epochs": epochs, "rounds": rounds}
    with begin(model, data, schedule, **options) as driver:
        allowed = _allowed(driver, tolerance)
        for number in range(rounds):
            if not _round(driver, rule, epochs, allowed, first=number == 0):
                break
    return driver.run


def _allowed(driver: Driver, tolerance: float | None) -> float:
    rows = driver.judge.rows(driver.run.start)
    rise = driver.judge.standard_error(rows) if tolerance is None else tolerance * float(rows.mean())
    return float(rows.mean()) + rise


def _round(driver: Driver, rule: Rule, epochs: int, allowed: float, *, first: bool) -> bool:
    """Cut and train; False when the schedule is over."""
    before = len(driver.run.steps)
    try:
        if not driver.prune(rule):
            return False
    except NothingLeftError:
        if first:
            raise
        return False
    cut = driver.run.steps[-1].label
    driver.fine_tune(epochs)
    loss = driver.run.steps[-1].losses["held_out"]
    value = loss if isinstance(loss, float) else loss.value
    if value <= allowed:
        return True
    driver.undo(len(driver.run.steps) - before)
    driver.note(f"taken back: {cut}; held-out loss {value:.4g}, allowed {allowed:.4g}")
    return False
