"""The survival curve of a pruning: held-out loss with its interval against what is kept, the choice marked."""

from __future__ import annotations

import math
from collections.abc import Callable

from markupsafe import Markup

from .blocks import LossCurve
from .charts import nice_ticks
from .svg import element, polyline, scale, short, tag
from .wording import count, number

__all__ = ["loss_curve"]

WIDTH, HEIGHT = 420.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 14.0, 40.0, 44.0
MOST_DOTS = 60
LABEL = 40.0
"""Room a number below the axis takes."""
STEEP = 20.0
"""From this ratio of highest to lowest loss on, the axis is logarithmic: else all that matters lies on its floor."""


def loss_curve(chart: LossCurve) -> Markup:
    """Draw a curve, the point with everything on the right; the choice is a diamond on a dashed line, the best a ring.

    Points stand at equal distances, whatever the numbers kept at them: edges go by a share of those that are left.
    """
    last = len(chart.kept) - 1
    height, ticks, steep = _axis(min(chart.low), max(chart.high))
    sx, ox = scale(0, last, WIDTH - RIGHT - 6, LEFT + 8)
    xs = [round(sx * k + ox) for k in range(last + 1)]
    line, up, down = (
        [(x, round(height(v))) for x, v in zip(xs, values, strict=True)]
        for values in (chart.value, chart.high, chart.low)
    )
    parts = []
    for value in ticks:
        y = height(value)
        parts.append(tag("path", d=f"M{short(LEFT)} {short(y)}H{short(WIDTH - RIGHT)}", class_="grid"))
        parts.append(tag("text", number(value), x=LEFT - 6, y=y + 4, class_="tick end"))
    parts.append(tag("path", d=polyline(up + down[::-1]) + "z", class_="band"))
    if last == 0:  # a band of one point has no area
        parts.append(tag("path", d=f"M{xs[0]} {up[0][1]}V{down[0][1]}", class_="wh up"))
    parts.append(tag("path", d=polyline(line), class_="curve"))
    if last < MOST_DOTS:
        parts += [tag("circle", cx=x, cy=y, r=2.5, class_="pt") for x, y in line]
    parts += _marks(chart, line)
    parts += _numbers(chart, xs)
    parts.append(
        tag("text", f"held-out loss ({chart.loss}{', log scale' if steep else ''})", x=0, y=12, class_="lab small")
    )
    parts.append(tag("text", f"{chart.what} kept", x=WIDTH - RIGHT, y=HEIGHT - 6, class_="lab small end"))
    label = f"{chart.caption}. {chart.summary}"
    return element(WIDTH, HEIGHT, parts, class_="fig fit", role="img", aria_label=label)


def _axis(low: float, high: float) -> tuple[Callable[[float], float], list[float], bool]:
    """Where a loss stands, round losses to mark, and whether the axis is logarithmic."""
    if low > 0 and high / low > STEEP:
        slope, offset = scale(math.log10(low), math.log10(high), HEIGHT - BOTTOM, TOP)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = (1, 2, 5) if len(powers) <= 4 else (1,)
        ticks = [m * 10.0**p for p in powers for m in steps if low <= m * 10.0**p <= high]
        return lambda v: slope * math.log10(v) + offset, ticks[:: math.ceil(len(ticks) / 9)], True
    if low < 0.3 * high:
        low = min(0.0, low)
    slope, offset = scale(low, high, HEIGHT - BOTTOM, TOP)
    return lambda v: slope * v + offset, nice_ticks(low, high, 5), False


def _marks(chart: LossCurve, line: list[tuple[int, int]]) -> list[Markup]:
    x, y = line[chart.chosen]
    best = line[chart.best]
    right = x < WIDTH / 2
    words = "chosen, and the best" if chart.best == chart.chosen else "chosen"
    return [
        tag("path", d=f"M{x} {short(TOP - 6)}V{short(HEIGHT - BOTTOM)}", class_="mark"),
        tag("circle", cx=best[0], cy=best[1], r=6, class_="ring"),
        tag("path", d=f"M{x} {y - 7}l7 7-7 7-7-7z", class_="chosen"),
        tag(
            "text",
            f"{words}: {count(chart.kept[chart.chosen])} {chart.what}",
            x=float(x + (6 if right else -6)),
            y=TOP - 10,
            class_="lab small strong halo" + ("" if right else " end"),
        ),
    ]


def _numbers(chart: LossCurve, xs: list[int]) -> list[Markup]:
    """Numbers kept below the axis: the choice and both ends first, then whatever does not touch them."""
    taken: list[int] = []
    last = len(xs) - 1
    y = HEIGHT - BOTTOM
    for k in dict.fromkeys([chart.chosen, 0, last, *range(last + 1)]):
        if all(abs(xs[k] - other) >= LABEL for other in taken):
            taken.append(xs[k])
    parts = []
    for k in sorted(range(last + 1)):
        if xs[k] in taken:
            strong = " strong" if k == chart.chosen else ""
            parts.append(tag("path", d=f"M{xs[k]} {short(y)}v4", class_="axis"))
            parts.append(tag("text", count(chart.kept[k]), x=xs[k], y=y + 17, class_=f"tick mid{strong}"))
    return parts
