"""Whether a weighted sum of one, two or three columns is the target itself: least squares, judged on later rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kaninterp.core.frozen import Array
from kaninterp.core.leaks import LEAK_R2, Leak, Term
from kaninterp.data import Batch, as_batches
from kaninterp.measure.host import Columns
from kaninterp.measure.rows import held_rows

__all__ = ["leaks"]

DEFAULT_ROWS = 1000
"""Rows used at most, evenly spaced: what is exact shows on few."""

FIT = 0.6
"""Share of the rows, the first ones, that the sum is fitted on; the rest judges."""

LEAST_ROWS = 30
"""Fewer rows match by chance where columns are whole numbers."""

CANDIDATES = 800
"""Columns at their lags that are tried, the latest lags first: pairs are tried all."""

THIRDS = 64
"""Columns that are tried as the third of every pair: all where there are so few, else those nearest to the target."""

TARGETS = 16
"""Targets looked at; more are steps of one series or classes."""

SAME = 1e-10
"""Share of a column's variance below which another one says all of it."""


def leaks(
    data: Any, *, target: Any = None, feature_names: Sequence[str] | None = None, rows: int = DEFAULT_ROWS
) -> tuple[Leak, ...]:
    """Find targets that are a weighted sum of at most three columns, each at one lag.

    Parameters
    ----------
    data, target, feature_names
        As for `trace`; with a target, for without one nothing can leak. Class labels count as numbers; of
        targets for every time step the last is looked at.
    rows : int
        Rows used at most, evenly spaced.

    Returns
    -------
    tuple of Leak
        At most one per target, with as few columns as it takes; empty where there is none, or no target, or fewer than
        `LEAST_ROWS` rows.

    Raises
    ------
    ModelError
        The inputs are neither tables nor sequences.
    DataError, ShapeError, InputTypeError
        As for `trace`.

    Notes
    -----
    All single columns and all pairs are tried, by their correlations; triples are all tried among up to `THIRDS`
    columns, else with a third one that is near the target. The sum is fitted by least squares on the first rows and
    has to explain `LEAK_R2` of the variance on the later ones.

    Examples
    --------
    >>> x = torch.rand(200, 4, generator=torch.Generator().manual_seed(0))
    >>> found = leaks((x, x[:, 1] + x[:, 3]), feature_names=["hour", "casual", "wind", "registered"])
    >>> [str(leak) for leak in found]
    ['registered + casual']
    """
    held = held_rows(as_batches(data, target=target, names=feature_names), rows)
    if held.batch.target is None or held.n < LEAST_ROWS:
        return ()
    target = held.batch.target if held.batch.target.dim() < 3 else held.batch.target[:, -1]
    y = target.detach().double().reshape(held.n, -1)[:, :TARGETS].cpu().numpy()
    first = int(FIT * held.n)
    candidates = _Candidates.of(held.batch, held.columns, first)
    return tuple(leak for output in range(y.shape[1]) if (leak := _leak(candidates, y[:, output], output)) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidates:
    """Columns at their lags that vary: places, values in units of their spread, and what they had before that."""

    names: tuple[str, ...]
    places: list[tuple[int, int]]
    x: Array
    centre: Array
    scale: Array
    first: int

    @classmethod
    def of(cls, batch: Batch, columns: Columns, first: int) -> _Candidates:
        """The latest lags first, by the first rows."""
        floats = columns.values(batch).detach()
        count = floats.shape[2]
        steps = min(floats.shape[1], max(1, CANDIDATES // max(count, 1)))
        values: Array = floats[:, -steps:].flip(1).reshape(len(floats), -1).to(torch.float64).cpu().numpy()
        centre, scale = values[:first].mean(0), values[:first].std(0)
        # columns that only rounding moves are none
        varying = scale > np.sqrt(SAME) * np.abs(values[:first]).max(0, initial=0.0)
        x = (values[:, varying] - centre[varying]) / scale[varying]
        places = [(column, lag) for lag in range(steps) for column in range(count)]
        return cls(
            names=columns.names,
            places=[place for place, kept in zip(places, varying, strict=True) if kept],
            x=x,
            centre=centre[varying],
            scale=scale[varying],
            first=first,
        )


def _leak(candidates: _Candidates, y: Array, output: int) -> Leak | None:
    """As few columns as give the target; None if three do not."""
    first, c = candidates.first, candidates
    for chosen in _likely(c.x[:first], y[:first]):
        judged = _judged(c.x[:, chosen], y, first)
        if judged is None:
            continue
        effects, constant, r2 = judged
        weights = effects / c.scale[chosen]
        terms = [
            Term(name=c.names[c.places[i][0]], column=c.places[i][0], lag=c.places[i][1], weight=float(weight))
            for i, weight in zip(chosen, weights, strict=True)
        ]
        order = np.lexsort((-np.abs(effects), effects < 0))  # what is added first, then what is taken away
        return Leak(
            output=output,
            terms=tuple(terms[i] for i in order),
            intercept=constant - float(weights @ c.centre[chosen]),
            r2=r2,
            rows=first,
            held_out=len(y) - first,
        )
    return None


def _likely(x: Array, y: Array) -> list[list[int]]:
    """The best single candidate, the best pair and the best triple, by the rows to fit on."""
    spread = float(y.std())
    if not x.shape[1] or spread <= np.sqrt(SAME) * float(np.abs(y).max(initial=0.0)):
        return []
    with_y = x.T @ (y - y.mean()) / (len(y) * spread)
    # more columns than are tried in pairs: those nearest to the target
    tried = np.sort(np.argsort(-np.abs(with_y), kind="stable")[:CANDIDATES])
    near = x[:, tried]
    return [[int(tried[i]) for i in chosen] for chosen in _best(near.T @ near / len(near), with_y[tried])]


def _best(r: Array, with_y: Array) -> list[list[int]]:
    own = np.ones(len(with_y))
    single = int(np.argmax(with_y**2))
    pair, _ = _pair(r, with_y, own)
    tried = range(len(own)) if len(own) <= THIRDS else {*np.argsort(-(with_y**2), kind="stable")[:8].tolist(), *pair}
    triple, most = pair, -1.0
    for third in tried:
        rest, share = _pair(r - np.outer(r[third], r[third]), with_y - r[third] * with_y[third], own - r[third] ** 2)
        share += with_y[third] ** 2
        if share > most and third not in rest:
            triple, most = (*rest, int(third)), share
    found = [[single], sorted(pair), sorted(triple)]
    return [chosen for size, chosen in enumerate(found, 1) if len(set(chosen)) == size]


def _pair(co: Array, with_y: Array, own: Array) -> tuple[tuple[int, ...], float]:
    """The two candidates that explain most of y together: places, and the part of y's variance.

    ``co``, ``own`` and ``with_y`` are (co)variances of the candidates and y, after what is taken out already.
    """
    usable = own > SAME
    safe = np.where(usable, own, 1.0)
    z = np.where(usable, with_y / np.sqrt(safe), 0.0)
    r = np.where(np.outer(usable, usable), co / np.sqrt(np.outer(safe, safe)), 1.0)
    left = 1 - r**2
    gain = z[:, None] ** 2 + z[None, :] ** 2 - 2 * np.outer(z, z) * r
    share = np.divide(gain, left, out=np.zeros_like(gain), where=left > SAME)
    i, j = (int(k) for k in np.unravel_index(share.argmax(), share.shape))
    return (i, j), float(share[i, j])


def _judged(x: Array, y: Array, first: int) -> tuple[Array, float, float] | None:
    """Weights and constant in units of the target, by least squares, and R2 on the later rows; None where it is low."""
    design = np.column_stack([x, np.ones(len(x))])
    solution, *_ = np.linalg.lstsq(design[:first], y[:first], rcond=None)
    left = y[first:] - design[first:] @ solution
    spread = float(y[first:].var())
    if spread <= SAME * float((y**2).max()):
        return None
    r2 = 1 - float((left**2).mean()) / spread
    return (np.asarray(solution[:-1]), float(solution[-1]), r2) if r2 > LEAK_R2 else None
