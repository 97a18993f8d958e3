"""Matrix of a whole layer in one look: rows are target nodes, columns source nodes, six steps of score."""

from __future__ import annotations

from markupsafe import Markup

from .figure_nouns import NetworkFigure
from .svg import element, short, tag
from .wording import shorten

__all__ = ["STEPS", "heatmap", "needs_heatmap"]

STEPS = 6
LABEL, HEAD = 84.0, 20.0
FEW_EDGES = 48
MAX_SIDE = 160


def needs_heatmap(figure: NetworkFigure, layer: int) -> bool:
    """Whether a layer has more edges than one can compare as lines."""
    members = sum(1 for value in figure.edges.layer if value == layer)
    return (
        members >= FEW_EDGES
        and len({d for k, d in zip(figure.edges.layer, figure.edges.dst, strict=True) if k == layer}) > 1
    )


def heatmap(figure: NetworkFigure, layer: int) -> Markup:
    """Heat map of a layer, one set of cells per reading; the chosen reading is shown, the first by default."""
    rows = [n for n in figure.nodes if n.layer == layer + 1 and n.live][:MAX_SIDE]
    columns = [n for n in figure.nodes if n.layer == layer and n.live][:MAX_SIDE]
    cell = max(6.0, min(24.0, (1100 - LABEL) / max(len(columns), 1)))
    tall = max(12.0, min(cell, 18.0))
    row_of = {n.index: i for i, n in enumerate(rows)}
    column_of = {n.index: i for i, n in enumerate(columns)}
    parts = [
        tag(
            "g",
            Markup("").join(tag("path", d="".join(d), class_=f"h{step}") for step, d in enumerate(paths) if d),
            class_=f"hm hm-{key}",
            transform=f"translate({short(LABEL)} {short(HEAD + tall / 2)})scale({short(cell)} {short(tall)})",
        )
        for key, paths in _cells(figure, layer, row_of, column_of).items()
    ]
    parts += [
        tag("text", shorten(n.name, 12), x=LABEL - 6, y=HEAD + tall * i + tall / 2 + 3.5, class_="tick end")
        for i, n in enumerate(rows)
    ]
    every = max(1, round(16 / cell))
    parts += [
        tag("text", str(n.index), x=LABEL + cell * (i + 0.5), y=14, class_="tick mid")
        for i, n in enumerate(columns)
        if i % every == 0
    ]
    width, height = LABEL + cell * len(columns) + 2, HEAD + 4 + tall * len(rows)
    label = f"Matrix of the scores of layer {layer + 1}: {len(rows)} target nodes by {len(columns)} source nodes"
    return element(width, height, parts, class_="fig heat", role="img", aria_label=label)


def _cells(
    figure: NetworkFigure, layer: int, row_of: dict[int, int], column_of: dict[int, int]
) -> dict[str, list[list[str]]]:
    """Lines per reading and step, in units of a cell; the step follows the score over the layer's largest.

    Neighbours of one step share a line, which the style sheet dashes into cells.
    """
    edges = figure.edges
    here = [
        i for i in range(len(edges)) if edges.layer[i] == layer and edges.dst[i] in row_of and edges.src[i] in column_of
    ]
    sets: dict[str, list[list[str]]] = {}
    for reading, values in zip(figure.readings, edges.readings, strict=True):
        top = max((max(values[i] or 0.0, 0.0) for i in here), default=0.0)
        cells: list[list[tuple[int, int]]] = [[] for _ in range(STEPS)]
        for i in here:
            level = (max(values[i] or 0.0, 0.0) / top) ** reading.power if top > 0 else 0.0
            cells[min(int(level * STEPS), STEPS - 1)].append((row_of[edges.dst[i]], column_of[edges.src[i]]))
        sets[reading.key] = [_lines(sorted(places)) for places in cells]
    return sets


def _lines(places: list[tuple[int, int]]) -> list[str]:
    """One line per run of neighbours in a row."""
    runs: list[list[int]] = []
    for row, column in places:
        if runs and runs[-1][0] == row and sum(runs[-1][1:]) == column:
            runs[-1][2] += 1
        else:
            runs.append([row, column, 1])
    return [f"M{column} {row}h{length}" for row, column, length in runs]
