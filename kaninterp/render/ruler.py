"""The legend of the network figure is a ruler: a wedge of growing width and opacity with numbers on it."""

from __future__ import annotations

from markupsafe import Markup

from .figure_nouns import Reading
from .svg import element, short, tag
from .wording import number, percent

__all__ = ["OPACITY", "STROKE", "ruler"]

STROKE = (0.8, 6.0)
"""Width in pixels of a line with score 0 and of one with the largest score; report.css uses the same numbers."""
OPACITY = (0.35, 1.0)
WIDTH, HEIGHT, LEFT, RIGHT = 640.0, 108.0, 16.0, 30.0
MIDDLE = 40.0
SLICES = 24
TICKS = {1.0: (0.0, 0.1, 0.25, 0.5, 0.75, 1.0), 0.5: (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)}


def ruler(reading: Reading) -> Markup:
    """Ruler of one reading: ticks in its unit, prune threshold and noise band where they are known."""
    relative = len(set(reading.scale)) > 1 or reading.key in ("norm", "strength")
    top = 1.0 if relative else max(reading.scale, default=0.0)
    if not top > 0:
        return Markup("")
    parts = [_slice(i) for i in range(SLICES)]
    for fraction in TICKS[reading.power]:
        x = _x(fraction, reading)
        value = fraction * top
        text = percent(value) if relative else number(value, 2)
        width, opacity = _mix(STROKE, fraction, reading), _mix(OPACITY, fraction, reading)
        parts += [
            tag("path", d=f"M{short(x)} 46v6", class_="axis"),
            tag("text", text, x=x, y=66, class_="tick mid"),
            tag("text", f"{short(width)} px", x=x, y=82, class_="tick mid faint"),
            tag("text", f"{100 * opacity:.0f} %", x=x, y=96, class_="tick mid faint"),
        ]
    parts += _marks(reading, top)
    widths = f"from {short(STROKE[0])} pixels at 0 to {short(STROKE[1])} pixels at the top"
    label = f"Ruler for {reading.label.lower()}: {widths}"
    return element(WIDTH, HEIGHT, parts, class_="fig ruler", role="img", aria_label=label)


def _mix(ends: tuple[float, float], fraction: float, reading: Reading) -> float:
    return ends[0] + (ends[1] - ends[0]) * float(fraction**reading.power)


def _x(fraction: float, reading: Reading) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * float(fraction**reading.power)


def _slice(i: int) -> Markup:
    a, b = i / SLICES, (i + 1) / SLICES
    x0, x1 = LEFT + (WIDTH - LEFT - RIGHT) * a, LEFT + (WIDTH - LEFT - RIGHT) * b
    half = [(STROKE[0] + (STROKE[1] - STROKE[0]) * t) / 2 for t in (a, b)]
    opacity = OPACITY[0] + (OPACITY[1] - OPACITY[0]) * (a + b) / 2
    above, below = ([MIDDLE + side * h for h in half] for side in (-1, 1))
    points = f"M{short(x0)} {above[0]:.2f}L{short(x1)} {above[1]:.2f}V{below[1]:.2f}L{short(x0)} {below[0]:.2f}z"
    return tag("path", d=points, class_="wedge", fill_opacity=f"{opacity:.2f}")


def _marks(reading: Reading, top: float) -> list[Markup]:
    parts = []
    if reading.noise is not None and reading.noise > 0:
        stop = _x(min(reading.noise / top, 1.0), reading)
        parts.append(tag("rect", x=LEFT, y=30, width=max(stop - LEFT, 1.0), height=20, class_="noise"))
        parts.append(tag("text", f"noise band to {number(reading.noise, 2)}", x=LEFT, y=11, class_="tick"))
    if reading.threshold is not None and reading.threshold > 0:
        x = _x(min(reading.threshold / top, 1.0), reading)
        parts.append(tag("path", d=f"M{short(x)} 26V52", class_="mark"))
        far = x > WIDTH - 300
        side = " end" if far else ""
        parts.append(tag("text", reading.threshold_text, x=x - 2 if far else x + 2, y=24, class_=f"tick strong{side}"))
    return parts
