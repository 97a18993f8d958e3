"""The banner over the network: where the readings of its edges contradict each other."""

from __future__ import annotations

import numpy as np

from kaninterp.analysis.bundle import Analysis
from kaninterp.analysis.findings_edges import AGREEMENT
from kaninterp.analysis.understated import Understated, understated

from .figure_nouns import NetworkFigure
from .readings import KEYS, LABELS, Agreement
from .wording import count, percent, shown

__all__ = ["banner", "signed_rank"]

MOST_NAMED = 3
"""Edges named in the banner: a longer sentence is not read."""
WHAT_THEN = "So switch the reading before you call an edge weak."


def banner(analysis: Analysis, figure: NetworkFigure, agreements: tuple[Agreement, ...]) -> str:
    """What to beware of: ranks that do not agree, and single edges that look faint but do much; "" if neither.

    Parameters
    ----------
    analysis : Analysis
        Scores of all edges.
    figure : NetworkFigure
        The edges that are listed, with their readings.
    agreements : tuple of Agreement
        Rank correlations of the readings.
    """
    told = [text for text in (_ranks(figure, agreements), _faint(analysis)) if text]
    return " ".join([*told, WHAT_THEN]) if told else ""


def _faint(analysis: Analysis) -> str:
    """Edges that are faint by the size of their function and strong by their effect, the worst first."""
    found = understated(analysis)
    if not found:
        return ""
    told = [
        f"{_named(analysis, edge)} ({percent(edge.size)} of the largest {_inside(edge.reading)} of its layer, but "
        f"{percent(edge.effect)} of the largest effect on the output)"
        for edge in found[:MOST_NAMED]
    ]
    more = f" and {count(len(found) - MOST_NAMED)} more" if len(found) > MOST_NAMED else ""
    return f"By size alone you would overlook {'; '.join(told)}{more}."


def _named(analysis: Analysis, edge: Understated) -> str:
    trace = analysis.trace
    return f"{shown(trace.node_name(edge.layer, edge.src))} → {shown(trace.node_name(edge.layer + 1, edge.dst))}"


def _ranks(figure: NetworkFigure, agreements: tuple[Agreement, ...]) -> str:
    """The two readings whose ranks agree least, with an example."""
    bad = [a for a in agreements if a.rho < AGREEMENT]
    if not bad:
        return ""
    worst = min(bad, key=lambda a: a.rho)
    text = (
        f"The readings do not agree on the order of the edges. {LABELS[worst.left]} and {_inside(worst.right)} "
        f"have a rank correlation of {signed_rank(worst.rho)} over {worst.edges} edges of layer {worst.layer + 1} "
        f"({AGREEMENT} or more counts as agreement)."
    )
    return f"{text}{_example(figure, worst)}"


def _inside(key: str) -> str:
    """Label of a reading inside a sentence."""
    return LABELS[key][0].lower() + LABELS[key][1:]


def signed_rank(rho: float) -> str:
    """A rank correlation, with a minus that is one."""
    return f"{rho:.2f}".replace("-", "−")


def _example(figure: NetworkFigure, worst: Agreement) -> str:
    """The edge whose rank differs most between the two readings."""
    keys = [reading.key for reading in figure.readings]
    edges = figure.edges
    here = [
        i
        for i in range(len(edges))
        if edges.layer[i] == worst.layer
        and all(edges.readings[keys.index(k)][i] is not None for k in KEYS if k in keys)
    ]
    if len(here) < 2:
        return ""
    ranks = []
    for key in (worst.left, worst.right):
        sizes = np.array([edges.readings[keys.index(key)][i] or 0.0 for i in here])
        ranks.append(np.argsort(np.argsort(-sizes, kind="stable"), kind="stable") + 1)
    pick = int(np.abs(ranks[0] - ranks[1]).argmax())
    places = {(n.layer, n.index): n.name for n in figure.nodes}
    src = places.get((worst.layer, edges.src[here[pick]]))
    dst = places.get((worst.layer + 1, edges.dst[here[pick]]))
    if src is None or dst is None:
        return ""
    return (
        f" The edge {src} → {dst} is number {ranks[0][pick]} by {_inside(worst.left)} and number "
        f"{ranks[1][pick]} by {_inside(worst.right)}."
    )
