"""pykan's ways to prune, each a plan of the floors below carried out on a copy of the head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kaninterp.analysis.manual import keep_nodes, remove_edges, remove_nodes
from kaninterp.analysis.plans import keep_all, plan_of, reason
from kaninterp.analysis.rules import NodeRule
from kaninterp.core import PrunePlan, Trace
from kaninterp.core.errors import InputError
from kaninterp.nn import KANHead
from kaninterp.nn.surgery import prune_head

from .scoring import edge_scores, node_scores
from .spelling import active_nodes, index

__all__ = [
    "EDGE_TH", "INPUT_TH", "NODE_TH", "carried_out", "edge_plan", "input_plan", "node_plan", "one_edge", "one_node",
]  # fmt: skip

NODE_TH = 1e-2
"""pykan's threshold of hidden nodes, in both versions."""
EDGE_TH = 3e-2
"""pykan's threshold of edges since 0.2; earlier versions cut no edges by themselves."""
INPUT_TH = 1e-2
"""pykan's threshold of inputs."""
OLD_SCORE = "strength"
"""What stands for the mean absolute value of 0.0.x: the nearest score that does not count constants."""
MODES = ("auto", "manual")
SIDES = ("all", "up", "down")


def carried_out(head: KANHead, plan: PrunePlan, *, compact: bool, inputs: Iterable[int] | None = None) -> KANHead:
    """A head without what the plan gives up; its constants are kept, the given head stays as it is.

    Parameters
    ----------
    head, plan
        The plan made from a trace of the head.
    compact
        Whether nodes go from the tensors, or edges are only masked.
    inputs
        Positions of inputs that stay; all of them if None, as in pykan, where only `prune_input` takes inputs away.
    """
    kept = range(head.widths[0]) if inputs is None else inputs
    return prune_head(head, plan.mask.layers, plan.constants, compact=compact, inputs=tuple(kept))[0]


def node_plan(
    trace: Trace, threshold: float, *, old: bool = False, mode: str = "auto", active: Any = None
) -> PrunePlan:
    """Plan of hidden nodes to keep: by a threshold on their scores, or by hand.

    Parameters
    ----------
    trace : Trace
        Of the head.
    threshold : float
        A node stays if its score exceeds it; with ``old``, if its largest incoming and its largest outgoing edge do.
    mode : {"auto", "manual"}
        By hand: the nodes of ``active`` stay, see `kaninterp.compat.spelling.active_nodes`.
    """
    if mode not in MODES:
        raise InputError(f"mode={mode!r}: allowed are 'auto' and 'manual'")
    if mode == "manual" or active is not None:
        if active is None:
            raise InputError("mode='manual' needs active_neurons_id: one list of nodes to keep per layer")
        nodes = active_nodes(active, trace.card.widths)
        return keep_nodes(trace, nodes) if nodes else keep_all(trace)
    if old:
        return NodeRule(_threshold("threshold", threshold), OLD_SCORE)(trace)
    least = _threshold("node_th", threshold)
    wanted = [layer.edges.alive.copy() for layer in trace.layers]
    reasons = []
    for layer, scores in enumerate(node_scores(trace)[1:], start=1):
        for node in np.flatnonzero(~(scores > least)).tolist():
            wanted[layer - 1][node] = False
            wanted[layer][:, node] = False
            text = f"its score {scores[node]:.3g} does not exceed {least:g}"
            reasons.append(reason("node", (layer, node), text, score=scores[node], threshold=least))
    return plan_of(trace, wanted, reasons)


def edge_plan(trace: Trace, threshold: float) -> PrunePlan:
    """Plan without the edges whose score does not exceed a threshold."""
    least = _threshold("edge_th", threshold)
    scores = edge_scores(trace)
    reasons = [
        reason("edge", (layer, dst, src), f"its score does not exceed {least:g}", score=one[dst, src], threshold=least)
        for layer, (one, table) in enumerate(zip(scores, trace.layers, strict=True))
        for dst, src in np.argwhere(table.edges.alive & ~(one > least)).tolist()
    ]
    return plan_of(trace, [one > least for one in scores], reasons)


def input_plan(trace: Trace, threshold: float, active: Sequence[int] | None) -> tuple[PrunePlan, tuple[int, ...]]:
    """Plan without some inputs, and the positions of those that stay.

    Parameters
    ----------
    threshold : float
        An input stays if its score exceeds it.
    active : sequence of int or None
        Positions that stay whatever their score; then the threshold is not used.
    """
    scores = node_scores(trace)[0]
    if active is None:
        kept = np.flatnonzero(scores > _threshold("threshold", threshold)).tolist()
    else:
        kept = sorted({index("active_inputs", each) for each in active})
    if not kept or not all(0 <= i < len(scores) for i in kept):
        raise InputError(
            f"prune_input would keep inputs {kept}; expected one or more of 0 to {len(scores) - 1}"
            + ("" if active is not None else f" (the largest score is {scores.max():.3g}; lower the threshold)")
        )
    gone = [(0, i) for i in range(len(scores)) if i not in kept]
    return (remove_nodes(trace, gone) if gone else keep_all(trace)), tuple(kept)


def one_edge(trace: Trace, layer: int, src: int, dst: int) -> PrunePlan:
    """Plan without one edge, in pykan's order: layer, node it leaves, node it leads to."""
    return remove_edges(trace, [(index("l", layer), index("j", dst), index("i", src))])


def one_node(trace: Trace, layer: int, node: int, mode: str) -> PrunePlan:
    """Plan without a node: all its edges, or only those into it ("down") or out of it ("up")."""
    layer, node = index("l", layer), index("i", node)
    if mode not in SIDES:
        raise InputError(f"mode={mode!r}: allowed are 'all', 'up' (edges out of the node) and 'down' (edges into it)")
    plan = remove_nodes(trace, [(layer, node)])
    widths = trace.card.widths
    if mode == "all":
        return plan
    if mode == "up":
        return remove_edges(trace, [(layer, dst, node) for dst in range(widths[layer + 1])])
    if layer == 0:
        raise InputError("mode='down' of an input: no edges lead into it; use mode='all'")
    return remove_edges(trace, [(layer - 1, node, src) for src in range(widths[layer - 1])])


def _threshold(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= float(value) < float("inf"):
        raise InputError(f"{name}={value!r}: a threshold is a finite number of 0 or more")
    return float(value)
