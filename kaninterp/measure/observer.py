"""What is seen of rows in the order of time, beside their trace: how far they repeat each other, and their shape."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kaninterp.core.frozen import Array
from kaninterp.measure.persistence import Persistence
from kaninterp.measure.sketch import Sketch

__all__ = ["Observer"]


class Observer:
    """Takes the raw columns and the nodes of every batch, in the order of the rows.

    Parameters
    ----------
    columns : int
        Raw columns; 0 where there are none.
    widths : sequence of int
        Input nodes of each KAN layer.
    """

    def __init__(self, columns: int, widths: tuple[int, ...]) -> None:
        self.persistence, self.sketch = Persistence(columns), Sketch(columns)
        self.steps = 0
        self._nodes = tuple(Persistence(width) for width in widths)

    def add_columns(self, values: Tensor) -> None:
        """Take rows of raw columns, (n, steps, columns); the last step of each counts."""
        self.persistence.add(values[:, -1])
        self.sketch.add(values[:, -1])
        self.steps += len(values)

    def add_nodes(self, values: Sequence[Tensor]) -> None:
        """Take the inputs of every layer, each (n, width)."""
        for persistence, rows in zip(self._nodes, values, strict=True):
            persistence.add(rows)

    @property
    def effective(self) -> tuple[Array, ...]:
        """Independent rows per input node of each layer."""
        return tuple(persistence.effective for persistence in self._nodes)
