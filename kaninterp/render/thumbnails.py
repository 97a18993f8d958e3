"""Thumbnails of edges, grouped by the node they enter: trained zone, histogram of the data, curve."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from .figure_nouns import LayerAxes, NetworkFigure
from .svg import polyline, short, simplified, tag

__all__ = ["HEIGHT", "WIDTH", "Group", "groups", "symbols", "thumbnail"]

WIDTH, HEIGHT = 320, 200
TOP, BASE, MIDDLE = 12, 148, 80
"""The curve lives between TOP and BASE; the histogram below it, down to HEIGHT."""
RUG = 44
WITHIN = 1.5
"""A drawn line may miss its curve by this: half a pixel of a page, where a thumbnail is about 104 pixels wide."""

Group = tuple[int, int, tuple[int, ...], float]
"""Layer of the target node, its index, its drawn edges, and half the height of the shared axis."""


def groups(figure: NetworkFigure) -> list[Group]:
    """Drawn edges by target node: outputs first, then by the share of the node."""
    edges = figure.edges
    members: dict[tuple[int, int], list[int]] = {}
    for i in range(edges.drawn):
        if edges.curve[i]:
            members.setdefault((edges.layer[i] + 1, edges.dst[i]), []).append(i)
    rank = {(n.layer, n.index): (-n.layer, -n.weight, n.index) for n in figure.nodes}
    known = sorted((key for key in members if key in rank), key=lambda key: rank[key])
    return [
        (layer, dst, tuple(ids), max(_reach(figure, i) for i in ids))
        for layer, dst in known
        for ids in [members[layer, dst]]
    ]


def _reach(figure: NetworkFigure, i: int) -> float:
    """How far edge ``i`` goes from its mean where the data are; what lies outside is cut off by the frame."""
    edges = figure.edges
    points = curve_points(edges.curve[i])
    _, seen, _ = _parts(points, figure.axes[edges.layer[i]], edges.src[i])
    heights = [(BASE - y) / (BASE - TOP) for _, y in (seen or points)]
    span = edges.high[i] - edges.low[i]
    return max(abs(edges.low[i] + span * h) for h in heights)


def symbols(figure: NetworkFigure) -> Markup:
    """Backgrounds shared by all thumbnails of a source node: zones and histogram."""
    used = sorted({(figure.edges.layer[i], figure.edges.src[i]) for i in range(figure.edges.drawn)})
    made = [_symbol(figure.axes[layer], layer, src) for layer, src in used]
    return tag("svg", Markup("").join(made), width=0, height=0, aria_hidden="true", class_="defs")


def _symbol(axes: LayerAxes, layer: int, src: int) -> Markup:
    low, high = axes.window[src]
    span = (high - low) or 1.0
    a, b = (min(max(WIDTH * (v - low) / span, 0), WIDTH) for v in axes.domain[src])
    bars, top = [], max((share for *_, share in axes.rug[src]), default=0.0)
    for start, stop, share in axes.rug[src]:
        x0, x1 = (min(max(WIDTH * (v - low) / span, 0), WIDTH) for v in (start, stop))
        tall = max(RUG * share / top, 3.0)
        bars.append(f"M{x0 + 1:.0f} {HEIGHT}v{-tall:.0f}H{max(x1 - 1, x0 + 2):.0f}V{HEIGHT}z")
    content = Markup("").join(
        [
            tag("rect", width=WIDTH, height=BASE + 6, class_="outer"),
            tag("rect", x=a, width=max(b - a, 0.5), height=BASE + 6, class_="zone"),
            tag("path", d=f"M0 {MIDDLE}h{WIDTH}", class_="zero"),
            tag("path", d="".join(bars), class_="rug"),
        ]
    )
    return tag("symbol", content, id=f"s-{layer}-{src}", viewBox=f"0 0 {WIDTH} {HEIGHT}")


def thumbnail(figure: NetworkFigure, i: int, half: float) -> Markup:
    """One thumbnail; `--k` and `--m` map its own axis to the one shared by all edges of the node."""
    edges = figure.edges
    layer, src = edges.layer[i], edges.src[i]
    points = curve_points(edges.curve[i])
    low, high = edges.low[i], edges.high[i]
    k = (high - low) / (2 * half) if half > 0 else 1.0
    m = MIDDLE - ((BASE - TOP) / 2 * low / half if half > 0 else 0.0) - BASE * k
    before, seen, after = _parts(points, figure.axes[layer], src)
    thin = _line(before) + _line(after)
    paths = [(thin, "t"), (_line(seen), "v")]
    drawing = Markup("").join(tag("path", d=d, class_=kind) for d, kind in paths if d)
    return tag(
        "svg",
        tag("use", href=f"#s-{layer}-{src}") + tag("g", drawing, style=f"--k:{k:.3f};--m:{short(m)}px"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        aria_hidden="true",
    )


def _line(points: Points) -> str:
    return polyline(simplified(points, WITHIN))


def curve_points(curve: Sequence[int]) -> list[tuple[int, int]]:
    """Quantised curve to points of the thumbnail, on its own axis.

    Examples
    --------
    >>> curve_points((0, 1000))
    [(0, 148), (320, 12)]
    """
    last = max(len(curve) - 1, 1)
    return [(round(WIDTH * j / last), round(BASE - (BASE - TOP) * v / 1000)) for j, v in enumerate(curve)]


Points = list[tuple[int, int]]


def _parts(points: Points, axes: LayerAxes, src: int) -> tuple[Points, Points, Points]:
    """The curve before, over and after the knot intervals that some row visited; neighbours share a point."""
    rug = axes.rug[src]
    if not rug:
        return points, [], []
    low, high = axes.window[src]
    span = (high - low) or 1.0
    start = WIDTH * (min(a for a, _, _ in rug) - low) / span - 1
    stop = WIDTH * (max(b for _, b, _ in rug) - low) / span + 1
    inside = [j for j, point in enumerate(points) if start <= point[0] <= stop]
    if len(inside) < 2:
        return points, [], []
    first, last = inside[0], inside[-1]
    before, after = points[: first + 1], points[last:]
    return (before if first else []), points[first : last + 1], (after if len(after) > 1 else [])
