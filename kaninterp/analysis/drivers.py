"""What a node follows, in the user's own columns and time lags (question 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaninterp.core.frozen import Array

from .bundle import Analysis
from .places import raw_columns

__all__ = ["Driver", "column_effects", "lag_profile", "lag_words", "node_drivers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """One raw column behind a node.

    Attributes
    ----------
    column : int
        Its index in the data.
    name : str
        Its name.
    share : float
        Share of the node's variance (see `column_effects`).
    lag : int or None
        Time step at which the node follows the column most; 0 = the last one. None if it was not measured.
    lag_share : float
        Part of the column's effect on the node that this lag has; NaN if it was not measured.
    """

    column: int
    name: str
    share: float
    lag: int | None
    lag_share: float


def node_drivers(analysis: Analysis, layer: int, index: int, most: int = 3) -> tuple[Driver, ...]:
    """Columns behind a node, strongest first; empty where nothing was measured or the node is constant."""
    effects = column_effects(analysis, layer)
    raw = analysis.trace.raw
    if effects is None or raw is None:
        return ()
    row = effects[index]
    order = [int(i) for i in np.argsort(-row, kind="stable")[:most] if row[i] > 0]
    return tuple(_driver(analysis, (layer, index), i, float(row[i])) for i in order)


def column_effects(analysis: Analysis, layer: int) -> Array | None:
    """Share of each node's variance that each raw column has, shape (n_layer, F), or None if unknown.

    From the ablation: the variance lost when the column is shuffled (total Sobol index,
    `InputAblation.node_shares`), which counts an interaction once for each column in it. Without one, for a plain
    KAN: the product of variance shares along all paths from the column to the node, negative where it cancels.
    """
    if analysis.ablation is not None and len(analysis.ablation.node_shares) > layer:
        return analysis.ablation.node_shares[layer]
    columns, raw = raw_columns(analysis.trace), analysis.trace.raw
    if columns is None or raw is None:
        return None
    effects = np.zeros((len(columns), len(raw.names)))
    effects[np.arange(len(columns)), columns] = ~analysis.trace.layers[0].inputs.constant
    for scores in analysis.scores[:layer]:
        effects = scores.share @ effects
    return effects


def lag_profile(analysis: Analysis, layer: int, index: int) -> Array | None:
    """Share of each lag in what moves a node, shape (T,), lag 0 first; None if unknown or without lags."""
    attribution = analysis.attribution
    if attribution is None or len(attribution.node_lags) <= layer:
        return None
    profile = np.abs(attribution.node_lags[layer][index]).sum(1)
    total = profile.sum()
    return np.asarray(profile / total) if len(profile) > 1 and total > 0 else None


def lag_words(lag: int) -> str:
    """A lag in words.

    Examples
    --------
    >>> lag_words(0), lag_words(3)
    ('lag 0 (latest)', 'lag 3')
    """
    return "lag 0 (latest)" if lag == 0 else f"lag {lag}"


def _driver(analysis: Analysis, place: tuple[int, int], column: int, share: float) -> Driver:
    layer, index = place
    lag, lag_share = None, float("nan")
    attribution = analysis.attribution
    if attribution is not None and len(attribution.node_lags) > layer:
        profile = np.abs(attribution.node_lags[layer][index, :, column])
        if len(profile) > 1 and profile.sum() > 0:
            lag = int(profile.argmax())
            lag_share = float(profile[lag] / profile.sum())
    name = analysis.trace.raw.names[column] if analysis.trace.raw is not None else ""
    return Driver(column=column, name=name, share=share, lag=lag, lag_share=lag_share)
