"""The five questions people bring, answered for this very model; every sentence rests on a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kaninterp.core.errors import InputError
from kaninterp.core.evidence import OUTPUT_CHANGE, PruneCost
from kaninterp.core.findings import Verdict

from .attribution import aggregate
from .bundle import Analysis
from .drivers import Driver, lag_profile, lag_words, node_drivers
from .findings_edges import AGREEMENT, rank_agreement
from .missing import CODES, DRAWING_LIMIT, missing_nodes
from .places import raw_columns
from .scores import edge_scores
from .straightness import CAUSES, STRAIGHT_R2, count_causes
from .understated import Understated, understated
from .wording import counted, listed, number, percent, range_words, shown, signed

__all__ = ["QUESTIONS", "Answer", "answers", "outside_rule"]

HALF = 0.5
"""Part of an effect from which it lies "mostly" at one lag."""

MOST_NAMED = 40
"""Columns named in one line of evidence."""

QUESTIONS = (
    "Some first-layer nodes have no visible edges. Did pruning happen by itself? Are those inputs unimportant?",
    "Do lighter lines mean lower weight?",
    "In deeper layers the features are transformed. What do those nodes mean in terms of my columns and time lags?",
    "Why do edges look like y = x or y = −x?",
    "Which of my inputs can I drop, how sure are you, and what does it cost in accuracy?",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A question and what was found about it.

    Attributes
    ----------
    question : str
        One of `QUESTIONS`.
    answer : str
        Two to four short sentences.
    evidence : tuple of str
        The numbers behind them, one statement each.
    section : str
        Section of the report that shows more.
    """

    question: str
    answer: str
    evidence: tuple[str, ...]
    section: str


def answers(analysis: Analysis, cost: PruneCost | None = None, *, limit: float = DRAWING_LIMIT) -> tuple[Answer, ...]:
    """Answers to the five questions of `QUESTIONS`.

    Parameters
    ----------
    analysis : Analysis
        What was concluded.
    cost : PruneCost, optional
        Measured price of `Analysis.plan`; without it the last answer says that it was not measured.
    limit : float
        KAN 2.0 score from which the network figure draws an edge.

    Raises
    ------
    InputError
        A limit that is not a number >= 0.
    """
    if not limit >= 0:
        raise InputError(f"limit: the drawing limit must be a number >= 0, got {limit}")
    return (
        _no_edges(analysis, limit),
        _lighter_lines(analysis),
        _meaning(analysis),
        _straight(analysis),
        _droppable(analysis, cost),
    )


def _no_edges(analysis: Analysis, limit: float) -> Answer:
    trace = analysis.trace
    total = sum(layer.edges.alive.size for layer in trace.layers)
    masked = total - sum(int(layer.edges.alive.sum()) for layer in trace.layers)
    missing = [m for m in missing_nodes(analysis, limit=limit) if m.layer == 0]
    width = trace.card.widths[0]
    sentences = [
        f"No: all {total} edges of the head are alive, none is masked."
        if not masked
        else f"{masked} of {total} edges are masked in the model as it was given; measuring masks nothing."
    ]
    if not missing:
        sentences.append(f"All {width} first-layer nodes show an edge.")
    else:
        count = Counter(m.code for m in missing)
        reasons = "; ".join(f"{n} {CODES[code]}" for code, n in count.most_common())
        verb = "shows" if len(missing) == 1 else "show"
        sentences.append(f"{len(missing)} of {width} first-layer nodes {verb} no edge: {reasons}.")
        sentences.append(
            "A missing line alone says nothing about an input: each has its reason, and question 5 its verdict."
            if raw_columns(trace) is not None
            else "These nodes are outputs of the backbone, not your columns: question 5 has the verdict on each column."
        )
    evidence = [f"Edges are drawn from a KAN 2.0 score of {number(limit)}."]
    evidence += [f"{shown(m.name)}: {m.text}" for m in missing[:5]]
    if len(missing) > 5:
        evidence.append(f"{len(missing) - 5} more are listed with the network.")
    return Answer(question=QUESTIONS[0], answer=" ".join(sentences), evidence=tuple(evidence), section="network")


