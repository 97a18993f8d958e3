"""Some rows of a stream, held in memory that does not grow with the stream."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from kaninterp.core.errors import InputError, ShapeError
from kaninterp.data.batch import Batch

__all__ = ["check_count", "evenly", "join", "pick", "spread_rows", "thinned"]

Rows = npt.NDArray[np.int64]


def check_count(n: int) -> None:
    """Refuse a sample of less than one row."""
    if n < 1:
        raise InputError(f"a sample needs at least 1 row, got n_rows={n}.")


def spread_rows(total: int, n: int, rng: np.random.Generator | None) -> Rows:
    """Choose up to n of `total` rows in rising order: evenly spaced, or drawn at random without replacement.

    Examples
    --------
    >>> spread_rows(9, 3, None).tolist()
    [0, 4, 8]
    """
    if n >= total:
        return np.arange(total)
    if rng is not None:
        return np.sort(rng.choice(total, size=n, replace=False))
    return np.round(np.linspace(0, total - 1, n)).astype(np.int64)


def pick(batches: Iterable[Batch], rows: Rows) -> Batch:
    """Take the given rows (rising positions in the stream) of one pass."""
    parts, start = [], 0
    for batch in batches:
        here = rows[(rows >= start) & (rows < start + batch.n_rows)] - start
        if len(here):
            parts.append(batch.rows(torch.from_numpy(here)))
        start += batch.n_rows
        if start > rows[-1]:
            break
    return join(parts)


def evenly(batches: Iterable[Batch], n: int) -> Batch:
    """Take about evenly spaced rows of a stream of unknown length.

    Keeps every s-th row and doubles s whenever twice the rows wanted are held, so that memory stays bounded.
    """
    held: list[Batch] = []
    stride, start = 1, 0
    for batch in batches:
        offset = -start % stride
        if offset < batch.n_rows:
            held.append(batch.rows(slice(offset, None, stride)))
        start += batch.n_rows
        while -(-start // stride) > 2 * n:
            held, stride = [join(held).rows(slice(0, None, 2))], 2 * stride
    sample = join(held)
    return sample.rows(torch.from_numpy(spread_rows(sample.n_rows, n, None)))


def thinned(batches: Iterable[Batch], n: int, rng: np.random.Generator) -> Batch:
    """Draw n rows of a stream of unknown length, uniformly at random, in their order.

    Bottom-n sampling: each row draws a key and the n smallest stay, so the choice does not depend on the
    batches.
    """
    held: list[Batch] = []
    keys = np.empty(0)
    for batch in batches:
        keys = np.concatenate([keys, rng.random(batch.n_rows)])
        held.append(batch)
        if len(keys) > 2 * n:
            held, keys = _smallest(held, keys, n)
    held, keys = _smallest(held, keys, n)
    return held[0]


def join(parts: list[Batch]) -> Batch:
    """Join several batches to one; sequences of different lengths are refused."""
    if len(parts) == 1:
        return parts[0]
    shapes = [[tuple(x.shape[1:]) for x in part.inputs] for part in parts]
    other = next((shape for shape in shapes if shape != shapes[0]), None)
    if other is not None:
        raise ShapeError(
            f"rows of shapes {shapes[0]} and {other} cannot be held in one batch; cut or pad all sequences to one "
            "length (in the collate function of the DataLoader)"
        )
    target = None if parts[0].target is None else torch.cat([part.target for part in parts if part.target is not None])
    inputs = tuple(torch.cat(tensors) for tensors in zip(*(part.inputs for part in parts), strict=True))
    return Batch(inputs=inputs, keys=parts[0].keys, target=target)


def _smallest(held: list[Batch], keys: npt.NDArray[np.float64], n: int) -> tuple[list[Batch], npt.NDArray[np.float64]]:
    stay = np.sort(np.argsort(keys)[:n])
    return [join(held).rows(torch.from_numpy(stay))], keys[stay]
