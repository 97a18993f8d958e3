"""Which columns act together: the mixed difference of the outputs when two columns come from another row.

f(x) - f(x_i') - f(x_j') + f(x_ij') is zero in every row for a model that adds up functions of i and functions of j,
however the two are correlated. Its mean square over 4 Var f is the superset importance of the pair (Hooker 2004; Liu &
Owen 2006): for independent columns the sum of all Sobol indices that hold both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.core.counts import check_whole
from kaninterp.core.errors import InputError, ModelError, NamesError
from kaninterp.core.evidence import Z95, InputAblation
from kaninterp.core.frozen import Array
from kaninterp.core.interactions import Interactions
from kaninterp.data import check_seed
from kaninterp.measure.fills import derangement, with_shuffled
from kaninterp.measure.host import outputs, untouched
from kaninterp.measure.probe_error import RunningError
from kaninterp.measure.rows import Rows, held_rows
from kaninterp.measure.tracing import PROGRESS_DELAY, prepared

__all__ = ["interactions"]

DEFAULT_ROWS = 1000
"""Rows evaluated, evenly spaced; each pair costs a forward pass of them all for every repeat."""

MOST = 12
"""Columns compared when none are named: 66 pairs."""

SHORTLIST = 64
"""Columns whose effect on the outputs is measured to choose among them: as many passes as 12 columns have pairs. Beyond
so many an ablation at hand says which."""

ROUNDING = 64.0
"""Mixed differences up to so many units in the last place of the largest output are rounding, not interaction."""
COARSE = 1 / 32
"""Share of the largest output above which no difference counts as rounding: half types have so few digits that 64 units
of the last place are half of the output, although sums are rounded once or twice."""

_Where = tuple[int, int]


def interactions(
    model: nn.Module,
    data: Any,
    *,
    columns: Sequence[int | str] | None = None,
    ablation: InputAblation | None = None,
    target: Any = None,
    feature_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
    rows: int = DEFAULT_ROWS,
    most: int = MOST,
    repeats: int = 2,
    seed: int = 0,
    progress: bool = True,
) -> Interactions:
    """Measure how strongly every two of some columns act together on each output.

    A column is taken from another row with all its lags, so that what is inside a window stays a real window.

    Parameters
    ----------
    model, data, target, feature_names, progress
        As for `trace`; any module will do, a target is not needed.
    columns : sequence of int or str, optional
        Raw columns to compare, by index or name. None: the ``most`` that move an output most.
    ablation : InputAblation, optional
        Of the same model and columns: with more columns than `SHORTLIST` it tells which of them to look at when those
        that move an output most are chosen.
    target_names : sequence of str, optional
        Names of the outputs.
    rows : int
        Rows used at most, evenly spaced. The cost is (k + 1) k / 2 forward passes of them per repeat.
    most : int
        Columns chosen at most.
    repeats : int
        Other rows that each row is mixed with.
    seed : int
        Of the choice of those rows; the global generators are not touched.

    Returns
    -------
    Interactions
        An output with several values per row (time steps) is taken over all of them.

    Raises
    ------
    InputError
        ``columns``, ``most`` or ``repeats`` that cannot be.
    NamesError
        A name that no column, or more than one, has; or not as many ``target_names`` as outputs.
    ModelError, DataError
        As for `trace`.

    Notes
    -----
    Correlated columns are mixed into rows that need not occur: the result then says what the function does there. A
    pair that adds up has share 0 all the same. The interval is that of the moving-block bootstrap (its standard error
    is known in closed form) on the log scale; it counts each row twice, as what is changed and as what is taken.

    Examples
    --------
    >>> class Product(nn.Module):
    ...     def forward(self, x):
    ...         return x[:, :1] * x[:, 1:2] + x[:, 2:]
    >>> x = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    >>> found = interactions(Product(), x, feature_names=["a", "b", "c"], progress=False)
    >>> best = found.pairs[0]  # the product has half of the variance, the third column adds the other half
    >>> best.names, best.low < 0.5 < best.high, [pair.share for pair in found.pairs[1:]]
    (('a', 'b'), True, [0.0, 0.0])
    """
    check_seed(seed)
    for what, value, least in (("most", most, 2), ("repeats", repeats, 1), ("rows", rows, 1)):
        check_whole(what, value, least)
    held = held_rows(prepared(model, data, target=target, feature_names=feature_names), rows)
    asked = None if columns is None else _named(columns, held.columns.names)
    rng = np.random.default_rng(seed)
    with untouched(model):
        mixer = _Mixer(model, held, [torch.from_numpy(derangement(held.n, rng)) for _ in range(repeats)])
        names = _output_names(target_names, mixer.width)
        chosen, left_out = (asked, 0.0) if asked is not None else _strongest(mixer, ablation, most)
        total, squares = _measured(mixer, chosen, progress)
    share, low, high = _shares(mixer, squares, len(chosen), held.block)
    return Interactions(
        names=tuple(held.columns.names[i] for i in chosen),
        columns=np.array(chosen, np.int64),
        outputs=names,
        rows=held.n,
        block=held.block,
        repeats=repeats,
        total=total,
        share=share,
        low=low,
        high=high,
        left_out=left_out,
    )


@dataclass(frozen=True, slots=True)
class _Squares:
    """Squared mixed differences of one pair, (n, outputs): by the row that was changed, and by the row taken."""

    changed: Array
    taken: Array


class _Mixer:
    """The intact outputs, (n, steps, outputs), and those with columns from other rows."""

    def __init__(self, model: nn.Module, held: Rows, orders: list[Tensor]) -> None:
        self.model, self.held, self.orders = model, held, orders
        raw = outputs(model, held.batch)
        if raw.dim() == 0 or len(raw) != held.n:
            raise ModelError(
                f"the model returns {tuple(raw.shape)} for {held.n} rows; expected one entry of the first axis per row"
            )
        self.intact = _stacked(raw)
        precision = float(torch.finfo(raw.dtype).eps) if raw.is_floating_point() else 0.0
        # of each output, as a square: what rounding alone may move it by
        self.rounding: Array = (min(ROUNDING * precision, COARSE) * np.abs(self.intact).max((0, 1), initial=0.0)) ** 2
        deviations = self.intact - self.intact.mean((0, 1))
        self.spread: Array = (deviations**2).mean(1)  # (n, outputs)

    @property
    def width(self) -> int:
        """How many outputs."""
        return int(self.intact.shape[2])

    @property
    def variance(self) -> Array:
        """Of each output; 0 where only rounding moves it."""
        found: Array = self.spread.mean(0)
        return np.where(found > self.rounding, found, 0.0)

    def mixed(self, columns: Sequence[int], order: Tensor) -> Array:
        """Outputs with some columns from the rows of ``order``."""
        return _stacked(outputs(self.model, with_shuffled(self.held, columns, order)))

    def per_variance(self, squares: Array) -> Array:
        """Mean squares (..., outputs) as shares of the outputs' variance; 0 for a constant output."""
        return np.divide(squares, self.variance, out=np.zeros_like(squares), where=self.variance > 0)


