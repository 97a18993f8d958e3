"""The price of a plan, measured: the model and its pruned copy on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from kaninterp.core import PruneCost, PrunePlan
from kaninterp.data import Batch
from kaninterp.measure import BlockBootstrap
from kaninterp.measure.host import outputs, untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.rows import held_rows
from kaninterp.measure.tracing import prepared
from kaninterp.pruning.apply import prune
from kaninterp.pruning.outcome import PruneReport

__all__ = ["measure_cost"]


def measure_cost(
    model: nn.Module,
    plan: PrunePlan,
    data: Any,
    *,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    rows: int = 4000,
    seed: int = 0,
) -> tuple[PruneCost, PruneReport]:
    """Carry a plan out on copies and measure what it costs on data.

    Parameters
    ----------
    model, plan, path
        As for `prune`.
    data, target, loss, feature_names
        As for `kaninterp.measure.ablate`; held-out data, or the price is flattered.
    rows : int
        Rows used at most, evenly spaced.
    seed : int
        Of the bootstrap.

    Returns
    -------
    PruneCost
        With the largest difference between the masked and the compact copy (law 4).
    PruneReport

    Raises
    ------
    PlanError, ModelError
        As for `prune`.
    """
    held = held_rows(prepared(model, data, target=target, feature_names=feature_names), rows)
    example = held.batch.rows(slice(0, 4)).as_data()
    compact, outcome = prune(model, plan, path=path, example=example)
    masked, _ = prune(model, plan, path=path, example=example, compact=False)
    before, after, also = (_outputs(m, held.batch) for m in (model, compact, masked))
    losses, name = row_losses(loss, held.batch.target, before)
    boot = BlockBootstrap(held.n, held.block, np.random.default_rng(seed))
    old, new = losses(before), losses(after)
    total = len(plan.input_names) or len(held.columns.names)
    cost = PruneCost(
        loss=name,
        rows=held.n,
        before=boot.estimate(old),
        after=boot.estimate(new),
        difference=boot.estimate(new - old),
        inputs=(total, total - len(plan.dropped_inputs)),
        edges=outcome.edges,
        nodes=outcome.nodes,
        parameters=outcome.parameters,
        largest_gap=float((after - also).abs().max()),
    )
    return cost, outcome


def _outputs(model: nn.Module, batch: Batch) -> Tensor:
    with untouched(model):
        return outputs(model, batch)
