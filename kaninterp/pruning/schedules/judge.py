"""Losses and costs of the models of a run: the same rows and the same bootstrap draws for all of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from torch import Tensor, nn

from kaninterp.core import Estimate
from kaninterp.core.frozen import Array
from kaninterp.data import Batch
from kaninterp.measure import BlockBootstrap, block_of
from kaninterp.measure.host import outputs, untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.pruning.efficiency import Efficiency, measure_efficiency
from kaninterp.pruning.held_out import Parts

__all__ = ["Judge", "read_numbers"]

EXAMPLE_ROWS, REPEATS = 64, 15
"""Rows of one call when its time is measured, and how often."""


class Judge:
    """Losses of models on the same rows, with the same bootstrap draws, and what they cost to run."""

    def __init__(self, model: nn.Module, parts: Parts, *, loss: Loss, rows: int, seed: int, efficiency: bool) -> None:
        self._batches = {"train": parts.train.sample(rows), "held_out": parts.held.sample(rows)}
        self._losses = {
            key: row_losses(loss, batch.target, _outputs(model, batch))[0] for key, batch in self._batches.items()
        }
        held = self._batches["held_out"]
        self._efficiency = efficiency
        self._boot = BlockBootstrap(held.n_rows, block_of(held, parts.held), np.random.default_rng(seed))

    def rows(self, model: nn.Module, part: str = "held_out") -> Array:
        """Loss of every row, (n,)."""
        return self._losses[part](_outputs(model, self._batches[part]))

    def standard_error(self, rows: Array) -> float:
        """Standard error of the mean of one quantity on the held-out rows."""
        return self._boot.standard_error(rows)

    def numbers(self, model: nn.Module) -> dict[str, Any]:
        """Losses, and cost if asked for, as plain numbers."""
        found: dict[str, Any] = {
            "train": float(self.rows(model, "train").mean()),
            "held_out": dataclasses.asdict(self._boot.estimate(self.rows(model))),
            "efficiency": None,
        }
        if self._efficiency:
            found["efficiency"] = dataclasses.asdict(_efficiency(model, self._batches["held_out"]))
        return found


def _outputs(model: nn.Module, batch: Batch) -> Tensor:
    with untouched(model):
        return outputs(model, batch)


def _efficiency(model: nn.Module, batch: Batch) -> Efficiency:
    return measure_efficiency(model, batch.rows(slice(0, EXAMPLE_ROWS)).as_data(), repeats=REPEATS)


def read_numbers(numbers: dict[str, Any]) -> tuple[dict[str, Any], Efficiency | None]:
    """Losses and cost from plain numbers."""
    losses = {"train": numbers["train"], "held_out": Estimate(**numbers["held_out"])}
    cost = numbers["efficiency"]
    return losses, None if cost is None else Efficiency(**cost)
