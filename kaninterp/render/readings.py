"""Four ways to score an edge, side by side, and how far they agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from kaninterp.analysis.bundle import Analysis
from kaninterp.core.frozen import Array
from kaninterp.core.rank import spearman
from kaninterp.core.shadows import Shadows

from .figure_nouns import Reading
from .wording import count, number

__all__ = ["DEFAULT", "KEYS", "Agreement", "agreement", "edge_values", "readings"]

KEYS = ("norm", "strength", "kan2", "loss")
DEFAULT = "kan2"
LABELS = {
    "norm": "Weight norm",
    "strength": "Function amplitude",
    "kan2": "Effect on the output (KAN 2.0)",
    "loss": "Loss when removed",
}
MEANINGS = {
    "norm": "Size of the learnt function over its whole grid. The data play no part. Relative to the strongest edge "
    "of the same layer.",
    "strength": "Standard deviation of the edge's output on this data. Relative to the strongest edge of the same "
    "layer.",
    "kan2": "KAN 2.0 score: how far the edge moves an output, in standard deviations of that output; squared, about "
    "its share of the output's variance. For several outputs the largest.",
    "loss": "Rise of the loss when the edge alone is replaced by its mean; below zero it is drawn like 0.",
}
FEW_EDGES = 4
"""Layers with fewer measured edges say nothing about the agreement of ranks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Spearman correlation of two readings, lowest over the layers where it can be computed."""

    left: str
    right: str
    rho: float
    layer: int
    edges: int


def edge_values(analysis: Analysis, key: str) -> tuple[Array, ...] | None:
    """Score of every edge by one reading, (dst, src) per layer; NaN where it was not measured.

    Over several outputs the largest value counts.
    """
    if key == "loss":
        return analysis.edge_ablation.change if analysis.edge_ablation is not None else None
    if key == "kan2":
        return tuple(np.asarray(scores.kan2.max(0)) for scores in analysis.scores)
    return tuple(getattr(scores, key) for scores in analysis.scores)


def readings(analysis: Analysis) -> tuple[Reading, ...]:
    """The readings this analysis can give, with their scales, thresholds and noise bands."""
    made = []
    for key in KEYS:
        values = edge_values(analysis, key)
        if values is None:
            continue
        alive = [v[layer.edges.alive] for v, layer in zip(values, analysis.trace.layers, strict=True)]
        noise, noise_text = _noise(analysis, key)
        threshold, threshold_text = _threshold(analysis, key)
        made.append(
            Reading(
                key=key,
                label=LABELS[key],
                meaning=MEANINGS[key],
                scale=_scales(alive, shared=key in ("kan2", "loss")),
                power=0.5 if key == "loss" else 1.0,
                threshold=threshold,
                threshold_text=threshold_text,
                noise=noise,
                noise_text=noise_text,
                measured=sum(int(np.isfinite(a).sum()) for a in alive),
            )
        )
    return tuple(made)


def _scales(alive: list[Array], *, shared: bool) -> tuple[float, ...]:
    tops = [max(float(np.nanmax(a)), 0.0) if a.size and np.isfinite(a).any() else 0.0 for a in alive]
    return tuple(max(tops) for _ in tops) if shared else tuple(tops)


def _threshold(analysis: Analysis, key: str) -> tuple[float | None, str]:
    """Where the plan cuts, if it went by this reading: a threshold per edge, or a budget for all removed together."""
    words = {"norm": "norm", "strength": "strength", "kan2": "kan", "loss": "loss"}
    edges = [r for r in analysis.plan.reasons if r.kind == "edge" and r.threshold > 0]
    edges = [r for r in edges if r.text.lower().startswith(words[key])]
    if not edges:
        return None, ""
    limit = max(reason.threshold for reason in edges)
    if "together" in edges[0].text:
        top = max(reason.score for reason in edges)
        return top, f"the plan removes scores up to {number(top, 2)}, at most {number(limit, 2)} together"
    return limit, f"prune threshold {number(limit)}"


def _noise(analysis: Analysis, key: str) -> tuple[float | None, str]:
    """Benefit that shadow edges reach, or else the change of the loss that columns found to be noise reach.

    None for the readings that say how much, not how useful.

    A column of noise can move the outputs a good deal, because the model has fitted it: its share of the variance is
    no floor for the score of an edge, and a column enters through many edges. Only losses can be set beside losses.
    """
    ablation = analysis.ablation
    noise = [v.index for v in analysis.verdicts if v.cause == "noise"]
    if key == "kan2":
        return None, "It says how much an edge does, not whether that helps: the loss when removed is about that."
    if key != "loss" or analysis.edge_ablation is None:
        return None, ""
    shadows = analysis.shadows
    if shadows is not None and shadows.edge_family and shadows.loss == analysis.edge_ablation.loss:
        return _shadow_band(shadows)
    if ablation is None:
        return None, ""
    if not noise or analysis.edge_ablation.loss != ablation.loss:
        return None, ""
    top = float(np.abs(ablation.change[noise]).max())
    columns = "the column" if len(noise) == 1 else f"one of the {len(noise)} columns"
    return top, (
        f"Noise band: shuffling {columns} judged no different from noise changes the loss by up to {number(top)}. "
        "A change of that size may be chance."
    )


def _shadow_band(shadows: Shadows) -> tuple[float | None, str]:
    edges, rows = count(shadows.edge_family), count(shadows.edge_rows)
    measured = f"({shadows.copies} shadows of each of {edges} edges, {rows} rows)"
    if not shadows.edge_floor > 0:
        return None, f"No noise band: fewer than one in twenty shadow edges lower the loss at all {measured}."
    return shadows.edge_floor, (
        f"Noise band: one in twenty shadow edges, moved in time so that they know nothing, lowers the loss by "
        f"{number(shadows.edge_floor)} or more {measured}. A change of that size may be chance."
    )


def agreement(analysis: Analysis) -> tuple[Agreement, ...]:
    """Rank agreement of each pair of readings over live edges, in the layer where it is lowest."""
    values = {key: edge_values(analysis, key) for key in KEYS}
    result = []
    for left, right in combinations([key for key in KEYS if values[key] is not None], 2):
        found = []
        for index, layer in enumerate(analysis.trace.layers):
            a, b = (values[k][index][layer.edges.alive] for k in (left, right))  # type: ignore[index]
            both = np.isfinite(a) & np.isfinite(b)
            rho = spearman(a[both], b[both]) if both.sum() >= FEW_EDGES else math.nan
            if not math.isnan(rho):
                found.append((rho, index, int(both.sum())))
        if found:
            rho, index, edges = min(found)
            result.append(Agreement(left=left, right=right, rho=rho, layer=index, edges=edges))
    return tuple(result)
