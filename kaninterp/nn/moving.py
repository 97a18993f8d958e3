"""Domains that follow their inputs during training: decayed histograms decide, the function is kept.

The idea is AdaptKAN's (arXiv 2511.08570): a histogram of every input of a layer drives its grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kaninterp.nn.decayed import count, gaps, rebinned
from kaninterp.nn.moves import Move
from kaninterp.nn.room import PACES, next_pace, resizes, wanted_moves, whole_cells

if TYPE_CHECKING:
    from kaninterp.nn.layer import KANLayer

__all__ = ["MovingDomain", "still"]

EVERY = 4
"""Training passes per look."""

HURRY = 2
"""Training passes per look while a cell waits to go round: a batch without far values will let it."""

DECAY = 0.8
"""Weight of the past per look: a batch counts half after three looks."""

TAIL = 5e-3
"""Share of the histogram cut off at each end."""

TRIES = 8
"""Times that a whole cell is tried in a hurry."""

REST = 16
"""Looks that pass after that, or after the smallest step was too large, before something is tried again."""

LEAST_ROWS = 8
"""Smaller batches are counted but too few to judge a move."""

MOST_ROWS = 256
"""So many rows of a batch, evenly spaced, are looked at."""


class MovingDomain:
    """Watches the inputs of one layer and moves its domain when they go; see Notes.

    Attributes
    ----------
    shares : Tensor, shape (in, bins), or None
        Decayed histogram, see `kaninterp.nn.decayed`; it is in no state dict and starts anew where the domain is set
        by hand, loaded or converted.
    moves : int
        Looks so far that moved a domain.

    Notes
    -----
    Of every domain `kaninterp.nn.room.ROOM` cells are kept free, so that inputs which wander find cells before them
    while one behind them is empty: it goes to the other end, and every function stays bit by bit what it was where
    data lie. Where the width is wrong, or data left before a cell could go round, ends move by parts of a cell and
    coefficients are fitted by least squares where the histogram has data. Either way a move is made only if no node
    changes by more than `kaninterp.nn.moves.TOLERANCE` of its standard deviation on the batch at hand; steps become
    smaller until that holds, so a growing spread is followed slowly. Free cells cost resolution: ``grid=7`` has about
    as many under the data as ``grid=5`` without this option.

    A domain moves at the start of a training pass, and only if the weights were written since the last one (an
    optimiser's step, seen by the version counter of the tensor): a graph that still needs the old weights has then
    been made void by the step already. So nothing moves between forward and backward, within accumulated gradients,
    in the second pass of checkpointing or after a step that a gradient scaler skipped. Nothing moves in evaluation,
    inference mode, compiled graphs and function transforms, nor with several processes, since each would move its own
    way (there all call `KANHead.update`). Moments of Adam stay where they are. An optimiser that puts earlier weights
    back within a step, as LBFGS does, does not go with it, nor does an average of weights that leaves buffers out.

    Measured with ``python -m pytest tests/benchmarks/test_moving_domain.py -q -s -p no:xdist``, seeds 0-4, one CPU
    thread. The loss of the batch at hand never jumped by more than 4.3e-4 of itself at a move; refits every 10 steps
    made it jump by up to .46. Held-out error, in standard deviations of the target, median:

    ==================  ==========  ===========  ======
    inputs              left alone  every 10     moving
    ==================  ==========  ===========  ======
    mean moves          .210        .122         .039
    scale grows         .552        .310         .474
    rare far values     .808        .616         .626
    mean moves, deep    .086        .048         .029
    inputs stay, deep   .053        .069         .036
    ==================  ==========  ===========  ======

    A training step of a (64, 8, 1) head takes 1.6 (inputs stay) to 1.9 times (they drift) as long with 64 rows, 1.3
    with 1024; under an LSTM of 32 units and 24 steps 1.4 to 1.5 times with 64 rows, 1.02 to 1.04 with 1024.
    """

    def __init__(self) -> None:
        self.shares: Tensor | None = None
        self.moves = 0
        self._ends: Tensor | None = None
        self._pace = self._rest = self._tries = self._last = self._resizing = self._refused = torch.empty(0)
        self._passes = 0
        self._hurry = False
        self._version: int | None = None

    @torch.no_grad()
    def see(self, layer: KANLayer, rows: Tensor) -> None:
        """Take note of a training batch (n, in) of a layer; move its domain if that is due and safe."""
        if torch.compiler.is_compiling() or torch.is_inference_mode_enabled() or not rows.numel():
            return
        self._passes += 1
        if self._passes >= (HURRY if self._hurry else EVERY) and self._safe(layer):
            self._passes = 0
            with torch.autocast(rows.device.type, enabled=False):  # half precision could not judge a move
                step = max(1, math.ceil(rows.shape[0] / MOST_ROWS))
                self._look(layer, rows[::step].to(layer.knots.dtype))
        self._version = layer.weight._version

    def _look(self, layer: KANLayer, rows: Tensor) -> None:
        where, grid = layer.placement, layer.grid
        seen = count(rows, where.lo, where.per_unit, grid)
        if self.shares is None or self._ends is None or not _same(self._ends, layer.domain):
            self.shares, self._ends = torch.zeros_like(seen), layer.domain
            self._pace = torch.full_like(where.lo, PACES[1] / 64)
            self._rest, self._tries, self._last = (torch.zeros_like(where.lo) for _ in range(3))
            self._resizing = self._refused = torch.zeros_like(where.lo, dtype=torch.bool)
        self.shares.mul_(DECAY).add_(seen, alpha=1 - DECAY)
        free = gaps(self.shares, grid, TAIL)
        self._resizing = resizes(free, grid, self._resizing)
        ends = wanted_moves(
            free, grid, resizing=self._resizing, last=self._last, refused=self._refused, pace=self._pace
        )
        self._rest -= 1
        ends = torch.where(_resolved(layer.domain, grid) & (self._rest <= 0), ends, 0.0)
        if rows.shape[0] >= LEAST_ROWS and bool(ends.any()):
            self._try(layer, rows, ends.to(layer.knots.dtype))
        self._hurry = bool((self._refused & (self._rest <= 0)).any())

    def _safe(self, layer: KANLayer) -> bool:
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        if several and torch.distributed.get_world_size() > 1:
            return False
        written = self._version is not None and layer.weight._version != self._version
        # a functional call may put a plain tensor of the user in the place of the parameter
        return written and type(layer.weight) is nn.Parameter

    def _try(self, layer: KANLayer, rows: Tensor, ends: Tensor) -> None:
        """Move the inputs whose functions stay what they were on the batch at hand."""
        assert self.shares is not None  # noqa: S101 - for the type checker
        inputs = ends.any(0).nonzero()[:, 0]
        move = Move(layer, inputs, ends[:, inputs], self.shares[inputs], rows)
        change = move.change_of_each() * math.sqrt(len(inputs))
        paces = self._pace[inputs]
        whole, fine = whole_cells(move.ends, -1, 1), change <= 1
        self._pace[inputs] = torch.where(whole, paces, next_pace(paces, change))
        self._refused[inputs] = whole & ~fine
        self._tries[inputs] = torch.where(whole, self._tries[inputs] + 1, self._tries[inputs]) * ~(whole & fine)
        useless = ~fine & torch.where(whole, self._tries[inputs] >= TRIES, paces <= PACES[0])
        self._rest[inputs] = useless.to(paces.dtype) * REST
        if not bool(fine.any()):
            return
        if move.change_of_all(fine) > 1:
            self._pace[inputs] = (paces / 2).clamp(*PACES)
            return
        self._accept(layer, move, fine)

    def _accept(self, layer: KANLayer, move: Move, fine: Tensor) -> None:
        assert self.shares is not None  # noqa: S101 - for the type checker
        move.make(layer, fine)
        inputs, ends = move.inputs[fine], move.ends[:, fine]
        whole = whole_cells(ends, -1, 1)
        self._last[inputs[whole]] = ends[0, whole]
        self.shares[inputs] = rebinned(self.shares[inputs], ends, layer.grid)
        self._ends = layer.domain
        self.moves += 1


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Hold every domain of a model where it is; they follow their inputs again afterwards.

    Examples
    --------
    >>> from kaninterp.nn.layer import KANLayer
    >>> layer = KANLayer(1, 1, domain=(0.0, 1.0), moving_domain=True)
    >>> with still(layer):
    ...     for _ in range(20):
    ...         _ = layer(torch.rand(50, 1) + 3), layer.weight.data.mul_(1)
    >>> layer.domain[:, 0].tolist()
    [0.0, 1.0]
    """
    layers: list[Any] = [module for module in model.modules() if getattr(module, "_mover", None) is not None]
    movers = [layer._mover for layer in layers]
    for layer in layers:
        layer._mover = None
    try:
        yield
    finally:
        for layer, mover in zip(layers, movers, strict=True):
            layer._mover = mover


def _same(one: Tensor, other: Tensor) -> bool:
    return one.device == other.device and one.dtype == other.dtype and torch.equal(one, other)


def _resolved(ends: Tensor, grid: int) -> Tensor:
    """Whether the dtype can tell the cells of a domain apart, and no smaller ones are asked for than it can."""
    info = torch.finfo(ends.dtype)
    return (ends[1] - ends[0]) / grid > torch.maximum(
        ends.abs().amax(0) * info.eps * 1e3, ends.new_tensor(info.tiny * 1e6)
    )
