"""Question 1: this input or node shows no edge. Why? One code per edge, one sentence per node.

| code | meaning |
|---|---|
| masked | cut in the model: it contributes nothing |
| zero | alive, but a constant function on its whole domain |
| constant | alive and curved, but constant in this data: its source does not vary, or left the domain |
| dead-target | alive, but no path leads from its target to an output |
| cancelled | strong, but other edges into the same node undo it |
| noise | not told from its own shadows; without shadows: the interval of the change of the loss reaches 0 |
| below-limit | alive and at work, too weak to be drawn |
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from kaninterp.core.edge_evidence import EdgeAblation, Twins
from kaninterp.core.errors import InputError
from kaninterp.core.evidence import OUTPUT_CHANGE, Z95, Estimate
from kaninterp.core.frozen import Array
from kaninterp.core.mask import EdgeMask
from kaninterp.core.trace import Trace

from .attribution import live_std
from .bundle import Analysis, LayerScores
from .discoveries import EdgeFloor, edge_noise
from .scores import edge_scores
from .wording import counted, number, range_words, shown, signed

__all__ = ["CODES", "DRAWING_LIMIT", "Missing", "edge_codes", "missing_nodes"]

CODES: dict[str, str] = {
    "below-limit": "alive but below the drawing limit",
    "noise": "no different from noise",
    "cancelled": "cancelled by a twin",
    "dead-target": "alive but its target node is dead",
    "constant": "constant in this data",
    "zero": "zero function",
    "masked": "masked",
}
"""Code -> words of the report; in the order in which a node with several kinds is named (the liveliest first)."""

DRAWING_LIMIT = 0.01
"""KAN 2.0 score from which an edge is drawn by default: 0.01 % of an output's variance. pykan fades an edge at its own
prune threshold of 0.03 to 9 % opacity, which readers take for absent."""

CANCELLED = 0.1
"""An edge that keeps less than this part of the variance share it would have on its own is cancelled."""

STRONG = 0.01
"""Share of its node's variance an edge would have on its own to count as strong; weaker ones meet chance correlations
of that size on a few hundred rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A node without a visible edge on one side.

    Attributes
    ----------
    layer, index : int
        Place in the head; layer 0 = head inputs.
    name : str
        The node's name.
    side : {"out", "in"}
        Which side shows no edge.
    code : str
        One of `CODES`.
    reason : str
        The reason in words, with the largest score.
    text : str
        The same, with what removing the edges does where that was measured.
    edges : tuple of (str, int)
        Codes of the edges on that side and how many of each.
    change : Estimate or None
        Rise of the loss when all edges on that side are replaced by their means; None where it was not measured.
    twins : tuple of Twins
        Pairs of edges, one of them on that side, that undo each other.
    """

    layer: int
    index: int
    name: str
    side: str
    code: str
    reason: str
    text: str
    edges: tuple[tuple[str, int], ...]
    change: Estimate | None = None
    twins: tuple[Twins, ...] = ()


def edge_codes(
    analysis: Analysis, *, limit: float = DRAWING_LIMIT, reading: str = "kan2"
) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Why each edge is not drawn, [layer][dst][src]; "" for an edge that is.

    Parameters
    ----------
    analysis : Analysis
        Its scores, and its edge ablation where there is one.
    limit : float
        Edges are drawn from this score on.
    reading : str
        The score the drawing goes by (one of `SCORES`; per output scores count at their largest).

    Raises
    ------
    InputError
        A negative limit or an unknown reading.
    """
    if not limit >= 0:
        raise InputError(f"limit: the drawing limit must be a number >= 0, got {limit}")
    drawn = edge_scores(analysis.scores, reading)
    return tuple(_layer_codes(analysis, layer, values, limit) for layer, values in enumerate(drawn))


def missing_nodes(analysis: Analysis, *, limit: float = DRAWING_LIMIT, reading: str = "kan2") -> tuple[Missing, ...]:
    """Every head input and hidden node that shows no edge on a side, with the reason.

    Parameters are those of `edge_codes`. Outputs and head inputs have one side only.
    """
    codes = edge_codes(analysis, limit=limit, reading=reading)
    floor = EdgeFloor.of(analysis.shadows)
    drawn = edge_scores(analysis.scores, reading)
    found = []
    for layer in range(len(codes)):
        for index in range(analysis.trace.card.widths[layer]):
            sides = {"out": ([row[index] for row in codes[layer]], drawn[layer][:, index])}
            if layer:
                sides["in"] = (list(codes[layer - 1][index]), drawn[layer - 1][index])
            for side, (kinds, values) in sorted(sides.items()):
                if all(kinds):
                    called = "KAN 2.0 score" if reading == "kan2" else reading
                    measured = f"the largest {called} is {number(values.max())}, edges are drawn from {number(limit)}"
                    note = f"; {measured}" if values.max() > 0 else ""
                    depth, place = (layer, np.s_[:, index]) if side == "out" else (layer - 1, np.s_[index])
                    note += floor.words(depth, place, kinds)
                    found.append(_missing(analysis, (layer, index, side), kinds, note))
    return tuple(found)


