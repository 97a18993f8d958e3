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
from dataclasses import dataclass, field

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

ROWS_PER_CELL = 10
"""Rows that a linear fit has for each cell it explains a column by, at least: of noise it explains a tenth at most,
which is what the price of a column is too low by."""

CUT = 1e-10
"""Singular values below this share of the largest are those of columns that are the sum of others; a spread below this
share of the values is rounding."""


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
    _last: dict[tuple[int, ...], dict[int, Array]] = field(default_factory=dict, repr=False)

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
            return _with_residuals(self.held, columns, order, self._fits_of(tuple(columns)))
        return _with_constants(self.held, columns, zero=self.name == "zero")

    def _fits_of(self, columns: tuple[int, ...]) -> dict[int, Array]:
        """Fits do not depend on the order: those of the last question are kept, for repeats."""
        if columns not in self._last:
            self._last.clear()
            self._last[columns] = _fits(self.held, columns)
        return self._last[columns]


def with_shuffled(held: Rows, columns: Sequence[int], order: Tensor) -> Batch:
    """The rows with some columns, all lags together, taken from the rows that ``order`` names."""
    inputs = list(held.batch.inputs)
    for which in {held.columns.places[column][0] for column in columns}:
        positions = [held.columns.places[c][1] for c in columns if held.columns.places[c][0] == which]
        changed = inputs[which].clone()
        changed[..., positions] = inputs[which][..., positions][order]
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
    usual = {column: held.columns.one(held.batch, column).mean() for column in columns}
    return held.columns.put(held.batch, {c: torch.zeros_like(mean) if zero else mean for c, mean in usual.items()})


def _with_residuals(held: Rows, columns: Sequence[int], order: Tensor, fits: dict[int, Array]) -> Batch:
    """Each column as the linear fit by the columns that stay, plus the residual of another row."""
    filled = {}
    for column in columns:
        usual = held.columns.one(held.batch, column)
        own, expected = _series(held, column), fits[column]
        filled[column] = torch.from_numpy(expected + (own - expected)[order.numpy()]).to(usual).reshape(usual.shape)
    return held.columns.put(held.batch, filled)


def _fits(held: Rows, columns: Sequence[int]) -> dict[int, Array]:
    """What the other columns say of each of these, (rows, time steps) each; one fit serves all series of one length."""
    stay = [_series(held, c) for c in range(len(held.columns.places)) if c not in set(columns)]
    own = {column: _series(held, column) for column in columns}
    found = {column: np.empty_like(series) for column, series in own.items()}
    for steps in sorted({series.shape[1] for series in own.values()}):
        same = [column for column, series in own.items() if series.shape[1] == steps]
        for step in range(steps):
            wanted = np.stack([own[column][:, step] for column in same], axis=1)
            for column, values in zip(same, _fitted(stay, wanted, steps, step).T, strict=True):
                found[column][:, step] = values
    return found


def _fitted(stay: Sequence[Array], wanted: Array, steps: int, step: int) -> Array:
    """Least squares of one step of some columns, (rows, m), on the others at the steps nearest to it.

    As many steps as `ROWS_PER_CELL` allows. Where it does not even allow one of each column, only those that a column
    goes with by more than chance, the closest first.
    """
    rows = len(wanted)
    room = rows // (ROWS_PER_CELL * max(len(stay), 1))
    by = _standard(np.concatenate([np.zeros((rows, 0)), *(_near(x, steps, step, room) for x in stay)], axis=1))
    mean = wanted.mean(0)
    if room:
        return np.asarray(mean + by @ np.linalg.lstsq(by, wanted - mean, rcond=CUT)[0])
    found = np.repeat(mean[None], rows, axis=0)
    together = np.abs(by.T @ _standard(wanted - mean, drop=False)) / rows
    chance = np.sqrt(2 * np.log(max(by.shape[1], 2)) / rows)
    for place, r in enumerate(together.T):
        closest = np.argsort(-r, kind="stable")[: max(rows // ROWS_PER_CELL, 1)]
        few = by[:, closest[r[closest] > chance]]
        found[:, place] += few @ np.linalg.lstsq(few, wanted[:, place] - mean[place], rcond=CUT)[0]
    return found


def _standard(values: Array, *, drop: bool = True) -> Array:
    """Columns of mean 0 and spread 1; constant ones, but for rounding, are left out, or 0."""
    centred = values - values.mean(0)
    size = centred.std(0)
    varies = size > CUT * np.abs(values).max(0, initial=0.0)
    scaled = np.divide(centred, size, out=np.zeros_like(centred), where=varies)
    return np.asarray(scaled[:, varies] if drop else scaled)


def _near(series: Array, steps: int, step: int, room: int) -> Array:
    """The ``room`` (at least one) time steps of a series that are nearest to a step of a series of ``steps``."""
    place = step - steps + series.shape[1]  # counted from the last step, which all inputs share
    distance = np.abs(np.arange(series.shape[1]) - place)
    nearest = np.argsort(distance, kind="stable")[: max(room, 1)]
    return series[:, np.sort(nearest)]


def _series(held: Rows, column: int) -> Array:
    """A column of the held rows, (rows, time steps); a table has one step."""
    values = held.columns.one(held.batch, column).double().cpu().numpy()
    return np.asarray(values.reshape(held.n, -1))
