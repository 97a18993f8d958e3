"""Drawing of the network: nodes in columns, links and edges as curves whose width follows the chosen reading."""

from __future__ import annotations

import math

from markupsafe import Markup

from .figure_nouns import NetworkFigure, Node
from .layout import FIGURE_WIDTH, LABEL_MOST, PILL, Layout, Spot, node_id, place
from .svg import bars_path, element, polyline, short, tag
from .wording import number, percent, shorten

__all__ = ["edge_label", "edge_levels", "network_svg"]


MINI_WIDTH, MINI_HEIGHT = 44, 28
LEAST_PROFILE = 0.6
"""Pixels: a lower lag profile would be a smudge."""


def network_svg(figure: NetworkFigure) -> Markup:
    """The whole drawing: heads, nodes, links, plain lines, edges; everything drawn one by one can be focused."""
    layout = place(figure)
    parts = [_heads(figure, layout)]
    parts.append(tag("g", Markup("").join(_node(spot, figure, layout) for spot in layout.spots), class_="nodes"))
    parts += _dot_heads(layout)
    parts.append(_plain_lines(figure, layout))
    parts.append(tag("g", Markup("").join(_links(figure, layout)), class_="links"))
    parts.append(tag("g", Markup("").join(_edges(figure, layout)), class_="edges"))
    parts += _miniatures(figure, layout)
    return element(FIGURE_WIDTH, layout.height, parts, class_="netsvg", role="group", aria_label=figure.caption)


def edge_levels(figure: NetworkFigure, i: int) -> dict[str, float]:
    """Level 0..1 of edge ``i`` in each reading: its score over the one at full width, to the power of the reading.

    A score below zero (removing the edge lowers the loss) is drawn like 0.
    """
    levels = {}
    for reading, column in zip(figure.readings, figure.edges.readings, strict=True):
        value, top = column[i], reading.scale[figure.edges.layer[i]]
        levels[reading.key] = min(max(value, 0.0) / top, 1.0) ** reading.power if value is not None and top > 0 else 0.0
    return levels


def edge_label(figure: NetworkFigure, i: int, names: dict[tuple[int, int], str]) -> str:
    """What a screen reader says of edge ``i``."""
    edges = figure.edges
    layer = edges.layer[i]
    src, dst = names.get((layer, edges.src[i]), "?"), names.get((layer + 1, edges.dst[i]), "?")
    keys = [reading.key for reading in figure.readings]
    score = edges.readings[keys.index(figure.default)][i]
    plan = "kept" if edges.kept[i] else "removed by the plan"
    return f"{shorten(src, 40)} to {shorten(dst, 40)}: score {number(score)}, {plan}"


def _heads(figure: NetworkFigure, layout: Layout) -> Markup:
    parts = []
    for c, (head, x) in enumerate(zip(figure.columns, layout.xs, strict=True)):
        first, last = c == 0, c == len(figure.columns) - 1
        side = " end" if first else "" if last else " mid"
        shift = PILL / 2 if first else -PILL / 2 if last else 0
        parts.append(tag("text", head, x=x + shift, y=18, class_=f"head{side}"))
    return Markup("").join(parts)


def _dot_heads(layout: Layout) -> list[Markup]:
    made = []
    for c, x in enumerate(layout.xs):
        dots = [spot for spot in layout.spots if spot.dot and spot.node.column == c]
        if dots:
            top = min(spot.y for spot in dots)
            made.append(tag("text", f"{len(dots)} without a drawn edge", x=x, y=top - 12, class_="tick mid"))
    return made


def _node(spot: Spot, figure: NetworkFigure, layout: Layout) -> Markup:
    node = spot.node
    label = f"{shorten(node.name, 60)}: {node.note}" if node.note else node.name
    if spot.dot:
        body = [tag("circle", cx=spot.x, cy=spot.y, r=3.5, class_="dead")]
    elif node.column == 0:
        top = max((max(n.lags) for n in figure.nodes if n.lags), default=0.0)
        body = _input_body(spot, layout, top)
    else:
        body = _pill_body(spot, figure, layout)
    content = Markup("").join([*body, tag("title", label)])
    return tag(
        "a", content, id=node_id(node), href=_target(node, figure), class_=f"n {node.verdict}".strip(), aria_label=label
    )