def _lighter_lines(analysis: Analysis) -> Answer:
    alive = [layer.edges.alive for layer in analysis.trace.layers]
    values = np.concatenate([v[a] for v, a in zip(edge_scores(analysis.scores, "kan2"), alive, strict=True)])
    first = (
        "No. A line shows the KAN 2.0 score: how far the edge moves an output, in standard deviations of that output. "
        "A thinner, lighter line moves it less."
    )
    if not len(values):
        return Answer(
            question=QUESTIONS[1], answer=f"{first} This head has no live edge.", evidence=(), section="network"
        )
    sentences = [first, f"Here the scores run from {_short(values.min())} to {_short(values.max())}."]
    agree = [(rank_agreement(analysis, layer).get(("norm", "kan2")), layer) for layer in range(len(alive))]
    known = [(r, layer) for r, layer in agree if r is not None]
    evidence = [f"Median score of {counted(len(values), 'live edge')}: {_short(np.median(values))}."]
    evidence += [f"Layer {layer + 1}: rank correlation of weight norm and score {_rho(r)}." for r, layer in known]
    if known:
        low, more = min(known)[0], " or more" if len(known) > 1 else ""
        sentences.append(
            f"Weight norm and score rank the edges alike here (rank correlation {_rho(low)}{more})."
            if low >= AGREEMENT
            else f"Going by weight would mislead here: its rank correlation with the score is only {_rho(low)}."
        )
    else:
        sentences.append("There are too few edges to compare this ranking with the one by weight.")
    faint = understated(analysis)
    if faint:
        sentences.append(_overlooked(analysis, faint[0]))
    return Answer(question=QUESTIONS[1], answer=" ".join(sentences), evidence=tuple(evidence), section="network")


def _rho(rho: float) -> str:
    return f"{rho:.2f}".replace("-", "−")


def _overlooked(analysis: Analysis, edge: Understated) -> str:
    """The edge that those who go by size would miss."""
    source, target = (
        shown(analysis.trace.node_name(layer, index))
        for layer, index in ((edge.layer, edge.src), (edge.layer + 1, edge.dst))
    )
    size = "weight norm" if edge.reading == "norm" else "amplitude"
    return (
        f"{source} → {target} would be overlooked by {size}: it has {percent(edge.size)} of the largest of its layer, "
        f"but {percent(edge.effect)} of the largest effect on the output."
    )


def _short(value: float) -> str:
    """Two digits are enough for the size of a score."""
    return "below 0.001" if 0 < value < 1e-3 else number(float(f"{value:.2g}"))


def _meaning(analysis: Analysis) -> Answer:
    plain = raw_columns(analysis.trace) is not None
    layer = 1 if len(analysis.trace.layers) > 1 else 0
    if plain and layer == 0:
        return _only_columns(analysis)
    order = [int(i) for i in np.argsort(-aggregate(analysis.scores[layer].nodes_kan2), kind="stable")]
    described = _described(analysis, layer, order)
    if not described:
        text = (
            f"Not known: the effect of your columns on the {analysis.trace.card.widths[layer]} nodes was not measured. "
            "Trace and report with the raw data and a target to get it."
        )
        return Answer(question=QUESTIONS[2], answer=text, evidence=(), section="network")
    sentences = [f"By score, the leading node is {described[0]}"]
    if len(described) > 1:
        sentences.append(f"Next is {described[1]}")
    sentences += _overall_lags(analysis)
    return Answer(question=QUESTIONS[2], answer=" ".join(sentences), evidence=tuple(described[:5]), section="network")


def _only_columns(analysis: Analysis) -> Answer:
    outputs = analysis.trace.output_names
    described = _described(analysis, 1, range(len(outputs)))
    text = (
        f"There are no deeper nodes: each of the {analysis.trace.card.widths[0]} first-layer nodes is one of your "
        "columns, and every edge leads straight to an output. "
    )
    text += described[0] if described else f"None of your columns moves {listed(outputs)} in this data."
    return Answer(question=QUESTIONS[2], answer=text, evidence=tuple(described[:5]), section="network")


def _described(analysis: Analysis, layer: int, order: list[int] | range) -> list[str]:
    texts = []
    for index in order:
        drivers = node_drivers(analysis, layer, index, most=2)
        if drivers:
            name = shown(analysis.trace.node_name(layer, index))
            texts.append(f"{name}: it follows {' and '.join(_driven(d) for d in drivers)}.")
    return texts


def _driven(driver: Driver) -> str:
    when = ""
    if driver.lag is not None:
        most = "mostly" if driver.lag_share >= HALF else "peak"
        when = f", {most} at {lag_words(driver.lag)}"
    return f"{shown(driver.name)} ({percent(driver.share)} of its variance{when})"


def _overall_lags(analysis: Analysis) -> list[str]:
    profile = lag_profile(analysis, len(analysis.trace.layers), 0)
    if profile is None:
        return []
    top = int(profile.argmax())
    half = int(np.searchsorted(np.cumsum(profile), HALF)) + 1
    name = shown(analysis.trace.output_names[0])
    share = percent(float(profile[top]))
    text = f"Of {len(profile)} time steps {lag_words(top)} moves {name} most ({share} of the effect)"
    return [f"{text}." if half == 1 else f"{text}; lags 0 to {half - 1} have half of it."]


OUTSIDE_RULES = {
    "clamp": "the spline part is constant and only the base branch is left to move",
    "base": "the spline part fades to 0 and only the base branch is left",
    "linear": "the spline part goes on as a straight line",
}
"""What a head computes outside its grid, by the option it was built with."""


