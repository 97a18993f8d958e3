"""Draws one effect of a passport: the curve within what was seen, zero, end values, and the rows below it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from markupsafe import Markup

from .passport_nouns import EffectFigure
from .svg import element, polyline, scale, short, simplified, tag
from .wording import number, sign

__all__ = ["effect_figure", "in_words"]

WIDTH, HEIGHT = 168.0, 118.0
LEFT, RIGHT = 40, 128
"""The plot; the values at the ends of the curve stand beside it."""
TOP, FLOOR = 10, 74
BASE, RUG = 100, 18
"""Bars of the data stand on BASE and are at most RUG high."""
WITHIN = 0.6
"""A drawn line may miss its curve by this, in about pixels."""
LEVEL = 4
"""How far below its point a number is set, so that it is centred on it."""


def effect_figure(figure: EffectFigure, half: float) -> Markup:
    """One effect on the axis shared by its node, -half to half; thick where rows were, thin between them.

    Parameters
    ----------
    figure : EffectFigure
        The effect.
    half : float
        Half the height of the axis, in units of the node; 0 for effects that are flat.
    """
    rise, zero = scale(-half, half, FLOOR, TOP)
    step = (RIGHT - LEFT) / (len(figure.curve) - 1)
    points = [(round(LEFT + step * i), round(rise * y + zero)) for i, y in enumerate(figure.curve)]
    between = "" if all(figure.support) else polyline(simplified(points, WITHIN))
    ends = [(sign(figure.curve[0], 2), LEFT - 4, "tick end"), (sign(figure.curve[-1], 2), RIGHT + 4, "tick")]
    paths = [
        (f"M{LEFT} {short(zero)}H{RIGHT}", "zero"),
        (_bars([x for x, _ in points], figure.support), "rug"),
        (between, "t"),
        (_thick(points, figure.support), "v"),
    ]
    parts = [
        tag("rect", x=LEFT, y=TOP - 4, width=RIGHT - LEFT, height=FLOOR - TOP + 8, class_="zone"),
        *(tag("path", d=path, class_=kind) for path, kind in paths if path),
        *(tag("text", text, x=x, y=points[-i][1] + LEVEL, class_=kind) for i, (text, x, kind) in enumerate(ends)),
        *(
            tag("text", number(value), x=x, y=HEIGHT - 4, class_="tick mid")
            for x, value in zip((LEFT, RIGHT), figure.seen, strict=True)
        ),
    ]
    return element(WIDTH, HEIGHT, parts, class_="effect", role="img", aria_label=in_words(figure))


def in_words(figure: EffectFigure) -> str:
    """What the curve does, and where most of the rows are."""
    grid, curve = np.linspace(*figure.seen, len(figure.curve)), np.array(figure.curve)
    ends = (0, len(grid) - 1)
    told = [f"{sign(float(curve[i]), 2)} at {number(float(grid[i]))}" for i in ends]
    inner = [("lowest", int(curve.argmin())), ("highest", int(curve.argmax()))]
    told += [f"{what} {sign(float(curve[i]), 2)} at {number(float(grid[i]))}" for what, i in inner if i not in ends]
    reached = np.concatenate([[0.0], np.cumsum(figure.support)])
    low, high = np.interp([0.25 * reached[-1], 0.75 * reached[-1]], reached, grid)
    return (
        f"{figure.column}, {figure.way}: {', '.join(told)}; half of the rows between {number(low)} and {number(high)}"
    )


def _bars(xs: Sequence[int], support: Sequence[float]) -> str:
    """Outline of the bars, the highest RUG high and the lowest that holds a row a pixel; nothing where no row was."""
    top = max(support, default=0.0)
    if top <= 0:
        return ""
    path, before, steps = f"M{xs[0]} {BASE}", 0, zip(xs, xs[1:], support, strict=False)
    for start, stop, share in steps:
        tall = max(round(RUG * share / top), 1) if share > 0 else 0
        path += (f"v{before - tall}" if tall != before else "") + f"h{stop - start}"
        before = tall
    return f"{path}V{BASE}z"


def _thick(points: Sequence[tuple[int, int]], support: Sequence[float]) -> str:
    """The curve over the intervals that hold rows."""
    runs = groupby(range(len(support)), key=lambda i: support[i] > 0)
    held = [list(run) for seen, run in runs if seen]
    return "".join(polyline(simplified(points[run[0] : run[-1] + 2], WITHIN)) for run in held)
