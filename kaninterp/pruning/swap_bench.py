"""Carrying out a swap: the survivor goes, a copy of the model is trained on, later rows judge."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.core import Estimate, KanInterpError
from kaninterp.core.frozen import Array
from kaninterp.core.substitutes import Swap, SwapTest
from kaninterp.data import Batch
from kaninterp.measure.bootstrap import BlockBootstrap
from kaninterp.measure.fills import derangement, with_shuffled
from kaninterp.measure.host import outputs, untouched
from kaninterp.measure.losses import Loss
from kaninterp.measure.rows import Rows
from kaninterp.measure.smooth import Fit, Smooth, fitted
from kaninterp.pruning.substitutes import Substitute, replaced
from kaninterp.pruning.teaching import Lesson, taught
from kaninterp.training import fit

__all__ = ["NOTHING", "Bench", "won_back"]

STEP_ROWS = 64
"""Rows of one step of the refit."""

REPEATS = 2
"""Shuffles of the dropped column, averaged."""

SMALLEST = 1e-9
"""Mean loss of a draw, against the mean size of the losses, from which a share of it can be taken."""

NOTHING = Estimate(value=0.0, low=0.0, high=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
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
