"""What stands in the place of a raw column that is taken away: another row's values, a constant, what the rest says.

| fill | the column becomes | what its loss change means |
|---|---|---|
| permuted | that of another row, all time lags together (Breiman 2001) | what the model loses without knowing it |
| conditional | what the other columns say of it, plus what is left of another row | what only this column knows |
| mean | its mean over rows and lags | what pruning it costs |
| zero | 0 | as ``mean``, where 0 is what "absent" means |

A permuted column makes rows that never occur where columns depend on each other (Hooker, Mentch & Zhou 2021); the
conditional fill keeps the dependence, as far as it is linear. A copy of another column is worth nothing under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kaninterp.core.errors import InputError
from kaninterp.core.frozen import Array, IntArray
from kaninterp.data import Batch
from kaninterp.measure.rows import Rows

__all__ = ["FILLS", "Fill", "check_fill", "derangement", "with_shuffled"]

FILLS = ("permuted", "conditional", "mean", "zero")

BY_CHANCE = ("permuted", "conditional")
"""Fills that draw from the column's own law: they need an order of the rows, and several say more than one."""

ROWS_PER_CELL = 5
"""Rows that a linear fit has for each cell it explains a column by: with fewer it explains chance, too."""

CUT = 1e-10
"""Singular values below this share of the largest are those of columns that are the sum of others."""


def check_fill(fill: str) -> str:
    """The fill, if there is such a one.

    Raises
    ------
    InputError
        There is not.
    """
    if fill not in FILLS:
        raise InputError(f"fill={fill!r}; allowed: {', '.join(map(repr, FILLS))}")
    return fill


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fill:
    """How columns are taken away from the held rows.

    Attributes
    ----------
    held : Rows
        The rows.
    name : str
        One of `FILLS`.
    orders : tuple of Tensor
        Orders of the rows, one per repeat; a fill without chance has one, which it does not look at.
    """

    held: Rows
    name: str
    orders: tuple[Tensor, ...]

    @classmethod
    def of(cls, held: Rows, name: str, repeats: int, rng: np.random.Generator) -> Fill:
        """Draw the orders.

        Raises
        ------
        InputError
            There is no such fill.
        """
        count = repeats if check_fill(name) in BY_CHANCE else 1
        return cls(held=held, name=name, orders=tuple(torch.from_numpy(derangement(held.n, rng)) for _ in range(count)))

    @property
    def by_chance(self) -> bool:
        """Whether the values that come in are draws of the column's own law."""
        return self.name in BY_CHANCE

    def without(self, columns: Sequence[int], order: Tensor) -> Batch:
        """The rows with some raw columns taken away together."""
        if self.name == "permuted":
            return with_shuffled(self.held, columns, order)
        if self.name == "conditional":
            return _with_residuals(self.held, columns, order)
        return _with_constants(self.held, columns, zero=self.name == "zero")


def with_shuffled(held: Rows, columns: Sequence[int], order: Tensor) -> Batch:
    """The rows with some columns, all lags together, taken from the rows that ``order`` names."""
    inputs = list(held.batch.inputs)
    for which in {held.columns.places[column][0] for column in columns}:
        positions = [held.columns.places[c][1] for c in columns if held.columns.places[c][0] == which]
        changed = inputs[which].clone()
        changed[..., positions] = changed[order][..., positions]
        inputs[which] = changed
    return Batch(inputs=tuple(inputs), keys=held.batch.keys, target=held.batch.target)


def derangement(rows: int, rng: np.random.Generator) -> IntArray:
    """A random order in which no row stays in its place (Sattolo 1986), so that every row is really changed."""
    order = np.arange(rows)
    for last in range(rows - 1, 0, -1):
        other = int(rng.integers(0, last))
        order[last], order[other] = order[other], order[last]
    return order


def _with_constants(held: Rows, columns: Sequence[int], *, zero: bool) -> Batch:
    inputs = list(held.batch.inputs)
    for column in columns:
        which, position = held.columns.places[column]
        if inputs[which] is held.batch.inputs[which]:
            inputs[which] = inputs[which].clone()
        usual = held.batch.inputs[which][..., position]
        inputs[which][..., position] = 0.0 if zero else usual.mean()
    return Batch(inputs=tuple(inputs), keys=held.batch.keys, target=held.batch.target)


def _with_residuals(held: Rows, columns: Sequence[int], order: Tensor) -> Batch:
    """Each column as the linear fit by the columns that stay, plus the residual of another row."""
    inputs = list(held.batch.inputs)
    stay = [c for c in range(len(held.columns.places)) if c not in set(columns)]
    for column in columns:
        which, position = held.columns.places[column]
        if inputs[which] is held.batch.inputs[which]:
            inputs[which] = inputs[which].clone()
        own = _series(held, column)
        expected = np.column_stack([_fitted(held, own, stay, step) for step in range(own.shape[1])])
        filled = torch.from_numpy(expected + (own - expected)[order.numpy()])
        inputs[which][..., position] = filled.to(inputs[which]).reshape(inputs[which][..., position].shape)
    return Batch(inputs=tuple(inputs), keys=held.batch.keys, target=held.batch.target)


def _fitted(held: Rows, own: Array, stay: Sequence[int], step: int) -> Array:
    """Least squares of one step of a column on the others at the steps nearest to it, as many as the rows allow."""
    cells = [_near(_series(held, other), own.shape[1], step, held.n // (ROWS_PER_CELL * len(stay))) for other in stay]
    by = np.column_stack([np.ones(held.n), *cells])
    by[:, 1:] -= by[:, 1:].mean(0)
    size = by.std(0)
    by = by[:, (size > 0) | (np.arange(len(size)) == 0)]
    by[:, 1:] /= by[:, 1:].std(0)
    solution = np.linalg.lstsq(by, own[:, step], rcond=CUT)[0]
    return np.asarray(by @ solution)


def _near(series: Array, steps: int, step: int, room: int) -> Array:
    """The ``room`` (at least one) time steps of a series that are nearest to a step of a series of ``steps``."""
    place = step - steps + series.shape[1]  # counted from the last step, which all inputs share
    distance = np.abs(np.arange(series.shape[1]) - place)
    nearest = np.argsort(distance, kind="stable")[: max(room, 1)]
    return series[:, np.sort(nearest)]


def _series(held: Rows, column: int) -> Array:
    """A column of the held rows, (rows, time steps); a table has one step."""
    which, position = held.columns.places[column]
    values = held.batch.inputs[which][..., position].double().cpu().numpy()
    return np.asarray(values.reshape(held.n, -1))
