"""`Shadows`: what inputs and edges gain over copies of themselves that know nothing about the target."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from . import archive
from .discoveries import benjamini_hochberg
from .errors import ShapeError
from .frozen import Array, BoolArray, IntArray, bools, floats, integers, same

__all__ = ["Shadows"]

_EDGE_FIELDS = ("edge_benefit", "edge_p_value")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shadows:
    """The noise floor: real inputs and edges against their own shadows.

    A shadow holds the same values in pieces of the same series that come in another order, so that it has the law of
    the real thing, most of its memory in time, and no tie to the target. p-values are one-sided: small where the loss
    is lower than a shadow would have it. What could not be tested (not read, constant, masked, too few rows, beyond
    the budget) has benefit 0 and p-value 1.

    Attributes
    ----------
    names : tuple of str
        Raw columns, F of them.
    loss : str
        Name of the loss.
    rows, edge_rows : int
        Rows used for the inputs and for the edges (0: none were measured).
    copies : int
        Shadows of each.
    block : int
        Mean length of the pieces of the inputs, in rows used.
    base : float
        Loss of the intact model on ``rows``.
    benefit : ndarray, shape (F,)
        Mean loss with a shadow in the column's place minus the intact loss.
    floor : ndarray, shape (F,)
        Benefit that one shadow in twenty reaches against the others; above it the p-value is below .05.
    as_good : ndarray of int, shape (F,)
        Shadows whose loss is not above the intact loss.
    p_value : ndarray, shape (F,)
        Chance of so low a loss if the column were one more shadow.
    tested : ndarray of bool, shape (F,)
        Columns that were compared with shadows.
    edge_benefit : tuple of ndarray, one per layer, each (dst, src)
        Loss with the edge at its mean minus the intact loss.
    edge_p_value : tuple of ndarray, one per layer, each (dst, src)
        As for inputs, for the edge's contribution moved in time; the larger one of the edge alone and of all edges
        out of its node together.
    edge_tested : tuple of ndarray of bool, one per layer, each (dst, src)
        Edges that were compared with shadows.
    edge_floor : float
        Benefit that one shadow in twenty of all tested edges reaches, at least 0.
    remark : str
        What was not measured, and why; "" if nothing is missing.

    Examples
    --------
    >>> found = Shadows(
    ...     names=("a", "b"), loss="mse", rows=500, edge_rows=0, copies=30, block=50, base=1.0, benefit=[0.8, 0.0],
    ...     floor=[0.1, 0.1], as_good=[0, 16], p_value=[1e-6, 0.5], tested=[True, True], edge_benefit=(),
    ...     edge_p_value=(), edge_tested=(), edge_floor=0.0, remark="",
    ... )
    >>> found.q_value.tolist(), found.family
    ([2e-06, 0.5], 2)
    """

    names: tuple[str, ...]
    loss: str
    rows: int
    edge_rows: int
    copies: int
    block: int
    base: float
    benefit: Array
    floor: Array
    as_good: IntArray
    p_value: Array
    tested: BoolArray
    edge_benefit: tuple[Array, ...]
    edge_p_value: tuple[Array, ...]
    edge_tested: tuple[BoolArray, ...]
    edge_floor: float
    remark: str

    def __post_init__(self) -> None:
        shape = (len(self.names),)
        for name in ("benefit", "floor", "p_value"):
            object.__setattr__(self, name, floats(getattr(self, name), shape, f"Shadows.{name}"))
        object.__setattr__(self, "as_good", integers(self.as_good, shape, "Shadows.as_good"))
        object.__setattr__(self, "tested", bools(self.tested, shape, "Shadows.tested"))
        tested = tuple(bools(t, (None, None), f"Shadows.edge_tested[{i}]") for i, t in enumerate(self.edge_tested))
        object.__setattr__(self, "edge_tested", tested)
        for name in _EDGE_FIELDS:
            layers = getattr(self, name)
            if len(layers) != len(tested):
                raise ShapeError(f"Shadows.{name}: expected one array per layer, {len(tested)}, got {len(layers)}")
            frozen = (floats(v, tested[i].shape, f"Shadows.{name}[{i}]") for i, v in enumerate(layers))
            object.__setattr__(self, name, tuple(frozen))

    @property
    def family(self) -> int:
        """Columns that were tested together."""
        return int(self.tested.sum())

    @property
    def edge_family(self) -> int:
        """Edges of all layers that were tested together."""
        return int(sum(tested.sum() for tested in self.edge_tested))

    @property
    def q_value(self) -> Array:
        """False discovery rate at which a column counts as real, shape (F,); 1 where it was not tested.

        By Benjamini and Hochberg over the tested columns: all p-values come from one target and the same moves in
        time, so that they tend to rise together. Simulated with 20 columns of noise and 4 that count, independent or
        tied to each other, white or slow, .021 to .044 of the discoveries at q < .05 were false. The bound for
        arbitrary dependence (Benjamini and Yekutieli) found less than half as many of the slow ones there
        (``python -m tests.measure.shadow_calibration``).
        """
        q = np.ones(len(self.names))
        q[self.tested] = benjamini_hochberg(self.p_value[self.tested])
        return q

    @property
    def edge_q_value(self) -> tuple[Array, ...]:
        """The same for edges, one family over all layers; each (dst, src)."""
        flat = [p[t] for p, t in zip(self.edge_p_value, self.edge_tested, strict=True)]
        q = benjamini_hochberg(np.concatenate([*flat, np.zeros(0)]))
        layers, start = [], 0
        for tested in self.edge_tested:
            values, stop = np.ones(tested.shape), start + int(tested.sum())
            values[tested] = q[start:stop]
            layers.append(values)
            start = stop
        return tuple(layers)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file (no pickle), atomically."""
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Shadows:
        """Read it back; raises `FileFormatError` on anything else."""
        return archive.load(path, cls, ())

    def equals(self, other: Shadows) -> bool:
        """Whether both hold the same values, bit for bit."""
        return same(self, other)

    def __repr__(self) -> str:
        real = int((self.q_value < 0.05).sum())
        edges = int(sum((q < 0.05).sum() for q in self.edge_q_value))
        return (
            f"Shadows({self.loss}, copies={self.copies}, inputs above the floor: {real} of {self.family}, "
            f"edges: {edges} of {self.edge_family})"
        )
