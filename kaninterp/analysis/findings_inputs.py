"""Findings about the user's columns: constant, correlated, suspiciously strong, or measured too weakly."""

from __future__ import annotations

import numpy as np

from kaninterp.core.evidence import CORRELATED, SAMPLED
from kaninterp.core.findings import Finding, Severity
from kaninterp.core.frozen import Array

from .attribution import aggregate
from .bundle import Analysis
from .places import raw_columns
from .wording import counted, listed, number, percent, shown

__all__ = ["INPUT_CHECKS", "column_shares"]

LEAK = 0.99
"""One column carrying more than this of all effects is either the whole story or the answer itself."""

RESIDUAL = 0.05
"""Completeness residual from which an attribution is doubted; captum's own rule of thumb for its step count."""

RESIDUAL_PROBLEM = 0.2
"""From here on a fifth of the prediction is not accounted for."""


def constant_columns(analysis: Analysis) -> tuple[Finding, ...]:
    """Raw columns and head inputs that took one value only."""
    found = []
    raw = analysis.trace.raw
    if raw is not None and raw.nodes.constant.any():
        names = [raw.names[i] for i in np.flatnonzero(raw.nodes.constant)]
        found.append(
            _finding(
                "constant-columns",
                "caution",
                f"{counted(names, 'column')} never changed in this data: {listed(names)}.",
                f"Smallest and largest value are equal over {raw.nodes.count:,} values each.",
                "Nothing can be learnt about such a column here; use data in which it varies, or leave it out.",
            )
        )
    units = np.flatnonzero(analysis.trace.layers[0].inputs.constant)
    if len(units) and raw_columns(analysis.trace) is None:
        names = [analysis.trace.node_name(0, int(i)) for i in units]
        found.append(
            _finding(
                "constant-units",
                "note",
                f"{counted(names, 'head input')} never changed in this data: {listed(names)}.",
                f"{len(names)} of {analysis.trace.card.widths[0]} head inputs have equal smallest and largest value.",
                "Dead units cost nothing here; pruning folds them into a bias.",
                section="network",
            )
        )
    return tuple(found)


def correlated_survivors(analysis: Analysis) -> tuple[Finding, ...]:
    """Pairs of columns that stay although they carry nearly the same signal."""
    raw = analysis.trace.raw
    if raw is None:
        return ()
    staying = [v.index for v in analysis.verdicts if v.survives != "drop"]
    r = raw.correlation
    pairs = [(i, j) for a, i in enumerate(staying) for j in staying[a + 1 :] if abs(r[i, j]) >= CORRELATED]
    if not pairs:
        return ()
    pairs.sort(key=lambda pair: (-abs(r[pair]), pair))
    texts = [f"{shown(raw.names[i])} and {shown(raw.names[j])} (r = {r[i, j]:.3f})".replace("-", "−") for i, j in pairs]
    return (
        _finding(
            "correlated-survivors",
            "note",
            f"{counted(pairs, 'pair')} of surviving columns carry nearly the same signal.",
            "; ".join(texts[:5]) + (f"; and {len(texts) - 5} more" if len(texts) > 5 else "") + ".",
            "Try the model without one of each pair: the other may stand in for it at little cost.",
        ),
    )


def leak(analysis: Analysis) -> tuple[Finding, ...]:
    """One column that accounts for nearly everything."""
    shares, how = column_shares(analysis)
    if len(shares) < 2 or not shares.max(initial=0.0) > LEAK:
        return ()
    top = int(shares.argmax())
    name = shown(analysis.trace.raw.names[top]) if analysis.trace.raw is not None else ""
    return (
        _finding(
            "one-input",
            "caution",
            f"One column, {name}, accounts for nearly all that the model makes of its inputs.",
            f"{percent(float(shares[top]))} of {how}, over {len(shares)} columns.",
            f"This can be right. Check that {name} is known when the prediction is made and is not the target itself.",
        ),
    )


def column_shares(analysis: Analysis) -> tuple[Array, str]:
    """Share of each raw column in the summed effects (sums to 1), and what the effect was."""
    if analysis.ablation is not None:
        rise, how = np.maximum(analysis.ablation.change, 0.0), "the summed rise of the loss when one column is shuffled"
    else:
        columns = raw_columns(analysis.trace)
        if columns is None or analysis.trace.raw is None:
            return np.zeros(0), ""
        rise = np.zeros(len(analysis.trace.raw.names))
        rise[list(columns)] = aggregate(analysis.scores[0].nodes_kan2) ** 2
        how = "the summed squared KAN 2.0 scores"
    total = float(rise.sum())
    return (rise / total if total > 0 else rise), how


