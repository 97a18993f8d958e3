"""The survival curve and the choice from it: fewest inputs and edges within one standard error of the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from torch import nn

from kaninterp.adapters import as_view
from kaninterp.analysis.scores import held_score
from kaninterp.core import PlanError, PrunePlan
from kaninterp.core.survival import SurvivalTable
from kaninterp.data import Batches, check_seed
from kaninterp.measure import trace
from kaninterp.measure.host import untouched
from kaninterp.measure.losses import Loss
from kaninterp.pruning.carry_out import carry_out, check_prunable
from kaninterp.pruning.comparison import measure_held_out
from kaninterp.pruning.held_out import parts_of
from kaninterp.pruning.outcome import PruneReport, outcome
from kaninterp.pruning.study import Study

__all__ = ["Choice", "as_frame", "choose", "survival"]

ROWS = 2000
"""Rows used at most, evenly spaced, of each part of the data."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """What was chosen, and the models on the way.

    Attributes
    ----------
    table : SurvivalTable
        Curves, choice and verdicts.
    plan : PrunePlan
        Carries the choice out on ``prepared``.
    prepared : nn.Module
        A copy of the model in which columns that stay have taken over for those that go.
    held : Batches
        The held-out rows.
    loss
        As for `choose`.
    path : str
        Where the KAN sits.
    """

    table: SurvivalTable
    plan: PrunePlan
    prepared: nn.Module
    held: Batches
    loss: Loss
    path: str

    def carry_out(self, model: nn.Module, *, compact: bool = True) -> tuple[nn.Module, PruneReport]:
        """The pruned model, and what went compared with ``model``, the one that was given.

        Raises
        ------
        PlanError
            The choice is to remove everything.
        """
        inputs = self.table.inputs
        if inputs is not None and inputs.kept[inputs.chosen] == 0:
            raise PlanError(
                f"no input helps: with every column held at its mean the held-out loss is "
                f"{inputs.loss[inputs.chosen]:.4g}, the model's is {self.table.base} on {self.table.held_out}, so the "
                "choice would remove everything; train the model better, or make a plan by hand"
            )
        example = self.held.first.rows(slice(0, 4)).as_data()
        new, told = carry_out(self.prepared, self.plan, path=self.path, example=example, compact=compact)
        report = outcome(as_view(model, self.path), as_view(new, self.path), self.plan, model, new)
        price = measure_held_out(model, new, self.held, loss=self.loss)
        return new, replace(report, reasons=told.reasons, held_out=price, survival=self.table)


def survival(model: nn.Module, data: Any, **options: Any) -> SurvivalTable:
    """How many inputs and edges a model needs, judged on held-out rows; nothing is pruned.

    Parameters
    ----------
    model, data, **options
        As for `choose`.

    Returns
    -------
    SurvivalTable
        `as_frame` makes it a DataFrame.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> X = torch.rand(600, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    >>> head = ki.KANHead(3, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    >>> y = X[:, 0] + X[:, 1] ** 2
    >>> _ = ki.fit(head, (X, y), epochs=20, optimizer="lbfgs", seed=0, progress=False)
    >>> table = survival(head, (X, y), progress=False)
    >>> table.kept, table.inputs.kept.tolist()
    (('x0', 'x1'), [3, 2, 1, 0])
    """
    return choose(model, data, **options).table


def choose(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    held_out: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    score: str = "kan2",
    rows: int = ROWS,
    seed: int = 0,
    progress: bool = True,
) -> Choice:
    """Measure the survival curves of inputs and edges, and choose.

    First columns go one after the other, the least needed on the training rows first (backward elimination). One that
    goes is held at its mean, or at what columns that stay say about it, if they determine it (`find_substitute`). Each
    point of this path is measured on the held-out rows, and the fewest columns within one standard error of
    the best point stay. Then edges go by their score on the training rows, and are chosen in the same way, against the
    same best point. Held-out rows alone decide how much goes.

    Parameters
    ----------
    model : nn.Module
        Left bit-identical.
    data, target, feature_names, path
        As for `trace`. Orders what goes, and gives means.
    held_out
        Data in the same form that judge. None: the last fifth of ``data``, in time order.
    loss
        As for `kaninterp.nn.resolve_loss`; None chooses by the target. Without a target the change of the outputs
        stands in, and what changes them by less than one percent of what all inputs do may go.
    score : str
        By which edges are ordered, one that `kaninterp.analysis.LayerScores` holds.
    rows : int
        Rows used at most of each part, evenly spaced.
    seed : int
        Of the bootstrap.
    progress : bool
        Show progress bars.

    Raises
    ------
    ModelError, DataError, InputError, NamesError
        As for `trace`, and data that cannot be split.
    """
    check_seed(seed)
    held_score(score)
    view = as_view(model, path)
    check_prunable(view)
    parts = parts_of(model, data, target=target, held_out=held_out, feature_names=feature_names)
    traced = trace(model, parts.train, path=path, progress=False)
    with untouched(model):
        study = Study(model, parts, traced, loss=loss, rows=rows, seed=seed, path=view.path)
        picked, ready = study.prepared(study.pick_inputs(progress=progress))
        edges, plan = study.edge_path(ready, picked, score=score, progress=progress)
    table = study.table(picked, edges, plan)
    whole = study.full_plan(plan, picked)
    return Choice(table=table, plan=whole, prepared=ready, held=parts.held, loss=loss, path=view.path)


def as_frame(table: SurvivalTable) -> pd.DataFrame:
    """The curves as a DataFrame, one row per point: level, kept, threshold, loss, low, high, rise, error, mark."""
    rows = [row for path in (table.inputs, table.edges) if path is not None for row in path.rows]
    columns = ["level", "kept", "threshold", "loss", "low", "high", "rise", "error", "mark"]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=columns)
    return frame
