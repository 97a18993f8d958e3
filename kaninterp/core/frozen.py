"""What every noun of the library shares: arrays that cannot be written to, and equality by content."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError, ShapeError

__all__ = ["Array", "BoolArray", "IntArray", "bools", "floats", "integers", "same"]

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


def floats(values: ArrayLike, shape: tuple[int | None, ...], what: str, *, finite: bool = True) -> Array:
    """Copy ``values`` into a read-only float64 array of a given shape.

    Parameters
    ----------
    values : array_like
        Numbers.
    shape : tuple of int or None
        The shape asked for; None allows any length.
    what : str
        How to call the array in an error.
    finite : bool
        Refuse NaN and infinity.

    Raises
    ------
    ShapeError
        The shape differs.
    DataError
        A value is not finite although it has to be.

    Examples
    --------
    >>> floats([1, 2], (None,), "weights").flags.writeable
    False
    """
    if _already_frozen(values):
        array: Array = np.asarray(values)  # checked when it was frozen; sharing it keeps merging cheap
    else:
        array = np.array(values, dtype=np.float64)
    _check_shape(array, shape, what)
    if finite and not np.isfinite(array).all():
        raise DataError(
            f"{what}: every value must be finite, got {int((~np.isfinite(array)).sum())} NaN or infinite values"
        )
    array.flags.writeable = False
    return array


def integers(values: ArrayLike, shape: tuple[int | None, ...], what: str) -> IntArray:
    """Copy ``values`` into a read-only int64 array of a given shape (see `floats`)."""
    array = np.array(values, dtype=np.int64)
    _check_shape(array, shape, what)
    array.flags.writeable = False
    return array


def bools(values: ArrayLike, shape: tuple[int | None, ...], what: str) -> BoolArray:
    """Copy ``values`` into a read-only bool array of a given shape (see `floats`)."""
    array = np.array(values, dtype=np.bool_)
    _check_shape(array, shape, what)
    array.flags.writeable = False
    return array


def same(left: object, right: object) -> bool:
    """Whether two nouns hold the same values, bit for bit.

    Examples
    --------
    >>> same((np.ones(2), "a"), (np.ones(2), "a"))
    True
    """
    if left is right:
        return True
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if is_dataclass(left):
        return all(same(getattr(left, f.name), getattr(right, f.name)) for f in fields(left))
    return _same_scalar(left, right)


def _already_frozen(values: object) -> bool:
    return (
        isinstance(values, np.ndarray)
        and values.dtype == np.float64
        and values.base is None
        and not values.flags.writeable
    )


def _same_scalar(left: Any, right: Any) -> bool:
    if isinstance(left, float) and np.isnan(left) and np.isnan(right):
        return True
    return bool(left == right)


def _check_shape(array: NDArray[Any], shape: tuple[int | None, ...], what: str) -> None:
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits:
        allowed = ", ".join("any" if n is None else str(n) for n in shape)
        raise ShapeError(f"{what}: expected shape ({allowed}), got {array.shape}")
