"""`probe`: what every edge and node of a KAN is worth to the loss, measured once for all rules to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn
from tqdm import tqdm

from kaninterp.adapters import as_view
from kaninterp.core import PROBE_KINDS, DataError, InputError, Probe
from kaninterp.core.counts import check_whole
from kaninterp.core.frozen import Array
from kaninterp.data import Batch, Batches, check_seed
from kaninterp.measure.bootstrap import block_of
from kaninterp.measure.host import untouched
from kaninterp.measure.losses import Loss
from kaninterp.measure.probe_ablation import ablation_changes
from kaninterp.measure.probe_error import RunningError
from kaninterp.measure.probe_gradients import gradient_prices, output_gradients
from kaninterp.measure.probe_means import EdgeMeans
from kaninterp.measure.probe_replay import Replay
from kaninterp.measure.probe_shapley import Game
from kaninterp.measure.tracing import PROGRESS_DELAY, prepared
from kaninterp.nn.gradients import with_gradients

__all__ = ["check_counts", "probe"]

DEFAULT_ROWS = 2000
"""Rows evaluated, evenly spaced over the data; the standard errors say what they are worth."""
DEFAULT_PERMUTATIONS = 32
"""Orders of removal drawn for Shapley values, 16 and their reverses."""


@with_gradients
def probe(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    loss: Loss = None,
    kinds: Sequence[str] = PROBE_KINDS,
    path: str | None = None,
    feature_names: Sequence[str] | None = None,
    rows: int = DEFAULT_ROWS,
    permutations: int = DEFAULT_PERMUTATIONS,
    seed: int = 0,
    progress: bool = True,
) -> Probe:
    """Measure what removing each edge and each node of a KAN does to the loss; the model is not changed.

    An edge is removed by replacing it by its mean, a node by replacing all its outgoing edges by theirs: what
    `prune` does with a plan.

    Parameters
    ----------
    model, data, target, path, feature_names, progress
        As for `trace`; tensors of any rank will do. On training data a memorised edge looks useful.
    loss : str, callable or None
        As for `kaninterp.nn.resolve_loss`; None chooses by the target. Without a target it is the mean squared
        change of the output in units of its variance.
    kinds : sequence of str
        What to measure, any of "gradient", "taylor", "fisher", "ablation", "shapley"; "taylor" and "fisher" need a
        target.
    rows : int
        Rows used at most, evenly spaced.
    permutations : int
        Orders of removal drawn for each layer's Shapley values, an even number of at least 4: each comes with its
        reverse. A layer of few nodes (8 with the default) has all its subsets evaluated instead, without any error.
    seed : int
        Of the orders; global generators are not touched.

    Returns
    -------
    Probe

    Raises
    ------
    DataError
        "taylor" or "fisher" without a target, or a loss that is not finite.
    InputError, InputTypeError
        Kinds, rows, permutations or a seed that are not allowed.
    ModelError
        As for `trace`; also a KAN that is fed its own outputs.

    Notes
    -----
    Cost in evaluations of the layers above, per row: about 1 for Taylor and Fisher together, 1 per output for
    gradients, 1 per source node for ablation (all edges out of a node share one evaluation of the next layer),
    permutations x nodes for Shapley values. Where the model does not return the KAN's outputs as they are, the whole
    model runs for each edge and coalition. Memory is bounded whatever the number of rows and edges. One core, all kinds
    but gradients, 2000 rows: .6 s for a head 8-5-1. 500 rows for 784-64-10: 1 s for Taylor and Fisher, 16 s for
    ablation, 28 s for Shapley values.

    Moving an input (x + c, the grid along with it) changes no number here by more than 1e-9, nor any score of a
    trace. A magnitude that counts the mean does move: the effect that ShapKAN was made for (Fan et al. 2025, arXiv
    2510.01663). Networks trained on 3 columns that count and 5 of noise, once as they are and once with a noise
    column larger by 5 (mean of 5 seeds: Spearman's correlation of the two rankings of the columns; place of the noise
    column of 8, as it is and moved):

    ==========  ==================  ==================
    score       8-1                 8-3-1
    ==========  ==================  ==================
    mean |phi|  .68   6.2 -> 3.0    .39   6.6 -> 1.0
    strength    .99   6.6 -> 6.6    .76   6.6 -> 4.2
    kan2        .99   6.6 -> 6.6    .76   6.8 -> 4.2
    ablation    1.0   5.8 -> 6.0    .77   6.4 -> 4.2
    Shapley     .99   7.2 -> 7.4    .94   7.0 -> 7.8
    ==========  ==================  ==================

    Measure again with ``python -m tests.measure.test_probe_shift``.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> model = ki.KANHead(2, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    >>> x = torch.rand(100, 2, generator=torch.Generator().manual_seed(0))
    >>> found = probe(model, (x, x[:, :1]))
    >>> found.kinds, found.shapley[0].shape
    (('gradient', 'taylor', 'fisher', 'ablation', 'shapley'), (2,))
    """
    kinds = _checked(kinds, rows, permutations, seed)
    view = as_view(model, path)
    batches = prepared(model, data, target=target, feature_names=feature_names)
    with untouched(model):
        batch = batches.sample(rows)
        _check_target(kinds, batch, batches)
        replay = Replay(model, view, batch, loss)
        edges = EdgeMeans.of(replay)
        measured: dict[str, tuple[Array, ...]] = {}
        if "gradient" in kinds:
            measured["gradient"] = _of_outputs(replay, edges)
        if "taylor" in kinds or "fisher" in kinds:
            measured |= _gradients(replay, edges, kinds, progress)
        if "ablation" in kinds:
            measured |= _ablation(replay, edges, block_of(batch, batches), progress)
        if "shapley" in kinds:
            measured |= _shapley(replay, edges, permutations, np.random.default_rng(seed), progress)
        return Probe(
            loss=replay.loss_name,
            rows=replay.rows,
            base=float(replay.base.mean()),
            fingerprint=view.fingerprint(),
            means=edges.means,
            **measured,
        )


def _of_outputs(replay: Replay, edges: EdgeMeans) -> tuple[Array, ...]:
    """Mean over the KAN's rows, of which a row of the data may have several (one per time step)."""
    parts = [output_gradients(replay, chunk, edges) for chunk in replay.chunks]
    rows = sum(len(chunk.nodes[-1]) for chunk in replay.chunks)
    return tuple(np.asarray(sum(layers) / rows) for layers in zip(*parts, strict=True))


def _gradients(replay: Replay, edges: EdgeMeans, kinds: Sequence[str], progress: bool) -> dict[str, tuple[Array, ...]]:
    taylor = [np.zeros(mean.shape) for mean in edges.means]
    fisher = [np.zeros(mean.shape) for mean in edges.means]
    steps = tqdm(replay.chunks, desc="gradients", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    for chunk in steps:
        parts = gradient_prices(replay, chunk, edges, fisher="fisher" in kinds)
        for depth, (first, second) in enumerate(zip(*parts, strict=True)):
            taylor[depth] += first / replay.rows
            fisher[depth] += second / replay.rows
    measured: dict[str, tuple[Array, ...]] = {}
    if "taylor" in kinds:
        measured |= {"taylor": tuple(taylor), "node_taylor": tuple(values.sum(0) for values in taylor)}
    if "fisher" in kinds:
        measured["fisher"] = tuple(fisher)
    return measured


def _ablation(replay: Replay, edges: EdgeMeans, block: int, progress: bool) -> dict[str, tuple[Array, ...]]:
    running = [RunningError(replay.rows, block) for _ in edges.means]
    total = len(replay.chunks) * sum(mean.shape[1] for mean in edges.means)
    with tqdm(total=total, desc="ablation", delay=PROGRESS_DELAY, leave=False, disable=not progress) as bar:
        start = 0
        for chunk in replay.chunks:
            base = replay.base[start : start + chunk.rows]
            for depth, mean in enumerate(edges.means):
                change = np.zeros((chunk.rows, *mean.shape))
                for src, dst, losses in ablation_changes(replay, chunk, edges, depth, bar.update):
                    change[:, dst, src] = losses.T - base[:, None]
                running[depth].add(change)
            start += chunk.rows
    return {
        "ablation": tuple(layer.mean for layer in running),
        "ablation_error": tuple(layer.error for layer in running),
    }


def _shapley(
    replay: Replay, edges: EdgeMeans, permutations: int, rng: np.random.Generator, progress: bool
) -> dict[str, tuple[Array, ...]]:
    depths = range(len(edges.means))
    games = [Game.of(depth, edges.players(depth), permutations, rng) for depth in depths]
    losses = [np.zeros(len(game.coalitions)) for game in games]
    total = len(replay.chunks) * sum(map(len, losses))
    with tqdm(total=total, desc="shapley", delay=PROGRESS_DELAY, leave=False, disable=not progress) as bar:
        for chunk in replay.chunks:
            for depth, game in enumerate(games):
                losses[depth] += game.play(replay, chunk, edges, bar.update) / replay.rows
    values = [game.values(sums) for game, sums in zip(games, losses, strict=True)]
    return {"shapley": tuple(value for value, _ in values), "shapley_error": tuple(error for _, error in values)}


def _checked(kinds: Sequence[str], rows: int, permutations: int, seed: int) -> tuple[str, ...]:
    check_seed(seed)
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    unknown = [kind for kind in kinds if kind not in PROBE_KINDS]
    if unknown:
        raise InputError(f"kinds: {unknown} cannot be measured; allowed: {', '.join(PROBE_KINDS)}")
    check_counts(rows, permutations)
    return tuple(kinds)


def check_counts(rows: int, permutations: int) -> None:
    """Refuse counts of rows and of permutations that mean nothing.

    Raises
    ------
    InputError, InputTypeError
        Fewer than one row; permutations that are not an even number of at least 4; something else than numbers.
    """
    check_whole("rows", rows)
    check_whole("permutations", permutations, 4, step=2)


def _check_target(kinds: Sequence[str], batch: Batch, batches: Batches) -> None:
    useless = [kind for kind in ("taylor", "fisher") if kind in kinds]
    if batch.target is None and useless:
        raise DataError(
            f"{' and '.join(useless)} need a target, and {batches.kind} came without one: the loss is then the change "
            "of the output, whose gradient at the intact model is 0. Pass (X, y) or target=..., or "
            "kinds=('gradient', 'ablation', 'shapley')"
        )
