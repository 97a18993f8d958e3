"""Scores as bars in a matplotlib figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kaninterp.core.errors import ShapeError
from kaninterp.core.frozen import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_scores"]

BAR = "#1b1b1b"


def plot_scores(scores: Array, names: Sequence[str], *, figure: Figure | None = None) -> Figure:
    """Draw scores as bars, one per name, in their order.

    Parameters
    ----------
    scores : ndarray, shape (names,)
    names : sequence of str
        Drawn as they are: no mathematics in dollar signs.
    figure : matplotlib.figure.Figure, optional
        Where to draw; None: a new one, not registered with pyplot.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        Not one score per name.

    Examples
    --------
    >>> import numpy as np
    >>> figure = plot_scores(np.array([0.9, 0.1]), ["a", "b"])
    >>> len(figure.axes[0].patches)
    2
    """
    from matplotlib.figure import Figure

    heights = np.asarray(scores, dtype=np.float64)
    if heights.shape != (len(names),):
        raise ShapeError(f"scores have shape {heights.shape}; expected one for each of the {len(names)} names")
    if figure is None:
        figure = Figure(figsize=(float(np.clip(0.5 * len(names), 3.0, 14.0)), 2.4))
    axes = figure.add_subplot()
    axes.bar(np.arange(len(names)), heights, color=BAR)
    axes.set_xticks(np.arange(len(names)), [str(name) for name in names], parse_math=False)
    axes.set_ylabel("score")
    return figure