def completeness(analysis: Analysis) -> tuple[Finding, ...]:
    """Attributions that do not add up to the prediction."""
    attribution = analysis.attribution
    if attribution is None or not attribution.residual.size:
        return ()
    b, o = (int(i) for i in np.unravel_index(attribution.residual.argmax(), attribution.residual.shape))
    worst = float(attribution.residual[b, o])
    if not worst > RESIDUAL:
        return ()
    severity: Severity = "problem" if worst > RESIDUAL_PROBLEM else "caution"
    return (
        _finding(
            "incomplete-attribution",
            severity,
            "The attribution to columns and lags does not add up to the predictions.",
            f"Completeness residual {percent(worst)} for {shown(analysis.trace.output_names[o])} against the baseline "
            f"{attribution.baselines[b]!r} (median over {attribution.rows} rows; at most {percent(RESIDUAL)} is fine).",
            "Read the lag profiles as a sketch; more integration steps or a baseline nearer to the data help.",
        ),
    )


def no_gradient(analysis: Analysis) -> tuple[Finding, ...]:
    """A backbone that gradients do not pass through."""
    attribution = analysis.attribution
    if attribution is None or attribution.method != SAMPLED:
        return ()
    return (
        _finding(
            "no-gradient",
            "note",
            "No gradient flows through the model to every column: effects were measured by running it again.",
            f"Shapley values of drawn orders over columns and lags, {counted(attribution.rows, 'row')}; at least one "
            "column that moves the output has a gradient of exactly 0, or none.",
            "A rounding, a tree or torch.no_grad in the model does this. If none was meant, training did not reach "
            "the layers before it either.",
        ),
    )


def weak_evidence(analysis: Analysis) -> tuple[Finding, ...]:
    """No column, or no evidence on columns, to stand on."""
    if not analysis.verdicts:
        return ()
    if analysis.ablation is None:
        if any(v.cause == "not-measured" for v in analysis.verdicts):
            return (
                _finding(
                    "not-measured",
                    "caution",
                    "No column was tested: the verdicts on inputs are open.",
                    f"{counted(analysis.verdicts, 'column')}, no ablation.",
                    "Run the report with data that has the raw columns, and with a target if there is one.",
                ),
            )
        return ()
    count = {kind: sum(v.survives == kind for v in analysis.verdicts) for kind in ("keep", "tentative")}
    rows = analysis.ablation.rows
    if any(v.cause == "not-measured" for v in analysis.verdicts):
        return (
            _finding(
                "not-measured",
                "caution",
                f"{counted(rows, 'row')} cannot tell need from chance: the verdicts on inputs are open.",
                f"{counted(analysis.verdicts, 'column')}, blocks of {counted(analysis.ablation.block, 'row')}.",
                "Run the report with more rows; a few hundred that were not trained on are a start.",
            ),
        )
    if not count["keep"]:
        best = int(analysis.ablation.change.argmax())
        return (
            _finding(
                "no-input-needed",
                "problem",
                "For no column is it sure that the model needs it.",
                f"{counted(rows, 'row')}; the largest rise of the loss is "
                f"{number(float(analysis.ablation.change[best]))} ({shown(analysis.ablation.names[best])}), "
                f"{counted(count['tentative'], 'column')} tentative.",
                "Look at the loss first: the model may have learnt nothing, or the data may be too few.",
                section="answer",
            ),
        )
    if count["tentative"] > count["keep"]:
        return (
            _finding(
                "weak-evidence",
                "caution",
                "More columns are uncertain than sure.",
                f"{counted(rows, 'row')}: {count['keep']} keep, {count['tentative']} tentative.",
                "Measure on more rows before dropping anything.",
            ),
        )
    return ()


def _finding(
    code: str, severity: Severity, claim: str, evidence: str, advice: str, *, section: str = "inputs"
) -> Finding:
    return Finding(code=code, severity=severity, claim=claim, evidence=evidence, advice=advice, section=section)


INPUT_CHECKS = (weak_evidence, constant_columns, leak, completeness, no_gradient, correlated_survivors)
