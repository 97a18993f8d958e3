"""Edges of the head go by their score, the lowest first, measured on held-out rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn
from tqdm import tqdm

from kaninterp.analysis import keep_all, layer_scores, plan_of
from kaninterp.analysis.bundle import LayerScores
from kaninterp.analysis.rules.live import edge_reasons, live_scores
from kaninterp.analysis.wording import number
from kaninterp.core import PlanError, PrunePlan, Trace
from kaninterp.measure.tracing import PROGRESS_DELAY
from kaninterp.pruning.carry_out import carry_out
from kaninterp.pruning.one_error import Curve
from kaninterp.pruning.subject import Subject

__all__ = ["edge_curve", "edge_plan"]

STEP = 0.85
"""Share of the edges that stay from one point to the next."""


def edge_curve(model: nn.Module, subject: Subject, found: Trace, *, score: str, path: str, progress: bool) -> Curve:
    """Losses along falling numbers of edges, down to where a raw column would go along that was found to be needed.

    Parameters
    ----------
    model
        Whose edges go; not changed.
    subject
        Held-out rows.
    found
        Trace of the model on training rows.
    score
        Name of the score, one of `kaninterp.analysis.SCORES`.
    path
        Where the KAN sits.
    progress
        Show a bar.
    """
    scores = layer_scores(found)
    values = live_scores(found, scores, score)
    places = np.argwhere(_stacked(found))
    flat = np.array([values[layer][dst, src] for layer, dst, src in places])
    order = np.argsort(flat, kind="stable")
    read = keep_all(found).inputs
    losses, kept, thresholds, gone = [], [], [], []
    for left in tqdm(_sizes(len(flat)), desc="edges", delay=PROGRESS_DELAY, leave=False, disable=not progress):
        threshold = -1.0 if left == len(flat) else float(flat[order[len(flat) - left - 1]])
        try:
            plan = edge_plan(found, score, threshold, scores)
        except PlanError:
            break  # nothing would be left, and less is left at every later point
        if (read & ~plan.inputs).any():
            break  # a column that was found to be needed would go
        edges_only = replace(plan, inputs=np.ones(len(read), bool))
        smaller, _ = carry_out(model, edges_only, path=path, compact=False)
        losses.append(subject.of(smaller))
        kept.append(plan.mask.count)
        thresholds.append(threshold)
        gone.append(int((flat <= threshold).sum()))
    return Curve(
        losses=np.stack(losses, axis=1),
        kept=np.array(kept),
        threshold=np.array(thresholds),
        places=places[order],
        gone=np.array(gone),
    )


def edge_plan(found: Trace, score: str, threshold: float, scores: tuple[LayerScores, ...] | None = None) -> PrunePlan:
    """Plan that keeps the edges whose score exceeds a threshold; a negative one keeps all."""
    values = live_scores(found, scores, score)
    wanted = [v > threshold for v in values]
    held = f"chosen threshold {number(threshold)}"
    return plan_of(found, wanted, edge_reasons(found, values, wanted, score=score, threshold=threshold, held=held))


def _stacked(found: Trace) -> Any:
    """Live edges of all layers in one array [layer, dst, src], padded with False."""
    masks = [layer.edges.alive for layer in found.layers]
    block = np.zeros((len(masks), max(m.shape[0] for m in masks), max(m.shape[1] for m in masks)), bool)
    for layer, mask in enumerate(masks):
        block[layer, : mask.shape[0], : mask.shape[1]] = mask
    return block


def _sizes(count: int) -> list[int]:
    """Numbers of edges, falling from all to one."""
    sizes, left = [], float(count)
    while left > 1:
        sizes.append(round(left))
        left *= STEP
    return sorted({*sizes, min(count, 1)}, reverse=True)
