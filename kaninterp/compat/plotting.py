"""pykan's `plot` arguments handed on to `kaninterp.render.figures.plot_network`."""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kaninterp.core import Trace
from kaninterp.core.disk import write_atomically
from kaninterp.core.errors import InputError, ShapeError
from kaninterp.core.frozen import Array
from kaninterp.nn import KANHead
from kaninterp.nn.head import original_ids

from .scoring import edge_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["bars", "drawn", "input_names", "scores_by"]

METRICS = ("backward", "forward_n", "forward_u")
FILE = "network.svg"


def drawn(
    head: KANHead,
    trace: Trace,
    *,
    folder: str | os.PathLike[str] | None,
    beta: float,
    metric: str,
    scale: float,
    in_vars: Sequence[Any] | None,
    out_vars: Sequence[Any] | None,
    title: str | None,
    hidden: Collection[tuple[int, int]] | None,
    symbolic: Collection[tuple[int, int, int]],
    points: Sequence[Array] | None,
) -> Figure:
    """Draw a head from its trace, and write the figure if a folder is given.

    Parameters
    ----------
    hidden : collection of (layer, index) or None
        Hidden nodes whose edges are left out.
    symbolic : collection of (layer, dst, src)
        Edges that are formulas.
    points : sequence of ndarray, (rows, nodes) per layer, or None
        Rows to mark on the curves.

    Raises
    ------
    InputError
        An unknown metric. ShapeError: not as many names as inputs.
    """
    from kaninterp.render.figures import plot_network

    scores = [np.array(one) for one in scores_by(trace, metric)]
    for layer, node in hidden or ():
        scores[layer - 1][node] = 0.0
        scores[layer][:, node] = 0.0
    figure = plot_network(
        trace,
        scores,
        beta=float(beta),
        points=points,
        symbolic=symbolic,
        in_vars=input_names(head, in_vars),
        out_vars=None if out_vars is None else [str(name) for name in out_vars],
        title=title,
        scale=scale,
        math=True,
    )
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg")
        write_atomically(Path(folder) / FILE, buffer.getvalue())
    return figure


def scores_by(trace: Trace, metric: str) -> tuple[Array, ...]:
    """Scores of the edges, (dst, src) per layer, by one of pykan's metrics."""
    if metric not in METRICS:
        raise InputError(f"metric={metric!r}: allowed are {', '.join(map(repr, METRICS))}")
    if metric == "backward":
        return edge_scores(trace)
    spreads = [layer.edges.strength for layer in trace.layers]
    if metric == "forward_u":
        return tuple(spreads)
    sizes = [layer.inputs.std for layer in trace.layers]
    return tuple(
        np.divide(one, size, out=np.zeros_like(one), where=np.broadcast_to(size > 0, one.shape))
        for one, size in zip(spreads, sizes, strict=True)
    )


def bars(head: KANHead, scores: Array) -> None:
    """Draw scores of the inputs that are read on a figure of pyplot, which a notebook shows."""
    from matplotlib import pyplot as plt

    from kaninterp.render.score_figure import plot_scores

    plot_scores(scores, input_names(head, None), figure=plt.figure(figsize=(5, 2.4), layout="constrained"))


def input_names(head: KANHead, in_vars: Sequence[Any] | None) -> list[str]:
    """Names of the inputs that are read: those given, for all inputs or for these, or x_1, x_2, ... of the data."""
    read = original_ids(head)[0]
    if in_vars is None:
        return [f"x_{i + 1}" for i in read]
    names = [str(name) for name in in_vars]
    if len(names) == len(read):
        return names
    if len(names) == head.in_features:
        return [names[i] for i in read]
    raise ShapeError(
        f"in_vars: {len(names)} names; expected {head.in_features}, one per input"
        + ("" if len(read) == head.in_features else f", or {len(read)}, one for each that is still read")
    )
