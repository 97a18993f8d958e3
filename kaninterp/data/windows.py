"""Overlapping windows over a table in time order, for sequence models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kaninterp.core.errors import DataError, InputError, InputTypeError, NamesError, ShapeError

__all__ = ["Windows", "windows"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Windows in time order, each with the value to predict from it.

    Attributes
    ----------
    X
        (n, T, F) float64, read-only; step T-1 is lag 0, the last known time step. A view of the table where
        nothing had to be dropped, so it takes no memory of its own.
    y
        (n,) float64, read-only: the target `horizon` steps after the window's last step.
    names
        The F raw columns.
    target_name
        What y is.
    times
        (n,) time (or row number) of each window's last step.
    length, horizon, stride
        In time steps.
    n_dropped
        Windows left out because they straddle a gap in time or hold a missing value.
    """

    X: Floats
    y: Floats
    names: tuple[str, ...]
    target_name: str
    times: npt.NDArray[Any]
    length: int
    horizon: int
    stride: int
    n_dropped: int

    def __len__(self) -> int:
        return len(self.y)

    @property
    def embargo(self) -> int:
        """Windows to leave out between two parts so that they share no row: neither inputs nor targets."""
        return -(-(self.length + self.horizon) // self.stride) - 1

    def part(self, rows: slice) -> Windows:
        """Return the windows of a slice, for example one of `time_split(len(w), gap=w.embargo)`."""
        return replace(self, X=self.X[rows], y=self.y[rows], times=self.times[rows])


def windows(
    table: pd.DataFrame | npt.NDArray[Any],
    target: str | int | npt.NDArray[Any] | pd.Series,
    *,
    length: int,
    horizon: int,
    names: Sequence[str] | None = None,
    time: str | None = None,
    stride: int = 1,
    missing: str = "refuse",
) -> Windows:
    """Cut a table in time order into windows of `length` steps that predict `horizon` steps ahead.

    Parameters
    ----------
    table
        (N, F), one row per time step. All columns become inputs, the target's own past among them.
    target
        A column of the table (name, or position in an array) or (N,) values of its own.
    length, horizon
        Steps in a window, and from its last step to the target (0: the target of that very step).
    names
        Column names of an array; x0, x1, ... if None. A DataFrame has its own.
    time
        Column that holds the time; it does not become an input. None: a DatetimeIndex is used if there is
        one. With a time, windows never straddle a gap: those that would are dropped and counted.
    stride
        Steps between the starts of neighbouring windows.
    missing
        "refuse" (an error naming the columns) or "drop" (leave out, and count, every window that holds a
        missing value in its inputs or target).

    Raises
    ------
    DataError
        Missing or infinite values, times out of order, or not one whole window.
    NamesError, ShapeError, InputError, InputTypeError
        Names, widths and options that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> w = windows(np.arange(12.0).reshape(6, 2), 0, length=3, horizon=1)
    >>> w.X.shape, w.X[0, :, 0].tolist(), w.y.tolist()
    ((3, 3, 2), [0.0, 2.0, 4.0], [6.0, 8.0, 10.0])
    """
    _check_options(length, horizon, stride, missing)
    values, labels, clock = _read_table(table, names, time)
    answer, target_name = _read_target(table, values, labels, target)
    _check_infinite(np.column_stack([values, answer]), (*labels, f"target {target_name}"))
    usable = np.asarray(np.isfinite(values).all(axis=1))
    if missing == "refuse":
        _refuse_missing(np.column_stack([values, answer]), (*labels, f"target {target_name}"))

    starts = np.arange(0, len(values) - length - horizon + 1, stride)
    if not len(starts):
        raise DataError(
            f"a window of {length} steps with its target {horizon} steps ahead needs {length + horizon} rows, the "
            f"table has {len(values)}."
        )
    keep = _runs(usable, starts, length) & np.isfinite(answer[starts + length - 1 + horizon])
    if clock is not None:
        keep &= _unbroken(clock, starts, length + horizon)
    if not keep.any():
        raise DataError(f"all {len(starts)} windows straddle a gap in time or hold a missing value.")
    last = starts[keep] + length - 1
    return Windows(
        X=_cut(values, starts, keep, length, stride),
        y=_read_only(answer[last + horizon]),
        names=labels,
        target_name=target_name,
        times=_read_only(np.asarray(last if clock is None else clock[last])),
        length=length,
        horizon=horizon,
        stride=stride,
        n_dropped=int((~keep).sum()),
    )


def _check_options(length: int, horizon: int, stride: int, missing: str) -> None:
    _check_steps("length", length, 1)
    _check_steps("horizon", horizon, 0)
    _check_steps("stride", stride, 1)
    if missing not in ("refuse", "drop"):
        raise InputError(f"missing: expected 'refuse' or 'drop', got {missing!r}.")


def _check_steps(name: str, value: object, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise InputError(f"{name}: expected a whole number of steps >= {least}, got {value!r}.")


def _read_table(
    table: Any, names: Sequence[str] | None, time: str | None
) -> tuple[Floats, tuple[str, ...], npt.NDArray[Any] | None]:
    """Values, column names and the clock (None: rows are taken to be evenly spaced)."""
    if isinstance(table, pd.DataFrame):
        return _read_frame(table, names, time)
    if not isinstance(table, np.ndarray):
        raise InputTypeError(f"windows: expected a DataFrame or an array, got a {type(table).__name__}.")
    if table.ndim != 2:
        raise ShapeError(f"windows: expected N rows x F columns, got an array of shape {table.shape}.")
    if time is not None:
        raise InputError("time: only a DataFrame has a time column; pass one, or leave time out.")
    labels = tuple(names) if names is not None else tuple(f"x{i}" for i in range(table.shape[1]))
    if len(labels) != table.shape[1] or len(set(labels)) != len(labels):
        raise NamesError(f"names: expected {table.shape[1]} different names, got {list(labels)}.")
    return _as_floats(table), labels, None


def _read_frame(
    frame: pd.DataFrame, names: Sequence[str] | None, time: str | None
) -> tuple[Floats, tuple[str, ...], npt.NDArray[Any] | None]:
    if names is not None and list(names) != list(frame.columns):
        raise NamesError(f"names: the DataFrame has its own, {list(frame.columns)}; rename there, got {list(names)}.")
    clock = None
    if time is not None:
        if time not in frame.columns:
            raise NamesError(f"time: no column {time!r}; columns: {list(frame.columns)}.")
        clock, frame = _read_clock(frame[time]), frame.drop(columns=time)
    elif isinstance(frame.index, pd.DatetimeIndex):
        clock = _read_clock(frame.index.to_series())
    wrong = [f"{c!r} ({t})" for c, t in zip(frame.columns, frame.dtypes, strict=True) if t.kind not in "fiub"]
    if wrong:
        raise InputTypeError(f"windows: these columns are not numbers: {', '.join(wrong)}; drop or encode them.")
    labels = tuple(str(name) for name in frame.columns)
    if len(set(labels)) != len(labels):
        raise NamesError(f"windows: duplicated column names in {list(labels)}.")
    return _as_floats(frame.to_numpy(dtype=np.float64, na_value=np.nan)), labels, clock


def _read_clock(times: pd.Series) -> npt.NDArray[Any]:
    """Strictly increasing numbers or UTC dates (a change to summer time is not a gap)."""
    if times.isna().any():
        raise DataError(f"time: {int(times.isna().sum())} entries are missing; drop those rows.")
    if pd.api.types.is_datetime64_any_dtype(times.dtype):
        clock = times.to_numpy(dtype="datetime64[ns]")
    elif pd.api.types.is_numeric_dtype(times.dtype):
        clock = times.to_numpy()
    else:
        raise InputTypeError(f"time: expected dates or numbers, got {times.dtype}; convert with pandas.to_datetime.")
    backwards = np.flatnonzero(~(clock[1:] > clock[:-1]))
    if len(backwards):
        at = int(backwards[0]) + 1
        raise DataError(
            f"time: {len(backwards)} rows are not later than the row before (first: row {at}, {clock[at]} after "
            f"{clock[at - 1]}); sort the table and drop duplicated times."
        )
    return clock


def _read_target(table: Any, values: Floats, labels: tuple[str, ...], target: Any) -> tuple[Floats, str]:
    if isinstance(target, str):
        if target not in labels:
            raise NamesError(f"target: no column {target!r}; columns: {list(labels)}.")
        return values[:, labels.index(target)], target
    if isinstance(target, int | np.integer) and not isinstance(target, bool):
        if not -len(labels) <= target < len(labels):
            raise NamesError(f"target: no column {target}; the table has {len(labels)}.")
        return values[:, target], labels[target]
    if isinstance(target, pd.Series):
        if isinstance(table, pd.DataFrame) and not table.index.equals(target.index):
            raise DataError(
                "target: its row labels differ from the table's; align them first (target.loc[table.index])."
            )
        return _as_floats(target.to_numpy()), "target" if target.name is None else str(target.name)
    answer = np.asarray(target)
    if answer.shape != (len(values),):
        raise ShapeError(f"target: expected a column or {len(values)} values, got an array of shape {answer.shape}.")
    return _as_floats(answer), "target"


def _as_floats(values: npt.NDArray[Any]) -> Floats:
    if values.dtype.kind not in "fiub":
        raise InputTypeError(f"windows: expected numbers, got an array of {values.dtype}.")
    return np.array(values, dtype=np.float64)  # a copy: windows are views of it, the caller's table may change


def _check_infinite(values: Floats, labels: tuple[str, ...]) -> None:
    found = _counts(np.isinf(values), labels)
    if found:
        raise DataError(f"infinite values in {found}; replace them (by NaN if they mean missing).")


def _refuse_missing(values: Floats, labels: tuple[str, ...]) -> None:
    found = _counts(np.isnan(values), labels)
    if found:
        raise DataError(
            f"missing values in {found} of {len(values)} rows; fill them first (frame.interpolate(limit=...), "
            "frame.ffill(limit=...)) or pass missing='drop' to leave out every window that holds one."
        )


def _counts(wrong: npt.NDArray[np.bool_], labels: tuple[str, ...]) -> str:
    counts = wrong.sum(axis=0)
    return ", ".join(f"{name} ({count})" for name, count in zip(labels, counts, strict=True) if count)


def _runs(good: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64], span: int) -> npt.NDArray[np.bool_]:
    """Whether all of good[s : s + span] hold, for every start."""
    total = np.concatenate([[0], np.cumsum(good)])
    return np.asarray(total[starts + span] - total[starts] == span)


def _unbroken(clock: npt.NDArray[Any], starts: npt.NDArray[np.int64], span: int) -> npt.NDArray[np.bool_]:
    """Whether `span` rows from each start are evenly spaced, at the table's most common step."""
    steps = np.diff(clock)
    kinds, counts = np.unique(steps, return_counts=True)
    usual = kinds[counts.argmax()]
    # decimal clocks (0.1, 0.2, ...) are even only up to rounding; dates compare exactly
    even = np.isclose(steps, usual) if steps.dtype.kind == "f" else steps == usual
    return _runs(even, starts, span - 1)


def _cut(
    values: Floats, starts: npt.NDArray[np.int64], keep: npt.NDArray[np.bool_], length: int, stride: int
) -> Floats:
    view = np.lib.stride_tricks.sliding_window_view(values, length, axis=0).transpose(0, 2, 1)
    chosen = view[: int(starts[-1]) + 1 : stride]
    return _read_only(chosen if keep.all() else chosen[keep])


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.setflags(write=False)
    return array
