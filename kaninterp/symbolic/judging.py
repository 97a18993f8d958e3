"""Held-out rows as the judge of a head with formulas, and whether its formulas are defined where rows take them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kaninterp.adapters import as_view
from kaninterp.core.errors import DataError
from kaninterp.core.frozen import Array
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.nn import KANHead
from kaninterp.nn.formulas import formulas_of

__all__ = ["Judge", "Rows", "defined"]

RESOLUTION = 1e-6
"""Rise that counts as none, as a share of the loss of a constant: float32 knows no more."""
STANDARD_ERRORS = 2.0
"""Rise that counts as none in standard errors of the difference, row by row."""

Rows = tuple[Tensor, Tensor]


class Judge:
    """Losses on later rows, and whether they are as good as the first ones."""

    def __init__(self, head: KANHead, rows: Rows, loss: Loss, tolerance: float) -> None:
        self._x, target = rows
        output = self._output(head)
        self._losses, _ = row_losses(loss, target, output)
        self._first = self._losses(output)
        centre = output.mean(0, keepdim=True).expand_as(output)
        self._tolerance, self._least = tolerance, RESOLUTION * float(self._losses(centre).mean())
        self._allowed = tolerance * float(self._first.mean()) + self._least

    def _output(self, head: KANHead) -> Tensor:
        with torch.no_grad():
            output: Tensor = head(self._x)
            return output

    def rows(self, head: KANHead) -> Array:
        """Give the loss of every row."""
        return self._losses(self._output(head))

    def holds(self, head: KANHead, *, strictly: bool = False) -> bool:
        """Whether the loss has not risen by more than is allowed or chance makes it; strictly: not at all."""
        if not defined(head, self._x):
            return False
        try:
            rise = self.rows(head) - self._first
        except DataError:
            return False  # a loss that is no number
        if strictly:
            return float(rise.mean()) <= 0.0
        error = float(rise.std()) / math.sqrt(len(rise))
        # chance is an excuse only as far as it is small beside the loss itself
        chance = STANDARD_ERRORS * error if error <= float(self._first.mean()) else 0.0
        return float(rise.mean()) <= self._allowed + chance

    def alike(self, loss: float, best: float) -> bool:
        """Say whether a loss is as good as the best one, within the tolerance."""
        return loss <= best + self._tolerance * abs(best) + self._least

    @property
    def first(self) -> float:
        """Give the mean loss of the head that was there first."""
        return float(self._first.mean())


def defined(head: KANHead, x: Tensor) -> bool:
    """Whether every formula is defined wherever these rows take it: a log that was held at its edge is no log."""
    view = as_view(head)
    with torch.no_grad():
        nodes = view.activations(view.read(x))
    ranges = [torch.stack(torch.aminmax(values.double(), dim=0)).cpu().numpy() for values in nodes]
    return all(
        bool(formula.defined(ranges[depth][0][src], ranges[depth][1][src]))
        for (depth, _, src), formula in formulas_of(head).items()
    )
