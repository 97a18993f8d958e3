"""What it costs to lose a raw column: shuffle it, leave the rest, measure the loss and every node (model-agnostic).

Whole columns are moved between rows with all their lags together, so what is inside a window stays a real window.
Breiman (2001) for permutation importance; Jansen (1999) for the share of a node's variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.adapters import ModelView, as_view
from kaninterp.core import InputAblation, ModelError, SurvivalCurve
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.data import Batch, Batches, check_seed, preserved_rng
from kaninterp.measure.bootstrap import BlockBootstrap, block_length
from kaninterp.measure.host import CHUNK, Columns, run, untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.tracing import PROGRESS_DELAY, prepared
from kaninterp.nn import column_norms, entries

__all__ = ["Rows", "ablate", "held_rows"]

DEFAULT_ROWS = 2000
"""Rows evaluated, evenly spaced over the data; the interval says what they are worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows of the data in memory, with what is known about their columns.

    Attributes
    ----------
    batch : Batch
        The rows.
    columns : Columns
        Their raw columns.
    spacing : float
        Rows of the data per row kept.
    """

    batch: Batch
    columns: Columns
    spacing: float

    @property
    def n(self) -> int:
        """How many rows."""
        return self.batch.n_rows

    @property
    def block(self) -> int:
        """Rows to keep together in a bootstrap."""
        return block_length(self.n, self.columns.lags, self.spacing)


def held_rows(batches: Batches, limit: int) -> Rows:
    """Up to ``limit`` rows, evenly spaced in the data's own order.

    Raises
    ------
    ModelError
        The inputs are neither tables nor sequences, so columns mean nothing.
    """
    with preserved_rng():
        batch = batches.sample(limit)
    if not Columns.readable(batch):
        shapes = [tuple(x.shape) for x in batch.inputs]
        raise ModelError(f"raw columns need float inputs (n, F) or (n, T, F), got {shapes}")
    columns = Columns.of(batch, batches.names_per_input)
    total = batches.n_rows or batch.n_rows
    return Rows(batch=batch, columns=columns, spacing=max(1.0, total / batch.n_rows))


def ablate(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    rows: int = DEFAULT_ROWS,
    repeats: int = 2,
    seed: int = 0,
    progress: bool = True,
) -> tuple[InputAblation, SurvivalCurve]:
    """Measure what losing each raw column costs, and the curve of losing one after the other.

    Parameters
    ----------
    model, data, target, feature_names, path, progress
        As for `trace`. Use held-out data: on training data a memorised noise column looks useful.
    loss : str, callable or None
        As for `kaninterp.nn.resolve_loss`; None chooses by the target. Without a target the "loss" is the mean
        squared change of the outputs in units of their variance.
    rows : int
        Rows used at most, evenly spaced.
    repeats : int
        Shuffles averaged per column.
    seed : int
        Of the shuffles and of the bootstrap; global generators are not touched.

    Returns
    -------
    InputAblation
    SurvivalCurve

    Raises
    ------
    ModelError, DataError
        As for `trace`.
    """
    check_seed(seed)
    view = as_view(model, path)
    held = held_rows(prepared(model, data, target=target, feature_names=feature_names), rows)
    rng = np.random.default_rng(seed)
    boot = BlockBootstrap(held.n, held.block, rng)
    with untouched(model):
        probe = _Probe(model, view, held, loss=loss, rng=rng, repeats=repeats)
        reads, norms = _readers(model, held)
        reads = _confirmed(probe, reads)
        change, shares = _one_by_one(probe, reads, progress)
        curve = _curve(probe, boot, change.mean(0), reads, progress)
    low, high = boot.interval(change)
    ablation = InputAblation(
        names=held.columns.names,
        loss=probe.loss_name,
        rows=held.n,
        block=boot.block,
        repeats=repeats,
        base=boot.estimate(probe.base),
        change=change.mean(0),
        low=low,
        high=high,
        p_value=np.where(reads, boot.p_values(change), 1.0),
        reads=reads,
        norms=norms,
        node_shares=shares,
    )
    return ablation, curve


class _Probe:
    """The intact model on the held rows, and the same with some columns shuffled."""

    def __init__(
        self,
        model: nn.Module,
        view: ModelView,
        held: Rows,
        *,
        loss: Loss,
        rng: np.random.Generator,
        repeats: int,
    ) -> None:
        self.model, self.view, self.held = model, view, held
        self.orders = [torch.from_numpy(_derangement(held.n, rng)) for _ in range(repeats)]
        output, self.nodes = self._run(held.batch)
        self._losses, self.loss_name = row_losses(loss, held.batch.target, output)
        self.base = self._losses(output)

    def shuffled(self, columns: Sequence[int]) -> tuple[Array, list[Array]]:
        """Per-row rise of the loss, and per node the mean squared change, averaged over the shuffles."""
        rise = np.zeros(self.held.n)
        moved = [np.zeros(values.shape[1]) for values in self.nodes]
        for order in self.orders:
            output, nodes = self._run(_with_shuffled(self.held, columns, order))
            rise += (self._losses(output) - self.base) / len(self.orders)
            for layer, (before, after) in enumerate(zip(self.nodes, nodes, strict=True)):
                moved[layer] += ((after - before) ** 2).double().mean(0).cpu().numpy() / len(self.orders)
        return rise, moved

    def _run(self, batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        outputs, heads = [], []
        for start in range(0, batch.n_rows, CHUNK):
            output, head = run(self.model, self.view, batch.rows(slice(start, start + CHUNK)))
            outputs.append(output)
            heads.append(head)
        return torch.cat(outputs), self.view.activations(torch.cat(heads))


def _one_by_one(probe: _Probe, reads: BoolArray, progress: bool) -> tuple[Array, tuple[Array, ...]]:
    """Rise of the loss per row and column, (n, F), and shares of every node, one (n_l, F) per layer."""
    count = len(reads)
    change = np.zeros((probe.held.n, count))
    shares = [np.zeros((values.shape[1], count)) for values in probe.nodes]
    spreads = [values.double().var(0, unbiased=False).cpu().numpy() for values in probe.nodes]
    steps = tqdm(np.flatnonzero(reads), desc="ablation", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    for column in steps:
        change[:, column], moved = probe.shuffled([int(column)])
        for share, squares, spread in zip(shares, moved, spreads, strict=True):
            share[:, column] = np.divide(squares, 2 * spread, out=np.zeros_like(squares), where=spread > 0)
    return change, tuple(shares)


def _curve(probe: _Probe, boot: BlockBootstrap, rise: Array, reads: BoolArray, progress: bool) -> SurvivalCurve:
    """Loss with the best k columns intact and the others shuffled together."""
    order = np.lexsort((np.arange(len(rise)), -rise, ~reads))
    losses = [np.array([])] * (len(order) + 1)
    steps = tqdm(range(len(order) + 1), desc="curve", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    alive = int(reads.sum())
    for kept in steps:
        if kept >= alive:  # what is left is not read at all
            losses[kept] = probe.base
            continue
        losses[kept] = probe.base + probe.shuffled([int(c) for c in order[kept:alive]])[0]
    stacked = np.stack(losses, axis=1)
    low, high = boot.interval(stacked)
    allowed = probe.base.mean() + boot.standard_error(probe.base)
    # smallest k from which on every loss is within one standard error of the intact model
    within = stacked.mean(0) <= allowed
    chosen = len(order) - int(np.argmin(within[::-1])) + 1 if not within.all() else 0
    return SurvivalCurve(order=order, loss=stacked.mean(0), low=low, high=high, chosen=min(chosen, len(order)))


def _readers(model: nn.Module, held: Rows) -> tuple[BoolArray, Array]:
    """Which columns the model can read at all, and the norm of their first weights (NaN: there are none to see)."""
    few = held.batch.rows(slice(0, 4))
    found = entries(model, few.arguments)
    keys = few.places
    squares = np.zeros(len(held.columns.places))
    known, found_at_all = np.ones(len(squares), dtype=bool), np.zeros(len(squares), dtype=bool)
    for number, (which, position) in enumerate(held.columns.places):
        for entry in found:
            if entry.key != keys[which] or position not in entry.columns:
                continue
            found_at_all[number] = True
            if entry.kind == "other":
                known[number] = False
                continue
            norms = column_norms(model.get_submodule(entry.path)).detach().double().cpu().numpy()
            squares[number] += sum(norms[i] ** 2 for i, c in enumerate(entry.columns) if c == position)
    norms_out = np.where(known & found_at_all, np.sqrt(squares), np.nan)
    reads = ~known | (squares > 0)
    return reads, norms_out


def _confirmed(probe: _Probe, reads: BoolArray) -> BoolArray:
    """Take a column for unread only if shuffling all such columns changes no output by one bit (law 5)."""
    unread = [int(column) for column in np.flatnonzero(~reads)]
    if not unread:
        return reads
    changed, _ = probe.shuffled(unread)
    return reads if not changed.any() else np.ones_like(reads)


def _with_shuffled(held: Rows, columns: Sequence[int], order: Tensor) -> Batch:
    inputs = list(held.batch.inputs)
    for which in {held.columns.places[column][0] for column in columns}:
        positions = [held.columns.places[c][1] for c in columns if held.columns.places[c][0] == which]
        changed = inputs[which].clone()
        changed[..., positions] = changed[order][..., positions]
        inputs[which] = changed
    return Batch(inputs=tuple(inputs), keys=held.batch.keys, target=held.batch.target)


def _derangement(rows: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A random order in which no row stays in its place (Sattolo 1986), so that every row is really changed."""
    order = np.arange(rows)
    for last in range(rows - 1, 0, -1):
        other = int(rng.integers(0, last))
        order[last], order[other] = order[other], order[last]
    return order
