"""A trained KAN as a matplotlib figure: nodes in rows, every edge with its curve on the way from node to node.

Everything is one set of axes with a handful of artists, so that fifteen edges take milliseconds, not one picture each.
No state of pyplot is touched: the caller gets a `Figure` to show or save.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from kaninterp.core.errors import InputError, NamesError, ShapeError
from kaninterp.core.frozen import Array
from kaninterp.core.trace import LayerTrace, Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_network"]

POINTS = 61
"""Points of a curve: smooth at the size of a thumbnail."""
BOX = 0.36
"""Half the side of a thumbnail where there is room, in units of the distance between rows of nodes over three."""
ROOM = 0.9
"""Share of the width that the thumbnails of a layer may fill."""
DOT = 60
"""Area of a node in square points."""
MARK = 14
"""Area of a mark in square points where they are few: wider than the curve it is on."""
FEW = 40
"""Up to so many marks on a curve are told apart; of more each is smaller."""
MARKS = 200
"""Rows marked on a curve at most, evenly spaced in their order: more are one blot."""
LEAST = 0.01
"""Opacity below which nothing is drawn: no eye sees it."""
SPLINE, SYMBOLIC = "#1b1b1b", "#b3261e"

Edge = tuple[int, int, int]
Segment = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Lines, frames and curves of the edges, with an opacity each, and marks of rows."""

    lines: list[Segment]
    frames: list[Segment]
    curves: list[Array]
    marks: list[Array]
    opacity: list[float]
    symbolic: list[bool]


def plot_network(
    trace: Trace,
    scores: Sequence[Array] | None = None,
    *,
    beta: float = 3.0,
    points: Sequence[Array] | None = None,
    symbolic: Collection[Edge] = (),
    in_vars: Sequence[str] | None = None,
    out_vars: Sequence[str] | None = None,
    title: str | None = None,
    scale: float = 1.0,
    math: bool = False,
) -> Figure:
    """Draw the network of a trace, inputs at the bottom.

    Parameters
    ----------
    trace : Trace
        Curves are drawn over the range of the data; masked edges are left out.
    scores : sequence of ndarray, each (dst, src), optional
        Importance per layer; an edge has the opacity ``tanh(beta * score)``, as in KAN 1.0 (arXiv 2404.19756). None:
        every edge alike.
    beta : float
        The larger, the darker.
    points : sequence of ndarray, each (rows, src), optional
        Values of the nodes under each layer for some rows, marked on the curves (200 of the rows at most).
    symbolic : collection of (layer, dst, src)
        Edges that are formulas; drawn in red.
    in_vars, out_vars : sequence of str, optional
        Names under the inputs and over the outputs; those of the trace if not given.
    title : str, optional
        Text above.
    scale : float
        Size of the figure relative to its own.
    math : bool
        Set names like ``$x_1$`` as mathematics where matplotlib can read them; False: as they are.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot.

    Raises
    ------
    ShapeError
        Scores that are not one (dst, src) per layer, points that are not one (rows, src) per layer.
    NamesError
        Not as many names as inputs or outputs.
    InputError
        ``beta`` or ``scale`` that is no number above 0.
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> trace = ki.trace(ki.KANHead(2, 1, (3,)), torch.randn(100, 2))
    >>> figure = plot_network(trace, in_vars=["a", "b"])
    >>> len(figure.axes)
    1
    """
    if not (np.isfinite(beta) and beta > 0 and np.isfinite(scale) and scale > 0):
        raise InputError(f"beta={beta}, scale={scale}: both are numbers above 0")
    opacities = _opacities(trace, scores, beta)
    widths = [*(layer.edges.alive.shape[1] for layer in trace.layers), trace.layers[-1].edges.alive.shape[0]]
    places = [_places(width) for width in widths]
    marked = _marked(trace, points)
    drawn = _Drawn([], [], [], [], [], [])
    for depth, layer in enumerate(trace.layers):
        _add_layer(drawn, depth, layer, opacities[depth], marked[depth], (places[depth], places[depth + 1]), symbolic)
    figure = _figure(widths, scale)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    _add_edges(axes, drawn)
    spots = np.concatenate([np.stack([x, np.full(len(x), 3.0 * row)], 1) for row, x in enumerate(places)])
    axes.scatter(spots[:, 0], spots[:, 1], s=DOT * scale, c=SPLINE, zorder=3, linewidths=0)
    _add_names(axes, places, _named(trace, in_vars, out_vars, widths), title, scale, math=math)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(-0.8, 3.0 * len(trace.layers) + (1.2 if title else 0.8))
    return figure


