"""Keep, tentative or drop for each raw column, with the deciding fact in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kaninterp.core.errors import ShapeError
from kaninterp.core.evidence import OUTPUT_CHANGE, InputAblation, SurvivalCurve
from kaninterp.core.findings import Survival, Verdict
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.mask import EdgeMask
from kaninterp.core.shadows import Shadows
from kaninterp.core.tables import RawTable
from kaninterp.core.trace import Trace

from .attribution import aggregate
from .bundle import LayerScores
from .discoveries import shadow_words
from .places import raw_columns
from .survival import ALPHA, ALPHA_TENTATIVE, FLOOR, FLOOR_TENTATIVE, Need, measure_need, twins
from .wording import counted, listed, number, percent, range_words, shown

__all__ = ["SCORE_KEEP", "SCORE_NULL", "input_verdicts"]

STILL_USED = 0.01
"""Share of an output's variance from which the text of a column of noise says that the model uses it."""

FEWEST_BLOCKS = 10
"""Independent blocks of rows below which nothing is concluded: a bootstrap of fewer has intervals that are far too
short, and a column may well be constant in them by chance."""

SCORE_KEEP = 0.1
"""Without a measured loss: KAN 2.0 score from which an input is kept (1 % of the output's variance)."""

SCORE_NULL = 0.01
"""Without a measured loss: score below which it is dropped (0.01 % of the variance)."""


def input_verdicts(
    trace: Trace,
    scores: tuple[LayerScores, ...],
    *,
    ablation: InputAblation | None = None,
    curve: SurvivalCurve | None = None,
    shadows: Shadows | None = None,
) -> tuple[Verdict, ...]:
    """One verdict per raw column.

    *keep*: the loss rises when the column is shuffled, by more than `FLOOR` of what all inputs bring, with a
    Holm-corrected p-value below `ALPHA`. *tentative*: significant at `ALPHA_TENTATIVE` but small, or large but
    uncertain, or needed by the survival curve, or a twin of another column that looks just as idle and no curve shows
    what losing both would cost. *drop*: all others. Without a target the change of the outputs stands in for the loss:
    it shows use, not benefit, so size alone decides (`FLOOR_TENTATIVE`, `FLOOR`). Nothing is called unimportant: the
    model was found not to need it. Fewer than `FEWEST_BLOCKS` independent blocks of rows leave every column that the
    model reads *tentative*.

    Parameters
    ----------
    trace : Trace
        With raw columns; without them there are no verdicts.
    scores : tuple of LayerScores
        Of the same trace; decide alone where a plain KAN has no ablation.
    ablation : InputAblation, optional
        The evidence. None: masks and scores decide for a plain KAN, and a hybrid's columns are "not-measured".
    curve : SurvivalCurve, optional
        Evidence on losing several columns at once.
    shadows : Shadows, optional
        Further evidence on columns judged no different from noise; it is told, and decides nothing.

    Raises
    ------
    ShapeError
        The ablation is of other columns than the trace.
    """
    if trace.raw is None:
        return ()
    if ablation is not None and ablation.names != trace.raw.names:
        raise ShapeError(
            f"ablation: measured on columns {ablation.names[:5]}, the trace has {trace.raw.names[:5]}; "
            "use the same data"
        )
    constant = trace.raw.nodes.constant
    if ablation is None:
        judged = _by_scores(trace, trace.raw, scores)
    else:
        need = measure_need(ablation, curve, constant)
        evidence = _Evidence(ablation, curve, need, _reaches_live_unit(trace, ablation), shadows)
        judged = [_by_loss(trace.raw, evidence, i) for i in range(len(ablation.names))]
    rise = np.zeros(len(judged)) if ablation is None else ablation.change
    return tuple(_among_twins(trace.raw, judged, rise, joint_evidence=curve is not None))


