"""Draws when columns and nodes left: time runs to the right, the darker the more rows are outside."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from .drift_nouns import PeriodMap
from .svg import element, short, tag
from .wording import shorten

__all__ = ["LEVELS", "period_map"]

LEVELS = (0.0, 0.01, 0.05, 0.25, 0.5)
"""Shares above which a step is one shade darker."""
WIDTH, LABEL, ROW, GAP, FOOT = 1000.0, 150.0, 22.0, 4.0, 26.0


def period_map(part: PeriodMap) -> Markup:
    """One row per name, one cell per period; the table says the same in numbers."""
    rows = len(part.names)
    parts = [
        tag("text", shorten(name, 20), x=LABEL - 8, y=ROW * i + 15, class_="tick end")
        for i, name in enumerate(part.names)
    ]
    parts += [
        tag("path", d=path, class_=f"p{level}")
        for i, shares in enumerate(part.shares)
        for level, path in enumerate(_cells(shares, ROW * i))
        if path
    ]
    foot = ROW * rows + 18
    parts.append(tag("text", shorten(part.first[0], 28), x=LABEL, y=foot, class_="tick"))
    parts.append(tag("text", shorten(part.last[-1], 28), x=WIDTH - 4, y=foot, class_="tick end"))
    text = f"{part.caption}: {rows} rows over {len(part.first)} periods. {part.summary}"
    return element(WIDTH, ROW * rows + FOOT, parts, class_="fig wide", role="img", aria_label=text)


def _cells(shares: Sequence[float], top: float) -> list[str]:
    """The cells of a row, one path per shade."""
    wide = (WIDTH - LABEL - GAP) / len(shares)
    paths = [""] * (len(LEVELS) + 1)
    for k, share in enumerate(shares):
        shade = sum(share > limit for limit in LEVELS)
        paths[shade] += f"M{short(LABEL + wide * k)} {short(top)}h{short(max(wide - 1, 1.0))}v{short(ROW - GAP)}"
        paths[shade] += f"H{short(LABEL + wide * k)}z"
    return paths