def _stacked(output: Tensor) -> Array:
    """(n,), (n, outputs) or (n, ..., outputs) as (n, steps, outputs), in float64."""
    wide = output if output.dim() > 1 else output[:, None]
    values: Array = wide.reshape(len(wide), -1, wide.shape[-1]).double().cpu().numpy()
    return values


def _strongest(mixer: _Mixer, ablation: InputAblation | None, most: int) -> tuple[list[int], float]:
    """The columns that move an output most, and how much the strongest of the others does."""
    names = mixer.held.columns.names
    total, tried = np.zeros(len(names)), np.arange(len(names))
    if ablation is not None and ablation.names == names and len(names) > max(SHORTLIST, most):
        known = ablation.node_shares[-1].max(0, initial=0.0) if ablation.node_shares else total
        # outputs of the KAN, and the loss: what goes around the KAN shows in the loss alone
        best = [np.argsort(-size, kind="stable")[: max(SHORTLIST, most) // 2] for size in (known, abs(ablation.change))]
        tried = np.union1d(*best)
        total = np.where(np.isin(np.arange(len(names)), tried), 0.0, known)
    total[tried] = [_total(mixer, int(i)).max(initial=0.0) for i in tried]
    ranked = [int(i) for i in tried[np.argsort(-total[tried], kind="stable")] if total[i] > 0]
    chosen = sorted(ranked[:most])
    return chosen, float(np.delete(total, chosen).max(initial=0.0))


def _total(mixer: _Mixer, column: int) -> Array:
    moved = mixer.mixed([column], mixer.orders[0]) - mixer.intact
    return mixer.per_variance((moved**2).mean((0, 1)) / 2)


def _measured(mixer: _Mixer, chosen: list[int], progress: bool) -> tuple[Array, dict[_Where, _Squares]]:
    """Total share of each column, (outputs, k), and the mixed differences of each pair (places in ``chosen``)."""
    n, width, count = mixer.held.n, mixer.width, len(mixer.orders)
    total = np.zeros((width, len(chosen)))
    found = {pair: _Squares(np.zeros((n, width)), np.zeros((n, width))) for pair in combinations(range(len(chosen)), 2)}
    steps = tqdm(total=count * len(found), desc="interactions", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    for order in mixer.orders:
        back = np.argsort(order.numpy())  # order[n] is taken by n, so row m is taken by back[m]
        single = [mixer.mixed([column], order) for column in chosen]
        for place, moved in enumerate(single):
            total[:, place] += mixer.per_variance(((moved - mixer.intact) ** 2).mean((0, 1)) / 2) / count
        for (i, j), squares in found.items():
            both = mixer.mixed([chosen[i], chosen[j]], order)
            difference = ((mixer.intact - single[i] - single[j] + both) ** 2).mean(1) / count
            squares.changed[:] += difference
            squares.taken[:] += difference[back]
            steps.update()
    steps.close()
    return total, found


def _shares(mixer: _Mixer, squares: dict[_Where, _Squares], k: int, block: int) -> tuple[Array, Array, Array]:
    """Share, low and high, each (outputs, k, k)."""
    share, low, high = (np.zeros((mixer.width, k, k)) for _ in range(3))
    variance = mixer.variance
    for (i, j), pair in squares.items():
        mean = pair.changed.mean(0)
        value = mixer.per_variance(np.where(mean > mixer.rounding, mean, 0.0) / 4)
        # what each row adds to the ratio of the two means, to first order
        own = (pair.changed + pair.taken - mean) / 4 - value * mixer.spread
        error = np.divide(_standard_error(own, block), variance, out=np.zeros_like(value), where=value > 0)
        width = np.exp(np.minimum(Z95 * np.divide(error, value, out=np.zeros_like(value), where=value > 0), 50.0))
        for a, b in ((i, j), (j, i)):
            share[:, a, b], low[:, a, b], high[:, a, b] = value, value / width, value * width
    return share, low, high


def _standard_error(values: Array, block: int) -> Array:
    """Standard error of means over rows, (n, m) -> (m,)."""
    running = RunningError(len(values), block)
    running.add(values)
    return running.error


def _named(columns: Sequence[Any], names: tuple[str, ...]) -> list[int]:
    """Indices of the columns asked for, rising."""
    found = []
    for column in columns:
        if isinstance(column, str):
            places = [i for i, name in enumerate(names) if name == column]
            if len(places) != 1:
                raise NamesError(
                    f"columns: {column!r} names {len(places)} columns; expected one of {names[:8]}, or an index"
                )
            found.append(places[0])
        elif isinstance(column, bool) or not isinstance(column, int | np.integer) or not 0 <= column < len(names):
            raise InputError(f"columns: expected names or indices from 0 to {len(names) - 1}, got {column!r}")
        else:
            found.append(int(column))
    if len(set(found)) != len(found):
        raise InputError(f"columns: each may be given once, got {list(columns)!r}")
    return sorted(found)


def _output_names(given: Sequence[str] | None, width: int) -> tuple[str, ...]:
    if given is None:
        return tuple(f"y{i}" for i in range(width))
    if isinstance(given, str) or len(given) != width:
        raise NamesError(f"target_names: the model has {width} outputs, got {given!r}")
    return tuple(map(str, given))