def _opacities(trace: Trace, scores: Sequence[Array] | None, beta: float) -> list[Array]:
    if scores is None:
        return [np.ones(layer.edges.alive.shape) for layer in trace.layers]
    shapes = [layer.edges.alive.shape for layer in trace.layers]
    given = [np.asarray(each, dtype=np.float64) for each in scores]
    if [each.shape for each in given] != shapes:
        raise ShapeError(
            f"scores of shapes {[each.shape for each in given]}; expected one (dst, src) per layer: {shapes}"
        )
    return [np.tanh(beta * np.maximum(each, 0.0)) for each in given]


def _marked(trace: Trace, points: Sequence[Array] | None) -> list[Array]:
    """Arguments of the rows to mark, (marks, src) per layer."""
    widths = [layer.edges.alive.shape[1] for layer in trace.layers]
    if points is None:
        return [np.empty((0, width)) for width in widths]
    given = [np.asarray(each, dtype=np.float64) for each in points]
    if [each.shape[1:] for each in given] != [(width,) for width in widths]:
        raise ShapeError(
            f"points of shapes {[each.shape for each in given]}; expected one (rows, src) per layer, src {widths}"
        )
    return [each[np.linspace(0, len(each) - 1, min(len(each), MARKS)).round().astype(int)] for each in given]


def _places(width: int) -> Array:
    """Where the nodes of a row are, between 0 and 1."""
    return (np.arange(width) + 0.5) / width


def _add_layer(  # noqa: PLR0917 (internal)
    drawn: _Drawn,
    depth: int,
    layer: LayerTrace,
    opacity: Array,
    marked: Array,
    places: tuple[Array, Array],
    symbolic: Collection[Edge],
) -> None:
    """Thumbnails in one row, in the order of the nodes they leave."""
    dst, src = layer.edges.alive.shape
    slots = _places(dst * src).reshape(src, dst)
    half = ROOM * 0.5 / (dst * src)
    bottom, middle, top = 3.0 * depth, 3.0 * depth + 1.5, 3.0 * depth + 3.0
    for i in range(src):
        x = _range(layer, i)
        for j in range(dst):
            alpha = float(opacity[j, i])
            if not layer.edges.alive[j, i] or not alpha >= LEAST:
                continue
            at = float(slots[i, j])
            curve = np.interp(x, layer.edges.curve_x[i], layer.edges.curves[j, i])
            drawn.lines.append([(float(places[0][i]), bottom), (at, middle - BOX)])
            drawn.lines.append([(at, middle + BOX), (float(places[1][j]), top)])
            corners = ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))
            drawn.frames.append([(at + a * half, middle + b * BOX) for a, b in corners])
            drawn.curves.append(_in_box(curve, at, middle, half))
            drawn.marks.append(_marks_on(drawn.curves[-1], x, marked[:, i]))
            drawn.opacity.append(alpha)
            drawn.symbolic.append((depth, j, i) in symbolic)


def _range(layer: LayerTrace, src: int) -> Array:
    """Points over the range of the data of a node."""
    drawn = layer.edges.curve_x[src]
    low, high = (float(np.clip(end[src], drawn[0], drawn[-1])) for end in (layer.inputs.low, layer.inputs.high))
    return np.linspace(low, high, POINTS)


