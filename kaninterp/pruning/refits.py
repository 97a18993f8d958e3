"""Would another start have led to the same columns? The head trained anew from other weights, backbone kept."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.adapters import ModelView, as_view
from kaninterp.core.errors import InputError, ModelError
from kaninterp.core.evidence import InputAblation
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.refits import Refits
from kaninterp.data import Batch, check_seed
from kaninterp.measure.bootstrap import BlockBootstrap
from kaninterp.measure.fills import derangement, with_shuffled
from kaninterp.measure.host import untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.rows import Rows
from kaninterp.measure.seen_head import SeenHead, check_alone, seen_head
from kaninterp.measure.tracing import PROGRESS_DELAY
from kaninterp.measure.two_parts import TwoParts, two_parts
from kaninterp.nn import KANHead, KANLayer, resolve_loss
from kaninterp.pruning.finetune import zeros_held
from kaninterp.training import fit

__all__ = ["refits"]

RUNS = 3
"""Refits: one alone could be the accident."""
EPOCHS = 60
RATE = 0.03
"""Learning rate of a refit, ten times that of `fit`: a head alone bears it, and settles in so few steps."""
STEPS = 8
"""Steps of an epoch, where batches of 16 to 256 rows allow: on planted tables and the demo, refits of many small steps
were no better on later rows and took five times as long."""
REPEATS = 2
"""Shuffles averaged per column, as in `ablate`."""
MOST_SHUFFLES = 200
"""Shuffles of all columns together; with more columns than half of that, one each, as for another kind of model."""
MOST_WORK = 1e10
"""Edges times rows times shuffles times heads: about a minute; a head of more edges and columns takes an hour."""


def refits(
    model: nn.Module,
    data: Any,
    *,
    reference: Any = None,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    runs: int = RUNS,
    epochs: int = EPOCHS,
    seed: int = 0,
    progress: bool = True,
) -> Refits:
    """Train copies of the KAN head from new weights, and measure what losing each raw column costs every one of them.

    What the backbone tells the head is computed once, so that a refit takes seconds: it asks whether the head's part
    of the explanation is an accident of its start. That of a backbone is not asked; `survival_over_seeds` trains
    whole models.

    Parameters
    ----------
    model : nn.Module
        Ends in a `KANHead`; left bit-identical. Masked edges, and edges whose weights are all zero, stay out of the
        refits too.
    data, reference, target, feature_names
        As for `kaninterp.measure.two_parts.two_parts`; ``data`` may be its result, the others are not used then.
    loss
        As for `kaninterp.nn.resolve_loss`; None chooses by the target.
    path : str, optional
        Where the KAN sits, if the model has several.
    runs, epochs : int
        Refits, at least one, and passes over their rows at most; the best epoch on the last fifth of these counts.
    seed : int
        The refits have seeds ``seed + 1``, ``seed + 2``, ...; also of shuffles and bootstrap.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Refits

    Raises
    ------
    ModelError
        The KAN is no `KANHead`, the model does something with its output, the loss has no gradient, or the head has
        too many edges for so many columns to be shuffled one by one (`MOST_WORK`).
    DataError
        No target, or too few rows.
    InputError
        Fewer than one run.

    Examples
    --------
    >>> import kaninterp as ki
    >>> X = torch.rand(600, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    >>> head = ki.KANHead(3, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    >>> y = 2 * X[:, 0] + X[:, 1] ** 2
    >>> _ = ki.fit(head, (X, y), epochs=20, optimizer="lbfgs", seed=0, progress=False)
    >>> found = refits(head, (X, y), runs=2, progress=False)
    >>> [(ablation.low > 0).tolist() for ablation in found.ablations]
    [[True, True, False], [True, True, False], [True, True, False]]
    """
    check_seed(seed)
    if runs < 1:
        raise InputError(f"runs: expected a whole number of refits, 1 or more, got {runs!r}")
    view = as_view(model, path)
    head = view.module
    if not isinstance(head, KANHead):
        raise ModelError(f"only a KANHead can be trained anew, at {view.path!r} is a {type(head).__name__}")
    if isinstance(data, TwoParts):
        parts = data
    else:
        parts = two_parts(model, data, reference=reference, target=target, feature_names=feature_names)
    _check_work(head, parts.judge, runs)
    with untouched(model):
        before = seen_head(model, view, parts.learn.batch)
        after = seen_head(model, view, parts.judge.batch)
        check_alone(head, after)
        _check_gradient(parts.learn.batch, before, loss)
    seeds = tuple(seed + number for number in range(1, runs + 1))
    bar = tqdm(seeds, desc="refits", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    options: dict[str, Any] = {"loss": loss, "epochs": epochs}
    heads = [copy.deepcopy(head).eval()]
    heads += [_trained(head, before.features, parts.learn, seed=one, **options) for one in bar]
    found = _ablations(model, view, heads, parts.judge, after, loss=loss, seed=seed)
    return Refits(
        seeds=seeds, trained=parts.learn.n, epochs=epochs, whole=head is model, ablations=found
    )  # fmt: skip


def _repeats(rows: Rows) -> int:
    return REPEATS if REPEATS * len(rows.columns.names) <= MOST_SHUFFLES else 1


def _check_work(head: KANHead, rows: Rows, runs: int) -> None:
    edges = sum(layer.in_features * layer.out_features for layer in head.kan_layers)
    columns = len(rows.columns.names)
    if float(edges) * columns * _repeats(rows) * rows.n * (runs + 2) > MOST_WORK:
        raise ModelError(
            f"{edges:,} edges and {columns:,} columns are too many to shuffle one by one in {runs} more heads; give "
            "fewer rows or runs, or train whole models with survival_over_seeds"
        )


def _check_gradient(batch: Batch, seen: SeenHead, loss: Loss) -> None:
    """Nothing is trained by a loss that only counts."""
    assert batch.target is not None  # noqa: S101 - `two_parts` has looked; for the type checker
    output = seen.output.detach().clone()
    with torch.enable_grad():
        value = resolve_loss(loss)(output.requires_grad_(), batch.target)
    if not value.requires_grad:
        raise ModelError("the loss has no gradient, so no head can be trained anew by it")


def _trained(head: KANHead, features: Tensor, rows: Rows, *, loss: Loss, epochs: int, seed: int) -> KANHead:
    new = copy.deepcopy(head)
    generator = torch.Generator(device=new.kan_layers[0].weight.device).manual_seed(seed)
    for layer in new.kan_layers:
        _redrawn(layer.requires_grad_(True), generator)
    overlap = int(np.ceil(rows.columns.lags / rows.spacing)) if rows.columns.lags > 1 else 0
    # a gap needs rows on both of its sides
    gap = min(overlap, rows.n // 10)
    size = min(256, max(16, rows.n // STEPS))
    options: dict[str, Any] = {"loss": loss, "epochs": epochs, "lr": RATE, "batch_size": size, "gap": gap, "seed": seed}
    with zeros_held(new):
        fit(new, (features, rows.batch.target), progress=False, **options)
    return new.eval()


@torch.no_grad()
def _redrawn(layer: KANLayer, generator: torch.Generator) -> None:
    """New weights for a layer; edges without any weight stay without."""
    alive = (layer.weight != 0).any(1, keepdim=True)
    layer.reset_parameters(generator)
    layer.weight.mul_(alive)


def _ablations(
    model: nn.Module, view: ModelView, heads: list[KANHead], rows: Rows, intact: SeenHead, *, loss: Loss, seed: int
) -> tuple[InputAblation, ...]:
    rng, repeats = np.random.default_rng(seed), _repeats(rows)
    orders = [torch.from_numpy(derangement(rows.n, rng)) for _ in range(repeats)]
    losses, name = row_losses(loss, rows.batch.target, intact.output)
    shape = intact.output.shape
    with untouched(model), torch.no_grad():
        base = np.stack([losses(head(intact.features).reshape(shape)) for head in heads], axis=1)
        change, reads = np.zeros((*base.shape, len(rows.columns.names))), np.zeros(len(rows.columns.names), bool)
        for column in range(change.shape[2]):
            for order in orders:
                features = seen_head(model, view, with_shuffled(rows, [column], order)).features
                if torch.equal(features, intact.features):
                    continue
                reads[column] = True
                for number, head in enumerate(heads):
                    rise = losses(head(features).reshape(shape)) - base[:, number]
                    change[:, number, column] += rise / repeats
    boot = BlockBootstrap(rows.n, rows.block, rng)
    runs = range(len(heads))
    return tuple(_ablation(boot, rows, base[:, run], change[:, run], reads=reads, name=name) for run in runs)


def _ablation(
    boot: BlockBootstrap, rows: Rows, base: Array, change: Array, *, reads: BoolArray, name: str
) -> InputAblation:
    low, high = boot.interval(change)
    return InputAblation(
        names=rows.columns.names,
        loss=name,
        rows=rows.n,
        block=boot.block,
        repeats=_repeats(rows),
        base=boot.estimate(base),
        change=change.mean(0),
        low=low,
        high=high,
        p_value=np.where(reads, boot.p_values(change), 1.0),
        reads=reads,
        norms=np.full(len(reads), np.nan),
        node_shares=(),
    )
