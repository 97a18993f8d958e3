"""Findings about the head itself: constant outputs, dead nodes, cancelling edges, few rows, readings that disagree."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from kaninterp.core.findings import Finding, Severity
from kaninterp.core.frozen import Array
from kaninterp.core.mask import EdgeMask
from kaninterp.core.rank import spearman

from .attribution import live_std
from .bundle import Analysis
from .scores import edge_scores
from .straightness import OURS
from .wording import counted, listed, number, percent

__all__ = ["EDGE_CHECKS", "rank_agreement"]

CANCELLING = 0.25
"""Negative variance shares that sum to this much of a node: edges then say little one by one."""

AGREEMENT = 0.5
"""Spearman rank correlation between two readings below which the page warns."""

FEW_EDGES = 5
"""Fewer live edges than this rank by chance."""

ROWS_PER_COEFFICIENT = 10
"""Rule of thumb of regression: ten rows per fitted number."""


def constant_output(analysis: Analysis) -> tuple[Finding, ...]:
    """Outputs that do not depend on the data."""
    spread = live_std(analysis.trace)[-1]
    names = [analysis.trace.output_names[i] for i in np.flatnonzero(spread == 0)]
    if not names:
        return ()
    claim = f"{counted(names, 'output')} of {len(spread)} never changed: {listed(names)}."
    evidence = f"Standard deviation over {counted(analysis.trace.rows, 'row')} is 0 up to rounding."
    advice = "The model predicts a constant there; look at the training (learning rate, sparsity penalty, dead units)."
    return (_finding("constant-output", "problem", claim, evidence, advice, section="answer"),)


def dead_nodes(analysis: Analysis) -> tuple[Finding, ...]:
    """Nodes with live edges that lie on no path from an input to an output."""
    alive = EdgeMask(layers=tuple(layer.edges.alive for layer in analysis.trace.layers))
    stray = alive.count - alive.closed().count
    if not stray:
        return ()
    lie = "lies" if stray == 1 else "lie"
    claim = f"{counted(stray, 'live edge')} of {alive.count} {lie} on no path from an input to an output."
    evidence = "Their source has no live edge into it, or their target none out of it."
    advice = "Prune with the plan: they change no prediction but by a constant, which is folded into a bias."
    return (_finding("dead-nodes", "note", claim, evidence, advice, section="network"),)


def cancelling(analysis: Analysis) -> tuple[Finding, ...]:
    """Nodes whose edges work against each other."""
    worst: tuple[float, int, int] = (0.0, 0, 0)
    count = 0
    for layer, scores in enumerate(analysis.scores):
        negative = -np.minimum(scores.share, 0.0).sum(1)
        count += int((negative > CANCELLING).sum())
        top = int(negative.argmax())
        worst = max(worst, (float(negative[top]), layer, top))
    if not count:
        return ()
    amount, layer, node = worst
    row = analysis.scores[layer].share[node]
    sources = [
        f"{analysis.trace.node_name(layer, int(i))} −{-row[i]:.2f}"
        for i in np.argsort(row, kind="stable")[:3]
        if row[i] < 0
    ]
    claim = f"Edges cancel each other in {counted(count, 'node')}: their single strengths overstate what they do."
    evidence = (
        f"Worst is {analysis.trace.node_name(layer + 1, node)}: negative variance shares sum to −{amount:.2f} "
        f"against {1 + amount:.2f} positive ({listed(sources)})."
    )
    advice = "Judge such edges together; their sources are correlated, and one of them may be enough."
    return (_finding("cancelling", "caution", claim, evidence, advice, section="network"),)


def few_rows(analysis: Analysis) -> tuple[Finding, ...]:
    """Fewer rows than the head's numbers can be estimated from."""
    layers = analysis.trace.layers
    numbers = sum(
        int(layer.edges.alive.sum()) * (layer.ranges.knots.shape[1] - 1 + layer.ranges.order) for layer in layers
    )
    rows = analysis.trace.rows
    if rows >= ROWS_PER_COEFFICIENT * numbers:
        return ()
    severity: Severity = "caution" if rows < numbers else "note"
    claim = f"Few rows for a head of this size: {counted(rows, 'row')}, {numbers:,} live spline coefficients."
    evidence = f"{rows / max(numbers, 1):.2g} rows per coefficient; {ROWS_PER_COEFFICIENT} are a common rule of thumb."
    advice = (
        "Trust the held-out loss more than the shape of a single edge; report on more rows, or train fewer units, a "
        "coarser grid or more sparsity."
    )
    return (_finding("few-rows", severity, claim, evidence, advice, section="model"),)


