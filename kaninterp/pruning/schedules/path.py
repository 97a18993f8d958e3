"""Path: a growing group penalty, each level starting where the one before ended, until little is left."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from kaninterp.analysis import plan_of
from kaninterp.core import PrunePlan, Reason
from kaninterp.core.errors import InputError, NothingLeftError
from kaninterp.pruning.schedules.driver import Driver, begin
from kaninterp.pruning.schedules.dynamic import head_of
from kaninterp.pruning.schedules.options import Options, check_whole
from kaninterp.pruning.schedules.proximal import ProximalAdam, edge_norms, pushes, settle_
from kaninterp.pruning.steps import PruneRun
from kaninterp.training import Sparsity
from kaninterp.training.feeds import default_batch_size

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["PENALTIES", "path"]

PENALTIES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""In units of noise: at 1 an edge or a column without support begins to lose against the penalty."""
LR = 3e-3
SETTLING = 0.5
"""The learning rate falls along a cosine; edges are taken for hovering by its value at the middle of the run."""


def path(
    model: nn.Module,
    data: Any,
    penalties: Sequence[float] = PENALTIES,
    *,
    epochs: int = 30,
    debias: int = 10,
    **options: Unpack[Options],
) -> PruneRun:
    """Train under a growing group lasso whose proximal steps make edges, nodes and raw inputs exactly zero.

    At each level the model trains with a proximal step after every optimiser step, on every edge of the head and on
    every raw column of the modules that read them (`Sparsity`). What is exactly zero then is cut, and what is left
    trains without penalty, so that it recovers from the shrinkage (relaxed lasso; Meinshausen 2007). The next level
    starts from there.

    Parameters
    ----------
    model, data
        As for `one_shot`. The head must be a `KANHead`; columns should be standardized, for they share one penalty.
    penalties : sequence of float
        Rising, in units of the noise of a gradient.
    epochs : int
        Of training under each penalty.
    debias : int
        Of training without it, after each cut.
    **options
        See `Options`; ``fit_options`` may not choose an optimizer.

    Returns
    -------
    PruneRun
        Per level the cut, if anything became zero, and the training after it. The path ends early where a penalty
        would leave nothing.

    Raises
    ------
    ModelError
        The head is no `KANHead`.
    InputError
        Penalties that do not rise, or an optimizer in ``fit_options``.
    DataError, StateError
        As for `one_shot`.
    """
    check_whole(epochs=epochs, debias=debias)
    levels = tuple(float(penalty) for penalty in penalties)
    if not levels or any(not b > a for a, b in zip((0.0, *levels), levels, strict=False)):
        raise InputError(f"penalties: expected positive numbers that rise, got {list(penalties)}")
    chosen = dict(options.get("fit_options") or {})
    if "optimizer" in chosen or epochs == 0:
        raise InputError("path: proximal steps follow steps of Adam; leave the optimizer out, and give epochs >= 1")
    head_of(model, options.get("path"))
    schedule = {"name": "path", "penalties": str(levels), "epochs": epochs, "debias": debias}
    with begin(model, data, schedule, **options) as driver:
        for penalty in levels:
            if not _level(driver, penalty, epochs, debias, chosen):
                break
    return driver.run


def _level(driver: Driver, penalty: float, epochs: int, debias: int, chosen: dict[str, Any]) -> bool:
    """Walk one level; False if it would leave nothing."""
    before, read = driver.model, driver.columns_read()
    _shrink(driver, penalty, epochs, chosen)
    try:
        plan = _zeros(driver, penalty)
    except NothingLeftError:
        driver.model = before
        return False
    if driver.takes(plan, read):
        driver.carry(plan, f"penalty {penalty:g}: exact zeros cut")
    else:
        driver.note(f"penalty {penalty:g}: nothing became zero")
    driver.fine_tune(debias)
    return True


def _shrink(driver: Driver, penalty: float, epochs: int, chosen: dict[str, Any]) -> None:
    """Train the working model under a penalty."""
    steps = -(-(driver.parts.train.n_rows or 1) // (chosen.get("batch_size") or _batch_size(driver)))
    push = pushes(head_of(driver.model, driver.path), penalty, steps)
    lr = float(chosen.get("lr") or LR)
    # columns that the KAN reads itself go with their edges
    backbone = any(entry.kind != "kan" for entry in driver.readers())
    sparsity = Sparsity(head=0.0, inputs=penalty) if backbone else None

    def setup(model: nn.Module) -> dict[str, Any]:
        layers = head_of(model, driver.path).kan_layers
        return {"optimizer": partial(ProximalAdam, lr=lr, layers=layers, push=push), "sparsity": sparsity}

    driver.train(epochs, setup)
    settled = copy.deepcopy(driver.model)
    settle_(head_of(settled, driver.path), push, lr=SETTLING * lr)
    driver.model = settled


def _zeros(driver: Driver, penalty: float) -> PrunePlan:
    """The plan that gives up what is exactly zero."""
    norms = [norm.cpu().numpy() for norm in edge_norms(head_of(driver.model, driver.path))]
    trace = driver.trace()
    reasons = [
        Reason(
            kind="edge",
            place=(layer, int(dst), int(src)),
            score=0.0,
            threshold=penalty,
            text=f"all its weights are exactly zero under penalty {penalty:g}",
        )
        for layer, norm in enumerate(norms)
        for dst, src in np.argwhere(trace.layers[layer].edges.alive & (norm == 0))
    ]
    plan = plan_of(trace, [norm > 0 for norm in norms], reasons)
    read = driver.columns_read()
    inputs = plan.inputs & np.array([name in read for name in plan.input_names], bool)
    return replace(plan, inputs=inputs)


def _batch_size(driver: Driver) -> int:
    return default_batch_size(max(driver.parts.train.n_rows or 1, 1))
