"""Rows of the user's data in memory, and what is known about their raw columns."""

from __future__ import annotations

from dataclasses import dataclass

from kaninterp.core import ModelError
from kaninterp.core.counts import check_whole
from kaninterp.data import Batch, Batches, preserved_rng
from kaninterp.measure.bootstrap import block_length
from kaninterp.measure.host import Columns

__all__ = ["Rows", "held_rows"]


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
    InputError, InputTypeError
        ``limit`` is no count of rows.
    ModelError
        The inputs are neither tables nor sequences, so columns mean nothing.
    """
    check_whole("rows", limit)
    with preserved_rng():
        batch = batches.sample(limit)
    if not Columns.readable(batch):
        shapes = [tuple(x.shape) for x in batch.inputs]
        raise ModelError(f"raw columns need float inputs (n, F) or (n, T, F), got {shapes}")
    columns = Columns.of(batch, batches.names_per_input)
    total = batches.n_rows or batch.n_rows
    return Rows(batch=batch, columns=columns, spacing=max(1.0, total / batch.n_rows))
