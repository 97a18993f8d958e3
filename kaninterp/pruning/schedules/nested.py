"""Nested: prune raw columns, retrain, judge again; the fewest columns within one standard error stay."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from kaninterp.adapters import as_view
from kaninterp.analysis import drop_inputs
from kaninterp.analysis.wording import listed
from kaninterp.core import PrunePlan, Reason, Trace, Verdict
from kaninterp.core.errors import InputError
from kaninterp.core.frozen import Array
from kaninterp.measure.host import untouched
from kaninterp.pruning.outcome import outcome
from kaninterp.pruning.proxy import ProxyChoice, proxy_choice
from kaninterp.pruning.schedules.best import choose_step
from kaninterp.pruning.schedules.driver import ROWS, Driver, begin
from kaninterp.pruning.schedules.options import Options, check_whole
from kaninterp.pruning.steps import PruneRun
from kaninterp.pruning.study import Study

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["nested"]

OF_NUMBERS = ("mse", "mae", "huber")
MODULES_OF_NUMBERS = (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss)
"""Losses under which whole numbers are numbers; under any other, one of the user's own included, they are classes."""
NAMED = 8
"""Columns that a label names at most."""


def nested(
    model: nn.Module, data: Any, *, epochs: int = 20, alpha: float = 0.05, **options: Unpack[Options]
) -> PruneRun:
    """Retrain the model on fewer and fewer of its raw columns, and keep the fewest that do as well.

    A model is a poor witness of which columns matter: it leans on columns it has overfitted, and does not lean on those
    it has not learnt. Two witnesses are heard, the model (`kaninterp.pruning.choose`: keep, tentative, drop) and the
    training rows themselves (`kaninterp.selection.select`, a KAN as the proxy). They give up to five nested sets of
    columns: all; what either holds for possible; what either keeps; what the rows call for; and of that, what the model
    holds for possible too. From the given model each set is cut out, handing over to copies among those that
    stay, and trained for the same number of epochs; held-out rows judge.

    Parameters
    ----------
    model, data
        As for `one_shot`, with a target; inputs are tables and sequences.
    epochs : int
        Of training after each cut, and without a cut for comparison.
    alpha : float
        Chance that a step of the proxy's search takes noise.
    **options
        See `Options`.

    Returns
    -------
    PruneRun
        A cut and a training per set, up to the set taken; the label of the last step says what was taken, what the
        other sets came to, and which columns the rows call for although the given model had not learnt them.

    Raises
    ------
    DataError
        No target, a constant one, or inputs that have no raw columns.
    InputError, ModelError, StateError
        As for `one_shot`; alpha outside (0, 1).

    Notes
    -----
    Recursive feature elimination (Guyon et al. 2002) with few steps, chosen by two witnesses instead of one rank at a
    time, and the one-standard-error rule (Breiman et al. 1984). The held-out rows judge at most five sets and say which
    columns the model needs; a number to report is measured on rows that are neither.
    """
    check_whole(epochs=epochs)
    if not 0 < alpha < 1:
        raise InputError(f"nested: alpha={alpha}; allowed: a chance between 0 and 1, such as 0.05")
    with begin(model, data, {"name": "nested", "epochs": epochs, "alpha": alpha}, **options) as driver:
        witnesses = _hear(driver, alpha, options)
        tried = [_Tried(witnesses.readable, 0)]
        driver.fine_tune(epochs)
        for kept in witnesses.sets():
            tried.append(_Tried(kept, len(driver.run.steps) + 1))
            _cut(driver, witnesses, kept)
            driver.fine_tune(epochs)
        _take(driver, witnesses, tried)
    return driver.run


@dataclass(frozen=True, slots=True)
class _Tried:
    """Columns that were kept, and the first step that is about them."""

    kept: frozenset[int]
    first: int


@dataclass(frozen=True, slots=True)
class _Witnesses:
    """What the model and the training rows say about the same columns."""

    study: Study
    verdicts: tuple[Verdict, ...]
    proxy: ProxyChoice
    readable: frozenset[int]

    @property
    def names(self) -> tuple[str, ...]:
        return self.proxy.names

    def said(self, *survives: str) -> frozenset[int]:
        """Columns on which the model's verdict is one of these."""
        return frozenset(verdict.index for verdict in self.verdicts if verdict.survives in survives)

    def sets(self) -> Iterator[frozenset[int]]:
        """Smaller and smaller sets of columns, none of them empty."""
        rows = self.proxy.kept & self.readable
        model, possible = (self.readable & found for found in (self.said("keep"), self.said("keep", "tentative")))
        last = self.readable
        for kept in (rows | possible, rows | model, rows, rows & possible):
            if kept and kept != last:
                yield kept
                last = kept

    @property
    def unlearnt(self) -> frozenset[int]:
        """Columns the rows call for and the model does without, with nothing in their place."""
        spared = frozenset(verdict.index for verdict in self.verdicts if verdict.cause == "redundant")
        return (self.proxy.kept & self.readable & self.said("drop")) - spared


