"""A spline edge of a layer as the exact numbers of its polynomials."""

from __future__ import annotations

from typing import Any

import numpy as np

from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.core.frozen import Array
from kaninterp.core.piecewise import PiecewiseEdge, cell_polynomials
from kaninterp.nn.domain import extend_knots, uniform_knots
from kaninterp.nn.layer import KANLayer

__all__ = ["piecewise"]


def piecewise(layer: Any, dst: int, src: int) -> PiecewiseEdge:
    """Give an edge as polynomials between knots, with the base branch apart.

    Parameters
    ----------
    layer
        A `KANLayer`, or the view of one. Not changed.
    dst, src : int
        The edge: places in the layer.

    Returns
    -------
    PiecewiseEdge
        The same function everywhere, to rounding: also outside the domain, as the layer goes on there. A masked edge
        is 0.

    Raises
    ------
    InputError
        No such edge, or one that is a formula (`kaninterp.nn.formulas_of` gives it).
    InputTypeError
        A layer of another family.

    Examples
    --------
    >>> import torch
    >>> layer = KANLayer(1, 1, grid=2, order=1, domain=(0.0, 2.0), base="zero", noise=0.0)
    >>> _ = layer.weight.data[0, :3, 0].copy_(torch.tensor([0.0, 1.0, 0.0]))
    >>> piecewise(layer, 0, 0).coefficients.tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, -1.0], [0.0, 0.0]]
    """
    layer = layer if isinstance(layer, KANLayer) else getattr(layer, "module", layer)
    if not isinstance(layer, KANLayer):
        raise InputTypeError(f"piecewise() takes a layer of a KANHead, got {type(layer).__name__}")
    _check(layer, dst, src)
    spec = layer.spec
    inner = layer.knots[src : src + 1].detach().cpu().double()
    if spec.uniform:  # the layer's arithmetic knows the ends only
        inner = uniform_knots(inner[:, 0], inner[:, -1], spec.grid)
    knots = extend_knots(inner, spec.order)[0].numpy()
    weight = layer.masked_weight()[dst, :, src].detach().cpu().double().numpy()
    cells = np.einsum("i,icp->cp", weight[:-1], cell_polynomials(knots, spec.order))
    if spec.outside == "base":
        zero = np.zeros((1, spec.order + 1))
        coefficients = np.concatenate((zero, cells, zero))
    else:
        cells, knots = cells[spec.order : -spec.order], inner[0].numpy()
        coefficients = np.concatenate((_end(knots, cells, 0), cells, _end(knots, cells, -1)))
        if spec.outside == "clamp":
            coefficients[[0, -1], 1:] = 0.0
    return PiecewiseEdge(knots=knots, coefficients=coefficients, base=spec.base, base_weight=float(weight[-1]))


def _end(knots: Array, cells: Array, which: int) -> Array:
    """The line (1, order + 1) on which the first or the last cell goes on beyond the domain."""
    width = knots[-1] - knots[-2] if which else 0.0
    row = cells[which]
    powers = np.arange(len(row))
    line = np.zeros((1, len(row)))
    line[0, 0] = (row * width**powers).sum()
    line[0, 1] = (row[1:] * powers[1:] * width ** (powers[1:] - 1)).sum()
    return line


def _check(layer: KANLayer, dst: int, src: int) -> None:
    if not (0 <= dst < layer.out_features and 0 <= src < layer.in_features):
        raise InputError(
            f"there is no edge (dst {dst}, src {src}); this layer has dst 0 to {layer.out_features - 1} and src 0 to "
            f"{layer.in_features - 1}"
        )
    found = {} if layer.formulas is None else layer.formulas.formulas()
    if (dst, src) in found and bool(layer.mask[dst, src] != 0):
        f = found[dst, src]
        raise InputError(
            f"edge (dst {dst}, src {src}) is no spline but the formula "
            f"{f.c:.4g} {f.family.name}({f.a:.4g} x + {f.b:.4g}) + {f.d:.4g}; "
            "formulas_of(head) gives it, without_formulas(head) makes it a spline"
        )
