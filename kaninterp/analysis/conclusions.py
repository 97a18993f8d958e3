"""`analyze`: from a trace, and from evidence on raw inputs where there is some, to every conclusion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kaninterp.core.drift import DriftEvidence
from kaninterp.core.edge_evidence import EdgeAblation
from kaninterp.core.errors import DataError, InputTypeError, PlanError, ShapeError
from kaninterp.core.evidence import InputAblation, InputAttribution, SurvivalCurve
from kaninterp.core.findings import Verdict
from kaninterp.core.interactions import Interactions
from kaninterp.core.leaks import Leak
from kaninterp.core.passports import Passports
from kaninterp.core.plan import PrunePlan
from kaninterp.core.range_card import RangeCard
from kaninterp.core.shadows import Shadows
from kaninterp.core.trace import Trace
from kaninterp.core.trust import TrustReading

from .attribution import live_std
from .bundle import Analysis, LayerScores
from .drift import shape_drifts
from .findings import find
from .inputs import with_verdicts
from .plans import keep_all
from .ranges import layer_ranges
from .rules import DEFAULT_RULE, PruneRule
from .scores import layer_scores
from .straightness import layer_straightness
from .trust import judge
from .verdicts import input_verdicts

__all__ = ["analyze"]


def analyze(
    trace: Trace,
    *,
    ablation: InputAblation | None = None,
    attribution: InputAttribution | None = None,
    curve: SurvivalCurve | None = None,
    edge_ablation: EdgeAblation | None = None,
    passports: Passports | None = None,
    shadows: Shadows | None = None,
    interactions: Interactions | None = None,
    leaks: tuple[Leak, ...] = (),
    reference: Trace | RangeCard | None = None,
    drift: DriftEvidence | None = None,
    trust: Iterable[TrustReading] | None = None,
    rule: PruneRule | None = None,
) -> Analysis:
    """Conclude: scores, ranges, straightness, verdicts on inputs, a prune plan and findings.

    Parameters
    ----------
    trace : Trace
        Measured by `kaninterp.trace`.
    ablation, attribution, curve, edge_ablation, passports, shadows, interactions, leaks : optional
        Evidence measured by `kaninterp.measure` on the same model and columns. Without an ablation the
        inputs of a plain KAN are judged by scores and those of a hybrid are left open.
    reference : Trace or RangeCard, optional
        Of the same model over other data, for drift.
    drift : DriftEvidence, optional
        What was measured of the same data against a card, which takes the place of ``reference``.
    trust : iterable of TrustReading, optional
        What speaks for and against the explanation, by `kaninterp.measure.trust.trust_readings`.
    rule : callable, optional
        One of `RULES` or your own ``(trace, scores, *, probe=None) -> PrunePlan``. Default: `BudgetRule`. Verdicts
        on inputs are added to whatever it decides.

    Returns
    -------
    Analysis

    Raises
    ------
    InputTypeError
        Not a trace.
    DataError
        The trace holds no rows.
    ShapeError
        Evidence or reference of another model or other columns.
    InputError
        A reading of trust that is not known, or twice.
    PlanError
        A rule of your own leaves nothing of the head.
    """
    _check(trace, ablation, attribution, curve, edge_ablation)
    _check_nodes(trace, passports)
    _check_shadows(trace, shadows)
    _check_columns(trace, interactions, leaks)
    ranges = layer_ranges(trace, reference if drift is None else drift.card)
    scores = layer_scores(trace)
    verdicts = input_verdicts(trace, scores, ablation=ablation, curve=curve, shadows=shadows)
    plan = _plan(trace, scores, verdicts, rule)
    analysis = Analysis(
        trace=trace,
        ablation=ablation,
        attribution=attribution,
        curve=curve,
        edge_ablation=edge_ablation,
        passports=passports,
        shadows=shadows,
        interactions=interactions,
        leaks=tuple(leaks),
        swaps=(),
        drift=drift,
        shapes=None if drift is None else shape_drifts(trace, drift.card, drift.watched),
        scores=scores,
        ranges=ranges,
        straightness=layer_straightness(trace),
        verdicts=verdicts,
        plan=plan,
        findings=(),
        trust=None if trust is None else judge(trust),
    )
    return replace(analysis, findings=find(analysis))


def _plan(
    trace: Trace, scores: tuple[LayerScores, ...], verdicts: tuple[Verdict, ...], rule: PruneRule | None
) -> PrunePlan:
    if not any(spread.any() for spread in live_std(trace)[-1:]):
        return keep_all(trace)  # every output is constant: no score can say what to keep, and a finding says so
    plan = (rule or DEFAULT_RULE)(trace, scores)
    if all(verdict.survives == "drop" for verdict in verdicts):
        return plan  # a model that needs none of its inputs is reported, not pruned to nothing
    try:
        return with_verdicts(plan, trace, scores, verdicts)
    except PlanError:  # the rule kept only what hangs on dropped columns: the loss goes before scores
        return with_verdicts(keep_all(trace), trace, scores, verdicts)


def _check_nodes(trace: Trace, passports: Passports | None) -> None:
    widths = trace.card.widths
    if passports is not None and any(p.layer >= len(widths) or p.index >= widths[p.layer] for p in passports.nodes):
        raise ShapeError(f"passports: of nodes that a KAN of widths {widths} does not have; use the same model")


def _check_shadows(trace: Trace, shadows: Shadows | None) -> None:
    if shadows is None:
        return
    names = () if trace.raw is None else trace.raw.names
    if shadows.names != names:
        raise ShapeError(f"shadows: of columns {shadows.names[:5]}, the trace has {names[:5]}; use the same data")
    shapes = [layer.edges.mean.shape for layer in trace.layers]
    if (got := [tested.shape for tested in shadows.edge_tested]) != shapes:
        raise ShapeError(f"shadows: edges (dst, src) {got}, the trace has {shapes}; use the same model")


def _check_columns(trace: Trace, interactions: Interactions | None, leaks: tuple[Leak, ...]) -> None:
    names = () if trace.raw is None else trace.raw.names
    told = {"leaks": [(term.column, term.name) for leak in leaks for term in leak.terms]}
    if interactions is not None:
        told["interactions"] = list(zip(interactions.columns.tolist(), interactions.names, strict=True))
    for what, columns in told.items():
        if any(not 0 <= i < len(names) or names[i] != name for i, name in columns):
            raise ShapeError(
                f"{what}: measured on columns {[name for _, name in columns[:5]]}, the trace has {names[:5]}; use the "
                "same data"
            )


def _check(
    trace: Trace,
    ablation: InputAblation | None,
    attribution: InputAttribution | None,
    curve: SurvivalCurve | None,
    edge_ablation: EdgeAblation | None,
) -> None:
    if not isinstance(trace, Trace):
        raise InputTypeError(
            f"trace: expected a Trace, made by kaninterp.trace(model, data), got {type(trace).__name__}"
        )
    if not trace.rows:
        raise DataError("the trace holds no rows; trace the model on data first")
    names = None if trace.raw is None else trace.raw.names
    for what, evidence in (("ablation", ablation), ("attribution", attribution)):
        if evidence is not None and evidence.names != names:
            raise ShapeError(
                f"{what}: measured on columns {evidence.names[:5]}, the trace has "
                f"{None if names is None else names[:5]}; use the same data"
            )
    if curve is not None and (names is None or sorted(curve.order) != list(range(len(names)))):
        raise ShapeError(
            f"curve: orders {len(curve.order)} columns, the trace has {len(names or ())}; use the same data"
        )
    shapes = [layer.edges.mean.shape for layer in trace.layers]
    if edge_ablation is not None and [c.shape for c in edge_ablation.change] != shapes:
        got = [c.shape for c in edge_ablation.change]
        raise ShapeError(f"edge_ablation: edges (dst, src) {got}, the trace has {shapes}; use the same model")
