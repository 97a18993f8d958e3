"""Keep, tentative or drop for each raw column, from a path of held-out losses; with the deciding numbers in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaninterp.analysis.survival import ALPHA, FLOOR, holm
from kaninterp.core import Verdict
from kaninterp.core.evidence import CORRELATED
from kaninterp.core.findings import Survival
from kaninterp.core.frozen import Array
from kaninterp.core.survival import SurvivalPath
from kaninterp.core.tables import RawTable
from kaninterp.measure import BlockBootstrap
from kaninterp.measure.bootstrap import DRAWS
from kaninterp.pruning.elimination import Elimination
from kaninterp.pruning.subject import Subject
from kaninterp.pruning.substitutes import Gone, Substitute

__all__ = ["Evidence", "judge_inputs"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What was measured about the columns.

    Attributes
    ----------
    raw : RawTable
        Moments of the columns.
    subject : Subject
        The held-out rows.
    boot : BlockBootstrap
        Draws of them.
    order : Elimination
        In which columns went, and which are read at all.
    path : SurvivalPath
        The choice.
    gone : dict
        What goes, with its stand-ins.
    span : float
        What all columns together bring.
    enough : bool
        Whether there are rows enough to conclude anything.
    """

    raw: RawTable
    subject: Subject
    boot: BlockBootstrap
    order: Elimination
    path: SurvivalPath
    gone: Gone
    span: float
    enough: bool


def judge_inputs(evidence: Evidence) -> tuple[Verdict, ...]:
    """One verdict per raw column.

    *drop*: the choice lets it go. *keep*: it stays, and losing it alone from the columns that stay raises the held-out
    loss by more than `FLOOR` of what all columns bring, Holm-corrected p-value below `ALPHA`. *tentative*: it stays,
    but that is not sure, or there are too few rows to conclude anything.
    """
    count = len(evidence.raw.names)
    kept = [i for i in range(count) if i not in evidence.gone]
    rises = {i: _rise(evidence, i) for i in kept}
    chance = holm([p for _, p in rises.values()]) if rises else np.zeros(0)
    corrected = dict(zip(kept, chance.tolist(), strict=True))
    share = _survival(evidence.path, count)
    correlation = evidence.raw.correlation
    verdicts = []
    for index in range(count):
        if index in evidence.gone:
            survives: Survival = "drop"
            cause, text = _lost(evidence, index, float(share[index]))
        else:
            rise, _ = rises[index]
            survives, cause, text = _stays(evidence, rise, corrected[index], float(share[index]))
        verdicts.append(
            Verdict(
                index=index,
                name=evidence.raw.names[index],
                survives=survives,
                cause=cause,
                text=text,
                substitutes=_substitutes(evidence, index, correlation),
            )
        )
    return tuple(verdicts)


def _rise(evidence: Evidence, index: int) -> tuple[float, float]:
    """Rise of the held-out loss when one more column is held at its mean, and its p-value."""
    alone = Substitute(intercept=float(evidence.raw.nodes.mean[index]))
    # what it stood in for loses it too
    gone = {i: s if index not in s.others else _mean(evidence, i) for i, s in evidence.gone.items()}
    change = evidence.subject.without({**gone, index: alone}) - evidence.subject.without(evidence.gone)
    return float(change.mean()), float(evidence.boot.p_values(change[:, None])[0])


def _mean(evidence: Evidence, index: int) -> Substitute:
    return Substitute(intercept=float(evidence.raw.nodes.mean[index]))


def _survival(path: SurvivalPath, count: int) -> Array:
    share = np.zeros(count)
    share[path.places[:, 0]] = path.survival
    return share


def _lost(evidence: Evidence, index: int, share: float) -> tuple[str, str]:
    names, stand_in = evidence.raw.names, evidence.gone[index]
    if not evidence.order.reads[index]:
        if evidence.raw.nodes.constant[index]:
            value = float(evidence.raw.nodes.low[index])
            return "constant", f"It is {value:.4g} in every row of this data, so its effect cannot be measured here."
        return "zero-weight", "Replacing it by its mean changes no output by one bit: the model does not read it."
    often = f" It stays in {share:.0%} of {DRAWS:,} bootstrap draws."
    if stand_in.others:
        others = ", ".join(names[i] for i in stand_in.others)
        text = f"Redundant given {others}, which determine {stand_in.r2:.1%} of its variance and take over for it."
        return "redundant", text + often
    return "noise", "Without it the held-out loss is within one standard error of the best." + often


def _stays(evidence: Evidence, rise: float, p_value: float, share: float) -> tuple[Survival, str, str]:
    bring = rise / evidence.span if evidence.span > 0 else 0.0
    text = (
        f"Losing it raises the held-out loss by {rise:.3g}, {bring:.1%} of what all columns bring; corrected p "
        f"{'< 0.001' if p_value < 1e-3 else f'= {p_value:.2g}'}; it stays in {share:.0%} of bootstrap draws."
    )
    if not evidence.enough:
        rows = len(evidence.subject.base)
        return "tentative", "not-measured", f"{rows} held-out rows cannot tell need from chance, so it stays. {text}"
    if p_value < ALPHA and bring > FLOOR:
        return "keep", "needed", text
    return "tentative", "weak", f"{text} Not sure at {ALPHA:.0%}, but the choice keeps it."


def _substitutes(evidence: Evidence, index: int, correlation: Array) -> tuple[tuple[str, float], ...]:
    """Columns that carry much the same: twins, what stands in for this one, and what this one stands in for."""
    names = evidence.raw.names
    row = correlation[index]
    own = evidence.gone[index].others if index in evidence.gone else ()
    served = tuple(i for i, stand_in in evidence.gone.items() if index in stand_in.others)
    twins = sorted(np.flatnonzero(np.abs(row) >= CORRELATED).tolist(), key=lambda i: (-abs(row[i]), i))
    near = dict.fromkeys([*(i for i in twins if i != index), *own, *served])
    return tuple((names[i], float(row[i])) for i in near)