def _missing(analysis: Analysis, where: tuple[int, int, str], kinds: list[str], note: str) -> Missing:
    layer, index, side = where
    count = Counter(kinds)
    edges = tuple((code, count[code]) for code in CODES if count[code])
    parts = ", ".join(f"{n} {CODES[code]}" for code, n in edges)
    ablation = analysis.edge_ablation
    change = ablation.node(layer, index, side) if ablation is not None else None
    pairs = _pairs(ablation, where, kinds) if ablation is not None else ()
    removed = "; " + _removed(ablation, change, kinds) if ablation is not None and change is not None else ""
    reason = f"{counted(kinds, 'edge')} {'out of' if side == 'out' else 'into'} it: {parts}{note}"
    told = "".join(f"; {_told(analysis.trace, pair)}" for pair in pairs[:1])
    return Missing(
        layer=layer,
        index=index,
        name=analysis.trace.node_name(layer, index),
        side=side,
        code=edges[0][0],
        reason=f"{reason}{told}.",
        text=f"{reason}{removed}{told}.",
        edges=edges,
        change=change,
        twins=pairs,
    )


def _pairs(ablation: EdgeAblation, where: tuple[int, int, str], kinds: list[str]) -> tuple[Twins, ...]:
    """Twins of the cancelled edges on one side of a node."""
    layer, index, side = where
    cancelled = [other for other, kind in enumerate(kinds) if kind == "cancelled"]
    places = [(layer, i, index) if side == "out" else (layer - 1, index, i) for i in cancelled]
    found = [ablation.twins_of(*place) for place in places]
    return tuple(dict.fromkeys(pair for pair in found if pair is not None))


def _removed(ablation: EdgeAblation, change: Estimate, kinds: list[str]) -> str:
    what = "removing it" if len(kinds) == 1 else f"removing all {len(kinds)}"
    loss = "the outputs" if ablation.loss == OUTPUT_CHANGE else f"the loss ({ablation.loss})"
    return f"{what} changes {loss} by {signed(change.value)} ({range_words(change.low, change.high)})"


def _told(trace: Trace, pair: Twins) -> str:
    names = " and ".join(shown(trace.node_name(pair.layer, src)) for src in pair.src)
    both = f"{signed(pair.together.value)} ({range_words(pair.together.low, pair.together.high)})"
    return f"{names} undo each other in {shown(trace.node_name(pair.layer + 1, pair.dst))}: removing both edges, {both}"


def _layer_codes(analysis: Analysis, layer: int, drawn: Array, limit: float) -> tuple[tuple[str, ...], ...]:
    table, scores = analysis.trace.layers[layer].edges, analysis.scores[layer]
    live = EdgeMask(layers=tuple(each.edges.alive for each in analysis.trace.layers)).closed()
    dead_target = np.broadcast_to(~live.nodes()[layer + 1][:, None], drawn.shape)
    hidden = (drawn < limit) | (drawn == 0)
    code = np.full(drawn.shape, "below-limit", dtype=object)
    # later lines win: from the weakest statement to the strongest
    code[_no_loss(analysis, layer)] = "noise"
    code[_cancelled(analysis.trace, layer, scores)] = "cancelled"
    code[dead_target] = "dead-target"
    still = scores.strength == 0
    if layer:  # a source whose own edges cancel moves by rounding only
        still = still | (live_std(analysis.trace)[layer - 1] == 0)
    code[still & (scores.norm > 0)] = "constant"
    code[(scores.strength == 0) & (scores.norm == 0)] = "zero"
    code[~table.alive] = "masked"
    code[table.alive & ~hidden] = ""
    return tuple(tuple(str(c) for c in row) for row in code)


def _no_loss(analysis: Analysis, layer: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Edges without a benefit to be seen: by their shadows where they have some, else by the sign of the change."""
    unshadowed = _no_rise(analysis, layer)
    if analysis.shadows is None:
        return unshadowed
    return np.where(analysis.shadows.edge_tested[layer], edge_noise(analysis.shadows, layer), unshadowed)


def _no_rise(analysis: Analysis, layer: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    if analysis.edge_ablation is None:
        return np.zeros(analysis.scores[layer].norm.shape, bool)
    change, error = analysis.edge_ablation.change[layer], analysis.edge_ablation.error
    least = change - Z95 * error[layer] if error else change
    return np.isfinite(change) & (least <= 0)


def _cancelled(trace: Trace, layer: int, scores: LayerScores) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Edges whose variance share is far below the one they would have if nothing worked against them."""
    spread = live_std(trace)[layer][:, None]
    alone = np.divide(scores.strength, spread, out=np.zeros(scores.strength.shape), where=spread > 0) ** 2
    undone = (spread == 0) & (scores.strength > 0)  # the whole node is a constant made of moving parts
    return np.asarray(undone | ((alone >= STRONG) & (scores.share < CANCELLED * alone)))
