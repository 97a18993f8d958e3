"""Zero mean and unit spread, learnt from training rows only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kaninterp.core.errors import DataError, NamesError, ShapeError

__all__ = ["Standardizer"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardizer:
    """(x - mean) / scale per column, and back.

    Fit it on the training rows and apply it to all: statistics that have seen the test rows flatter the
    model.

    Attributes
    ----------
    mean, scale
        (F,) float64, read-only. A constant column has scale 1, so it becomes 0 and stays finite.
    names
        The F columns.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[0.0, 5.0], [2.0, 5.0]])
    >>> s = Standardizer.fit(rows)
    >>> s.transform(rows).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    >>> s.inverse(np.array([1.0]), "x0").tolist()
    [2.0]
    """

    mean: Floats
    scale: Floats
    names: tuple[str, ...]

    @classmethod
    def fit(cls, rows: pd.DataFrame | npt.NDArray[Any], names: Sequence[str] | None = None) -> Standardizer:
        """Learn mean and spread from training rows: (n, F), (n, T, F), or (n,) for a single column.

        Raises
        ------
        DataError
            No rows, or values that are not finite.
        NamesError
            Names that do not match the columns.
        """
        own = tuple(map(str, rows.columns)) if isinstance(rows, pd.DataFrame) else None
        values = np.asarray(rows, dtype=np.float64)
        flat = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
        labels = tuple(names) if names is not None else own or tuple(f"x{i}" for i in range(flat.shape[1]))
        if len(labels) != flat.shape[1] or len(set(labels)) != len(labels) or (own and labels != own):
            raise NamesError(f"names: expected the {flat.shape[1]} different columns {own or ''}, got {list(labels)}.")
        if not len(flat):
            raise DataError("cannot standardize 0 rows.")
        bad = ~np.isfinite(flat)
        if bad.any():
            found = ", ".join(f"{labels[i]} ({bad[:, i].sum()})" for i in np.flatnonzero(bad.any(axis=0)))
            raise DataError(f"missing or infinite values in {found}; fill or drop them before standardizing.")
        # exact tests and exact zeros: mean and std of a constant column carry rounding noise
        lowest = flat.min(axis=0)
        varies = flat.max(axis=0) > lowest
        mean, scale = lowest.copy(), np.ones(flat.shape[1])
        mean[varies], scale[varies] = flat[:, varies].mean(axis=0), flat[:, varies].std(axis=0)
        for array in (mean, scale):
            array.setflags(write=False)
        return cls(mean=mean, scale=scale, names=labels)

    def transform(self, rows: pd.DataFrame | npt.NDArray[Any]) -> Any:
        """Standardized rows of the same kind and shape; a DataFrame must have the same columns.

        Raises
        ------
        NamesError, ShapeError
            Other columns than the ones fitted.
        """
        if isinstance(rows, pd.DataFrame):
            if tuple(map(str, rows.columns)) != self.names:
                raise NamesError(f"expected the columns {list(self.names)}, got {list(rows.columns)}.")
            return (rows - self.mean) / self.scale
        return self._aligned(np.asarray(rows, dtype=np.float64), lambda x: (x - self.mean) / self.scale)

    def inverse(self, rows: npt.NDArray[Any], name: str | None = None) -> Floats:
        """Back to the original units: all columns, or values of the one called `name` (any shape).

        Raises
        ------
        NamesError, ShapeError
            An unknown column, or another width than the one fitted.
        """
        values = np.asarray(rows, dtype=np.float64)
        if name is None:
            return self._aligned(values, lambda x: x * self.scale + self.mean)
        if name not in self.names:
            raise NamesError(f"no column {name!r}; columns: {list(self.names)}.")
        i = self.names.index(name)
        return np.asarray(values * self.scale[i] + self.mean[i])

    def _aligned(self, values: Floats, formula: Any) -> Floats:
        if len(self.names) == 1 and values.ndim == 1:
            return np.asarray(formula(values[:, None])[:, 0])
        if values.ndim < 2 or values.shape[-1] != len(self.names):
            raise ShapeError(f"expected {len(self.names)} columns last, got an array of shape {values.shape}.")
        return np.asarray(formula(values))
