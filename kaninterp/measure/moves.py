"""Orders of rows that move a series against everything else and keep most of its memory in time."""

from __future__ import annotations

from typing import Any

import numpy as np

from kaninterp.core.frozen import IntArray

__all__ = ["FEWEST_PIECES", "PIECES", "moves", "pieces_of"]

PIECES = 10
"""Pieces a series is cut into: long enough for slow series to stay slow, enough of them to average over the phases of
a daily cycle. Of 500 simulated daily columns that help, a plain shift finds 6 in a hundred at p < .01, ten pieces all
but one (``python -m tests.measure.shadow_calibration``)."""
FEWEST_PIECES = 5
"""Fewer pieces of at least a block have too few arrangements to stand for chance."""


def pieces_of(rows: int, block: int) -> int:
    """Into how many pieces ``rows`` are cut when neighbours within ``block`` belong together; 0 if too few.

    Examples
    --------
    >>> pieces_of(1000, 10), pieces_of(30, 4), pieces_of(30, 24)
    (10, 7, 0)
    """
    pieces = min(PIECES, rows // max(block, 1))
    return pieces if pieces >= FEWEST_PIECES else 0


def moves(rows: int, pieces: int, copies: int, rng: np.random.Generator) -> IntArray:
    """Draw orders of rows, shape (copies, rows): each cut at random into pieces that are put together at random.

    The series is closed to a ring, opened at a random place and cut at random, every piece at least half as long as
    the average. Two orders, or an order and the real one, agree on hardly any row, so that under independence the real
    series is exchangeable with its moved copies.

    Examples
    --------
    >>> orders = moves(12, 5, 2, np.random.default_rng(0))
    >>> orders.shape, sorted(orders[0].tolist()) == list(range(12))
    ((2, 12), True)
    """
    return np.stack([_one(rows, pieces, rng) for _ in range(copies)])


def _one(rows: int, pieces: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int64]]:
    least = rows // (2 * pieces)
    cuts = np.sort(rng.integers(0, rows - pieces * least + 1, size=pieces - 1))
    lengths = np.diff(np.concatenate([[0], cuts, [rows - pieces * least]])) + least
    starts = rng.integers(rows) + np.cumsum(lengths) - lengths
    return np.concatenate([starts[k] + np.arange(lengths[k]) for k in rng.permutation(pieces)]) % rows
