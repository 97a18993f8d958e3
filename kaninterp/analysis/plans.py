"""Prune rules: frozen callables Trace -> `PrunePlan`. Scores and a threshold decide; every loss has its reason.

Whatever a rule wants, the plan is closed (every kept edge lies on a path from an input to an output), each edge that
goes is replaced by its mean over the trace (so the mean of every node stays), and a plan that would leave nothing is
refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from kaninterp.core.errors import InputError, PlanError
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.mask import EdgeMask
from kaninterp.core.plan import PrunePlan, Reason
from kaninterp.core.trace import Trace

from .attribution import edge_scores, layer_scores, score_named
from .bundle import LayerScores
from .places import raw_columns
from .wording import number

__all__ = ["BUDGET", "DEFAULT_RULE", "RULES", "BudgetRule", "EdgeRule", "NodeRule", "PruneRule", "keep_all", "plan_of"]

BUDGET = 0.03
"""Standard deviations of an output that all removed edges together may move it: 0.03^2 = 0.09 % of its variance.

Measured on 600 random networks ([16,1] to [64,16,1], strongly correlated inputs, edge sizes over four decades), root
mean square change of the worst output in its standard deviations, and edges kept:

| rule | median | worst | kept |
|---|---|---|---|
| BudgetRule(0.03) | 0.009 | 0.079 | 36 % |
| EdgeRule(0.01, "kan2") | 0.017 | 0.16 | 30 % |
| EdgeRule(0.03, "kan2"), pykan's default | 0.051 | 0.48 | 22 % |
| NodeRule(0.01, "strength"), the KAN paper's | 0.001 | 1.09 | 72 % |

