"""Scores as bars."""

from __future__ import annotations

import io

import numpy as np
import pytest

from kaninterp.core.errors import ShapeError

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure

from kaninterp.render.score_figure import plot_scores


def test_a_bar_per_name_where_the_caller_says():
    figure = Figure()
    assert plot_scores(np.array([0.5, 0.25]), ["$a", "b$"], figure=figure) is figure
    axes = figure.axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.5, 0.25]
    figure.savefig(io.BytesIO(), format="svg")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["$a", "b$"]
    assert not any(label.get_parse_math() for label in axes.get_xticklabels())


def test_one_score_per_name():
    with pytest.raises(ShapeError, match="one for each of the 3 names"):
        plot_scores(np.zeros(2), ["a", "b", "c"])
