"""Section 1: which inputs survive, what dropping the rest costs, and how sure that is."""

from __future__ import annotations

import math

import numpy as np

from kaninterp.core.evidence import OUTPUT_CHANGE, Estimate, PruneCost
from kaninterp.core.rank import spearman
from kaninterp.render.blocks import (
    DECIDED,
    AnswerBox,
    Block,
    Check,
    Paragraph,
    Question,
    Questions,
    Section,
    SizeChange,
)
from kaninterp.render.cells import Name, Whisker
from kaninterp.render.material import Material
from kaninterp.render.wording import count, join, number, percent, plural, shown, sign

__all__ = ["answer_section"]

MAX_EVIDENCE = 40
ENOUGH_ROWS = 200
"""Below this the block bootstrap has too few blocks for a 95 % interval (24-row blocks give fewer than 10)."""
GOOD_RESIDUAL = 0.05
"""Completeness residual of Integrated Gradients accepted by Sundararajan et al. 2017, section 5."""
GOOD_AGREEMENT = 0.7
LEAST_RANKED = 4
EXACT_GAP = 1e-4


def answer_section(material: Material) -> Section:
    """First screen: answer box and the five questions."""
    blocks: tuple[Block, ...] = (*_warning(material), _box(material))
    if material.answers:
        items = tuple(
            Question(
                question=shown(a.question),
                answer=shown(a.answer),
                evidence=_evidence(a.evidence),
                section=a.section,
            )
            for a in material.answers
        )
        blocks = (*blocks, Questions(items=items))
    return Section(id="answer", title="The answer", lead="", blocks=blocks)


def _warning(material: Material) -> tuple[Paragraph, ...]:
    """What nobody should read on without: an explanation that fails its own checks, columns that give the target."""
    trust = material.analysis.trust
    leaks = [
        f"{shown(f.claim)} {shown(f.advice)} See Findings." for f in material.analysis.findings if f.code == "leak"
    ]
    failed = [f"{trust.text} See Trust."] if trust is not None and trust.status == "fail" else []
    return tuple(Paragraph(text=text, tone="problem") for text in (*failed, *leaks[:1]))


def _evidence(statements: tuple[str, ...]) -> tuple[str, ...]:
    shown_ones = tuple(shown(text) for text in statements[:MAX_EVIDENCE])
    left = len(statements) - MAX_EVIDENCE
    return (*shown_ones, f"{left} more are in the sections below.") if left > 0 else shown_ones


def _box(material: Material) -> AnswerBox:
    cost, ablation = material.cost, material.analysis.ablation
    names = {kind: _names(material, kind) for kind in ("keep", "tentative", "drop")}
    loss, rows = (cost.loss, cost.rows) if cost else (ablation.loss, ablation.rows) if ablation else ("", 0)
    before = cost.before if cost else ablation.base if ablation and ablation.loss != OUTPUT_CHANGE else None
    return AnswerBox(
        headline=_headline(material),
        price=_price(material),
        keep=names["keep"],
        tentative=names["tentative"],
        drop=names["drop"],
        drop_note=_drop_note(material),
        tentative_note="None, but not all could be judged." if _constants(material) else DECIDED,
        loss=loss,
        rows=rows,
        before=_whisker(before),
        after=_whisker(cost.after) if cost else None,
        difference=_whisker(cost.difference) if cost else None,
        sizes=_sizes(material),
        checks=tuple(_checks(material)),
    )


def _names(material: Material, kind: str) -> tuple[Name, ...]:
    rise = material.analysis.ablation.change if material.analysis.ablation else None
    chosen = [v for v in material.analysis.verdicts if v.survives == kind]
    if rise is not None:
        chosen.sort(key=lambda v: (-float(rise[v.index]), v.index))
    return tuple(Name(text=shown(v.name), href=f"input-{v.index}") for v in chosen)


