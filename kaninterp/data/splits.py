"""Chronological splits that do not leak."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kaninterp.core.errors import DataError, InputError

__all__ = ["time_split"]


def time_split(n: int, parts: Sequence[float] = (0.6, 0.2, 0.2), *, gap: int = 0) -> tuple[slice, ...]:
    """Cut n rows in time order into neighbouring parts, with `gap` rows left out between them.

    A random split of overlapping windows puts nearly the same rows on both sides and flatters every model;
    so does a chronological one without a gap, at the seam. `Windows.embargo` is the gap that leaves no row
    shared.

    Parameters
    ----------
    n
        Number of rows.
    parts
        Shares of the rows, positive, adding up to 1. The rows of the gaps are taken off the start of each
        later part.
    gap
        Rows to leave out before each part but the first.

    Raises
    ------
    InputError
        Shares that are not positive or do not add up to 1, or a negative gap.
    DataError
        A part would be empty.

    Examples
    --------
    >>> time_split(100, (0.6, 0.2, 0.2), gap=5)
    (slice(0, 60, None), slice(65, 80, None), slice(85, 100, None))
    """
    if gap < 0:
        raise InputError(f"gap: expected a number of rows >= 0, got {gap}.")
    if not parts or min(parts) <= 0 or not math.isclose(sum(parts), 1.0, abs_tol=1e-9):
        raise InputError(f"parts: expected positive shares that add up to 1, got {list(parts)}.")
    ends = [round(n * sum(parts[: k + 1])) for k in range(len(parts))]
    starts = [0] + [end + gap for end in ends[:-1]]
    for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if start >= end:
            raise DataError(
                f"{n} rows in parts {list(parts)} with a gap of {gap} leave part {k} empty; use fewer parts, a smaller "
                "gap or more rows."
            )
    return tuple(slice(start, end) for start, end in zip(starts, ends, strict=True))
