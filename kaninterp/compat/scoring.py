"""pykan's scores of edges and nodes, from a trace; several outputs count at their largest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kaninterp.analysis.attribution import aggregate, kan2
from kaninterp.core import Trace
from kaninterp.core.errors import InputError, ShapeError
from kaninterp.core.frozen import Array

__all__ = ["attribution_to", "edge_scores", "node_scores"]


def edge_scores(trace: Trace) -> tuple[Array, ...]:
    """KAN 2.0 scores of the edges, (dst, src) per layer, for the output that needs each most.

    pykan takes the mean over the outputs, which shrinks with every output added: with 34 of them the default threshold
    cuts the whole last layer.
    """
    return tuple(aggregate(scores) for scores in kan2(trace))


def node_scores(trace: Trace) -> tuple[Array, ...]:
    """KAN 2.0 scores of the nodes below the outputs, (nodes,) per layer, for the output that needs each most."""
    return tuple(aggregate(scores.sum(1)) for scores in kan2(trace))


def attribution_to(trace: Trace, layer: int, node: int | None = None, weights: Any = None) -> Array:
    """How much each input matters to a node, or to all nodes of a layer.

    Parameters
    ----------
    trace : Trace
        Of the head.
    layer : int
        From 1; the outputs are the last.
    node : int, optional
        Which of its nodes.
    weights : sequence of float, optional
        One per node of the layer: the sum of the nodes' scores so weighted. For one ``node`` not used.

    Returns
    -------
    ndarray, shape (inputs,)
        In standard deviations of the node; for several nodes without weights the largest.

    Raises
    ------
    InputError
        No such layer or node. ShapeError: not one weight per node.
    """
    depth = len(trace.layers)
    if not 1 <= layer <= depth:
        raise InputError(f"l={layer}: nodes that inputs can matter to are in layers 1 to {depth}")
    tables = trace.nodes[layer]
    width = len(tables.mean)
    if node is not None and not 0 <= node < width:
        raise InputError(f"i={node}: layer {layer} has nodes 0 to {width - 1}")
    below = replace(
        trace, layers=trace.layers[:layer], outputs=tables, output_names=tuple(f"node {i}" for i in range(width))
    )
    scores = kan2(below)[0].sum(1)
    if node is not None:
        return np.asarray(scores[node])
    if weights is None:
        return aggregate(scores)
    share = np.asarray(weights, dtype=np.float64)
    if share.shape != (width,):
        raise ShapeError(f"out_score has shape {share.shape}; expected one weight for each of the {width} nodes")
    return np.asarray(np.abs(share) @ scores)