def outside_rule(analysis: Analysis) -> str:
    """What the traced head computes outside its grid, in words; a family that names no rule follows the KAN paper."""
    option = dict(analysis.trace.card.options).get("outside the domain", "base")
    return OUTSIDE_RULES.get(option, OUTSIDE_RULES["base"])


def _straight(analysis: Analysis) -> Answer:
    causes = count_causes(analysis.straightness)
    total = sum(causes.values())
    straight = total - causes[""]
    are = "is" if straight == 1 else "are"
    sentences = [f"{straight} of {counted(total, 'varying edge')} {are} straight (linear R² of {STRAIGHT_R2} or more)."]
    if not straight:
        sentences.append("So the question does not arise here: every edge bends where the data lie.")
    else:
        why = (f"{causes[name]} because {cause.why}" for name, cause in CAUSES.items() if causes[name])
        sentences.append(f"{'; '.join(why)}.")
    if causes["out-of-domain"] + causes["mixed"]:
        sentences.append(f"Outside the domain {outside_rule(analysis)}.")
    evidence = []
    for layer, ranges in enumerate(analysis.ranges):
        live = analysis.trace.layers[layer].on_grid
        if live.any():
            evidence.append(
                f"Layer {layer + 1}: {percent(float(ranges.trained[live].mean()))} of rows inside the grid, which is "
                f"used to {percent(float(ranges.coverage[live].mean()))} on average."
            )
    alive = any(layer.edges.alive.any() for layer in analysis.trace.layers)
    nothing = "Every live edge is a formula, which no grid bounds." if alive else "No edge of the head is alive."
    sentences.append(evidence[0] if evidence else nothing)
    return Answer(question=QUESTIONS[3], answer=" ".join(sentences), evidence=tuple(evidence[1:]), section="ranges")


def _droppable(analysis: Analysis, cost: PruneCost | None) -> Answer:
    if not analysis.verdicts:
        text = (
            "Not known: the model's inputs could not be read as columns, so they were not tested. "
            "The scores above speak of head inputs only."
        )
        return Answer(question=QUESTIONS[4], answer=text, evidence=(), section="inputs")
    by = {kind: [v for v in analysis.verdicts if v.survives == kind] for kind in ("keep", "tentative", "drop")}
    drop = f": {listed(v.name for v in by['drop'])}" if by["drop"] else ""
    sentences = [f"{len(by['drop'])} of {counted(analysis.verdicts, 'input')} can go{drop}."]
    open_ = f"; {len(by['tentative'])} uncertain ({listed(v.name for v in by['tentative'])})" if by["tentative"] else ""
    stay = f": {listed(v.name for v in by['keep'])}" if by["keep"] else ""
    sentences.append(f"{len(by['keep'])} {'stays' if len(by['keep']) == 1 else 'stay'}{stay}{open_}.")
    sentences.append(_price(cost))
    sentences.append(_how_sure(analysis))
    evidence = _reasons((*by["keep"], *by["tentative"], *by["drop"]))
    return Answer(question=QUESTIONS[4], answer=" ".join(sentences), evidence=evidence, section="answer")


def _reasons(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """One line per reason; columns that share one share the line."""
    groups: dict[tuple[str, str], list[str]] = {}
    for verdict in verdicts:
        groups.setdefault((verdict.survives, verdict.text), []).append(verdict.name)
    return tuple(f"{listed(names, MOST_NAMED)} ({kind}): {text}" for (kind, text), names in groups.items())


def _price(cost: PruneCost | None) -> str:
    if cost is None:
        return "The cost was not measured: no target was given, or the plan was not tried."
    if cost.loss == OUTPUT_CHANGE:
        return (
            f"Carried out on a copy, the prune plan moves the outputs by {number(cost.after.value)} of their variance "
            f"(95 % interval {number(cost.after.low)} to {number(cost.after.high)}, {counted(cost.rows, 'row')}); "
            "without a target nobody can say whether for better or worse."
        )
    word = "within the noise of the data" if cost.difference.low <= 0 <= cost.difference.high else (
        "a rise beyond the noise" if cost.difference.value > 0 else "a fall beyond the noise"
    )  # fmt: skip
    return (
        f"Carried out on a copy, the prune plan moves the loss ({cost.loss}) from {number(cost.before.value)} to "
        f"{number(cost.after.value)}, by {signed(cost.difference.value)} "
        f"({range_words(cost.difference.low, cost.difference.high)}): {word} ({counted(cost.rows, 'row')})."
    )


def _how_sure(analysis: Analysis) -> str:
    ablation = analysis.ablation
    if ablation is None:
        return "The verdicts rest on masks and scores alone, not on a measured loss."
    exact = sum(not r for r in ablation.reads)
    cut = f" {counted(exact, 'input')} the model cannot read at all: that is exact." if exact else ""
    tested = counted(len(ablation.names) - exact, "column")
    return (
        f"Each verdict rests on {counted(ablation.repeats, 'shuffle')} of the column over "
        f"{counted(ablation.rows, 'row')}, corrected for the {tested} it reads.{cut}"
    )
