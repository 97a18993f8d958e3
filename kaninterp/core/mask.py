"""`EdgeMask`: which edges of a KAN are kept, with set algebra and closure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from .errors import ShapeError
from .frozen import BoolArray, bools, same

__all__ = ["EdgeMask"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeMask:
    """Kept edges of a KAN, one boolean array [dst, src] per layer, head inputs first.

    Examples
    --------
    >>> mask = EdgeMask.full((2, 2, 1)).without_edges([(0, 1, 0), (0, 1, 1)])
    >>> mask.count
    4
    >>> mask.closed().count  # node 1 has no incoming edge left, so its outgoing edge goes too
    3
    """

    layers: tuple[BoolArray, ...]

    def __post_init__(self) -> None:
        layers = tuple(bools(layer, (None, None), f"EdgeMask.layers[{i}]") for i, layer in enumerate(self.layers))
        if not layers:
            raise ShapeError("EdgeMask: expected at least one layer, got none")
        for i, (below, above) in enumerate(pairwise(layers)):
            if below.shape[0] != above.shape[1]:
                raise ShapeError(
                    f"EdgeMask: layer {i} ends in {below.shape[0]} nodes, layer {i + 1} starts from {above.shape[1]}"
                )
        object.__setattr__(self, "layers", layers)

    @classmethod
    def full(cls, widths: Iterable[int]) -> EdgeMask:
        """Every edge of a KAN with these widths kept."""
        nodes = tuple(widths)
        return cls(layers=tuple(np.ones((d, s), bool) for s, d in pairwise(nodes)))

    @classmethod
    def of(cls, layers: Iterable[ArrayLike]) -> EdgeMask:
        """Mask from any boolean or 0/1 arrays [dst, src]."""
        return cls(layers=tuple(np.asarray(layer).astype(bool) for layer in layers))

    @property
    def widths(self) -> tuple[int, ...]:
        """Nodes per layer."""
        return (self.layers[0].shape[1], *(layer.shape[0] for layer in self.layers))

    @property
    def count(self) -> int:
        """Edges kept."""
        return sum(int(layer.sum()) for layer in self.layers)

    @property
    def size(self) -> int:
        """Edges in all."""
        return sum(layer.size for layer in self.layers)

    def nodes(self) -> tuple[BoolArray, ...]:
        """Which nodes touch a kept edge of every side they have, one array per layer 0..L.

        A head input lives if an edge leaves it; a hidden node if one enters and one leaves; an output always.
        """
        hidden = (np.logical_and(below.any(1), above.any(0)) for below, above in pairwise(self.layers))
        return (np.asarray(self.layers[0].any(0)), *hidden, np.ones(self.widths[-1], bool))

    def closed(self) -> EdgeMask:
        """The largest mask inside this one in which every kept edge lies on a path from an input to an output."""
        layers = [layer.copy() for layer in self.layers]
        for below, above in pairwise(layers):
            above[:, ~below.any(1)] = False
        for below, above in reversed(list(pairwise(layers))):
            below[~above.any(0), :] = False
        return EdgeMask(layers=tuple(layers))

    def without_edges(self, edges: Iterable[tuple[int, int, int]]) -> EdgeMask:
        """Mask without the edges ``(layer, dst, src)``."""
        layers = [layer.copy() for layer in self.layers]
        for layer, dst, src in edges:
            self._check_place(layer, dst, src)
            layers[layer][dst, src] = False
        return EdgeMask(layers=tuple(layers))

    def __and__(self, other: EdgeMask) -> EdgeMask:
        return self._combine(other, np.logical_and)

    def __or__(self, other: EdgeMask) -> EdgeMask:
        return self._combine(other, np.logical_or)

    def __sub__(self, other: EdgeMask) -> EdgeMask:
        return self & ~other

    def __invert__(self) -> EdgeMask:
        return EdgeMask(layers=tuple(~layer for layer in self.layers))

    def __le__(self, other: EdgeMask) -> bool:
        return not (self - other).count

    def equals(self, other: EdgeMask) -> bool:
        """Whether both keep the same edges."""
        return same(self, other)

    def __repr__(self) -> str:
        return f"EdgeMask(widths={list(self.widths)}, kept={self.count} of {self.size})"

    def _combine(self, other: EdgeMask, operation: Callable[[BoolArray, BoolArray], BoolArray]) -> EdgeMask:
        if self.widths != other.widths:
            raise ShapeError(f"EdgeMask: cannot combine masks of widths {self.widths} and {other.widths}")
        return EdgeMask(layers=tuple(operation(a, b) for a, b in zip(self.layers, other.layers, strict=True)))

    def _check_place(self, layer: int, dst: int, src: int) -> None:
        inside = 0 <= layer < len(self.layers)
        if inside:
            rows, columns = self.layers[layer].shape
            inside = 0 <= dst < rows and 0 <= src < columns
        if not inside:
            raise ShapeError(f"EdgeMask: no edge (layer {layer}, dst {dst}, src {src}) in widths {self.widths}")
