"""Deletion and insertion: shuffling what the explanation calls important must hurt more than a random order.

Petsiuk, Das & Saenko (2018, arXiv 1806.07421) for the two curves. Their areas depend on the data and the model alone
as much as on the explanation, so they are held against random orders, and against the best order known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.core.frozen import Array, BoolArray, IntArray
from kaninterp.core.trust import TrustReading
from kaninterp.data import Batch
from kaninterp.measure.bootstrap import LEVEL, BlockBootstrap, quotients
from kaninterp.measure.cells import Cell, cells_of, labels_of, places_in, weights_of
from kaninterp.measure.fills import derangement
from kaninterp.measure.host import outputs
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.rows import Rows
from kaninterp.measure.tracing import PROGRESS_DELAY

__all__ = ["deletion_readings"]

STEPS = 12
"""Points of a curve: each costs one pass over the rows for every order."""

LEAST_CELLS = 4
"""Fewer parts have so few orders that a random one is often right."""

MARGIN = 1.0
"""Standard deviations of the random areas by which the best known order must be beyond their mean. Less: every order
does alike, as where all parts count the same."""


def deletion_readings(
    model: nn.Module,
    held: Rows,
    *,
    magnitude: Array,
    reads: BoolArray,
    loss: Loss,
    orders: int,
    rng: np.random.Generator,
    progress: bool = False,
) -> tuple[TrustReading, TrustReading]:
    """Areas under the curves of shuffling cells one after the other, in the order of the attribution.

    Cells are columns, or stretches of lags of a column where the model reads few. All of a step are shuffled together
    by one order of the rows. Without a target the loss is the change of the output.

    Parameters
    ----------
    model : nn.Module
        Call it inside `untouched`.
    held : Rows
        Rows of the data.
    magnitude : ndarray, shape (lags, columns)
        The attribution that is judged; lag 0 first.
    reads : ndarray of bool, shape (columns,)
        Columns that the model reads at all; the others take no part.
    loss : str, callable or None
        As for `kaninterp.nn.resolve_loss`.
    orders : int
        Random orders, half of them the other half reversed; at least 2.
    rng : numpy.random.Generator
        Of the shuffle, the random orders and the bootstrap.

    Returns
    -------
    deletion, insertion : TrustReading
        (area - mean area of random orders) over the same for the best order known: 0 is chance, 1 as good as it can
        be, below 0 worse than chance. Deletion shuffles the most important first, insertion gives them back first. The
        best order known is the attribution's, or that of what each cell costs alone, whichever is better. The interval
        is a block bootstrap over rows.

    Raises
    ------
    ModelError, DataError
        The model fails on shuffled rows, or the loss is no number there.
    """
    cells = cells_of(held, reads)
    if len(cells) < LEAST_CELLS:
        why = f"{int(reads.sum())} of {len(reads)} columns move the loss, which is too little to put in order"
        return tuple(TrustReading.unmeasured(check, why) for check in CHECKS)  # type: ignore[return-value]
    curves = _Curves(model, held, cells, loss=loss, order=torch.from_numpy(derangement(held.n, rng)))
    own = _descending(weights_of(cells, magnitude))
    alone = _descending(curves.alone().mean(0))
    half = [rng.permutation(len(cells)) for _ in range(max(1, orders // 2))]
    drawn = [*half, *(order[::-1] for order in half)]
    steps = tqdm(drawn, desc="random orders", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    random = np.stack([curves.area(order) for order in steps], axis=1)
    boot = BlockBootstrap(held.n, held.block, rng)
    effort = f"{held.n:,} rows, {len(cells)} parts of the input, {len(drawn)} random orders"
    first = _Areas(own=curves.area(own), alone=curves.area(alone), random=random)
    # given back first = shuffled last; a larger area is worse then, hence the sign
    last = _Areas(own=-curves.area(own[::-1]), alone=-curves.area(alone[::-1]), random=-random)
    return _reading("deletion", first, boot, effort), _reading("insertion", last, boot, effort)


CHECKS = ("deletion", "insertion")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Areas:
    """Areas per row, the larger the better: of the attribution's order, of another good one, of the random ones."""

    own: Array
    alone: Array
    random: Array


class _Curves:
    """The model on rows of which some cells are shuffled."""

    def __init__(self, model: nn.Module, held: Rows, cells: Sequence[Cell], *, loss: Loss, order: Tensor) -> None:
        self._model, self._batch, self._count = model, held.batch, len(cells)
        self._labels = labels_of(cells, held.batch)
        self._moved = {which: held.batch.inputs[which][order] for which in self._labels}
        intact = _explained(outputs(model, held.batch))
        target = held.batch.target
        if target is not None and intact.dim() > 2:
            target = target[:, -1:]
        self._losses = row_losses(loss, target, intact)[0]
        self._ends = self._losses(intact), self._without(np.arange(len(cells)))
        counts = np.round(np.linspace(0, len(cells), min(STEPS, len(cells)) + 1)).astype(int)
        # the same points from both ends, so that an order and its reverse share them
        self._points = np.unique(np.concatenate([counts, len(cells) - counts]))

    def alone(self) -> Array:
        """Rise of the loss of each row when one cell is shuffled, (rows, cells)."""
        return np.stack([self._without(np.array([c])) for c in range(self._count)], axis=1) - self._ends[0][:, None]

    def area(self, order: IntArray) -> Array:
        """Area under each row's loss, (rows,), as the cells are shuffled in this order; the axis is 0 to 1."""
        inner = [self._without(order[:k]) for k in self._points[1:-1]]
        heights = np.stack([self._ends[0], *inner, self._ends[1]])
        return np.asarray(np.diff(self._points) @ (heights[1:] + heights[:-1]) / (2 * self._count))

    def _without(self, gone: IntArray) -> Array:
        inputs = list(self._batch.inputs)
        chosen = np.isin(np.arange(self._count), gone)
        for which, labels in self._labels.items():
            inputs[which] = torch.where(places_in(chosen, labels), self._moved[which], inputs[which])
        shuffled = Batch(inputs=tuple(inputs), keys=self._batch.keys, target=None)
        return self._losses(_explained(outputs(self._model, shuffled)))


def _explained(values: Tensor) -> Tensor:
    """Of a model with an output per time step the last one, which is what the attribution explains."""
    return values[:, -1:] if values.dim() > 2 else values


def _descending(values: Array) -> IntArray:
    """Largest first; ties in the order of the cells."""
    return np.lexsort((np.arange(len(values)), -values))


def _reading(check: str, areas: _Areas, boot: BlockBootstrap, effort: str) -> TrustReading:
    best = areas.own if areas.own.mean() >= areas.alone.mean() else areas.alone
    chance, spread = areas.random.mean(1), float(areas.random.mean(0).std())
    gain, most = areas.own - chance, best - chance
    drawn = boot.means(np.stack([gain, most], axis=1))
    tail = (1 - LEVEL) / 2
    if not (most.mean() > MARGIN * spread and np.quantile(drawn[:, 1], tail) > 0):
        return TrustReading.unmeasured(
            check, "no order does better than a random one: all parts of the input count alike"
        )
    low, high = np.nanquantile(quotients(drawn[:, 0], drawn[:, 1]), [tail, 1 - tail])
    beaten = int((areas.random.mean(0) < areas.own.mean()).sum())
    return TrustReading(
        check=check,
        value=float(gain.mean() / most.mean()),
        low=float(low),
        high=float(high),
        chance=0.0,
        effort=f"{effort}, better than {beaten} of them",
    )
