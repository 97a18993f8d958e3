"""How far the rows of a conversion reach, and where it errs most: inside the knots of the head, or beyond them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kaninterp.adapters import ModelView
from kaninterp.core.frozen import Array, IntArray
from kaninterp.nn import KANHead
from kaninterp.nn.domain import widen

__all__ = ["Ends", "Place", "cells_over", "covered", "graded", "graded_cells", "reached", "worst_place"]

Ends = tuple[Array, Array]
"""Least and greatest argument of every input of a layer, in the KAN's own order."""


class Place(NamedTuple):
    """The edge function that is furthest off on a row.

    Attributes
    ----------
    layer, src : int
        Layer of edges, and input of that layer as the KAN counts them.
    at : float
        Its argument there.
    low, high : float
        Ends of the head's knots.
    """

    layer: int
    src: int
    at: float
    low: float
    high: float

    @property
    def outside(self) -> bool:
        """Whether the argument is beyond the knots, where no function is fitted."""
        return not self.low <= self.at <= self.high

    def text(self) -> str:
        """Where that is, in words."""
        side = "outside" if self.outside else "inside"
        return f"input {self.src} of layer {self.layer} at {self.at:.4g}, {side} [{self.low:.4g}, {self.high:.4g}]"


@torch.no_grad()
def reached(view: ModelView, x: Tensor) -> list[Ends]:
    """Range of the inputs of every layer on rows (n, src), widened as the domain of a first batch is.

    Values that are not finite do not count; an input without others gets NaN, which extends nothing.
    """
    found = []
    for values in view.activations(x)[:-1]:
        fine = torch.isfinite(values)
        low = torch.where(fine, values, torch.inf).amin(0).double()
        high = torch.where(fine, values, -torch.inf).amax(0).double()
        low, high = widen(low, high)
        found.append((low.cpu().numpy(), high.cpu().numpy()))
    return found


def covered(inner: Ends, rows: Ends) -> Ends:
    """Ends that hold a domain and the range of the rows."""
    return np.fmin(inner[0], rows[0]), np.fmax(inner[1], rows[1])


def cells_over(ends: Sequence[Ends], widths: Sequence[Array]) -> int:
    """Cells of the given widths that the widest of all inputs takes."""
    spans = zip(ends, widths, strict=True)
    return max(int(np.ceil(((high - low) / width).max())) for (low, high), width in spans)


def graded_cells(inner: Sequence[Ends], outer: Sequence[Ends], widths: Sequence[Array]) -> int:
    """The same for cells that widen outside the inner ends as those of `graded` do."""
    every = zip(inner, outer, widths, strict=True)
    return max(int(np.ceil((sum(_paces(near, far)) / width).max())) for near, far, width in every)


def graded(inner: Ends, outer: Ends, grid: int) -> Array:
    """Knots, equally spaced between the inner ends, farther apart the farther they lie outside.

    Parameters
    ----------
    inner, outer : pair of ndarray, shape (n,)
        Ends within which cells are equal, and of the whole.
    grid : int
        Cells.

    Returns
    -------
    ndarray, shape (n, grid + 1)
        A cell at distance d of the inner ends is ``1 + d / c`` times as wide as the inner ones, c half the inner
        range: the number of cells grows as the logarithm of what they cover.

    Examples
    --------
    >>> near, far = (np.array([-1.0]), np.array([1.0])), (np.array([-1.0]), np.array([np.exp(2.0)]))
    >>> graded(near, far, 4).round(3).tolist()
    [[-1.0, 0.0, 1.0, 2.718, 7.389]]
    """
    (low, high), half = inner, _half(inner)
    below, within, above = _paces(inner, outer)
    pace = np.linspace(0.0, below + within + above, grid + 1, axis=1)
    low, high, half, below, within = (each[:, None] for each in (low, high, half, below, within))
    left = half * np.expm1(np.maximum(below - pace, 0.0) / half)
    right = half * np.expm1(np.maximum(pace - below - within, 0.0) / half)
    knots = low + np.clip(pace - below, 0.0, within) - left + right
    knots[:, 0], knots[:, -1] = outer
    return knots


def _half(inner: Ends) -> Array:
    return (inner[1] - inner[0]) / 2


def _paces(inner: Ends, outer: Ends) -> tuple[Array, Array, Array]:
    """Inner cell widths times the cells below, within and above the inner ends."""
    half = _half(inner)
    below, above = inner[0] - outer[0], outer[1] - inner[1]
    return half * np.log1p(below / half), 2 * half, half * np.log1p(above / half)


@torch.no_grad()
def worst_place(view: ModelView, head: KANHead, row: Tensor, columns: Sequence[IntArray]) -> Place:
    """Where an edge of the head is furthest off its counterpart on one row.

    Parameters
    ----------
    view, head
        The KAN and the head made from it.
    row : Tensor, shape (1, src)
        Inputs of its first layer.
    columns
        For every layer the KAN's inputs in the head's order.
    """
    found, most = Place(0, 0, 0.0, 0.0, 0.0), -1.0
    layers = zip(view.layers, head.kan_layers, view.activations(row)[:-1], columns, strict=True)
    for depth, (theirs, ours, values, order) in enumerate(layers):
        x = values.double()
        off = (ours.edges(x[:, order]) - theirs.edges(x)[..., order]).abs()[0].amax(0)
        off = torch.where(off.isfinite(), off, torch.zeros_like(off))
        i = int(off.argmax())
        if float(off[i]) > most:
            most, low, high = float(off[i]), ours.knots[i, 0], ours.knots[i, -1]
            src = int(order[i])
            found = Place(depth, src, float(x[0, src]), float(low), float(high))
    return found
