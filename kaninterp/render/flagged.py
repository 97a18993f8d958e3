"""Which edges to look at first, as cards, and all of them in a table."""

from __future__ import annotations

import numpy as np

from kaninterp.analysis.bundle import Analysis
from kaninterp.analysis.grid_use import OUTSIDE
from kaninterp.analysis.straightness import CAUSES, NOTHING_TO_MEND
from kaninterp.core.frozen import Array

from .blocks import Block
from .cells import Cell, Name, Table
from .edge_columns import grid_histogram, window
from .edge_nouns import EdgeCard, EdgeCards, EdgeFigure
from .material import Material
from .wording import count, number, percent, shown

__all__ = ["edge_blocks"]

MAX_CARDS = 6
"""Cards are about 3 kB each."""
MAX_ROWS = 40
POINTS = 49
FINE = {"", *NOTHING_TO_MEND, "constant", "masked"}
"""What is no reason for a card, as long as the data stay on the grid."""
LEAVES = "its input leaves the domain on {} of rows; the rest of the curve was fitted"

CARDS_NOTE = (
    "Each on its own axis, about its mean over the data. Solid: the edge. Dashed: its base branch alone. Light band: "
    "the domain. Bars: where the rows lie, those outside the domain in the warning colour. "
)
TABLE_NOTE = (
    "Linear R²: squared correlation of the edge with its input on these data; over domain: the same with every value "
    "of the domain alike. Slope and left over: the best line on these data, and the standard deviation that it leaves, "
    "in units of the target node. Base, spline: share of the edge's variance; above 100 % one works against the other."
)

Place = tuple[int, int, int]


def edge_blocks(material: Material) -> tuple[Block, ...]:
    """Cards of the edges with something to mend, if there are any, and a table of all live edges."""
    analysis = material.analysis
    places = _ordered(analysis)
    flagged = [place for place in places if _flagged(analysis, place)]
    return (*((_cards(analysis, flagged),) if flagged else ()), _table(analysis, places))


def _cards(analysis: Analysis, flagged: list[Place]) -> EdgeCards:
    left = len(flagged) - MAX_CARDS
    return EdgeCards(
        caption=f"{count(len(flagged))} edge{' has' if len(flagged) == 1 else 's have'} something to mend",
        items=tuple(_card(analysis, place) for place in flagged[:MAX_CARDS]),
        note=CARDS_NOTE + (f"{count(left)} more are in the table." if left > 0 else ""),
    )


def _table(analysis: Analysis, places: list[Place]) -> Table:
    left = len(places) - MAX_ROWS
    return Table(
        id="edge-straightness",
        caption="How straight every live edge is, and why",
        columns=("From", "To", "Cause", "#Linear R²", "#Over domain", "#Slope", "#Left over", "#Base | spline"),
        rows=tuple(_row(analysis, place) for place in places[:MAX_ROWS]),
        folded=True,
        note=TABLE_NOTE
        + _causes(analysis, places[:MAX_ROWS])
        + (f" {count(left)} edges are left out." if left > 0 else ""),
    )


def _causes(analysis: Analysis, places: list[Place]) -> str:
    """What the words in the column of causes mean: those that occur."""
    seen = {_cause(analysis, place) for place in places}
    told = "; ".join(f"{name}, {cause.why}" for name, cause in CAUSES.items() if name in seen)
    return f" Cause: {told}." if told else ""


def _ordered(analysis: Analysis) -> list[Place]:
    """Live edges: those to mend by cause as in `CAUSES`, then the others; strong before weak."""
    causes = (
        *(name for name in CAUSES if name not in FINE),
        "",
        *(name for name in CAUSES if name in FINE),
        "constant",
    )
    rank = {name: i for i, name in enumerate(causes)}
    score = [layer.kan2.max(0) for layer in analysis.scores]
    places = [
        (layer, int(dst), int(src))
        for layer, table in enumerate(analysis.trace.layers)
        for dst, src in np.argwhere(table.edges.alive)
    ]

    def key(place: Place) -> tuple[bool, int, float, Place]:
        layer, dst, src = place
        return (not _flagged(analysis, place), rank[_cause(analysis, place)], -float(score[layer][dst, src]), place)

    return sorted(places, key=key)


def _flagged(analysis: Analysis, place: Place) -> bool:
    layer, dst, src = place
    if not analysis.trace.layers[layer].parts.spline[dst, src]:
        return False
    cause = _cause(analysis, place)
    return cause not in FINE or (cause == "" and float(1 - analysis.ranges[layer].trained[src]) > OUTSIDE)


def _cause(analysis: Analysis, place: Place) -> str:
    layer, dst, src = place
    return analysis.straightness[layer].cause[dst][src]


def _card(analysis: Analysis, place: Place) -> EdgeCard:
    layer, dst, src = place
    straight, cause = analysis.straightness[layer], _cause(analysis, place)
    inside = float(analysis.ranges[layer].trained[src])
    why = CAUSES[cause].why if cause else LEAVES.format(percent(1 - inside))
    fix = CAUSES[cause or "mixed"].cure(analysis.trace.card.head)
    return EdgeCard(
        source=_node(analysis, layer, src),
        target=_node(analysis, layer + 1, dst),
        why=f"Straight: {why}." if cause else f"Curved, but {why}.",
        fix=f"{fix[0].upper()}{fix[1:]}.",
        facts=(
            (
                "Linear R², data | domain",
                f"{_r2(straight.linear_r2, place)} | {_r2(straight.domain_r2, place)}",
            ),
            ("Rows inside the domain", percent(inside)),
            ("Variance from base | spline", _shares(analysis, place)),
            ("KAN 2.0 score", number(float(analysis.scores[layer].kan2[:, dst, src].max()), 2)),
        ),
        figure=_figure(analysis, place),
    )


def _row(analysis: Analysis, place: Place) -> tuple[Cell, ...]:
    layer, dst, src = place
    straight, cause = analysis.straightness[layer], _cause(analysis, place)
    return (
        _node(analysis, layer, src),
        _node(analysis, layer + 1, dst),
        cause or "curved",
        _r2(straight.linear_r2, place),
        _r2(straight.domain_r2, place),
        number(float(straight.slope[dst, src])),
        number(float(straight.bend[dst, src])),
        _shares(analysis, place),
    )


def _node(analysis: Analysis, layer: int, index: int) -> Name:
    return Name(text=shown(analysis.trace.node_name(layer, index)), href=f"node-{layer}-{index}")


def _r2(values: Array, place: Place) -> str:
    return f"{float(values[place[1], place[2]]):.3f}"


def _shares(analysis: Analysis, place: Place) -> str:
    layer, dst, src = place
    straight = analysis.straightness[layer]
    return f"{percent(float(straight.base_share[dst, src]))} | {percent(float(straight.spline_share[dst, src]))}"


def _figure(analysis: Analysis, place: Place) -> EdgeFigure:
    layer, dst, src = place
    trace = analysis.trace.layers[layer]
    low, high = (float(end) for end in window(trace)[src])
    x = np.linspace(low, high, POINTS)

    def drawn(curves: Array, mean: float) -> tuple[float, ...]:
        return tuple(float(f"{v:.4g}") for v in np.interp(x, trace.edges.curve_x[src], curves[dst, src]) - mean)

    base = drawn(trace.edges.base_curves, float(trace.parts.mean[dst, src]))
    return EdgeFigure(
        rows=grid_histogram(analysis.ranges[layer], src, (low, high)),
        curve=drawn(trace.edges.curves, float(trace.edges.mean[dst, src])),
        base=base if any(base) else (),
    )
