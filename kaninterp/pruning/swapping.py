"""The swap test: take a survivor away, train a copy on, and see whether a dropped column takes its place."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.analysis import Analysis
from kaninterp.core import Estimate, KanInterpError
from kaninterp.core.counts import check_whole
from kaninterp.core.errors import DataError, ShapeError
from kaninterp.core.evidence import CORRELATED
from kaninterp.core.frozen import Array
from kaninterp.core.substitutes import Swap, SwapTest
from kaninterp.data import Batch, check_seed, time_split
from kaninterp.measure.association import smooth_r2
from kaninterp.measure.bootstrap import BlockBootstrap, block_length
from kaninterp.measure.fills import derangement, with_shuffled
from kaninterp.measure.host import outputs, untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.node_lags import column_means
from kaninterp.measure.rows import Rows, held_rows
from kaninterp.measure.smooth import Fit, Smooth, fitted
from kaninterp.measure.tracing import PROGRESS_DELAY, prepared
from kaninterp.pruning.substitutes import Substitute, replaced
from kaninterp.pruning.teaching import Lesson, taught
from kaninterp.training import fit

__all__ = ["swaps", "won_back"]

DEFAULT_ROWS = 1500
"""Rows used at most, evenly spaced; the last part of them judges."""

FIT = 0.6
"""Share of the rows, the first ones, that the copy is trained on."""

MOST = 4
"""Swaps carried out, strongest association first: each trains a copy."""

EPOCHS = 12
"""Passes over the rows of the refit."""

STEP_ROWS = 64
"""Rows of one step of the refit."""

LEAST_ROWS = 60
"""Fewer rows leave too few to train on and to judge by."""

ASSOCIATED = CORRELATED**2
"""Share of a survivor's variance that a dropped column must say to be its substitute: as `CORRELATED` asks of a line,
of a curve."""

CAUSES = frozenset({"noise", "weak", "redundant", "zero-weight", "masked"})
"""Causes of a drop that a substitute may be behind."""

REPEATS = 2
"""Shuffles of the dropped column, averaged."""

SMALLEST = 1e-9
"""Mean loss of a draw, against the mean size of the losses, from which a share of it can be taken."""

NOTHING = Estimate(value=0.0, low=0.0, high=0.0)


def swaps(
    model: nn.Module,
    analysis: Analysis,
    data: Any,
    *,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    rows: int = DEFAULT_ROWS,
    most: int = MOST,
    epochs: int = EPOCHS,
    seed: int = 0,
    progress: bool = True,
) -> tuple[Swap, ...]:
    """Who replaced each dropped column, and whether the column would come back in its place.

    Dropped columns are paired with the survivor that they say most about. The closest pairs are then put to the test:
    the survivor is held at its mean, a copy of the model is trained on with the dropped column, and later rows show how
    much of the lost accuracy is won back. All other dropped columns stay at their means, so that none of them can help.

    Parameters
    ----------
    model : nn.Module
        Left bit-identical: copies are trained.
    analysis : Analysis
        Of the same model and columns: its verdicts say what is dropped.
    data, target
        As for `trace`, in the order of time. Without a target the copy is trained towards the model's own outputs.
    loss
        As for `kaninterp.measure.ablate`.
    feature_names : sequence of str, optional
        As for the trace of the analysis.
    rows : int
        Rows used at most, evenly spaced: the first `FIT` of them train, the rest judges.
    most : int
        Pairs tested at most; the others have the association alone.
    epochs : int
        Passes of the refit over its rows.
    seed : int
        Of shuffles, refit and bootstrap; the global generators are not touched.

    Returns
    -------
    tuple of Swap
        One per dropped column that has a substitute (`ASSOCIATED`), closest first.

    Raises
    ------
    ShapeError
        The analysis is of other columns.
    InputError, InputTypeError
        Rows, pairs, epochs or a seed that are not allowed.
    ModelError, DataError
        As for `trace`.

    Notes
    -----
    The copy starts with the survivor's weights on the dropped column (`kaninterp.pruning.teaching`), so that few passes
    do. A column that was cut out physically, or a model that cannot be trained, leaves the test without a refit: a line
    of the dropped column stands in for the survivor. Where the survivor can go at no sure loss, nothing is trained.
    `Swap.test` says which it was.
    """
    check_seed(seed)
    check_whole("most", most, 0)
    check_whole("epochs", epochs)
    held = held_rows(prepared(model, data, target=target, feature_names=feature_names), rows)
    raw = analysis.trace.raw
    if raw is None or not analysis.verdicts:
        return ()
    if raw.names != held.columns.names:
        raise ShapeError(
            f"analysis: of columns {raw.names[:5]}, the data have {held.columns.names[:5]}; use the same data and "
            "feature_names"
        )
    pairs = _pairs(analysis, held)
    bench = _bench(model, held, analysis, loss=loss, epochs=epochs, seed=seed) if pairs else None
    found = []
    steps = tqdm(pairs, desc="swaps", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    for number, pair in enumerate(steps):
        found.append(pair if bench is None or number >= most else bench.tested(pair))
    return tuple(found)


def _pairs(analysis: Analysis, held: Rows) -> list[Swap]:
    """Each dropped column with the survivor that it says most about, closest first; nothing tested yet."""
    raw = analysis.trace.raw
    assert raw is not None  # noqa: S101 - the caller has looked
    staying = [v.index for v in analysis.verdicts if v.survives != "drop" and not raw.nodes.constant[v.index]]
    dropped = [v.index for v in analysis.verdicts if v.survives == "drop" and v.cause in CAUSES]
    if not staying or not dropped:
        return []
    last: Array = held.columns.values(held.batch)[:, -1].detach().double().cpu().numpy()
    found = []
    for index in dropped:
        if raw.nodes.constant[index]:
            continue
        curves = smooth_r2(last[:, index], last[:, staying])
        lines = raw.correlation[index, staying]
        best = int(np.argmax(np.maximum(curves, lines**2)))
        pair = Swap(
            dropped=raw.names[index], survivor=raw.names[staying[best]], dropped_index=index,
            survivor_index=staying[best], correlation=float(lines[best]), smooth_r2=float(curves[best]), test="none",
            loss="", lost=NOTHING, recovered=NOTHING, others=NOTHING, rise=NOTHING, rows=0, held_out=0, epochs=0,
        )  # fmt: skip
        if pair.association >= ASSOCIATED:
            found.append(pair)
    return sorted(found, key=lambda pair: (-round(pair.association, 6), pair.dropped_index))


def _bench(model: nn.Module, held: Rows, analysis: Analysis, *, loss: Loss, epochs: int, seed: int) -> _Bench | None:
    """Rows to train on and to judge by, and the loss of the intact model there; None where rows are too few."""
    gap = int(np.ceil(held.columns.lags / held.spacing)) if held.columns.lags > 1 else 0
    try:
        first, last = time_split(held.n, (FIT, 1 - FIT), gap=gap)
    except DataError:
        return None
    if held.n < LEAST_ROWS:
        return None
    parts = held.batch.rows(first), held.batch.rows(last)
    dropped = frozenset(v.index for v in analysis.verdicts if v.survives == "drop")
    own = [float(mean) for x in column_means(replace(held, batch=parts[0])) for mean in x]
    means = {i: Substitute(intercept=mean) for i, mean in enumerate(own)}
    intact = replaced(parts[1], held.columns, {i: means[i] for i in dropped})
    with untouched(model):
        output = outputs(model, intact)
        wanted = outputs(model, replaced(parts[0], held.columns, {i: means[i] for i in dropped}))
    losses, name = row_losses(loss, parts[1].target, output)
    block = block_length(parts[1].n_rows, held.columns.lags, held.spacing)
    return _Bench(
        model=model, held=held, train=parts[0], judge=parts[1], wanted=wanted, dropped=dropped, means=means,
        losses=losses, name=name, base=losses(output), asked=loss, epochs=epochs, seed=seed,
        boot=BlockBootstrap(parts[1].n_rows, block, np.random.default_rng(seed)),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """Where swaps are carried out."""

    model: nn.Module
    held: Rows
    train: Batch
    judge: Batch
    wanted: Tensor
    dropped: frozenset[int]
    means: Mapping[int, Substitute]
    losses: Any
    name: str
    base: Array
    asked: Loss
    epochs: int
    seed: int
    boot: BlockBootstrap
    alone: dict[int, Estimate] = field(default_factory=dict)

    def tested(self, pair: Swap) -> Swap:
        """The pair with what came of the swap."""
        columns, survivor, dropped = self.held.columns, pair.survivor_index, pair.dropped_index
        fall = self._loss(self.model, self._world(self.judge, survivor)) - self.base
        pair = replace(pair, loss=self.name, lost=self.boot.estimate(fall), held_out=self.judge.n_rows)
        if pair.lost.low <= 0:
            return replace(pair, test="nothing-lost")
        new = self._refitted(pair, learns=True)
        if new is not None:
            test: SwapTest = "refit"
            rows = self._world(self.judge, survivor, alive=dropped)
        elif columns.places[dropped][0] == columns.places[survivor][0]:
            test, new = "stand-in", self.model
            rows = self._world(self.judge, survivor, alive=dropped, line=self._line(pair))
        else:
            return replace(pair, loss="", lost=NOTHING, held_out=0)
        after = self._loss(new, rows) - self.base
        trained = test == "refit"
        return replace(
            pair, test=test, recovered=won_back(self.boot, fall, fall - after),
            others=self._others(pair, fall) if trained else NOTHING,
            rise=self.boot.estimate(self._shuffled(new, pair, test) - after - self.base),
            rows=self.train.n_rows if trained else 0, epochs=self.epochs if trained else 0,
        )  # fmt: skip

    def _others(self, pair: Swap, fall: Array) -> Estimate:
        """What the same refit wins back with the dropped column at its mean; one refit per survivor."""
        survivor = pair.survivor_index
        if survivor not in self.alone:
            new = self._refitted(pair, learns=False)
            self.alone[survivor] = NOTHING if new is None else won_back(
                self.boot, fall, fall + self.base - self._loss(new, self._world(self.judge, survivor))
            )  # fmt: skip
        return self.alone[survivor]

    def _world(self, batch: Batch, survivor: int, alive: int | None = None, line: Substitute | None = None) -> Batch:
        """The rows with dropped columns at their means, but for one; the survivor at its mean, or a line instead."""
        held = {i: self.means[i] for i in (self.dropped | {survivor}) - {alive}}
        if line is not None:
            held[survivor] = line
        return replaced(batch, self.held.columns, held)

    def _loss(self, model: nn.Module, batch: Batch) -> Array:
        with untouched(model):
            found: Array = self.losses(outputs(model, batch))
        return found

    def _shuffled(self, model: nn.Module, pair: Swap, test: SwapTest) -> Array:
        """Loss with the dropped column shuffled, where it has taken the survivor's place."""
        rng = np.random.default_rng(self.seed)
        line = self._line(pair) if test == "stand-in" else None
        total = np.zeros(self.judge.n_rows)
        for _ in range(REPEATS):
            order = torch.from_numpy(derangement(self.judge.n_rows, rng))
            mixed = with_shuffled(replace(self.held, batch=self.judge), [pair.dropped_index], order)
            total += self._loss(model, self._world(mixed, pair.survivor_index, pair.dropped_index, line))
        return total / REPEATS

    def _line(self, pair: Swap) -> Substitute:
        """The survivor as a line of the dropped column, on the rows to train on."""
        x, y = self._both(pair)
        slope = float(((x - x.mean()) * (y - y.mean())).mean() / x.var()) if x.var() > 0 else 0.0
        return Substitute(others=(pair.dropped_index,), weights=(slope,), intercept=float(y.mean() - slope * x.mean()))

    def _both(self, pair: Swap) -> tuple[Array, Array]:
        """Values of the two columns over all rows to train on, and all time steps."""
        values = self.held.columns.values(self.train).detach().double().cpu().numpy()
        return values[..., pair.dropped_index].ravel(), values[..., pair.survivor_index].ravel()

    def _lesson(self, pair: Swap) -> Lesson:
        x, y = self._both(pair)
        splines = Smooth(x[:, None])
        return Lesson(
            pupil=pair.dropped_index, teacher=pair.survivor_index,
            curve=_curve(splines, fitted(splines.basis(x, 0), y)), slope=self._line(pair).weights[0],
            means=(float(x.mean()), float(y.mean())),
        )  # fmt: skip

    def _refitted(self, pair: Swap, *, learns: bool) -> nn.Module | None:
        """A copy trained without the survivor; None where it cannot be trained, or cannot learn the dropped column."""
        rows = self._world(self.train, pair.survivor_index, alive=pair.dropped_index if learns else None)
        target = self.train.target if self.train.target is not None else self.wanted
        loss = self.asked if self.train.target is not None else None
        try:
            new = copy.deepcopy(self.model)
            for parameter in new.parameters():
                parameter.grad = None
            if learns and not taught(new, self.train, self.held.columns, self._lesson(pair), seed=self.seed):
                return None
            given: Any = rows.inputs[0] if rows.keys is None and len(rows.inputs) == 1 else rows.arguments
            fit(
                new, (given, target), epochs=self.epochs, batch_size=STEP_ROWS, loss=loss, seed=self.seed,
                progress=False,
            )  # fmt: skip
        except (KanInterpError, RuntimeError, TypeError):  # cannot be copied or trained: the line has to do
            return None
        return new


def won_back(boot: BlockBootstrap, lost: Array, won: Array) -> Estimate:
    """Mean won over mean lost, with its interval, from values per row; draws in which nothing was lost say nothing.

    Examples
    --------
    >>> lost = np.array([1.0, 3.0, 2.0, 2.0])
    >>> print(won_back(BlockBootstrap(4, 1, np.random.default_rng(0)), lost, lost / 2))
    0.5 [0.5, 0.5]
    """
    drawn = boot.means(np.stack([lost, won], axis=1))
    drawn = drawn[drawn[:, 0] > SMALLEST * np.abs(lost).mean()]
    low, high = np.quantile(drawn[:, 1] / drawn[:, 0], [0.025, 0.975])
    return Estimate(value=float(won.mean() / lost.mean()), low=float(low), high=float(high))


def _curve(splines: Smooth, found: Fit) -> Any:
    def curve(values: Tensor) -> Tensor:
        flat = values.detach().double().cpu().numpy().ravel()
        return torch.as_tensor(found(splines.basis(flat, 0)), dtype=values.dtype, device=values.device)

    return curve
