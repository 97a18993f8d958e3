"""Draws one edge: grid band, data rug, amplitude axis, the whole function and its base branch alone."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from .edge_nouns import EdgeFigure
from .svg import element, histogram_paths, polyline, scale, short, tag
from .wording import number

__all__ = ["edge_figure"]

WIDTH, HEIGHT = 320.0, 176.0
LEFT, RIGHT, TOP, FLOOR, RUG = 52.0, 6.0, 8.0, 112.0, 32.0
"""The curve lives between TOP and FLOOR, the histogram in the next RUG, the numbers below it."""


def edge_figure(figure: EdgeFigure) -> Markup:
    """One edge; the caption of its card says in words what it shows."""
    low, high = min((0.0, *figure.curve, *figure.base)), max((0.0, *figure.curve, *figure.base))
    sx, ox = scale(figure.rows.edges[0], figure.rows.edges[-1], LEFT, WIDTH - RIGHT)
    sy, oy = scale(low, high, FLOOR - 4, TOP + 4)
    a, b = (sx * v + ox for v in figure.rows.domain)
    parts = [
        tag("rect", x=LEFT, y=TOP, width=WIDTH - RIGHT - LEFT, height=FLOOR - TOP, class_="outer"),
        tag("rect", x=a, y=TOP, width=max(b - a, 0.5), height=FLOOR - TOP, class_="zone"),
        tag("path", d=f"M{short(LEFT)} {short(oy)}H{short(WIDTH - RIGHT)}", class_="zero"),
    ]
    bars = histogram_paths(figure.rows.edges, figure.rows.shares, (sx, ox), floor=FLOOR + RUG + 6, tall=RUG)
    parts += [tag("path", d=d, class_=kind) for d, kind in zip(bars, ("rug", "outside"), strict=True) if d]
    if figure.base:
        parts.append(tag("path", d=_path(figure.base, sy, oy), class_="b"))
    parts.append(tag("path", d=_path(figure.curve, sy, oy), class_="v"))
    parts += [
        tag("text", number(value), x=LEFT - 5, y=sy * value + oy + 4, class_="tick end")
        for value in dict.fromkeys((low, high))
    ]
    parts += [
        tag("text", number(end), x=x, y=HEIGHT - 4, class_="tick mid")
        for x, end in zip((a, b), figure.rows.domain, strict=True)
    ]
    return element(WIDTH, HEIGHT, parts, class_="edgefig", aria_hidden="true")


def _path(values: Sequence[float], slope: float, offset: float) -> str:
    step = (WIDTH - RIGHT - LEFT) / max(len(values) - 1, 1)
    return polyline([(round(LEFT + step * i), round(slope * v + offset)) for i, v in enumerate(values)])
