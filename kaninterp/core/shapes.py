"""`Shapes`: the distributions of some columns in a fixed number of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import DataError
from .frozen import Array, floats

__all__ = ["Shapes"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shapes:
    """Quantiles at equal steps from 0 to 1, and how many values lie at or below points, and below them.

    Attributes
    ----------
    rows : int
        Rows looked at.
    quantiles : ndarray, shape (F, L)
        Smallest value, L - 2 quantiles, largest value.
    below : ndarray, shape (F, L)
        Share of the rows at or below points: of a card its own quantiles, of new data those of the card. With ties,
        it is not the level of the quantile.
    under : ndarray, shape (F, L), or None
        Share of the rows below the points and not at them: less than ``below`` where many rows have one value. None
        on cards that were made before it was counted.
    """

    rows: int
    quantiles: Array
    below: Array
    under: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantiles", floats(self.quantiles, (None, None), "Shapes.quantiles"))
        object.__setattr__(self, "below", floats(self.below, self.quantiles.shape, "Shapes.below"))
        if self.rows < 1 or (np.diff(self.quantiles, axis=1) < 0).any():
            raise DataError("Shapes: there are rows, and quantiles ascend")
        if (self.below < 0).any() or (self.below > 1).any() or (np.diff(self.below, axis=1) < 0).any():
            raise DataError("Shapes: shares at or below ascending points ascend from 0 to 1")
        if self.under is not None:
            object.__setattr__(self, "under", floats(self.under, self.quantiles.shape, "Shapes.under"))
            if (self.under < 0).any() or (self.under > self.below).any() or (np.diff(self.under, axis=1) < 0).any():
                raise DataError("Shapes: shares below points ascend from 0 and are none above those at or below them")