def _drop_note(material: Material) -> str:
    """Why the dropped ones go, by kind: exact for those that the model cannot read, statistics for the others."""
    ablation = material.analysis.ablation
    dropped = [v.index for v in material.analysis.verdicts if v.survives == "drop"]
    if ablation is None or not dropped:
        return ""
    exact = sum(not ablation.reads[i] for i in dropped)
    fixed = _constants(material)
    parts = [f"{count(exact)} the model cannot read at all: exact"] if exact else []
    if fixed:
        parts.append(f"{count(fixed)} constant in this data, so what it does cannot be measured here")
    read = len(dropped) - exact - fixed
    if read > 0:
        whose = "its" if read == 1 else "their"
        without = f"without a measurable benefit of {whose} own"
        if ablation.loss == OUTPUT_CHANGE:
            without = "each moving the output less than is asked for" if read > 1 else "moving the output too little"
        parts.append(f"{count(read)} it reads, {without}")
    return f"{'; '.join(parts)}."


def _constants(material: Material) -> int:
    """Columns that the model may read and that these data hold still: nothing is known about them."""
    return sum(v.survives == "drop" and v.cause == "constant" for v in material.analysis.verdicts)


def _headline(material: Material) -> str:
    analysis = material.analysis
    total = _total(material)
    mask = analysis.plan.mask
    if not total:
        return (
            f"{count(mask.count)} of {count(mask.size)} edges survive. The raw columns of this data could not be read."
        )
    left = len(material.surviving)
    tentative = sum(v.survives == "tentative" for v in analysis.verdicts)
    sure = f" ({left - tentative} to keep, {tentative} tentative)" if tentative else ""
    verb = "survives" if left == 1 else "survive"
    return f"{count(left)} of {count(total)} inputs {verb}{sure}."


def _price(material: Material) -> str:
    cost = material.cost
    dropped = _total(material) - len(material.surviving)
    if cost is None:
        return _unpriced(material, dropped)
    edges = cost.edges[0] - cost.edges[1]
    gone = [f"the other {count(dropped)} input{plural(dropped)}"] if dropped > 0 else []
    gone += [f"{count(edges)} of {count(cost.edges[0])} KAN edge{plural(cost.edges[0])}"] if edges > 0 else []
    without = f"Without {' and '.join(gone)}" if gone else "With nothing removed"
    if cost.loss == OUTPUT_CHANGE:
        return f"{without} {_moved(cost)}"
    return f"{without} {_change(cost)}"


def _total(material: Material) -> int:
    return len(material.analysis.verdicts) or len(material.analysis.plan.input_names)


def _change(cost: PruneCost) -> str:
    difference = cost.difference
    moved = f"{number(cost.before.value)} → {number(cost.after.value)} {cost.loss}"
    interval = f"difference {sign(difference.value)}, 95 % interval {sign(difference.low)} to {sign(difference.high)}"
    if difference.low <= 0 <= difference.high:
        return f"the loss does not change beyond noise: {moved} ({interval})."
    verb = "rises" if difference.value > 0 else "falls"
    by = f" by {percent(abs(difference.value) / cost.before.value)}" if cost.before.value > 0 else ""
    return f"the loss {verb}{by}: {moved} ({interval})."


def _moved(cost: PruneCost) -> str:
    """Without a target: how far the outputs move, not whether that helps."""
    return (
        f"the outputs move by {number(cost.after.value)} of their variance (mean square, 95 % interval "
        f"{number(cost.after.low)} to {number(cost.after.high)}). No target was given, so whether that is for better "
        "or worse is not known."
    )


def _unpriced(material: Material, dropped: int) -> str:
    curve = material.analysis.curve
    if curve is None or not dropped:
        return "The price was not measured: no target was given, or nothing is dropped."
    full, chosen = float(curve.loss[-1]), float(curve.loss[curve.chosen])
    return (
        f"The plan was not carried out. Shuffling all but the best {curve.chosen} columns moves the loss from "
        f"{number(full)} to {number(chosen)}."
    )


def _whisker(estimate: Estimate | None) -> Whisker | None:
    return None if estimate is None else Whisker(value=estimate.value, low=estimate.low, high=estimate.high)