def _hear(driver: Driver, alpha: float, options: Options) -> _Witnesses:
    seed = options.get("seed", 0)
    loss, rows = options.get("loss"), options.get("rows", ROWS)
    numbers = loss in OF_NUMBERS or isinstance(loss, MODULES_OF_NUMBERS)
    proxy = proxy_choice(driver.parts.train, alpha=alpha, seed=seed, numbers=numbers)
    read = driver.columns_read(_stirred(driver.model))
    readable = frozenset(i for i, name in enumerate(proxy.names) if name in read)
    with untouched(driver.model):
        study = Study(driver.model, driver.parts, driver.trace(), loss=loss, rows=rows, seed=seed, path=driver.path)
        return _Witnesses(study, study.pick_inputs(progress=False).verdicts, proxy, readable)


@torch.no_grad()
def _stirred(model: nn.Module) -> nn.Module:
    """A copy whose weights are moved a little: it reads what training can reach, and what was cut out stays out."""
    new = copy.deepcopy(model)
    for parameter in new.parameters():
        parameter.add_(1e-3)
    return new


def _cut(driver: Driver, witnesses: _Witnesses, kept: frozenset[int]) -> None:
    """Cut all other columns out of the given model, as one step, after what stays has taken over for them."""
    start = driver.run.start
    with untouched(start):
        ready, fill = witnesses.study.handed_over(kept)
    plan = _plan(driver.trace(ready), witnesses, kept, fill)
    driver.model, told = driver.smaller(ready, plan)
    before, after = as_view(start, driver.path), as_view(driver.model, driver.path)
    report = replace(outcome(before, after, plan, start, driver.model), reasons=told.reasons)
    driver.note(f"{_columns(witnesses, kept)} stay", report=report)


def _plan(trace: Trace, witnesses: _Witnesses, kept: frozenset[int], fill: Array) -> PrunePlan:
    """Drop all other columns, each with what the witnesses say about it."""
    names = witnesses.names
    plan = drop_inputs(trace, [name for i, name in enumerate(names) if i not in kept])
    said = [
        Reason(
            kind="input",
            place=(verdict.index,),
            score=0.0,
            threshold=0.0,
            text=f"the model: {verdict.text} The training rows: {witnesses.proxy.why[verdict.index]}.",
        )
        for verdict in witnesses.verdicts
        if verdict.index not in kept
    ]
    with_them = [replace(reason, text="its raw column goes") for reason in plan.reasons if reason.kind != "input"]
    reasons = (*said, *with_them)
    return replace(plan, fill=np.where(plan.inputs, plan.fill, fill), reasons=reasons)


def _take(driver: Driver, witnesses: _Witnesses, tried: list[_Tried]) -> None:
    """Go back to the step that the one-standard-error rule takes, and write down what the others came to."""
    lines = driver.run.lines
    number = choose_step(driver.run)
    taken = next(one for one in reversed(tried) if one.first <= number)
    ends = [one.first - 1 for one in tried[1:]] + [len(lines) - 1]
    losses = [
        f"{len(one.kept)}: {held.value:.4g}"
        for one, end in zip(tried, ends, strict=True)
        if (held := lines[end].held_out) is not None
    ]
    if number < len(driver.run.steps):
        driver.undo(len(driver.run.steps) - number)
    late, lost = taken.kept & witnesses.unlearnt, witnesses.proxy.kept - witnesses.readable
    note = f"; the rows call for {_named(witnesses, late)}, which the given model had not learnt" if late else ""
    note += (
        f"; the rows call for {_named(witnesses, lost)}, which the given model does not read any more" if lost else ""
    )
    driver.note(f"taken: {_columns(witnesses, taken.kept)}; held-out loss by columns kept: {', '.join(losses)}{note}")


def _columns(witnesses: _Witnesses, kept: frozenset[int]) -> str:
    return f"{len(kept)} of {len(witnesses.names)} columns ({_named(witnesses, kept)})"


def _named(witnesses: _Witnesses, columns: frozenset[int]) -> str:
    return listed([witnesses.names[i] for i in sorted(columns)], NAMED)
