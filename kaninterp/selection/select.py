"""Which inputs survive: the verb."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm.auto import tqdm

from kaninterp.core.errors import DataError, InputError, ShapeError
from kaninterp.core.frozen import Array, IntArray

from .search import Search
from .survivors import Evidence, Selection
from .swap import swapped

__all__ = ["select"]

LEAST_ROWS = 10


def select(
    x: Array,
    y: Array,
    *,
    names: Sequence[str] | None = None,
    alpha: float = 0.05,
    in_time: bool | None = None,
    swap: bool = True,
    most_rows: int = 4000,
    seed: int = 0,
    progress: bool = False,
) -> Selection:
    """Find the inputs a target depends on: alone, through products, at any lag.

    Parameters
    ----------
    x : ndarray, shape (n, inputs) or (n, time, inputs)
        Table, or windows whose last step is lag 0.
    y : ndarray, shape (n,)
        Numbers; a class as 0 and 1.
    names : sequence of str, optional
        Of the inputs; x0, x1, ... without.
    alpha : float
        Chance that a step of the search takes something that is noise.
    in_time : bool, optional
        Whether rows are in the order of time; None: for windows.
    swap : bool
        Search again without each kept input, see `kaninterp.selection.swap`. Takes one search per kept input.
    most_rows : int
        Rows used at most, evenly spaced.
    seed : int
        Of the null distributions.
    progress : bool
        Show a bar.

    Returns
    -------
    Selection

    Raises
    ------
    ShapeError, DataError, InputError
        Other shapes; NaN, infinite values, too few rows, a constant target; alpha outside (0, 1).

    Notes
    -----
    The model is a Kolmogorov-Arnold expansion with product nodes (`kaninterp.selection.expansion`), grown greedily; a
    candidate is taken if it beats the best of all candidates on moved residuals (max-T, Westfall and Young 1993), and
    every input of the final model passes an F-test corrected for their number.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(-1, 1, (400, 5))
    >>> select(x, x[:, 1] * x[:, 3] + 0.1 * rng.normal(size=400))
    Selection(2 of 5 inputs survive: x1, x3)
    """
    x, y, names = _checked(x, y, names, alpha)
    windows = x.ndim == 3
    in_time = windows if in_time is None else in_time
    rows = np.unique(np.linspace(0, len(y) - 1, min(len(y), most_rows)).astype(np.int64))
    features, owners, labels = _features(x[rows], names)
    with tqdm(desc="selecting", unit=" searches", disable=not progress) as bar:
        search = Search(
            features,
            y[rows],
            owners,
            alpha=alpha,
            in_time=in_time,
            rng=np.random.default_rng(seed),
            tick=bar.update,
        )
        first = search(frozenset())
        model, replacements, gone = swapped(first, search) if swap else (first, {}, frozenset[int]())
    return Evidence(search, first, model, replacements, gone, names, labels).selection()


def _checked(x: Array, y: Array, names: Sequence[str] | None, alpha: float) -> tuple[Array, Array, tuple[str, ...]]:
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim not in {2, 3} or y.shape != x.shape[:1]:
        raise ShapeError(
            f"select: x has shape {x.shape} and y {y.shape}; allowed: (n, inputs) or (n, time, inputs), and (n,)"
        )
    for what, values in (("x", x), ("y", y)):
        if not np.isfinite(values).all():
            raise DataError(f"select: {what} has NaN or infinite values; drop or fill these rows first")
    if len(y) < LEAST_ROWS:
        raise DataError(f"select: {len(y)} rows; allowed: {LEAST_ROWS} or more, a test needs them")
    if not x.shape[-1] or 0 in x.shape[1:]:
        raise ShapeError(f"select: x has shape {x.shape}; there must be at least one input to choose from")
    if not np.ptp(y):
        raise DataError(f"select: y is {y[0]:g} in every row; a constant target depends on nothing")
    if not 0 < alpha < 1:
        raise InputError(f"select: alpha={alpha}; allowed: a chance between 0 and 1, such as 0.05")
    names = tuple(f"x{i}" for i in range(x.shape[-1])) if names is None else tuple(map(str, names))
    if len(names) != x.shape[-1] or len(set(names)) != len(names):
        raise InputError(f"select: {len(names)} names, {len(set(names))} different, for {x.shape[-1]} inputs")
    return x, y, names


def _features(x: Array, names: tuple[str, ...]) -> tuple[Array, IntArray, tuple[str, ...]]:
    """Columns to choose from, the input each belongs to, and what to call it: every lag of every input."""
    if x.ndim == 2:
        return x, np.arange(x.shape[1], dtype=np.int64), names
    rows, time, inputs = x.shape
    flat = np.ascontiguousarray(x[:, ::-1].transpose(0, 2, 1)).reshape(rows, inputs * time)
    labels = tuple(f"{name} at lag {lag}" for name in names for lag in range(time))
    return flat, np.repeat(np.arange(inputs, dtype=np.int64), time), labels