def _sizes(material: Material) -> tuple[SizeChange, ...]:
    cost, plan = material.cost, material.analysis.plan
    if cost is not None:
        rows = (
            ("Inputs", cost.inputs),
            ("KAN edges", cost.edges),
            ("KAN nodes", cost.nodes),
            ("Parameters", cost.parameters),
        )
        return tuple(SizeChange(what=what, before=pair[0], after=pair[1]) for what, pair in rows if pair[0])
    edges = SizeChange(what="KAN edges", before=plan.mask.size, after=plan.mask.count)
    if not plan.input_names:
        return (edges,)
    return (SizeChange(what="Inputs", before=len(plan.inputs), after=int(plan.inputs.sum())), edges)


def _checks(material: Material) -> list[Check]:
    made = [_rows_check(material), _tentative_check(material), _gap_check(material)]
    made += [_residual_check(material), _methods_check(material), _trust_check(material)]
    return [check for check in made if check is not None]


def _rows_check(material: Material) -> Check | None:
    rows = material.cost.rows if material.cost else material.analysis.ablation.rows if material.analysis.ablation else 0
    if not rows:
        return None
    enough = "enough" if rows >= ENOUGH_ROWS else "too few"
    return Check(passed=rows >= ENOUGH_ROWS, text=f"{count(rows)} rows measured: {enough} ({ENOUGH_ROWS} asked for).")


def _tentative_check(material: Material) -> Check | None:
    verdicts = material.analysis.verdicts
    if not verdicts:
        return None
    open_ones = sum(v.survives == "tentative" for v in verdicts)
    fixed = _constants(material)
    if open_ones:
        text = f"Tentative, because this data cannot decide: {open_ones} of {len(verdicts)} inputs."
    elif fixed:
        text = (
            f"This data decides on {len(verdicts) - fixed} of {len(verdicts)} inputs; {count(fixed)} constant in it "
            "cannot be judged."
        )
    else:
        text = f"This data decides on all {len(verdicts)} inputs: none is tentative."
    return Check(passed=open_ones <= 0.1 * len(verdicts), text=text)


def _gap_check(material: Material) -> Check | None:
    if material.cost is None:
        return None
    gap = material.cost.largest_gap
    text = (
        f"The smaller model predicts what the masked one does, within {number(gap, 2)}."
        if gap
        else "The smaller model predicts exactly what the masked one does."
    )
    return Check(passed=gap <= EXACT_GAP, text=text)


def _residual_check(material: Material) -> Check | None:
    attribution = material.analysis.attribution
    if attribution is None or not attribution.residual.size:
        return None
    worst = float(attribution.residual.max())
    return Check(
        passed=worst <= GOOD_RESIDUAL,
        text=f"{attribution.method} add up to the prediction within {percent(worst)} ({count(attribution.rows)} rows).",
    )


def _trust_check(material: Material) -> Check | None:
    trust = material.analysis.trust
    if trust is None or not trust.measured:
        return None
    passed = f"{len(trust.of('pass'))} of {count(trust.measured)} checks of the explanation itself passed (see Trust)"
    failed = [judged.check.title.lower() for judged in trust.of("fail")]
    if failed:
        passed += f"; failed: {join(failed)}"
    elif trust.status == "weak" and not trust.of("weak"):
        passed += "; whether the model predicts anything was not measured, as no target was given"
    return Check(passed=trust.status == "pass", text=f"{passed}.")


def _rho(rho: float) -> str:
    return f"{rho:.2f}".replace("-", "−")


def _methods_check(material: Material) -> Check | None:
    """Shuffling and gradients are independent of each other: if they rank the columns alike, that is evidence.

    Only columns that the model reads take part: those it cannot read are 0 in both and would agree by themselves.
    """
    ablation, attribution = material.analysis.ablation, material.analysis.attribution
    if ablation is None or attribution is None or ablation.reads.sum() < LEAST_RANKED:
        return None
    gradients = attribution.magnitude.mean(0).max(0).sum(0)
    rho = spearman(np.asarray(ablation.change)[ablation.reads], gradients[ablation.reads])
    if math.isnan(rho):
        return None
    return Check(
        passed=rho >= GOOD_AGREEMENT,
        text=f"Shuffling and {attribution.method} rank the {int(ablation.reads.sum())} columns the model reads "
        f"{'alike' if rho >= GOOD_AGREEMENT else 'differently'}: Spearman {_rho(rho)} ({GOOD_AGREEMENT} asked for).",
    )
