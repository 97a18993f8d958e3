"""Where the nodes of the network figure stand: columns left to right, most important at the top."""

from __future__ import annotations

from dataclasses import dataclass

from .figure_nouns import NetworkFigure, Node
from .wording import columns_of

__all__ = ["FIGURE_WIDTH", "LABEL_MOST", "PILL", "Layout", "Spot", "node_id", "place"]

FIGURE_WIDTH = 1120
LABEL_MOST = 24
"""Names are cut to this many character cells in the figure."""
CELL = 7.6
PROFILE = 74
"""Pixels per character cell at 13 px, and for a lag profile."""
TOP = 44
PILL = 62
PITCH_LARGEST, PITCH_SMALLEST = 54.0, 14.0
INPUT_PITCH = 32.0
HEIGHT_LEAST = 300.0
DOTS_PER_ROW, DOT_STEP = 7, 10
DOTS_GAP = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Centre of a node; ``dot`` for a node without live edges, drawn small below its column."""

    node: Node
    x: int
    y: int
    dot: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """All spots, the height of the figure, the pitch per column and the x of each column."""

    spots: tuple[Spot, ...]
    height: int
    pitch: tuple[float, ...]
    xs: tuple[int, ...]

    def by_place(self) -> dict[tuple[int, int], Spot]:
        """Spot of each node by (layer, index)."""
        return {(spot.node.layer, spot.node.index): spot for spot in self.spots}


def node_id(node: Node) -> str:
    """Identifier of a node on the page."""
    return f"col-{node.index}" if node.layer < 0 else f"node-{node.layer}-{node.index}"


def place(figure: NetworkFigure) -> Layout:
    """Lay the nodes out; raw inputs keep a row each, dead units shrink to dots below their column."""
    count = len(figure.columns)
    columns = [[n for n in figure.nodes if n.column == c] for c in range(count)]
    xs = _column_xs(columns)
    rows = [[n for n in nodes if _has_row(n)] for nodes in columns]
    dots = [[n for n in nodes if not _has_row(n)] for nodes in columns]
    tallest = max(len(r) for r in rows)
    body = max(HEIGHT_LEAST, tallest * max(PITCH_SMALLEST, min(24.0, 680.0 / max(tallest, 1))))
    pitch = tuple(min(PITCH_LARGEST if c else INPUT_PITCH, body / max(len(r), 1)) for c, r in enumerate(rows))
    spots: list[Spot] = []
    bottom = TOP + body
    for c, (live, dead) in enumerate(zip(rows, dots, strict=True)):
        start = TOP + (body - pitch[c] * len(live)) / 2
        spots += [Spot(node=n, x=xs[c], y=round(start + pitch[c] * (i + 0.5)), dot=False) for i, n in enumerate(live)]
        below = start + pitch[c] * len(live) + DOTS_GAP
        left = xs[c] - (DOTS_PER_ROW - 1) * DOT_STEP // 2
        for i, n in enumerate(dead):
            row, column = divmod(i, DOTS_PER_ROW)
            spots.append(Spot(node=n, x=left + column * DOT_STEP, y=round(below + row * DOT_STEP), dot=True))
        bottom = max(bottom, below + (len(dead) + DOTS_PER_ROW - 1) // DOTS_PER_ROW * DOT_STEP if dead else 0.0)
    return Layout(spots=tuple(spots), height=round(bottom + 12), pitch=pitch, xs=xs)


def _has_row(node: Node) -> bool:
    return node.live or node.kind in ("input", "output") or bool(node.verdict)


def _column_xs(columns: list[list[Node]]) -> tuple[int, ...]:
    """Columns at equal distances between the names of the inputs and those of the outputs."""
    left = 40 + _label_width(columns[0]) + (PROFILE if any(len(n.lags) > 1 for n in columns[0]) else 0)
    right = FIGURE_WIDTH - 30 - _label_width(columns[-1])
    steps = max(len(columns) - 1, 1)
    return tuple(round(left + c * (right - left) / steps) for c in range(len(columns)))


def _label_width(nodes: list[Node]) -> float:
    return CELL * max((min(columns_of(n.name), LABEL_MOST) for n in nodes), default=0)
