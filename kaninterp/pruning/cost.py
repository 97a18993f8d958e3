"""The price of a plan, measured: the model and its pruned copy on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.core import PruneCost, PrunePlan
from kaninterp.core.frozen import Array
from kaninterp.measure import BlockBootstrap, block_length
from kaninterp.measure.ablation import Rows, held_rows, loss_name
from kaninterp.measure.host import output_tensor, untouched
from kaninterp.measure.tracing import prepared
from kaninterp.nn import resolve_loss
from kaninterp.pruning.apply import prune
from kaninterp.pruning.outcome import PruneReport

__all__ = ["measure_cost"]

CHUNK = 1024


def measure_cost(
    model: nn.Module,
    plan: PrunePlan,
    data: Any,
    *,
    target: Any = None,
    loss: str | Callable[[Tensor, Tensor], Tensor] | None = None,
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
    few = held.batch.rows(slice(0, 4))
    inputs: Any = few.inputs if few.keys is None else dict(zip(few.keys, few.inputs, strict=True))
    example = [(inputs,)]  # one batch: a bare pair of inputs would be read as input and target
    compact, outcome = prune(model, plan, path=path, example=example)
    masked, _ = prune(model, plan, path=path, example=example, compact=False)
    before, after, also = (_outputs(m, held) for m in (model, compact, masked))
    losses, name = _losses(held, loss, before)
    rng = np.random.default_rng(seed)
    boot = BlockBootstrap(held.n, block_length(held.n, held.columns.lags, held.spacing), rng)
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


def _outputs(model: nn.Module, held: Rows) -> Tensor:
    with untouched(model):
        starts = range(0, held.n, CHUNK)
        return torch.cat([output_tensor(held.batch.rows(slice(s, s + CHUNK)).call(model)) for s in starts])


def _losses(held: Rows, loss: Any, before: Tensor) -> tuple[Callable[[Tensor], Array], str]:
    target = held.batch.target
    if target is not None:
        rows = resolve_loss(loss)
        return (lambda output: _numpy(rows(output, target))), loss_name(loss, target)
    spread = before.double().var(0, unbiased=False).clamp(min=torch.finfo(torch.float64).tiny)
    return (lambda output: _numpy(((output - before).double() ** 2 / spread).flatten(1).mean(1))), "output change"


def _numpy(values: Tensor) -> Array:
    array: Array = values.detach().double().cpu().numpy()
    return array