def _target(node: Node, figure: NetworkFigure) -> str:
    """Where a node leads: an input to its card, a node to the thumbnails of the edges that enter it."""
    if node.verdict or node.layer < 0:
        return f"#input-{node.index}" if node.verdict else "#inputs"
    if node.layer == 0:
        return "#ranges-0"
    edges = figure.edges
    entered = any((edges.layer[i] + 1, edges.dst[i]) == (node.layer, node.index) for i in range(edges.drawn))
    return f"#into-{node.layer}-{node.index}" if entered else "#network"


def _input_body(spot: Spot, layout: Layout, top: float) -> list[Markup]:
    """Name, verdict and lag profile; all profiles of a figure share one scale, so that height means effect."""
    node, x, y = spot.node, spot.x, spot.y
    pitch = layout.pitch[0]
    size = " small" if pitch < 17 else ""
    parts = []
    right = x + PILL / 2 - 4
    if len(node.lags) > 1:
        full = min(pitch - 5, 18)
        tall = full * max(node.lags) / top if top > 0 else 0.0
        bars = bars_path(node.lags, 58, tall, 0.5) if tall > LEAST_PROFILE else ""
        if bars:
            parts.append(
                tag(
                    "path",
                    d=bars,
                    class_="bar",
                    transform=f"translate({short(right - 66)} {short(y + full / 2 - tall)})",
                )
            )
        right -= 74
    parts.append(tag("text", shorten(node.name, LABEL_MOST), x=right - 14, y=y + 4, class_=f"lab end{size}"))
    cx = right - 4
    parts.append(tag("circle", cx=cx, cy=y, r=4, class_="mark"))
    if node.verdict == "tentative":
        parts.append(tag("path", d=f"M{short(cx)} {short(y - 4)}a4 4 0 0 0 0 8z", class_="half"))
    if not node.verdict and node.layer >= 0:
        parts = parts[:-1]
    parts.append(tag("rect", x=4, y=y - pitch / 2, width=x + PILL / 2 - 4, height=pitch, class_="hit"))
    return parts


def _pill_body(spot: Spot, figure: NetworkFigure, layout: Layout) -> list[Markup]:
    node, x, y = spot.node, spot.x, spot.y
    pitch = layout.pitch[node.column]
    if node.column == len(figure.columns) - 1:
        left = x - PILL / 2
        return [
            tag("circle", cx=left + 7, cy=y, r=6, class_="out"),
            tag("text", shorten(node.name, LABEL_MOST), x=left + 20, y=y + 4, class_="lab strong"),
        ]
    tall = min(pitch - 3, 20)
    top = max((n.weight for n in figure.nodes if n.column == node.column), default=0.0)
    fill = PILL * min(node.weight / top, 1.0) if top > 0 else 0.0
    size, bar, behind = (" small", tall, " behind") if pitch < 17 else ("", 3.0, "")
    return [
        tag("rect", x=x - PILL / 2, y=y - tall / 2, width=PILL, height=tall, rx=3, class_="pill"),
        tag("rect", x=x - PILL / 2, y=y + tall / 2 - bar, width=fill, height=bar, class_=f"weight{behind}"),
        tag("text", shorten(node.name, 10), x=x, y=y + (3 if size else 3.5), class_=f"lab mid{size}"),
    ]


def _bend(a: Spot, b: Spot) -> str:
    x0, x1 = a.x + PILL // 2, b.x - PILL // 2
    middle = (x0 + x1) // 2
    return f"M{x0} {a.y}C{middle} {a.y} {middle} {b.y} {x1} {b.y}"


