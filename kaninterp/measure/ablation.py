"""What it costs to lose a raw column: take it away, leave the rest, measure the loss and every node (model-agnostic).

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
from kaninterp.core import InputAblation, SurvivalCurve
from kaninterp.core.counts import check_whole
from kaninterp.core.frozen import Array, BoolArray, floats
from kaninterp.data import Batch, check_seed
from kaninterp.measure.bootstrap import BlockBootstrap
from kaninterp.measure.fills import Fill, check_fill, with_shuffled
from kaninterp.measure.host import CHUNK, run, untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.rows import Rows, held_rows
from kaninterp.measure.tracing import PROGRESS_DELAY, prepared
from kaninterp.nn import column_norms, entries

__all__ = ["Ablated", "ablate", "ablated", "readers"]

DEFAULT_ROWS = 2000
"""Rows evaluated, evenly spaced over the data; the interval says what they are worth."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ablated:
    """What losing each column costs, row by row.

    Attributes
    ----------
    ablation : InputAblation
        Means and intervals.
    curve : SurvivalCurve
        Losing one after the other.
    rises : ndarray, shape (rows, F)
        Rise of the loss of each row, averaged over the repeats; 0 for a column that the model cannot read.
    """

    ablation: InputAblation
    curve: SurvivalCurve
    rises: Array


def ablate(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    fill: str = "permuted",
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
    fill : {"permuted", "conditional", "mean", "zero"}
        What stands in the place of a column that is taken away; see `kaninterp.measure.fills`.
    rows : int
        Rows used at most, evenly spaced.
    repeats : int
        Shuffles averaged per column; fills without chance need one.
    seed : int
        Of the shuffles and of the bootstrap; global generators are not touched.

    Returns
    -------
    InputAblation
    SurvivalCurve

    Raises
    ------
    InputError, InputTypeError
        No such fill; rows or repeats that are not allowed.
    ModelError, DataError
        As for `trace`.
    """
    found = ablated(
        model, data, target=target, loss=loss, feature_names=feature_names, path=path, fill=fill, rows=rows,
        repeats=repeats, seed=seed, progress=progress,
    )  # fmt: skip
    return found.ablation, found.curve


def ablated(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    fill: str = "permuted",
    rows: int = DEFAULT_ROWS,
    repeats: int = 2,
    seed: int = 0,
    progress: bool = True,
) -> Ablated:
    """As `ablate`, with the rise of every row beside the means.

    Returns
    -------
    Ablated

    Raises
    ------
    InputError, ModelError, DataError
        As for `ablate`.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> found = ablated(ki.KANHead(2, 1), torch.randn(50, 2), progress=False)
    >>> found.rises.shape, bool(np.allclose(found.rises.mean(0), found.ablation.change))
    ((50, 2), True)
    """
    check_seed(seed)
    check_fill(fill)
    check_whole("repeats", repeats)
    view = as_view(model, path)
    held = held_rows(prepared(model, data, target=target, feature_names=feature_names), rows)
    rng = np.random.default_rng(seed)
    boot = BlockBootstrap(held.n, held.block, rng)
    with untouched(model):
        probe = _Probe(model, view, Fill.of(held, fill, repeats, rng), loss=loss)
        reads, norms = readers(model, held)
        reads = _confirmed(probe, reads)
        change, shares = _one_by_one(probe, reads, progress)
        curve = _curve(probe, boot, change.mean(0), reads, progress)
    low, high = boot.interval(change)
    ablation = InputAblation(
        names=held.columns.names,
        loss=probe.loss_name,
        rows=held.n,
        block=boot.block,
        repeats=len(probe.fill.orders),
        fill=fill,
        base=boot.estimate(probe.base),
        change=change.mean(0),
        low=low,
        high=high,
        p_value=np.where(reads, boot.p_values(change), 1.0),
        reads=reads,
        norms=norms,
        node_shares=shares,
    )
    return Ablated(ablation=ablation, curve=curve, rises=floats(change, change.shape, "Ablated.rises"))


class _Probe:
    """The intact model on the held rows, and the same without some columns."""

    def __init__(self, model: nn.Module, view: ModelView, fill: Fill, *, loss: Loss) -> None:
        held = fill.held
        self.model, self.view, self.held, self.fill = model, view, held, fill
        output, self.nodes = self._run(held.batch)
        self._losses, self.loss_name = row_losses(loss, held.batch.target, output)
        self.base = self._losses(output)

    def without(self, columns: Sequence[int]) -> tuple[Array, list[Array]]:
        """Per-row rise of the loss, and per node the mean squared change, averaged over the repeats."""
        rise = np.zeros(self.held.n)
        moved = [np.zeros(values.shape[1]) for values in self.nodes]
        for order in self.fill.orders:
            output, nodes = self._run(self.fill.without(columns, order))
            rise += (self._losses(output) - self.base) / len(self.fill.orders)
            for layer, (before, after) in enumerate(zip(self.nodes, nodes, strict=True)):
                moved[layer] += ((after - before) ** 2).double().mean(0).cpu().numpy() / len(self.fill.orders)
        return rise, moved

    def shuffled(self, columns: Sequence[int]) -> Array:
        """Per-row rise of the loss when columns are shuffled, whatever the fill is."""
        output, _ = self._run(with_shuffled(self.held, columns, self.fill.orders[0]))
        return np.asarray(self._losses(output) - self.base)

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
    pair = 2 if probe.fill.by_chance else 1  # two independent draws differ by twice the variance
    steps = tqdm(np.flatnonzero(reads), desc="ablation", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    for column in steps:
        change[:, column], moved = probe.without([int(column)])
        for share, squares, spread in zip(shares, moved, spreads, strict=True):
            share[:, column] = np.divide(squares, pair * spread, out=np.zeros_like(squares), where=spread > 0)
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
        losses[kept] = probe.base + probe.without([int(c) for c in order[kept:alive]])[0]
    stacked = np.stack(losses, axis=1)
    low, high = boot.interval(stacked)
    allowed = probe.base.mean() + boot.standard_error(probe.base)
    # smallest k from which on every loss is within one standard error of the intact model
    within = stacked.mean(0) <= allowed
    chosen = len(order) - int(np.argmin(within[::-1])) + 1 if not within.all() else 0
    return SurvivalCurve(order=order, loss=stacked.mean(0), low=low, high=high, chosen=min(chosen, len(order)))


def readers(model: nn.Module, held: Rows) -> tuple[BoolArray, Array]:
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
    return reads if not probe.shuffled(unread).any() else np.ones_like(reads)