@dataclass(frozen=True, slots=True)
class _Words:
    """What decides, before anything else is looked at."""

    survives: Survival
    cause: str
    text: str

    def of(self, raw: RawTable, index: int) -> Verdict:
        return Verdict(
            index=index,
            name=raw.names[index],
            survives=self.survives,
            cause=self.cause,
            text=self.text,
            substitutes=tuple((raw.names[i], r) for i, r in twins(raw, index)),
        )


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What was measured, and what follows for all columns at once."""

    ablation: InputAblation
    curve: SurvivalCurve | None
    need: Need
    reach: BoolArray
    shadows: Shadows | None


def _by_loss(raw: RawTable, evidence: _Evidence, i: int) -> Verdict:
    if not evidence.ablation.reads[i]:
        return _unread(raw, evidence.ablation, i)
    if evidence.ablation.rows < FEWEST_BLOCKS * evidence.ablation.block:
        return _too_few(raw, evidence.ablation.rows, i)
    if raw.nodes.constant[i]:
        return _constant(raw, i)
    if not evidence.reach[i]:
        text = "The model reads it, but every unit it moves is cut off from the outputs."
        return _Words("drop", "dead-target", text).of(raw, i)
    return _by_size(evidence, i).of(raw, i)


def _by_size(evidence: _Evidence, i: int) -> _Words:
    ablation, curve, need = evidence.ablation, evidence.curve, evidence.need
    share, corrected, plain = need.share[i], need.p_holm[i], need.p_value[i]
    measured = _measured(ablation, need, i)
    if ablation.loss == OUTPUT_CHANGE:
        return _by_use(measured, float(share))
    if corrected < ALPHA and share > FLOOR:
        return _Words("keep", "needed", measured)
    if corrected < ALPHA_TENTATIVE and share > FLOOR:
        return _Words("tentative", "weak", f"{measured} Sure at {percent(ALPHA_TENTATIVE)}, not at {percent(ALPHA)}.")
    if corrected < ALPHA_TENTATIVE:
        return _Words("tentative", "weak", f"{measured} Real, but below the floor of {percent(FLOOR)}.")
    if plain < ALPHA and share > FLOOR_TENTATIVE:
        return _Words(
            "tentative", "weak", f"{measured} Large, but one of {int(need.tested.sum())} columns may do so by chance."
        )
    if curve is not None and i in curve.order[: curve.chosen]:
        text = (
            f"{measured} Alone not told from noise; the loss with fewer than {curve.chosen} columns is clearly higher."
        )
        return _Words("tentative", "weak", text)
    rows, told = counted(ablation.rows, "row"), shadow_words(evidence.shadows, i)
    text = f"{measured} Not distinguishable from noise on these {rows}.{told}{_still_used(ablation, i)}"
    return _Words("drop", "noise", text)


def _by_use(measured: str, share: float) -> _Words:
    """Without a target a shuffle can only show that a column is used: it moves the outputs, for better or worse."""
    caveat = "No target was given: this says that the model uses it, not that it helps."
    if share > FLOOR_TENTATIVE:
        return _Words("keep", "needed", f"{measured} {caveat}")
    return _Words("tentative" if share > FLOOR else "drop", "weak", f"{measured} {caveat}")


def _measured(ablation: InputAblation, need: Need, i: int) -> str:
    change = ablation.change[i]
    verb = "raises" if change > 0 else "changes"
    bring = f", {percent(need.share[i])} of what all inputs together bring" if change > 0 else ""
    return (
        f"Shuffling it {verb} the {_loss_words(ablation.loss)} by {number(change)} "
        f"({range_words(ablation.low[i], ablation.high[i])}){bring}; corrected p {_p(need.p_holm[i])}."
    )


def _still_used(ablation: InputAblation, i: int) -> str:
    """A column without benefit can move the outputs all the same: the reader should know that it was learnt."""
    share = float(ablation.node_shares[-1][:, i].max()) if ablation.node_shares else 0.0
    if share < STILL_USED:
        return ""
    return f" The model does use it, without a benefit to be seen: {percent(share)} of the output's variance."


def _loss_words(loss: str) -> str:
    return "squared change of the outputs" if loss == OUTPUT_CHANGE else f"loss ({loss})"


def _p(value: float) -> str:
    return "< 0.001" if value < 1e-3 else f"= {value:.2g}"


def _unread(raw: RawTable, ablation: InputAblation, i: int) -> Verdict:
    if np.isfinite(ablation.norms[i]) and ablation.norms[i] == 0:
        text = "All weights that read it are exactly zero: changing it cannot change a prediction."
        return _Words("drop", "zero-weight", text).of(raw, i)
    return _Words("drop", "masked", "No edge or weight of the model reads it: it was cut away.").of(raw, i)


def _too_few(raw: RawTable, rows: int, i: int) -> Verdict:
    text = f"Not measured: {counted(rows, 'row')} cannot tell need from chance; give more rows."
    return _Words("tentative", "not-measured", text).of(raw, i)


def _constant(raw: RawTable, i: int) -> Verdict:
    text = f"It is {number(float(raw.nodes.low[i]))} in every row of this data, so its effect cannot be measured here."
    return _Words("drop", "constant", text).of(raw, i)


def _reaches_live_unit(trace: Trace, ablation: InputAblation) -> BoolArray:
    """Whether a column moves a head input that still has a path to an output."""
    if not ablation.node_shares or ablation.node_shares[0].shape[0] != trace.card.widths[0]:
        return np.ones(len(ablation.names), bool)
    live = EdgeMask(layers=tuple(layer.edges.alive for layer in trace.layers)).closed().nodes()[0]
    moves: BoolArray = ablation.node_shares[0] > 0
    if not moves.any():  # no shares were measured
        return np.ones(len(ablation.names), bool)
    return np.asarray(moves[live].any(0) | ~moves.any(0))


def _by_scores(trace: Trace, raw: RawTable, scores: tuple[LayerScores, ...]) -> list[Verdict]:
    columns = raw_columns(trace)
    if columns is None:
        text = "Not measured: no ablation was run, so nothing is known about this column behind the backbone."
        words = _Words("tentative", "not-measured", text)
        constant = raw.nodes.constant & (trace.rows >= FEWEST_BLOCKS)
        return [_constant(raw, i) if constant[i] else words.of(raw, i) for i in range(len(raw.names))]
    live = EdgeMask(layers=tuple(layer.edges.alive for layer in trace.layers)).closed().nodes()[0]
    place = {column: position for position, column in enumerate(columns)}
    return [
        _by_score(trace, scores[0], i, place[i], bool(live[place[i]])) if i in place else _cut(raw, i)
        for i in range(len(raw.names))
    ]


def _cut(raw: RawTable, i: int) -> Verdict:
    return _Words("drop", "masked", "No edge reads it: all were masked or cut away.").of(raw, i)


def _by_score(trace: Trace, scores: LayerScores, i: int, at: int, live: bool) -> Verdict:
    """Verdict on raw column ``i``, which is head input ``at``, without a measured loss."""
    raw = trace.raw
    assert raw is not None  # noqa: S101 - the caller has looked
    if not trace.layers[0].edges.alive[:, at].any():
        return _cut(raw, i)
    if trace.rows < FEWEST_BLOCKS:
        return _too_few(raw, trace.rows, i)
    if raw.nodes.constant[i]:
        return _constant(raw, i)
    if not live:
        return _Words("drop", "dead-target", "Its edges end in nodes that are cut off from the outputs.").of(raw, i)
    if not scores.norm[:, at].any() and not scores.strength[:, at].any():
        return _Words("drop", "zero-weight", "Every edge out of it is a constant function.").of(raw, i)
    score = float(aggregate(scores.nodes_kan2)[at])
    about = percent(min(score**2, 1.0))
    text = f"KAN 2.0 score {number(score)} (about {about} of the variance); the loss was not measured."
    if score >= SCORE_KEEP:
        return _Words("keep", "needed", text).of(raw, i)
    return _Words("tentative" if score >= SCORE_NULL else "drop", "weak", text).of(raw, i)


def _among_twins(raw: RawTable, judged: list[Verdict], rise: Array, *, joint_evidence: bool) -> list[Verdict]:
    """Say "redundant given X" where X stays; and never drop two twins on evidence about one at a time."""
    result = list(judged)
    idle = [v.index for v in judged if v.survives == "drop" and v.cause in {"noise", "weak"}]
    for index in sorted(idle, key=lambda i: (-rise[i], i)):  # the stronger twin is the one that stays in question
        verdict = result[index]
        partners = [i for i, _ in twins(raw, index)]
        staying = [raw.names[i] for i in partners if result[i].survives != "drop"]
        if staying:
            text = f"Redundant given {listed(staying)} (r = {_r(verdict, staying[0])}). {verdict.text}"
            result[index] = replace(verdict, cause="redundant", text=text)
        elif not joint_evidence and any(i in idle for i in partners):
            others = [shown(raw.names[i]) for i in partners if i in idle]
            text = f"{verdict.text} Measured alone while its twin {listed(others)} stayed; losing both may cost more."
            result[index] = replace(verdict, survives="tentative", cause="weak", text=text)
    return result


def _r(verdict: Verdict, name: str) -> str:
    return f"{dict(verdict.substitutes)[name]:.3f}".replace("-", "−")