def _plain_lines(figure: NetworkFigure, layout: Layout) -> Markup:
    """Edges that are not drawn one by one, as one thin path."""
    spots, edges = layout.by_place(), figure.edges
    path = []
    for i in range(edges.drawn, len(edges)):
        a, b = spots.get((edges.layer[i], edges.src[i])), spots.get((edges.layer[i] + 1, edges.dst[i]))
        if a and b and not (a.dot or b.dot):
            path.append(f"M{a.x + PILL // 2} {a.y}L{b.x - PILL // 2} {b.y}")
    return tag("path", d="".join(path), class_="rest") if path else Markup("")


def _links(figure: NetworkFigure, layout: Layout) -> list[Markup]:
    spots, made = layout.by_place(), []
    top = max((link.share for link in figure.links), default=1.0)
    for link in figure.links:
        a, b = spots.get((-1, link.src)), spots.get((0, link.dst))
        if a is None or b is None or b.dot:
            continue
        loss = f"shuffling it takes {percent(link.share)} of the unit's variance"
        label = f"{shorten(a.node.name, 40)} to {b.node.name}: {loss}"
        level = f"{math.sqrt(min(link.share / top, 1.0)):.2f}".lstrip("0") or "0"
        path = tag("path", d=_bend(a, b), style=f"--v:{level}")
        made.append(
            tag("a", path, id=f"link-{link.dst}-{link.src}", href=f"#input-{link.src}", class_="l", aria_label=label)
        )
    return made


def _edges(figure: NetworkFigure, layout: Layout) -> list[Markup]:
    spots, edges, made = layout.by_place(), figure.edges, []
    names = {(n.layer, n.index): n.name for n in figure.nodes}
    for i in range(edges.drawn):
        layer = edges.layer[i]
        a, b = spots.get((layer, edges.src[i])), spots.get((layer + 1, edges.dst[i]))
        if a is None or b is None:
            continue
        place_ = f"{layer}-{edges.dst[i]}-{edges.src[i]}"
        levels = edge_levels(figure, i)
        style = ";".join(f"--{key[:2]}:{f'{v:.2f}'.lstrip('0')}" for key, v in levels.items())
        made.append(
            tag(
                "a",
                tag("path", d=_bend(a, b), style=style),
                id=f"line-{place_}",
                href=f"#edge-{place_}",
                class_="e" if edges.kept[i] else "e x",
                aria_label=edge_label(figure, i, names),
            )
        )
    return made


def _miniatures(figure: NetworkFigure, layout: Layout) -> list[Markup]:
    """Curves of the last layer on its edges, beside the node each leaves, where there is one output and room."""
    last, edges, spots = len(figure.axes) - 1, figure.edges, layout.by_place()
    outputs = [n for n in figure.nodes if n.column == len(figure.columns) - 1]
    if len(outputs) != 1 or last < 1 or layout.pitch[-2] < MINI_HEIGHT + 4:
        return []
    here = [i for i in range(edges.drawn) if edges.layer[i] == last and edges.curve[i]]
    top = max((edges.high[i] - edges.low[i] for i in here), default=0.0)
    made = []
    for i in here:
        spot = spots.get((last, edges.src[i]))
        if spot is None or not top > 0:
            continue
        tall = (MINI_HEIGHT - 6) * (edges.high[i] - edges.low[i]) / top
        steps = len(edges.curve[i]) - 1
        points = [
            (round(10 * MINI_WIDTH * j / steps), round(-10 * tall * (v / 1000 - 0.5)))
            for j, v in enumerate(edges.curve[i])
        ]
        box = tag("rect", y=-MINI_HEIGHT / 2, width=MINI_WIDTH, height=MINI_HEIGHT, rx=2, class_="minibox")
        curve = tag(
            "path", d=polyline(points), transform="scale(.1)", class_="mini", vector_effect="non-scaling-stroke"
        )
        place_ = f"translate({spot.x + PILL // 2 + 16} {spot.y})"
        made.append(tag("g", box + curve, class_="minis", transform=place_, aria_hidden="true"))
    return made
