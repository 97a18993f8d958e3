"""What was measured about the edges of a head: the price of losing one, all of a node, or two that undo each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import ShapeError
from .evidence import Z95, Estimate
from .frozen import Array, floats

__all__ = ["EdgeAblation", "Twins"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """Two edges into one node that undo each other, and the rise of the loss when both are replaced by their means."""

    layer: int
    dst: int
    src: tuple[int, int]
    together: Estimate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeAblation:
    """What happens when edges of the head are replaced by their means and the rest stays.

    Attributes
    ----------
    loss : str
        Name of the loss; "output change" where no loss could be measured at the head: then the change is the mean
        squared change of the outputs divided by their variance.
    rows : int
        Rows used.
    base : float
        Loss of the intact model on these rows (0 for "output change").
    change : tuple of ndarray, one per layer, each (dst, src)
        Rise of the loss for one edge; NaN for an edge that was not measured, 0 for a masked one.
    error : tuple of ndarray, one per layer, each (dst, src)
        Standard error of ``change`` over blocks of rows; empty where none was measured.
    out, out_error : tuple of ndarray, one per layer, each (src,)
        The same with all edges out of a node replaced together; empty where it was not measured.
    into, into_error : tuple of ndarray, one per layer, each (dst,)
        The same with all edges into a node replaced together.
    twins : tuple of Twins
        Edges that undo each other.
    """

    loss: str
    rows: int
    base: float
    change: tuple[Array, ...]
    error: tuple[Array, ...] = ()
    out: tuple[Array, ...] = ()
    out_error: tuple[Array, ...] = ()
    into: tuple[Array, ...] = ()
    into_error: tuple[Array, ...] = ()
    twins: tuple[Twins, ...] = ()

    def __post_init__(self) -> None:
        shapes = [np.shape(layer) for layer in self.change]
        targets, sources = [shape[:1] for shape in shapes], [shape[1:2] for shape in shapes]
        wanted = {"change": [(None, None)] * len(shapes), "error": shapes}
        wanted |= {"out": sources, "out_error": sources, "into": targets, "into_error": targets}
        for name, allowed in wanted.items():
            layers = getattr(self, name)
            if layers and len(layers) != len(allowed):
                raise ShapeError(f"EdgeAblation.{name}: {len(layers)} layers where change has {len(allowed)}")
            what = f"EdgeAblation.{name}"
            frozen = tuple(floats(x, shape, what, finite=False) for x, shape in zip(layers, allowed, strict=False))
            object.__setattr__(self, name, frozen)

    def node(self, layer: int, index: int, side: str) -> Estimate | None:
        """Rise of the loss without all edges "out" of a node or "in" to it; None where it was not measured."""
        values, errors = (self.out, self.out_error) if side == "out" else (self.into, self.into_error)
        place = layer if side == "out" else layer - 1
        if not values or not errors:
            return None
        value, half = float(values[place][index]), Z95 * float(errors[place][index])
        return Estimate(value=value, low=value - half, high=value + half)

    def twins_of(self, layer: int, dst: int, src: int) -> Twins | None:
        """The pair an edge belongs to; None where it has no twin."""
        return next((t for t in self.twins if (t.layer, t.dst) == (layer, dst) and src in t.src), None)
