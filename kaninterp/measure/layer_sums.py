"""Everything a trace keeps of one layer, summed up over blocks of rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kaninterp.adapters import LayerView
from kaninterp.core import EdgeTable, LayerTrace, NodeTable, PartTable
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.measure.edge_sums import edge_sums
from kaninterp.measure.range_counts import RangeCounts
from kaninterp.measure.raw_sums import numbers

__all__ = ["LayerSums"]

CURVE_POINTS_PER_CELL = 4
"""Points per knot interval at which an edge is drawn, domain and fringe; a cubic is smooth between them."""


class LayerSums:
    """Takes rows of one layer and gives its `LayerTrace` at the end.

    Parameters
    ----------
    layer : LayerView
        It must not change meanwhile.
    few : Tensor, shape (n, src)
        Some rows, for trying what the layer offers.
    """

    def __init__(self, layer: LayerView, few: Tensor) -> None:
        self._layer = layer
        self._edges = edge_sums(layer, few)
        self._ranges = RangeCounts(layer)
        self._inputs: NodeTable | None = None

    def add(self, x: Tensor) -> Tensor:
        """Take rows, (n, src), and give what the layer makes of them, (n, dst)."""
        columns = x.detach().T.contiguous()
        table = NodeTable.of_columns(numbers(columns))
        self._inputs = table if self._inputs is None else self._inputs.merge(table)
        self._ranges.add(columns)
        return self._edges.add(x, columns)

    def table(self) -> LayerTrace:
        """Of all rows so far."""
        layer, inputs = self._layer, self._inputs
        assert inputs is not None  # noqa: S101 - there is no trace of no rows
        moving = layer.alive & ~inputs.constant[None, :]
        found = {name: _numpy(value) for name, value in self._edges.moments()._asdict().items()}
        found |= {name: np.where(moving, found[name], 0.0) for name in found if not name.endswith("mean")}
        x, edges, base = _curves(layer)
        return LayerTrace(
            inputs=inputs,
            ranges=self._ranges.table(),
            edges=EdgeTable(
                count=inputs.count,
                mean=found["mean"],
                m2=np.maximum(found["m2"], 0.0),
                with_output=found["with_output"],
                with_input=found["with_input"],
                alive=layer.alive,
                bias=layer.bias,
                curve_x=x,
                curves=edges,
                base_curves=base,
            ),
            parts=PartTable(
                mean=found["base_mean"],
                m2=np.maximum(found["base_m2"], 0.0),
                with_edge=found["base_with_edge"],
                with_input=found["base_with_input"],
                start=layer.start,
                untouched=layer.untouched,
                formula=_formulas(layer),
            ),
        )


def _formulas(layer: LayerView) -> BoolArray:
    """Which edges are formulas, (dst, src)."""
    found = np.zeros(layer.alive.shape, bool)
    for dst, src, _ in layer.formulas:
        found[dst, src] = True
    return found


def _curves(layer: LayerView) -> tuple[Array, Array, Array]:
    """Points (src, P), and every edge and its base branch drawn at them, (dst, src, P)."""
    points = _curve_points(layer.knots, layer.order)
    weight = layer.coefficients()
    at = torch.as_tensor(points.T, dtype=torch.get_default_dtype() if weight is None else weight.dtype)
    edges, base = (_numpy(part).transpose(1, 2, 0).copy() for part in (layer.edges(at), layer.base_edges(at)))
    return points, edges, base


def _curve_points(knots: Array, order: int) -> Array:
    """Points over domain and fringe, shape (src, P); the ends of the domain are among them."""
    a, b = knots[:, :1], knots[:, -1:]
    cells = knots.shape[1] - 1
    cell = (b - a) / cells
    steps = np.arange(-order * CURVE_POINTS_PER_CELL, (cells + order) * CURVE_POINTS_PER_CELL + 1)
    return np.asarray(a + cell * steps / CURVE_POINTS_PER_CELL, dtype=np.float64)


def _numpy(values: Tensor) -> Array:
    array: Array = values.detach().cpu().double().numpy()
    return array
