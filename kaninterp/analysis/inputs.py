"""Verdicts on raw columns carried into a prune plan: the columns that go, and in a plain KAN their edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kaninterp.core.errors import PlanError
from kaninterp.core.findings import Verdict
from kaninterp.core.frozen import BoolArray
from kaninterp.core.mask import EdgeMask
from kaninterp.core.plan import PrunePlan, Reason
from kaninterp.core.trace import Trace

from .bundle import LayerScores
from .places import raw_columns
from .plans import plan_of
from .scores import edge_scores
from .survival import FLOOR

__all__ = ["with_verdicts"]


def with_verdicts(
    plan: PrunePlan, trace: Trace, scores: tuple[LayerScores, ...], verdicts: Sequence[Verdict]
) -> PrunePlan:
    """The plan without the columns that verdicts drop, and with the columns they do not.

    In a hybrid only `PrunePlan.inputs` changes. In a plain KAN the edges out of a dropped column go as well, and
    a column that stays although the rule cut all of its edges gets its strongest one back: a verdict rests on the
    loss, a rule on scores.

    Parameters
    ----------
    plan : PrunePlan
        Made by a rule from the same trace.
    trace : Trace
        What everything was measured on.
    scores : tuple of LayerScores
        Of the trace.
    verdicts : sequence of Verdict
        One per raw column; none at all leaves the plan as it is.

    Raises
    ------
    PlanError
        Every column would be dropped.
    """
    if not verdicts:
        return plan
    stays = np.array([verdict.survives != "drop" for verdict in verdicts])
    if not stays.any():
        raise PlanError(
            f"the verdicts drop all {len(verdicts)} raw inputs: on this data the model needs none of them; "
            "train it longer, or measure on more rows"
        )
    columns = raw_columns(trace)
    if columns is not None:
        plan = _cut_columns(plan, trace, scores, verdicts, stays[list(columns)])
    reasons = tuple(_input_reason(v) for v in verdicts if v.survives == "drop")
    return replace(plan, inputs=stays, reasons=(*plan.reasons, *reasons))


def _cut_columns(
    plan: PrunePlan, trace: Trace, scores: tuple[LayerScores, ...], verdicts: Sequence[Verdict], stays: BoolArray
) -> PrunePlan:
    """Edges out of dropped columns cut, the strongest edge of each other column kept; ``stays`` per head input."""
    first, *rest = (layer.copy() for layer in plan.mask.layers)
    read = rest[0].any(0) if rest else np.ones(first.shape[0], bool)
    first[:, ~stays] = False
    strengths = np.where(trace.layers[0].edges.alive & read[:, None], edge_scores(scores, "kan2")[0], -1.0)
    for i in np.flatnonzero(stays & ~first.any(0)):
        best = int(strengths[:, i].argmax())
        if strengths[best, i] >= 0:
            first[best, i] = True
    known = {reason.place for reason in plan.reasons if reason.kind == "edge"}
    columns = raw_columns(trace) or ()
    gone = trace.layers[0].edges.alive & ~first
    new = [
        _edge_reason((0, int(dst), int(src)), verdicts[columns[src]])
        for dst, src in np.argwhere(gone)
        if (0, int(dst), int(src)) not in known
    ]
    wanted = EdgeMask(layers=(first, *rest))
    old = [r for r in plan.reasons if not _kept(wanted, r)]
    return plan_of(trace, wanted.layers, [*old, *new])


def _kept(mask: EdgeMask, reason: Reason) -> bool:
    if reason.kind != "edge":
        return False
    layer, dst, src = reason.place
    return bool(mask.layers[layer][dst, src])


def _edge_reason(place: tuple[int, int, int], verdict: Verdict) -> Reason:
    text = f"its input {verdict.name} is dropped ({verdict.cause})"
    return Reason(kind="edge", place=place, score=0.0, threshold=0.0, text=text)


def _input_reason(verdict: Verdict) -> Reason:
    return Reason(kind="input", place=(verdict.index,), score=0.0, threshold=FLOOR, text=verdict.text)
