"""SVG as text: elements with escaped attributes, short numbers, and paths in integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from markupsafe import Markup, escape

__all__ = ["bars_path", "element", "histogram_paths", "polyline", "scale", "short", "simplified", "tag"]


def short(value: float) -> str:
    """Coordinate with at most one decimal and nothing to spare.

    Examples
    --------
    >>> short(2.0), short(0.25), short(-0.04), short(0.55)
    ('2', '0.2', '0', '0.6')
    """
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text


def tag(name: str, content: Markup | str = "", **attributes: object) -> Markup:
    """One element. ``class_`` is class, ``data_x`` is data-x; None is left out; text content is escaped.

    Examples
    --------
    >>> tag("text", "<b>", x=1.5, class_="k")
    Markup('<text x="1.5" class="k">&lt;b&gt;</text>')
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None:
            continue
        text = short(value) if isinstance(value, float) else value
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    opening = " ".join(parts)
    if not content:
        return Markup(f"<{opening}/>")  # noqa: S704  (attributes are escaped above)
    return Markup(f"<{opening}>{escape(content)}</{name}>")  # noqa: S704


def element(width: float, height: float, content: Iterable[Markup], **attributes: object) -> Markup:
    """An <svg> of this size whose drawing scales with it."""
    return tag(
        "svg",
        Markup("").join(content),
        viewBox=f"0 0 {short(width)} {short(height)}",
        width=float(width),
        height=float(height),
        **attributes,
    )


def polyline(points: Sequence[tuple[int, int]]) -> str:
    """Path through integer points, in relative steps.

    Examples
    --------
    >>> polyline([(0, 5), (3, 2), (6, 2)])
    'M0 5l3-3 3 0'
    """
    if not points:
        return ""
    steps = []
    for (x0, y0), (x1, y1) in pairwise(points):
        dx, dy = x1 - x0, y1 - y0
        steps.append(f"{dx}{'' if dy < 0 else ' '}{dy}")
    path = steps[0] if steps else ""
    for step in steps[1:]:
        path += step if step.startswith("-") else f" {step}"
    return f"M{points[0][0]} {points[0][1]}" + (f"l{path}" if path else "")


def simplified(points: Sequence[tuple[int, int]], within: float) -> list[tuple[int, int]]:
    """Few points of a curve, its ends among them, whose lines stay ``within`` of the others upwards or downwards.

    Each line is made as long as it can be, from left to right; points must go to the right.

    Examples
    --------
    >>> simplified([(0, 0), (1, 1), (2, 2), (3, 5)], 0.5)
    [(0, 0), (2, 2), (3, 5)]
    """
    kept = list(points[:1])
    start = 0
    while start < len(points) - 1:
        stop = start + 1
        while stop + 1 < len(points) and _near(points[start : stop + 2], within):
            stop += 1
        kept.append(points[stop])
        start = stop
    return kept


def _near(points: Sequence[tuple[int, int]], within: float) -> bool:
    """Whether the line from the first to the last of these points passes all others closely."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    return all(abs(y0 + (y1 - y0) * (x - x0) / (x1 - x0) - y) <= within for x, y in points[1:-1])


def bars_path(values: Sequence[float], width: float, height: float, gap: float = 1.0) -> str:
    """Bars from the bottom as one path, highest value at full height; at least half a pixel if above zero."""
    top = max(values, default=0.0)
    if top <= 0:
        return ""
    step = width / len(values)
    thick = max(step - gap, 0.6 * step)
    path = []
    for i, value in enumerate(values):
        if value > 0:
            tall = max(height * value / top, 0.5)
            path.append(f"M{short(i * step)} {short(height)}v{short(-tall)}h{short(thick)}v{short(tall)}z")
    return "".join(path)


def histogram_paths(
    edges: Sequence[float], shares: Sequence[float], axis: tuple[float, float], *, floor: float, tall: float
) -> tuple[str, str]:
    """Bars over bins of their own width, as one path for the inner bins and one for the two outer ones.

    The highest bar is ``tall``; ``axis`` has slope and offset of x.
    """
    slope, offset = axis
    top = max(shares, default=0.0) or 1.0
    inner = outer = ""
    for i, share in enumerate(shares):
        x0, x1 = slope * edges[i] + offset, slope * edges[i + 1] + offset
        if share > 0 and x1 > x0:
            bar = f"M{short(x0 + 0.5)} {short(floor)}v{short(-max(tall * share / top, 1.0))}"
            bar += f"H{short(max(x1 - 0.5, x0 + 1.5))}V{short(floor)}z"
            inner, outer = (inner, outer + bar) if i in {0, len(shares) - 1} else (inner + bar, outer)
    return inner, outer


def scale(low: float, high: float, start: float, stop: float) -> tuple[float, float]:
    """Slope and offset that map [low, high] to [start, stop]; a single point goes to the middle.

    Examples
    --------
    >>> scale(0.0, 2.0, 10.0, 20.0)
    (5.0, 10.0)
    """
    if high <= low:
        return 0.0, (start + stop) / 2
    slope = (stop - start) / (high - low)
    return slope, start - slope * low
