"""Statistics of one block of rows, as tables that merge: the elements of the monoid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kaninterp.adapters import LayerView
from kaninterp.core import EdgeTable, LayerTrace, NodeTable, PartTable, RangeTable, RawTable
from kaninterp.core.frozen import Array, IntArray
from kaninterp.core.tables import Floats, zone_ends

__all__ = ["Curves", "layer_block", "raw_block"]

CURVE_POINTS_PER_CELL = 4
"""Points per knot interval at which an edge is drawn, domain and fringe; a cubic is smooth between them."""


CACHED = 2**17
"""Values of raw columns that are summed up at a time: a megabyte, which stays in the cache between the passes."""


class Curves:
    """The edges of a layer drawn on fixed points: the same for every block, so computed once."""

    def __init__(self, layer: LayerView) -> None:
        points = curve_points(layer.knots, layer.order)
        weight = torch.as_tensor(points.T, dtype=_dtype_of(layer))
        self.x = points
        self.edges = _numpy(layer.edges(weight)).transpose(1, 2, 0).copy()
        self.base = _numpy(layer.base_edges(weight)).transpose(1, 2, 0).copy()
        for array in (self.x, self.edges, self.base):
            array.flags.writeable = False


def curve_points(knots: Array, order: int) -> Array:
    """Points over domain and fringe, shape (src, P); the ends of the domain are among them."""
    a, b = knots[:, :1], knots[:, -1:]
    cells = knots.shape[1] - 1
    cell = (b - a) / cells
    steps = np.arange(-order * CURVE_POINTS_PER_CELL, (cells + order) * CURVE_POINTS_PER_CELL + 1)
    return np.asarray(a + cell * steps / CURVE_POINTS_PER_CELL, dtype=np.float64)


def layer_block(layer: LayerView, curves: Curves, x: Tensor, y: Tensor) -> LayerTrace:
    """Statistics of one layer on rows x (n, src) with outputs y (n, dst).

    Moments are taken about the block's own mean in float64, so they neither cancel nor go negative.
    """
    inputs, _ = NodeTable.of_columns(_columns(x))
    moments = _moments_from_planes(layer, x, y) or _moments_from_edges(layer, x, y)
    moving = layer.alive & ~inputs.constant[None, :]
    found = {name: _numpy(value) for name, value in moments._asdict().items()}
    found |= {name: np.where(moving, found[name], 0.0) for name in found if not name.endswith("mean")}
    return LayerTrace(
        inputs=inputs,
        ranges=_ranges(layer, x),
        edges=EdgeTable(
            count=x.shape[0],
            mean=found["mean"],
            m2=np.maximum(found["m2"], 0.0),
            with_output=found["with_output"],
            with_input=found["with_input"],
            alive=layer.alive,
            bias=layer.bias,
            curve_x=curves.x,
            curves=curves.edges,
            base_curves=curves.base,
        ),
        parts=PartTable(
            mean=found["base_mean"],
            m2=np.maximum(found["base_m2"], 0.0),
            with_edge=found["base_with_edge"],
            with_input=found["base_with_input"],
            start=layer.start,
            untouched=layer.untouched,
        ),
    )


def raw_block(values: Tensor, names: tuple[str, ...]) -> RawTable:
    """Moments and co-moments of raw columns, values (rows, lags, columns)."""
    found: RawTable | None = None
    for part in torch.split(values.reshape(-1, values.shape[-1]), max(CACHED // max(values.shape[-1], 1), 1)):
        nodes, centred = NodeTable.of_columns(_columns(part))
        table = RawTable(names=names, nodes=nodes, co=centred @ centred.T, lags=int(values.shape[1]))
        found = table if found is None else found.merge(table)
    assert found is not None  # noqa: S101 - `torch.split` gives at least one part
    return found


class _Moments(NamedTuple):
    """Moments of the edges, and of their base branch alone, each (dst, src)."""

    mean: Tensor
    m2: Tensor
    with_output: Tensor
    with_input: Tensor
    base_mean: Tensor
    base_m2: Tensor
    base_with_edge: Tensor
    base_with_input: Tensor


def _moments_from_planes(layer: LayerView, x: Tensor, y: Tensor) -> _Moments | None:
    """Edges that share a basis: their moments are quadratic forms in its Gram matrix, O(n src K (K + dst))."""
    basis, weight, base = layer.planes(x), layer.coefficients(), layer.base_coefficients()
    if basis is None or weight is None or base is None:
        return None
    planes = basis.detach().permute(2, 1, 0).to(torch.float64, memory_format=torch.contiguous_format)  # (src, K, n)
    weight, base = (part.double().permute(2, 0, 1) for part in (weight, base))  # (src, dst, K)
    plane_mean = planes.mean(2)
    planes -= plane_mean.unsqueeze(2)
    gram = torch.bmm(planes, planes.transpose(1, 2))
    across = (planes.flatten(0, 1) @ _centred(y)).reshape(*gram.shape[:2], -1).transpose(1, 2)  # (src, dst, K)
    along = (planes @ _centred(x).T.unsqueeze(2)).transpose(1, 2)  # (src, 1, K)
    squared, middle = torch.bmm(weight, gram), plane_mean.unsqueeze(1)
    parts = (
        weight * middle, weight * squared, weight * across, weight * along,
        base * middle, base * torch.bmm(base, gram), base * squared, base * along,
    )  # fmt: skip
    return _Moments(*(part.sum(2).T for part in parts))


def _moments_from_edges(layer: LayerView, x: Tensor, y: Tensor) -> _Moments:
    """Any other family: from the edges themselves, O(n src dst)."""
    edges, base = layer.edges(x).detach().double(), layer.base_edges(x).detach().double()
    mean, base_mean = edges.mean(0), base.mean(0)
    edges, base, into = edges - mean, base - base_mean, _centred(x)
    return _Moments(
        mean=mean,
        m2=edges.square().sum(0),
        with_output=torch.einsum("nds,nd->ds", edges, _centred(y)),
        with_input=torch.einsum("nds,ns->ds", edges, into),
        base_mean=base_mean,
        base_m2=base.square().sum(0),
        base_with_edge=(base * edges).sum(0),
        base_with_input=torch.einsum("nds,ns->ds", base, into),
    )


def _ranges(layer: LayerView, x: Tensor) -> RangeTable:
    """Counts per knot interval and per zone outside; the last knot belongs to the last interval."""
    knots, order = layer.knots, layer.order
    src, cells = knots.shape[0], knots.shape[1] - 1
    bins = cells + 4
    boundaries = torch.as_tensor(zone_ends(knots, order), dtype=torch.float64, device=x.device)
    columns = x.detach().double().T.contiguous()
    place = torch.searchsorted(boundaries, columns, right=True)
    last = boundaries[:, -2:-1]
    place = torch.where(columns == last, torch.full_like(place, cells + 1), place)
    flat = place + bins * torch.arange(src, device=x.device).unsqueeze(1)
    counts = torch.bincount(flat.flatten(), minlength=src * bins).reshape(src, bins).cpu().numpy()
    outside: IntArray = counts[:, [0, 1, cells + 2, cells + 3]]
    return RangeTable(knots=knots, order=order, intervals=counts[:, 2 : cells + 2], outside=outside)


def _centred(values: Tensor) -> Tensor:
    values = values.detach().double()
    return values - values.mean(0)


def _columns(values: Tensor) -> Floats:
    """Values (rows, n), column by column: (n, rows), contiguous."""
    values = values.detach().cpu()
    values = values if values.dtype in (torch.float32, torch.float64) else values.double()
    array: Floats = values.T.contiguous().numpy()
    return array


def _numpy(values: Tensor) -> Array:
    array: Array = values.detach().cpu().double().numpy()
    return array


def _dtype_of(layer: LayerView) -> torch.dtype:
    weight = layer.coefficients()
    return torch.get_default_dtype() if weight is None else weight.dtype