def _in_box(curve: Array, x: float, y: float, half: float) -> Array:
    """A curve scaled into its frame, (P, 2); a constant one is a line through the middle."""
    low, high = float(curve.min()), float(curve.max())
    height = (curve - low) / (high - low) if high > low else np.full(len(curve), 0.5)
    return np.stack([x + 0.86 * half * np.linspace(-1, 1, len(curve)), y + 0.86 * BOX * (2 * height - 1)], axis=1)


def _marks_on(drawn: Array, x: Array, values: Array) -> Array:
    """Where arguments are on a drawn curve (P, 2) over the points `x`, (marks, 2); those outside are left out."""
    inside = values[(values >= x[0]) & (values <= x[-1])]
    return np.stack([np.interp(inside, x, drawn[:, 0]), np.interp(inside, x, drawn[:, 1])], axis=1)


def _figure(widths: Sequence[int], scale: float) -> Figure:
    from matplotlib.figure import Figure

    edges = max(a * b for a, b in pairwise(widths))
    return Figure(
        figsize=(scale * float(np.clip(0.55 * edges, 3.0, 14.0)), scale * 2.0 * (len(widths) - 1) + 0.6 * scale)
    )


def _add_edges(axes: Any, drawn: _Drawn) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    colours = [to_rgba(SYMBOLIC if red else SPLINE, a) for red, a in zip(drawn.symbolic, drawn.opacity, strict=True)]
    twice = [colour for colour in colours for _ in range(2)]
    for segments, colour, width in (
        (drawn.lines, twice, 1.4),
        (drawn.frames, colours, 0.6),
        (drawn.curves, colours, 1.6),
    ):
        axes.add_collection(LineCollection(segments, colors=colour, linewidths=width, zorder=2), autolim=False)
    marks = np.concatenate([np.empty((0, 2)), *drawn.marks])
    if len(marks):
        each = np.repeat(np.array(colours), [len(own) for own in drawn.marks], axis=0)
        size = MARK * min(1.0, FEW * len(drawn.marks) / len(marks))
        axes.scatter(marks[:, 0], marks[:, 1], s=size, c=each, zorder=2.5, linewidths=0)


def _named(
    trace: Trace, in_vars: Sequence[str] | None, out_vars: Sequence[str] | None, widths: Sequence[int]
) -> tuple[list[str], list[str]]:
    columns = () if trace.raw is None else trace.raw.names
    own = [trace.card.node_name(0, i, columns) for i in range(widths[0])]
    found = []
    for what, given, known in (("in_vars", in_vars, own), ("out_vars", out_vars, list(trace.output_names))):
        names = known if given is None else [str(name) for name in given]
        if len(names) != len(known):
            raise NamesError(f"{what}: {len(names)} names for {len(known)} nodes; give one for each")
        found.append(names)
    return found[0], found[1]


def _add_names(
    axes: Any,
    places: Sequence[Array],
    names: tuple[list[str], list[str]],
    title: str | None,
    scale: float,
    *,
    math: bool,
) -> None:
    top = 3.0 * (len(places) - 1)
    rows = ((names[0], places[0], -0.25, "top"), (names[1], places[-1], top + 0.2, "bottom"))
    for texts, xs, y, side in rows:
        size = scale * float(np.clip(120 / max(len(texts), 1), 4, 11))
        for text, x in zip(texts, xs, strict=True):
            axes.text(x, y, text, ha="center", va=side, fontsize=size, parse_math=math and _reads(text))
    if title:
        axes.text(0.5, top + 1.1, title, ha="center", va="top", fontsize=13 * scale, parse_math=math and _reads(title))


def _reads(text: str) -> bool:
    """Whether matplotlib can set a text with its dollar signs: one that it cannot would fail when it is drawn."""
    from matplotlib.cbook import is_math_text
    from matplotlib.mathtext import MathTextParser

    if not is_math_text(text):
        return False
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return False
    return True
