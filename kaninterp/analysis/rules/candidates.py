"""What a rule may remove, as one flat list: edges, nodes or raw inputs, with their importance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaninterp.analysis.importance import Importance
from kaninterp.analysis.places import raw_columns
from kaninterp.analysis.plans import alive_mask, cut_node, reason
from kaninterp.core.errors import InputError
from kaninterp.core.frozen import Array, BoolArray, IntArray
from kaninterp.core.mask import EdgeMask
from kaninterp.core.plan import Reason
from kaninterp.core.trace import Trace

__all__ = ["Candidates", "candidates"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Edges, nodes or inputs that lie on a path from an input to an output.

    Attributes
    ----------
    level : str
        "edge", "node" or "input".
    places : ndarray of int, shape (n, 3) or (n, 2)
        ``(layer, dst, src)`` of an edge, ``(layer, index)`` of a node; an input is a node of layer 0.
    values : ndarray, shape (n,)
        Importance.
    spread : ndarray, shape (n,)
        Standard deviation of an edge, of a node's largest outgoing edge: of equals what varies more stays, so that
        what the data never move goes first.
    outputs : ndarray, shape (outputs, n), or None
        Its absolute value for each output.
    """

    level: str
    places: IntArray
    values: Array
    spread: Array
    outputs: Array | None

    def wanted(self, trace: Trace, kept: BoolArray) -> list[BoolArray]:
        """Edges kept, (dst, src) per layer, when only the candidates in ``kept`` stay."""
        layers = [np.array(layer) for layer in alive_mask(trace).layers]
        gone = self.places[~kept]
        if self.level == "edge":
            for layer, edges in enumerate(layers):
                edges[tuple(gone[gone[:, 0] == layer, 1:].T)] = False
            return layers
        for layer, index in gone.tolist():
            cut_node(layers, layer, index)
        return layers

    def closed(self, trace: Trace, kept: BoolArray) -> EdgeMask:
        """The same as a closed mask."""
        return EdgeMask(layers=tuple(self.wanted(trace, kept))).closed()

    def reasons(self, trace: Trace, kept: BoolArray, bars: Array, texts: list[str]) -> list[Reason]:
        """Why each of the others goes; ``bars`` (what it was held against) and ``texts`` one per candidate."""
        gone = np.flatnonzero(~kept)
        if self.level != "input":
            return [
                reason(self.level, self.places[i].tolist(), texts[i], score=self.values[i], threshold=bars[i])
                for i in gone
            ]
        columns = raw_columns(trace) or ()
        reasons = []
        for i in gone:
            src = int(self.places[i, 1])
            place = (columns[src],)
            reasons.append(reason("input", place, texts[i], score=self.values[i], threshold=bars[i]))
            text = f"its input {trace.node_name(0, src)} is dropped ({texts[i]})"
            readers = np.flatnonzero(trace.layers[0].edges.alive[:, src]).tolist()
            options = {"score": float(self.values[i]), "threshold": float(bars[i])}
            reasons.extend(reason("edge", (0, dst, src), text, **options) for dst in readers)
        return reasons


def candidates(level: str, importance: Importance, trace: Trace) -> Candidates:
    """Everything of one level that may go.

    At level "node" these are the hidden nodes and, under a backbone, its units; at level "input" the raw columns of
    a KAN that reads them itself.

    Raises
    ------
    InputError
        Level "input", but a backbone lies between the raw columns and the KAN.
    """
    live = alive_mask(trace).closed()
    if level == "edge":
        return _gathered(level, [np.asarray(layer) for layer in live.layers], importance, trace)
    plain = raw_columns(trace) is not None
    if level == "input" and not plain:
        raise InputError(
            "level='input' ranks raw columns that the KAN reads itself; here a backbone lies between them and the KAN "
            f"(at {trace.card.path!r}), or the columns are not known. kaninterp.prune(model, data) ranks the raw "
            "inputs of such a model by what they are worth to its loss; level='node' ranks the backbone's units"
        )
    nodes = list(live.nodes()[:-1])
    for layer in range(len(nodes)):
        if (level == "input") != (layer == 0) and not (level == "node" and layer == 0 and not plain):
            nodes[layer] = np.zeros_like(nodes[layer])
    return _gathered(level, nodes, importance, trace)


def _gathered(level: str, where: list[BoolArray], importance: Importance, trace: Trace) -> Candidates:
    width = where[0].ndim + 1
    spread = [np.where(layer.edges.alive, layer.edges.strength, 0.0) for layer in trace.layers]
    if level != "edge":
        spread = [edges.max(0) for edges in spread]
    places = [np.insert(np.argwhere(here), 0, layer, axis=1) for layer, here in enumerate(where)]
    outputs = None
    if importance.outputs is not None:
        outputs = np.abs(np.concatenate([v[:, here] for v, here in zip(importance.outputs, where, strict=True)], 1))
    return Candidates(
        level=level,
        places=np.concatenate(places).reshape(-1, width),
        values=np.concatenate([v[here] for v, here in zip(importance.values, where, strict=True)]),
        spread=np.concatenate([v[here] for v, here in zip(spread, where, strict=True)]),
        outputs=outputs,
    )
