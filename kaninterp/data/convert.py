"""Columns of user data (tensor, array, table) and how rows of them become tensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from kaninterp.core.errors import DataError, InputTypeError, NamesError, ShapeError
from kaninterp.data.windows import Windows

__all__ = ["Column", "Rows", "as_column", "as_target", "describe", "is_columnar", "pandas_index", "table_names"]

Rows = Tensor | npt.NDArray[Any]

_TENSOR_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A block of raw columns held in memory: rows first, raw columns last.

    Numpy arrays stay numpy arrays until rows are taken, so a memory-mapped file or a view of overlapping
    windows is never copied as a whole.
    """

    values: Rows
    names: tuple[str, ...] | None

    def take(self, index: slice | Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Take the rows at `index` (a slice or a CPU int64 tensor) as a tensor.

        Floating numpy rows become `dtype` (None: torch's default dtype); tensors are left as they are.
        """
        if isinstance(self.values, Tensor):
            if isinstance(index, slice):
                return self.values[index]
            return self.values.index_select(0, index.to(self.values.device))
        # copied: torch warns about, and would write through to, read-only memory (fancy indexing copies)
        rows = np.array(self.values[index]) if isinstance(index, slice) else self.values[index.numpy()]
        if rows.dtype.kind == "f":
            narrow = rows.dtype.newbyteorder("=") if rows.dtype.itemsize <= 8 else np.dtype(np.float64)
            return torch.from_numpy(rows.astype(narrow, copy=False)).to(dtype or torch.get_default_dtype())
        return torch.from_numpy(rows if rows.dtype.kind == "b" else rows.astype(np.int64, copy=False))


def is_columnar(data: object) -> bool:
    """Whether `data` is one block of rows: a tensor, an array or a pandas object."""
    return isinstance(data, Tensor | np.ndarray | pd.DataFrame | pd.Series)


def as_column(data: object, *, what: str, integers: bool = False) -> Column:
    """Adapt one block of inputs.

    Parameters
    ----------
    data
        Tensor, numpy array or DataFrame with the rows first.
    what
        How errors call it.
    integers
        Whether integer tensors and arrays are indices that pass through, of any rank (dict data). Elsewhere
        they are refused: nobody can tell an index from a number that was meant to be learnt from.

    Raises
    ------
    InputTypeError
        Integers, text, dates or another kind of object.
    ShapeError
        Fewer than two dimensions.
    NamesError
        A table with duplicated column names.
    """
    if isinstance(data, pd.DataFrame):
        return Column(values=_table_values(data, what), names=table_names(data, what))
    if isinstance(data, pd.Series):
        raise ShapeError(f"{what}: a Series has no columns; pass series.to_frame() for a single raw column.")
    if not isinstance(data, Tensor | np.ndarray):
        raise InputTypeError(f"{what}: expected a tensor, a numpy array or a DataFrame, got {describe(data)}.")
    is_index = _check_numbers(data, what, integers=integers)
    if data.ndim < (1 if integers or is_index else 2):
        raise ShapeError(
            f"{what}: expected rows x columns (or rows x time x columns), got {describe(data)}; a single raw column is "
            "x[:, None], a single row is x[None]."
        )
    return Column(values=data, names=None)


def as_target(data: object, *, what: str = "target") -> Column:
    """Adapt a target: floating numbers, integers (int64 class labels) or booleans.

    Raises
    ------
    InputTypeError
        Text, dates or another kind of object.
    ShapeError
        A single number instead of one entry per row.
    """
    if isinstance(data, pd.Series | pd.DataFrame):
        frame = data.to_frame() if isinstance(data, pd.Series) else data
        values = _label_values(frame, what)
        # one column is one number per row, like a Series
        return Column(values=values[:, 0] if values.shape[1] == 1 else values, names=None)
    if not isinstance(data, Tensor | np.ndarray):
        raise InputTypeError(f"{what}: expected a tensor, a numpy array or a Series, got {describe(data)}.")
    _check_numbers(data, what, integers=True)
    if data.ndim == 0:
        raise ShapeError(f"{what}: expected one entry per row, got a single number.")
    return Column(values=data, names=None)


def pandas_index(data: object) -> pd.Index | None:
    """Return the row labels of a pandas object, None for everything else."""
    return data.index if isinstance(data, pd.DataFrame | pd.Series) else None


def describe(data: object) -> str:
    """Say what arrived, for messages: kind, shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> describe(np.zeros((5, 2)))
    'array 5 x 2 of float64'
    """
    if isinstance(data, Tensor | np.ndarray):
        kind = "tensor" if isinstance(data, Tensor) else "array"
        shape = " x ".join(str(size) for size in data.shape) or "without dimensions"
        return f"{kind} {shape} of {str(data.dtype).removeprefix('torch.')}"
    if isinstance(data, pd.DataFrame):
        return f"DataFrame {data.shape[0]} x {data.shape[1]}"
    if isinstance(data, dict):
        return "dict with " + (", ".join(f"{key!r}: {describe(value)}" for key, value in data.items()) or "no keys")
    if isinstance(data, Windows):
        return "windows " + " x ".join(str(size) for size in data.X.shape)
    return f"a {type(data).__name__}"


def _check_numbers(data: Rows, what: str, *, integers: bool) -> bool:
    """Refuse dtypes nobody can learn from; say whether the data are integers."""
    if isinstance(data, Tensor):
        is_float = data.dtype in _TENSOR_DTYPES
        is_index = not (data.is_floating_point() or data.is_complex())
        cure = "x.float()"
    else:
        is_float, is_index = data.dtype.kind == "f", data.dtype.kind in "iub"
        cure = "x.astype('float32')"
    if is_float or (is_index and integers):
        return is_index
    if is_index:
        raise InputTypeError(
            f"{what}: expected floating numbers, got {describe(data)}; convert with {cure} if the values are "
            "quantities, or pass a dict ({'name': x}) if they are indices for an embedding."
        )
    raise InputTypeError(f"{what}: expected floating numbers, got {describe(data)}.")


def _table_values(frame: pd.DataFrame, what: str) -> npt.NDArray[Any]:
    _check_table(frame, what)
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def _label_values(frame: pd.DataFrame, what: str) -> npt.NDArray[Any]:
    _check_table(frame, what)
    is_bool = all(pd.api.types.is_bool_dtype(kind) for kind in frame.dtypes)
    if is_bool or all(pd.api.types.is_integer_dtype(kind) for kind in frame.dtypes):
        if frame.isna().to_numpy().any():
            raise DataError(f"{what}: {int(frame.isna().to_numpy().sum())} labels are missing; drop those rows.")
        return frame.to_numpy(dtype=np.bool_ if is_bool else np.int64)
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def _check_table(frame: pd.DataFrame, what: str) -> None:
    wrong = [
        f"{name!r} ({kind})"
        for name, kind in zip(frame.columns, frame.dtypes, strict=True)
        if not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_complex_dtype(kind)
    ]
    if wrong:
        raise InputTypeError(
            f"{what}: these columns are not numbers: {', '.join(wrong)}; drop or encode them first (pandas.get_dummies "
            "for categories, a number of hours or days for dates)."
        )


def table_names(frame: pd.DataFrame, what: str) -> tuple[str, ...]:
    """Names of the columns as text, parts of a hierarchy joined by dots."""
    labels: list[object] = list(frame.columns)
    names = tuple(".".join(str(part) for part in label) if isinstance(label, tuple) else str(label) for label in labels)
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise NamesError(f"{what}: duplicated column names {twice}; every raw input needs its own name.")
    return names
