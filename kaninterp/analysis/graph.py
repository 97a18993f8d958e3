"""`to_graph`: the model from raw inputs to outputs as a networkx graph, and an edited graph back as a mask.

Node keys are ``input:NAME``, ``unit:3``, ``node:1.2`` and ``output:NAME`` with original numbers, so that they survive
a prune. In a plain KAN the inputs are the first layer; behind a backbone they come before the units. Attributes are
str, int, float or bool only, so that every export of networkx can write them.

| node attribute | of | meaning |
|---|---|---|
| kind | all | "input", "unit", "node", "output" |
| name | all | name for people |
| layer, index, original | head | place in the head, number before any prune; layer -1 = raw column before a backbone |
| mean, std, low, high | all | over the data |
| alive | all | on a path from an input to an output |
| trained, fringe, dead, coverage | head but outputs | share of rows in each zone, share of the grid used |
| kan2, path | head but outputs | scores of the node: largest absolute value over the outputs |
| survives, cause | inputs, from an analysis | the verdict |

| edge attribute | of | meaning |
|---|---|---|
| kind | all | "backbone" or "kan" |
| layer, dst, src | kan | place in the head |
| alive | all | False for a masked edge (only there with ``masked=True``) |
| norm, strength, share, kan2, path | kan | scores; kan2 and path as their largest absolute value over the outputs |
| weight | all | kan: kan2. backbone: share of the unit's variance due to the column; 0 if it was not measured |
| measured | backbone | whether the weight was measured; if not, the edge only says that it may exist |
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from kaninterp.core.errors import DataError, InputError, InputTypeError
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.mask import EdgeMask
from kaninterp.core.tables import NodeTable
from kaninterp.core.trace import Trace

from .attribution import aggregate
from .bundle import Analysis, LayerRanges, LayerScores
from .places import node_key, raw_columns
from .ranges import layer_ranges
from .scores import layer_scores

if TYPE_CHECKING:
    Graph = nx.DiGraph[str]
else:
    Graph = nx.DiGraph

__all__ = ["Graph", "to_graph", "to_mask"]


def to_graph(source: Analysis | Trace, *, masked: bool = False) -> Graph:
    """The model as a directed graph from raw inputs to outputs; attributes in the table of `kaninterp.analysis.graph`.

    Parameters
    ----------
    source : Analysis or Trace
        An analysis adds verdicts and measured backbone edges.
    masked : bool
        Also draw masked edges, with ``alive=False``; without them a path in the graph is a path in the model.

    Returns
    -------
    networkx.DiGraph
        Its ``graph`` attributes say model, widths ("4 5 1") and rows.

    Raises
    ------
    InputTypeError
        Neither an analysis nor a trace.
    DataError
        The trace holds no rows.
    """
    analysis = source if isinstance(source, Analysis) else None
    trace = source.trace if isinstance(source, Analysis) else source
    if not isinstance(trace, Trace):
        raise InputTypeError(f"source: expected an Analysis or a Trace, got {type(source).__name__}")
    if not trace.rows:
        raise DataError("the trace holds no rows; trace the model on data first")
    scores = layer_scores(trace) if analysis is None else analysis.scores
    ranges = layer_ranges(trace) if analysis is None else analysis.ranges
    graph: Graph = nx.DiGraph()
    graph.graph.update(model=trace.card.model, head=trace.card.head, rows=trace.rows, data=trace.data)
    graph.graph["widths"] = " ".join(map(str, trace.card.widths))
    keys = [[node_key(trace, layer, i) for i in range(n)] for layer, n in enumerate(trace.card.widths)]
    _add_head_nodes(graph, trace, scores, ranges, keys=keys)
    _add_inputs(graph, trace, analysis)
    for layer, below, above in zip(range(len(trace.layers)), keys, keys[1:], strict=False):
        _add_edges(graph, trace.layers[layer].edges.alive, scores[layer], layer, ends=(below, above), masked=masked)
    if trace.raw is not None and raw_columns(trace) is None:
        _add_backbone(graph, trace, analysis, keys[0])
    return graph


def to_mask(graph: Graph) -> EdgeMask:
    """Mask of the KAN edges that are in the graph and alive: cut edges or nodes out of it, get the mask.

    The mask is not closed: `EdgeMask.closed` takes along what lies on no path any more.

    Raises
    ------
    InputError
        The graph was not made by `to_graph`.
    """
    try:
        widths = [int(width) for width in str(graph.graph["widths"]).split()]
        layers = [np.zeros((dst, src), bool) for src, dst in pairwise(widths)]
        for _, _, edge in graph.edges(data=True):
            if edge["kind"] == "kan" and edge["alive"]:
                layers[edge["layer"]][edge["dst"], edge["src"]] = True
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise InputError(f"not a graph made by to_graph: {error!r} is missing or does not fit its widths") from error
    return EdgeMask(layers=tuple(layers))


def _add_head_nodes(
    graph: Graph,
    trace: Trace,
    scores: tuple[LayerScores, ...],
    ranges: tuple[LayerRanges, ...],
    *,
    keys: list[list[str]],
) -> None:
    alive = EdgeMask(layers=tuple(layer.edges.alive for layer in trace.layers)).closed().nodes()
    last = len(trace.layers)
    first = "unit" if raw_columns(trace) is None else "input"
    for layer, table in enumerate(trace.nodes):
        columns = _node_columns(scores[layer], ranges[layer]) if layer < last else {}
        for i, key in enumerate(keys[layer]):
            graph.add_node(
                key,
                kind="output" if layer == last else "node" if layer else first,
                name=trace.node_name(layer, i),
                layer=layer,
                index=i,
                original=int(trace.card.node_ids[layer][i]),
                alive=bool(alive[layer][i]),
                **_moments(table, i),
                **{name: float(values[i]) for name, values in columns.items()},
            )


def _node_columns(scores: LayerScores, ranges: LayerRanges) -> dict[str, Array]:
    zones = {zone: getattr(ranges, zone) for zone in ("trained", "fringe", "dead", "coverage")}
    return {**zones, "kan2": aggregate(scores.nodes_kan2), "path": aggregate(scores.nodes_path)}


def _add_inputs(graph: Graph, trace: Trace, analysis: Analysis | None) -> None:
    """Raw columns: all of those of a hybrid, and those a pruned plain KAN no longer reads."""
    if trace.raw is None:
        return
    for i, name in enumerate(trace.raw.names):
        key = f"input:{name}"
        if key not in graph:
            node = {"kind": "input", "name": name, "layer": -1, "index": i, "original": i}
            graph.add_node(key, **node, alive=False, **_moments(trace.raw.nodes, i))
    if analysis is not None:
        for verdict in analysis.verdicts:
            graph.nodes[f"input:{verdict.name}"].update(survives=verdict.survives, cause=verdict.cause)


def _moments(table: NodeTable, i: int) -> dict[str, float]:
    return {name: float(getattr(table, name)[i]) for name in ("mean", "std", "low", "high")}


def _add_edges(
    graph: Graph,
    alive: BoolArray,
    scores: LayerScores,
    layer: int,
    *,
    ends: tuple[list[str], list[str]],
    masked: bool,
) -> None:
    kan2, path = aggregate(scores.kan2), aggregate(scores.path)
    for dst, src in np.argwhere(np.ones_like(alive) if masked else alive):
        j, i = int(dst), int(src)
        graph.add_edge(
            ends[0][i],
            ends[1][j],
            kind="kan",
            layer=layer,
            dst=j,
            src=i,
            alive=bool(alive[j, i]),
            norm=float(scores.norm[j, i]),
            strength=float(scores.strength[j, i]),
            share=float(scores.share[j, i]),
            kan2=float(kan2[j, i]),
            path=float(path[j, i]),
            weight=float(kan2[j, i]),
        )


def _add_backbone(graph: Graph, trace: Trace, analysis: Analysis | None, units: list[str]) -> None:
    """Edges from raw columns to units: those that move a unit, or all where that was not measured."""
    names = () if trace.raw is None else trace.raw.names
    shares = analysis.ablation.node_shares if analysis is not None and analysis.ablation is not None else ()
    measured = bool(shares) and shares[0].shape == (trace.card.widths[0], len(names))
    for unit, key in enumerate(units):
        for column, name in enumerate(names):
            weight = float(shares[0][unit, column]) if measured else 0.0
            if measured and weight <= 0:
                continue
            graph.add_edge(f"input:{name}", key, kind="backbone", alive=True, weight=weight, measured=measured)
    for name in names:
        reached = graph.successors(f"input:{name}")
        graph.nodes[f"input:{name}"]["alive"] = any(graph.nodes[unit]["alive"] for unit in reached)