def disagreement(analysis: Analysis) -> tuple[Finding, ...]:
    """Readings of importance that rank the edges differently."""
    found = []
    for layer in range(len(analysis.scores)):
        pairs = rank_agreement(analysis, layer)
        if not pairs or min(pairs.values()) >= AGREEMENT:
            continue
        one, other = min(pairs, key=lambda pair: pairs[pair])
        edges = int(analysis.trace.layers[layer].edges.alive.sum())
        claim = f"Layer {layer + 1}: {_WORDS[one]} and {_WORDS[other]} rank the edges differently."
        evidence = "Rank correlation over " + counted(edges, "live edge") + ": "
        evidence += ", ".join(f"{_WORDS[a]} / {_WORDS[b]} {_rho(r)}" for (a, b), r in pairs.items()) + "."
        advice = _WHY.get(frozenset((one, other)), _WHY_LOSS)
        found.append(_finding("readings-disagree", "caution", claim, evidence, advice, section="network"))
    return tuple(found)


def _rho(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


_WORDS = {"norm": "weight norm", "strength": "amplitude", "kan2": "KAN 2.0 score", "loss": "loss when removed"}

_WHY_LOSS = (
    "They answer two questions: how far an edge moves the output, and whether that helps on these rows. Judge the plan "
    "by its price as a whole, not by the rank of one edge."
)

_WHY = {
    frozenset(("norm", "kan2")): "The norm knows nothing of the data: go by the KAN 2.0 score.",
    frozenset(
        ("norm", "strength")
    ): "Data fill the domains unevenly: go by the strength, which is weighted by the data.",
    frozenset(("strength", "kan2")): "Strong edges feed nodes that little depends on: go by the KAN 2.0 score.",
}


def rank_agreement(analysis: Analysis, layer: int) -> dict[tuple[str, str], float]:
    """Spearman rank correlation of each pair of readings over the live edges of a layer.

    Readings: norm, strength, kan2 (largest over outputs), and loss where edges were removed one by one. Empty
    with fewer than five live edges; pairs without a defined correlation are left out.
    """
    alive = analysis.trace.layers[layer].edges.alive
    readings: dict[str, Array] = {
        name: edge_scores(analysis.scores, score)[layer][alive]
        for name, score in (("norm", "l2"), ("strength", "strength"), ("kan2", "kan2"))
    }
    if analysis.edge_ablation is not None:
        readings["loss"] = analysis.edge_ablation.change[layer][alive]
    agreement = {}
    for (a, left), (b, right) in combinations(readings.items(), 2):
        measured = np.isfinite(left) & np.isfinite(right)
        if measured.sum() >= FEW_EDGES:
            agreement[a, b] = spearman(left[measured], right[measured])
    return {pair: r for pair, r in agreement.items() if np.isfinite(r)}


def prunable(analysis: Analysis) -> tuple[Finding, ...]:
    """What the plan removes, and by how much that may move an output at most."""
    alive = sum(int(layer.edges.alive.sum()) for layer in analysis.trace.layers)
    gone = alive - analysis.plan.mask.count
    if not gone:
        return ()
    lost = [
        (s.kan2 * (layer.edges.alive & ~kept)[None]).sum((1, 2))
        for s, layer, kept in zip(analysis.scores, analysis.trace.layers, analysis.plan.mask.layers, strict=True)
    ]
    most = float(np.sum(lost, axis=0).max())
    claim = f"{counted(gone, 'edge')} of {alive:,} may go by the prune plan."
    evidence = (
        f"Their KAN 2.0 scores sum to {number(float(f'{most:.2g}'))} at most for an output: together they move it by "
        f"at most about {percent(most)} of its standard deviation."
    )
    advice = "kaninterp.prune(model, plan) makes the smaller model; yours stays as it is."
    if analysis.trace.card.head != OURS:
        advice = "kaninterp.from_kan(model) makes a KANHead of the KAN, which kaninterp.prune makes smaller."
    return (_finding("prunable", "note", claim, evidence, advice, section="answer"),)


def _finding(code: str, severity: Severity, claim: str, evidence: str, advice: str, *, section: str) -> Finding:
    return Finding(code=code, severity=severity, claim=claim, evidence=evidence, advice=advice, section=section)


EDGE_CHECKS = (constant_output, few_rows, cancelling, disagreement, dead_nodes, prunable)