The budget is a bound for one layer; in deeper heads curvature may exceed it (the 0.079). A threshold per edge has no
bound, for a thousand edges below it may add up; a threshold on the strength depends on the scale of inner nodes.
"""


def _check_threshold(threshold: float, score: str) -> None:
    score_named(score)
    if not threshold >= 0:  # NaN too
        raise InputError(f"a threshold must be a number >= 0, got {threshold}")


class PruneRule(Protocol):
    """Trace -> plan; scores may be handed in where they are at hand already."""

    def __call__(self, trace: Trace, scores: tuple[LayerScores, ...] | None = None) -> PrunePlan:
        """Decide."""
        ...


@dataclass(frozen=True, slots=True)
class NodeRule:
    """Keep a hidden node if its largest incoming and its largest outgoing score both exceed the threshold.

    The rule of the KAN paper (Liu et al., arXiv 2404.19756, section 2.5.1), with its 1e-2. The paper scores edges by
    their mean absolute value; `strength`, its nearest relative here, does not count the constant part. Edges between
    kept nodes all stay.

    Attributes
    ----------
    threshold : float
        In the unit of the score.
    score : str
        One of `kaninterp.analysis.SCORES`; per output scores count at their largest.
    """

    threshold: float = 1e-2
    score: str = "strength"

    def __post_init__(self) -> None:
        _check_threshold(self.threshold, self.score)

    def __call__(self, trace: Trace, scores: tuple[LayerScores, ...] | None = None) -> PrunePlan:
        """Plan for the traced head."""
        values = _live_scores(trace, scores, self.score)
        wanted = [np.ones(v.shape, bool) for v in values]
        reasons = []
        for layer, (below, above) in enumerate(pairwise(values), start=1):
            least = np.minimum(below.max(1), above.max(0))
            for index in np.flatnonzero(~(least > self.threshold)):
                wanted[layer - 1][index, :] = wanted[layer][:, index] = False
                text = (
                    f"largest {self.score} of the edges into it {number(below[index].max())}, out of it "
                    f"{number(above[:, index].max())}; both must exceed {number(self.threshold)}"
                )
                reasons.append(_reason("node", (layer, int(index)), least[index], self.threshold, text))
        return plan_of(trace, wanted, reasons)


@dataclass(frozen=True, slots=True)
class EdgeRule:
    """Keep an edge if its score exceeds the threshold for at least one output.

    pykan's default edge threshold is 3e-2 on the mean of the KAN 2.0 score over outputs; here it is held against the
    largest, so a head with a hundred outputs keeps what one of them needs.
    """

    threshold: float = 3e-2
    score: str = "kan2"

    def __post_init__(self) -> None:
        _check_threshold(self.threshold, self.score)

    def __call__(self, trace: Trace, scores: tuple[LayerScores, ...] | None = None) -> PrunePlan:
        """Plan for the traced head."""
        values = _live_scores(trace, scores, self.score)
        wanted = [v > self.threshold for v in values]
        return plan_of(trace, wanted, _edge_reasons(trace, values, wanted, self))


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """Remove the weakest edges as long as all of them together stay within a budget, for every output.

    The KAN 2.0 score of an edge is the standard deviation it moves an output by when it is replaced by its mean (exact
    for the last layer, first order below). Standard deviations of sums never exceed the sum of standard deviations, so
    the sum of the scores removed bounds the change of each output, however the edges are correlated and however many
    there are.
    """

    budget: float = BUDGET
    score: str = "kan2"

    def __post_init__(self) -> None:
        _check_threshold(self.budget, self.score)
        if self.budget >= 1 or not score_named(self.score).per_output:
            raise InputError(
                "BudgetRule: the budget is a share of each output, 0 <= budget < 1, of a score per output "
                f"(kan2, path); got {self.budget} of {self.score!r}"
            )

    def __call__(self, trace: Trace, scores: tuple[LayerScores, ...] | None = None) -> PrunePlan:
        """Plan for the traced head."""
        scores = layer_scores(trace) if scores is None else scores
        largest = _live_scores(trace, scores, self.score)
        alive = [layer.edges.alive for layer in trace.layers]
        place = [np.argwhere(a) for a in alive]
        flat = np.concatenate([value[a] for value, a in zip(largest, alive, strict=True)])
        outputs = np.concatenate(
            [np.abs(getattr(s, self.score))[:, a] for s, a in zip(scores, alive, strict=True)], axis=1
        )
        order = np.argsort(flat, kind="stable")
        spent = np.cumsum(outputs[:, order], axis=1).max(0, initial=0.0)
        cut = np.zeros(len(flat), bool)
        # spent never falls, so this is a prefix of the order: a larger budget cuts a superset
        cut[order] = spent <= self.budget
        wanted, start = [], 0
        for a, where in zip(alive, place, strict=True):
            keep = a.copy()
            keep[tuple(where[cut[start : start + len(where)]].T)] = False
            wanted.append(keep)
            start += len(where)
        return plan_of(trace, wanted, _edge_reasons(trace, largest, wanted, self))


DEFAULT_RULE = BudgetRule()

RULES: tuple[tuple[str, PruneRule], ...] = (
    ("budget", DEFAULT_RULE),
    ("edge", EdgeRule()),
    ("node", NodeRule()),
)
"""Every rule with its defaults; the laws run over this list."""


def keep_all(trace: Trace) -> PrunePlan:
    """The plan that removes nothing but what is dead already."""
    return _plan(trace, EdgeMask(layers=tuple(layer.edges.alive for layer in trace.layers)).closed(), [])


def plan_of(trace: Trace, wanted: Sequence[BoolArray], reasons: Sequence[Reason]) -> PrunePlan:
    """Close what a rule wants to keep, and give the reason for what closure takes along.

    Parameters
    ----------
    trace : Trace
        Gives the edges that are alive, and their means.
    wanted : sequence of ndarray of bool, each (dst, src)
        What the rule keeps.
    reasons : sequence of Reason
        Why the rest goes; reasons for edges that are masked already should be left out.

    Raises
    ------
    PlanError
        Nothing would be left.
    """
    alive = EdgeMask(layers=tuple(layer.edges.alive for layer in trace.layers))
    kept = alive & EdgeMask.of(wanted)
    closed = kept.closed()
    if alive.count and not closed.count:
        raise PlanError(
            f"the plan would remove all {alive.count} edges of the head, which is then a constant; lower the threshold"
        )
    return _plan(trace, closed, [*reasons, *_closure_reasons(trace, kept, closed)])


def _plan(trace: Trace, mask: EdgeMask, reasons: Sequence[Reason]) -> PrunePlan:
    gone = [layer.edges.alive & ~kept for layer, kept in zip(trace.layers, mask.layers, strict=True)]
    constants = tuple(np.where(g, layer.edges.mean, 0.0) for g, layer in zip(gone, trace.layers, strict=True))
    names = () if trace.raw is None else trace.raw.names
    return PrunePlan(
        mask=mask,
        constants=constants,
        input_names=names,
        inputs=_inputs_read(trace, mask),
        fill=np.zeros(0) if trace.raw is None else trace.raw.nodes.mean,
        reasons=tuple(reasons),
        fingerprint=trace.card.fingerprint,
        lags=1 if trace.raw is None else trace.raw.lags,
    )


def _inputs_read(trace: Trace, mask: EdgeMask) -> BoolArray:
    """Raw columns that a plan over edges leaves in use; a backbone may read all of its own."""
    count = 0 if trace.raw is None else len(trace.raw.names)
    columns = raw_columns(trace)
    if columns is None:
        return np.ones(count, bool)
    read = np.zeros(count, bool)
    read[np.asarray(columns)[mask.layers[0].any(0)]] = True
    return read


def _closure_reasons(trace: Trace, kept: EdgeMask, closed: EdgeMask) -> list[Reason]:
    reasons = []
    for layer, (before, after) in enumerate(zip(kept.layers, closed.layers, strict=True)):
        for dst, src in np.argwhere(before & ~after):
            fed = layer == 0 or bool(closed.layers[layer - 1][src].any()) or bool(kept.layers[layer - 1][src].any())
            node, why = (
                ((layer + 1, dst), "nothing that is kept reads its target")
                if fed
                else ((layer, src), "nothing that is kept feeds its source, which is a constant")
            )
            text = f"{why} ({trace.node_name(int(node[0]), int(node[1]))})"
            reasons.append(_reason("edge", (layer, int(dst), int(src)), 0.0, 0.0, text))
    return reasons


def _edge_reasons(
    trace: Trace, values: Sequence[Array], wanted: Sequence[BoolArray], rule: EdgeRule | BudgetRule
) -> list[Reason]:
    score = rule.score
    outputs = " for every output" if score_named(score).per_output and len(trace.output_names) > 1 else ""
    if isinstance(rule, BudgetRule):
        threshold, held = rule.budget, f"among the weakest, which together stay within {number(rule.budget)}"
    else:
        threshold, held = rule.threshold, f"threshold {number(rule.threshold)}"
    return [
        _reason(
            "edge",
            (layer, int(dst), int(src)),
            value[dst, src],
            threshold,
            f"{score} {number(value[dst, src])}{outputs}, {held}",
        )
        for layer, (value, keep) in enumerate(zip(values, wanted, strict=True))
        for dst, src in np.argwhere(trace.layers[layer].edges.alive & ~keep)
    ]


def _live_scores(trace: Trace, scores: tuple[LayerScores, ...] | None, name: str) -> tuple[Array, ...]:
    values = edge_scores(layer_scores(trace) if scores is None else scores, name)
    return tuple(np.where(layer.edges.alive, v, 0.0) for layer, v in zip(trace.layers, values, strict=True))


def _reason(kind: str, place: tuple[int, ...], score: float, threshold: float, text: str) -> Reason:
    return Reason(kind=kind, place=place, score=float(score), threshold=float(threshold), text=text)
