"""From edges wanted to a `PrunePlan`: closed, filled with means, and with a reason for every loss.

Whatever decides, the plan is closed (every kept edge lies on a path from an input to an output), each edge that
goes is replaced by its mean over the trace (so the mean of every node stays), and a plan that would leave nothing is
refused. What decides is a rule (`kaninterp.analysis.rules`) or a hand (`kaninterp.analysis.manual`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kaninterp.core.errors import NothingLeftError
from kaninterp.core.frozen import BoolArray
from kaninterp.core.mask import EdgeMask
from kaninterp.core.plan import PrunePlan, Reason
from kaninterp.core.trace import Trace

from .places import raw_columns

__all__ = ["alive_mask", "cut_node", "keep_all", "plan_of", "reason"]


def alive_mask(trace: Trace) -> EdgeMask:
    """Edges that are not masked in the traced head; not closed."""
    return EdgeMask(layers=tuple(layer.edges.alive for layer in trace.layers))


def keep_all(trace: Trace) -> PrunePlan:
    """The plan that removes nothing but what is dead already."""
    return _plan(trace, alive_mask(trace).closed(), [])


def plan_of(
    trace: Trace, wanted: Sequence[BoolArray], reasons: Sequence[Reason], *, advice: str = "lower the threshold"
) -> PrunePlan:
    """Close what is to be kept, and give the reason for what closure takes along.

    Parameters
    ----------
    trace : Trace
        Gives the edges that are alive, and their means.
    wanted : sequence of ndarray of bool, each (dst, src)
        What a rule or a hand keeps.
    reasons : sequence of Reason
        Why the rest goes; reasons for edges that are masked already should be left out.
    advice : str
        What the error tells to do if nothing is left.

    Raises
    ------
    NothingLeftError
        Nothing would be left.
    """
    alive = alive_mask(trace)
    kept = alive & EdgeMask.of(wanted)
    closed = kept.closed()
    if alive.count and not closed.count:
        raise NothingLeftError(
            f"the plan would remove all {alive.count} edges of the head, which is then a constant; {advice}"
        )
    return _plan(trace, closed, [*reasons, *_closure_reasons(trace, kept, closed)])


def cut_node(layers: Sequence[BoolArray], layer: int, index: int) -> None:
    """Cut every edge into and out of a node, in place; ``layers`` are arrays (dst, src) of the caller's own."""
    if layer:
        layers[layer - 1][index, :] = False
    if layer < len(layers):
        layers[layer][:, index] = False


def reason(kind: str, place: Sequence[int], text: str, *, score: float = 0.0, threshold: float = 0.0) -> Reason:
    """`Reason` with numbers of Python's own."""
    return Reason(kind=kind, place=tuple(place), score=float(score), threshold=float(threshold), text=text)


def _plan(trace: Trace, mask: EdgeMask, reasons: Sequence[Reason]) -> PrunePlan:
    gone = [layer.edges.alive & ~kept for layer, kept in zip(trace.layers, mask.layers, strict=True)]
    constants = tuple(np.where(g, layer.edges.mean, 0.0) for g, layer in zip(gone, trace.layers, strict=True))
    names = () if trace.raw is None else trace.raw.names
    return PrunePlan(
        mask=mask,
        constants=constants,
        input_names=names,
        inputs=_inputs_read(trace, mask),
        fill=np.zeros(0) if trace.raw is None else trace.raw.nodes.mean,
        reasons=tuple(reasons),
        fingerprint=trace.card.fingerprint,
        lags=1 if trace.raw is None else trace.raw.lags,
    )


def _inputs_read(trace: Trace, mask: EdgeMask) -> BoolArray:
    """Raw columns that a plan over edges leaves in use; a backbone may read all of its own."""
    count = 0 if trace.raw is None else len(trace.raw.names)
    columns = raw_columns(trace)
    if columns is None:
        return np.ones(count, bool)
    read = np.zeros(count, bool)
    read[np.asarray(columns)[mask.layers[0].any(0)]] = True
    return read


def _closure_reasons(trace: Trace, kept: EdgeMask, closed: EdgeMask) -> list[Reason]:
    reasons = []
    for layer, (before, after) in enumerate(zip(kept.layers, closed.layers, strict=True)):
        for dst, src in np.argwhere(before & ~after):
            fed = layer == 0 or bool(closed.layers[layer - 1][src].any()) or bool(kept.layers[layer - 1][src].any())
            node, why = (
                ((layer + 1, dst), "nothing that is kept reads its target")
                if fed
                else ((layer, src), "nothing that is kept feeds its source, which is a constant")
            )
            text = f"{why} ({trace.node_name(int(node[0]), int(node[1]))})"
            reasons.append(reason("edge", (layer, int(dst), int(src)), text))
    return reasons
