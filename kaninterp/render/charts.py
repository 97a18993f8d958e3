"""Small figures: dots with whiskers, lag bars, zone bars, sizes before and after, and the survival curve."""

from __future__ import annotations

import math

from markupsafe import Markup

from .blocks import AnswerBox, SizeChange, SurvivalChart
from .cells import Bars, Histogram, Whisker, Zones
from .svg import bars_path, element, histogram_paths, polyline, scale, short, tag
from .wording import number, plural, shorten

__all__ = ["bars", "before_after", "histogram", "nice_ticks", "profile", "size_bars", "survival", "whisker", "zones"]

CELL_WIDTH, CELL_HEIGHT = 150.0, 18.0
HISTOGRAM_HEIGHT = 34.0
HIDDEN = {"aria_hidden": "true"}


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers inside [low, high], at most ``most`` + 1 of them.

    Examples
    --------
    >>> nice_ticks(0.0, 1.0, 4)
    [0.0, 0.5, 1.0]
    """
    span = high - low
    if not span > 0:
        return [low]
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{i * step:.14g}") for i in range(first, last + 1)]


def whisker(item: Whisker, low: float, high: float) -> Markup:
    """Dot with its interval on a scale from ``low`` to ``high``; a line marks zero."""
    slope, offset = scale(min(low, 0.0), max(high, 0.0), 6, CELL_WIDTH - 6)
    middle = CELL_HEIGHT / 2
    a, b, dot, zero = (slope * v + offset for v in (item.low, item.high, item.value, 0.0))
    kind = "up" if item.low > 0 else "flat"
    return element(
        CELL_WIDTH,
        CELL_HEIGHT,
        [
            tag("path", d=f"M{short(zero)} 0V{short(CELL_HEIGHT)}", class_="zero"),
            tag("path", d=f"M{short(a)} {short(middle)}H{short(b)}", class_=f"wh {kind}"),
            tag("circle", cx=dot, cy=middle, r=4, class_=f"dot {kind}"),
        ],
        class_="cellfig",
        **HIDDEN,
    )


def bars(item: Bars, width: float = 96.0, height: float = 22.0) -> Markup:
    """Profile as bars over a thin base line."""
    return element(
        width,
        height + 1,
        [
            tag("path", d=f"M0 {short(height + 0.5)}H{short(width)}", class_="base"),
            tag("path", d=bars_path(item.values, width, height), class_="bar"),
        ],
        class_="cellfig",
        **HIDDEN,
    )


def profile(values: tuple[float, ...]) -> Markup:
    """Lag profile of a card, as wide as its whisker."""
    return bars(Bars(values=values, label=""), CELL_WIDTH, 30.0)


def zones(item: Zones) -> Markup:
    """Stacked bar: trained solid, fringe striped, dead crossed."""
    parts, x = [], 0.0
    for share, kind in ((item.trained, "trained"), (item.fringe, "fringe"), (item.dead, "dead")):
        wide = CELL_WIDTH * min(max(share, 0.0), 1.0)
        if wide > 0:
            parts.append(tag("rect", x=x, y=3, width=max(wide, 1.0), height=12, class_=f"z-{kind}"))
        x += wide
    return element(CELL_WIDTH, CELL_HEIGHT, parts, class_="cellfig", **HIDDEN)


def histogram(item: Histogram) -> Markup:
    """Bars per knot interval over the trained zone, those outside in the warning colour; the reference as a line."""
    slope, offset = scale(item.edges[0], item.edges[-1], 0, CELL_WIDTH)
    floor = HISTOGRAM_HEIGHT - 1
    top = max(item.shares + item.reference) or 1.0
    tall = (floor - 3) * max(item.shares) / top
    a, b = (slope * v + offset for v in item.domain)
    inner, outer = histogram_paths(item.edges, item.shares, (slope, offset), floor=floor, tall=tall)
    parts = [tag("rect", x=a, y=0.5, width=max(b - a, 1.0), height=floor, class_="box")]
    parts += [tag("path", d=d, class_=kind) for d, kind in ((inner, "seen"), (outer, "outside")) if d]
    if item.reference:
        steps = [
            f"{short(slope * low + offset)} {short(floor - (floor - 3) * share / top)}H{short(slope * high + offset)}"
            for low, high, share in zip(item.edges, item.edges[1:], item.reference, strict=False)
            if high > low
        ]
        parts.append(tag("path", d="M" + "L".join(steps), class_="before"))
    return element(CELL_WIDTH, HISTOGRAM_HEIGHT, parts, class_="cellfig", **HIDDEN)


def size_bars(item: SizeChange) -> Markup:
    """Bar before (light) and after (solid)."""
    share = item.after / item.before if item.before else 0.0
    return element(
        120,
        8,
        [
            tag("rect", x=0, y=0, width=120, height=8, rx=2, class_="track"),
            tag("rect", x=0, y=0, width=120 * min(share, 1.0), height=8, rx=2, class_="fill"),
        ],
        class_="cellfig",
        preserveAspectRatio="none",
        **HIDDEN,
    )


def before_after(box: AnswerBox) -> Markup:
    """Loss before and after with intervals on one axis."""
    rows = [(label, w) for label, w in (("before", box.before), ("after", box.after)) if w is not None]
    if not rows:
        return Markup("")
    width, left, right = 300.0, 52.0, 14.0
    low, high = min(w.low for _, w in rows), max(w.high for _, w in rows)
    pad = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
    slope, offset = scale(low - pad, high + pad, left, width - right)
    height = 30.0 * len(rows) + 24
    parts = []
    for value in nice_ticks(low - pad, high + pad, 4):
        x = slope * value + offset
        parts.append(tag("path", d=f"M{short(x)} 4V{short(height - 18)}", class_="grid"))
        parts.append(tag("text", number(value, 4), x=x, y=height - 5, class_="tick mid"))
    for i, (label, w) in enumerate(rows):
        y = 18.0 + 30 * i
        a, b, dot = (slope * v + offset for v in (w.low, w.high, w.value))
        parts += [
            tag("text", label, x=0, y=y + 4, class_="lab"),
            tag(
                "path",
                d=f"M{short(a)} {short(y)}H{short(b)}M{short(a)} {short(y - 4)}v8M{short(b)} {short(y - 4)}v8",
                class_="wh",
            ),
            tag("circle", cx=dot, cy=y, r=5, class_="dot up" if label == "after" else "dot flat"),
        ]
    text = "; ".join(
        f"{label} {number(w.value)}, 95 % interval {number(w.low)} to {number(w.high)}" for label, w in rows
    )
    return element(width, height, parts, class_="fig", role="img", aria_label=f"Held-out {box.loss}: {text}")


def survival(chart: SurvivalChart) -> Markup:
    """Loss against the number of inputs kept, with its band and the chosen number."""
    width, height, left, bottom, top = 1000.0, 352.0, 64.0, 122.0, 26.0
    n = len(chart.value) - 1
    low, high = min(0.0, *chart.low) if min(chart.low) < 0.3 * max(chart.high) else min(chart.low), max(chart.high)
    sx, ox = scale(0, n, left + 8, width - 16)
    sy, oy = scale(low, high * 1.02, height - bottom, top)
    parts = []
    for value in nice_ticks(low, high, 5):
        y = sy * value + oy
        parts.append(tag("path", d=f"M{short(left)} {short(y)}H{short(width - 8)}", class_="grid"))
        parts.append(tag("text", number(value), x=left - 8, y=y + 4, class_="tick end"))
    xs = [round(sx * k + ox) for k in range(n + 1)]
    up = [(x, round(sy * v + oy)) for x, v in zip(xs, chart.high, strict=True)]
    down = [(x, round(sy * v + oy)) for x, v in zip(xs, chart.low, strict=True)]
    line = [(x, round(sy * v + oy)) for x, v in zip(xs, chart.value, strict=True)]
    parts.append(tag("path", d=polyline(up + down[::-1]) + "z", class_="band"))
    parts += _chosen(chart, xs[chart.chosen], top, height - bottom)
    parts.append(tag("path", d=polyline(line), class_="curve"))
    parts += [
        tag("circle", cx=x, cy=y, r=4.5 if k == chart.chosen else 2.5, class_="dot up" if k == chart.chosen else "pt")
        for k, (x, y) in enumerate(line)
        if n <= 80 or k == chart.chosen
    ]
    parts += _step_names(chart, xs, height - bottom)
    parts.append(tag("text", f"loss ({chart.loss})", x=left + 4, y=top - 6, class_="lab"))
    parts.append(tag("text", "inputs kept, and the one added last", x=width - 8, y=height - 4, class_="lab end"))
    return element(width, height, parts, class_="fig wide", role="img", aria_label=f"{chart.caption}. {chart.summary}")


def _chosen(chart: SurvivalChart, x: float, top: float, bottom: float) -> list[Markup]:
    near_end = chart.chosen > 0.6 * (len(chart.value) - 1)
    shift = -8 if near_end else 8
    kept = f"{chart.chosen} input{plural(chart.chosen)}"
    label = f"within one standard error: {kept}, loss {number(chart.value[chart.chosen])}"
    return [
        tag("path", d=f"M{short(x)} {short(top)}V{short(bottom)}", class_="mark"),
        tag("text", label, x=x + shift, y=top + 12, class_="lab strong" + (" end" if near_end else "")),
    ]


def _step_names(chart: SurvivalChart, xs: list[int], y: float) -> list[Markup]:
    """Names along the axis, slanted; every second, third, ... if they would touch."""
    n = len(chart.names)
    gap = (xs[-1] - xs[0]) / max(n, 1)
    every = max(1, math.ceil(17 / gap)) if gap else 1
    parts = []
    for k in range(1, n + 1):
        if k % every and k != chart.chosen:
            continue
        text = f"{k} {shorten(chart.names[k - 1], 15)}"
        parts.append(
            tag("text", text, class_="tick end", transform=f"translate({short(xs[k] + 4)} {short(y + 14)})rotate(-52)")
        )
    return parts
