"""Section 4: the survival curve, all inputs on one scale, and a card for each."""

from __future__ import annotations

import numpy as np

from kaninterp.analysis.bundle import Analysis
from kaninterp.core.evidence import OUTPUT_CHANGE, InputAblation, InputAttribution, SurvivalCurve
from kaninterp.core.findings import Verdict
from kaninterp.core.shadows import Shadows
from kaninterp.render.blocks import Block, InputCard, InputCards, Paragraph, Section, SurvivalChart
from kaninterp.render.cells import Badge, Bars, Cell, Name, Table, Whisker
from kaninterp.render.material import Material
from kaninterp.render.network_nodes import input_lags
from kaninterp.render.together_table import together_table
from kaninterp.render.wording import count, number, p_value, percent, plural, shorten, shown, sign

__all__ = ["inputs_section"]

MAX_CARDS = 48
"""Cards are about 3 kB each; further inputs get a line each."""
MAX_LINES = 2000
FEW_UNREAD = 3
"""Up to here even columns that the model cannot read have a row in the table: their zeros are quickly read."""
MAX_ROWS = 160
MOST_FACTS = 4
"""Substitutes on a card."""
LAG_SHARE_HALF = 0.5


def inputs_section(material: Material) -> Section:
    """Evidence per raw column."""
    analysis = material.analysis
    if not analysis.verdicts:
        text = (
            "The model's inputs could not be read as columns of your data, or nothing was measured on them: 0 inputs."
        )
        return Section(id="inputs", title="Inputs", lead=text, blocks=())
    counts = {kind: sum(v.survives == kind for v in analysis.verdicts) for kind in ("keep", "tentative", "drop")}
    lead = f"{counts['keep']} to keep, {counts['tentative']} tentative, {counts['drop']} to drop."
    blocks: list[Block] = []
    if analysis.ablation is not None:
        lead += " " + _how(analysis.ablation)
    if analysis.curve is not None and analysis.ablation is not None:
        kept = counts["keep"] + counts["tentative"]
        blocks.append(_survival(analysis.curve, analysis.ablation, kept, priced=material.cost is not None))
    blocks.append(_overview(material))
    blocks.extend(together_table(material))
    blocks.append(_cards(material))
    if analysis.shadows is None and analysis.ablation is not None and analysis.ablation.loss == OUTPUT_CHANGE:
        blocks.append(Paragraph(text=_NO_FLOOR, tone="note"))
    elif analysis.shadows is not None and analysis.shadows.remark:
        blocks.append(Paragraph(text=shown(analysis.shadows.remark), tone="note"))
    if analysis.attribution is None:
        blocks.append(Paragraph(text="Attribution over lags was not measured (0 rows explained).", tone="note"))
    return Section(id="inputs", title="Inputs", lead=lead, blocks=tuple(blocks))


_NO_FLOOR = (
    "No noise floor was measured: without a target a shadow of an input always moves the output, and nothing says "
    "whether for better or worse."
)


def _how(ablation: InputAblation) -> str:
    return (
        f"Each column was shuffled over the rows, all its time steps together, {ablation.repeats} "
        f"time{plural(ablation.repeats)}, while the rest stayed ({count(ablation.rows)} rows, loss: {ablation.loss}; "
        f"intervals: bootstrap of blocks of {count(ablation.block)} row{plural(ablation.block)})."
    )


def _survival(curve: SurvivalCurve, ablation: InputAblation, kept: int, *, priced: bool) -> SurvivalChart:
    names = tuple(shown(ablation.names[i]) for i in curve.order)
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            str(k) + (" (chosen)" if k == curve.chosen else ""),
            Name(text=names[k - 1]) if k else "none",
            number(float(curve.loss[k])),
            f"{number(float(curve.low[k]))} to {number(float(curve.high[k]))}",
        )
        for k in range(len(curve.loss))
    )
    left = len(rows) - MAX_ROWS
    return SurvivalChart(
        caption="Loss when only the best k inputs are left intact and all others are shuffled together",
        loss=ablation.loss,
        names=names,
        value=tuple(map(float, curve.loss)),
        low=tuple(map(float, curve.low)),
        high=tuple(map(float, curve.high)),
        chosen=curve.chosen,
        summary=f"With {curve.chosen} of {len(names)} inputs the loss is "
        f"{number(float(curve.loss[curve.chosen]))}; with all of them {number(float(curve.loss[-1]))}. "
        f"{curve.chosen} is the smallest number within one "
        f"standard error of the intact model.{_other_number(curve.chosen, kept)}"
        + (f" {_OTHER_LOSS}" if priced else ""),
        table=Table(
            id="survival-table",
            caption="Loss by number of inputs kept",
            columns=("#Inputs kept", "Added last", "#Loss", "95 % interval"),
            rows=rows[:MAX_ROWS],
            folded=True,
            note=f"{left} rows left out." if left > 0 else "",
        ),
    )


def _other_number(chosen: int, kept: int) -> str:
    """Why the verdicts keep another number than the curve marks; "" where they keep the same."""
    if chosen == kept:
        return ""
    if kept > chosen:
        return f" The verdicts keep {count(kept)}: they ask of each column whether its own benefit is beyond chance."
    return f" The verdicts keep {count(kept)}: of the others none has a benefit of its own beyond chance."


_OTHER_LOSS = (
    "Not the losses of the answer box: there the plan is carried out on its own rows, with dropped columns held at "
    "their mean."
)


def _ordered(material: Material) -> list[Verdict]:
    """Keep, tentative, drop; within each by falling rise of the loss."""
    ablation = material.analysis.ablation
    rank = {"keep": 0, "tentative": 1, "drop": 2}
    rise = ablation.change if ablation is not None else np.zeros(len(material.analysis.verdicts))
    return sorted(material.analysis.verdicts, key=lambda v: (rank[v.survives], -float(rise[v.index]), v.index))


def _rise(ablation: InputAblation | None, index: int) -> Whisker | None:
    if ablation is None:
        return None
    low, high = float(ablation.low[index]), float(ablation.high[index])
    return Whisker(value=float(ablation.change[index]), low=low, high=high)


def _overview(material: Material) -> Table:
    ablation = material.analysis.ablation
    rows = []
    ordered = _ordered(material)
    unread = [v for v in ordered if ablation is not None and not ablation.reads[v.index]]
    if len(unread) > FEW_UNREAD:
        ordered = [v for v in ordered if v not in unread]
    floor = material.analysis.shadows
    q, tested = (None, ()) if floor is None else (floor.q_value, floor.tested)
    for verdict in ordered[:MAX_ROWS]:
        rise = _rise(ablation, verdict.index)
        lags = input_lags(material.analysis, verdict.index)
        profile: Cell = Bars(values=lags, label=_lag_words(material, verdict.index)) if len(lags) > 1 else "–"
        rows.append(
            (
                Name(text=shown(verdict.name), href=f"input-{verdict.index}"),
                Badge(word=verdict.survives),
                sign(rise.value) if rise else "–",
                rise or "–",
                p_value(float(ablation.p_value[verdict.index])) if ablation is not None else "–",
                *(() if q is None else (p_value(float(q[verdict.index])) if tested[verdict.index] else "–",)),
                profile,
            )
        )
    loss = ablation.loss if ablation is not None else "loss"
    head = "#Change of the output" if loss == OUTPUT_CHANGE else f"#Rise of the {loss}"
    left, against = len(ordered) - len(rows), () if q is None else ("#q (shadows)",)
    return Table(
        id="inputs-table",
        caption=f"All inputs{' that the model reads' if len(unread) > FEW_UNREAD else ''} on one scale: what the model "
        "loses when a column is shuffled",
        columns=("Input", "Verdict", head, "95 % interval", "#p", *against, "Attribution over lags"),
        rows=tuple(rows),
        note=(
            "p: how often a bootstrap of the rise is not above zero; the cards below correct it for the number of "
            f"columns. Bars: mean size of the {_method(material)} per lag, lag 0 (the last step) on the left, each on "
            "its own scale."
        )
        + _shadow_note(floor)
        + (
            f" {len(unread)} inputs that the model cannot read are not listed: their rise is exactly 0."
            if len(unread) > FEW_UNREAD
            else ""
        )
        + (f" {left} inputs with the smallest rise are left out." if left else ""),
    )


def _method(material: Material) -> str:
    attribution = material.analysis.attribution
    return "attribution" if attribution is None else attribution.method


def _shadow_note(floor: Shadows | None) -> str:
    if floor is None:
        return ""
    if not floor.family:
        return " q: no input could be held against shadows."
    return (
        f" q: false discovery rate at which the input does better than {floor.copies} shadows of itself, moved in time "
        f"({count(floor.rows)} rows, {floor.family} input{plural(floor.family)} together)."
    )


def _lag_words(material: Material, index: int) -> str:
    """Where along the lags the attribution is: its peak, and how many lags hold half of it."""
    attribution = material.analysis.attribution
    if attribution is None:
        return ""
    profile = attribution.magnitude[..., index].mean(0).max(0)
    total = float(profile.sum())
    if len(profile) < 2 or total <= 0:
        return "no attribution at any lag" if total <= 0 else ""
    half = int(np.searchsorted(np.cumsum(profile) / total, LAG_SHARE_HALF)) + 1
    until = "lag 0 alone holds" if half == 1 else f"lags 0 to {half - 1} hold"
    return f"peak at lag {int(profile.argmax())}; {until} half of it"


def _cards(material: Material) -> InputCards:
    ordered = _ordered(material)
    items = tuple(_card(material, verdict) for verdict in ordered[:MAX_CARDS])
    rises = [item.rise for item in items if item.rise is not None]
    low = min([0.0, *(r.low for r in rises)])
    high = max([0.0, *(r.high for r in rises)])
    return InputCards(
        caption="Input by input",
        scale=(low, high),
        items=items,
        rest=tuple((f"input-{v.index}", v.survives, shorten(shown(v.name), 60)) for v in ordered[MAX_CARDS:MAX_LINES]),
    )


def _brief(analysis: Analysis, verdict: Verdict) -> InputCard:
    """A card with the verdict alone."""
    return InputCard(
        id=f"input-{verdict.index}",
        name=shown(verdict.name),
        verdict=verdict.survives,
        text=shown(verdict.text),
        facts=tuple(_swap_facts(analysis, verdict.index)),
        rise=None,
        lags=(),
        lags_text="",
    )


def _card(material: Material, verdict: Verdict) -> InputCard:
    analysis = material.analysis
    if analysis.ablation is not None and not analysis.ablation.reads[verdict.index]:
        return _brief(analysis, verdict)
    facts: list[tuple[str, str]] = []
    facts += _swap_facts(analysis, verdict.index)
    if verdict.substitutes:
        twins = "; ".join(f"{shown(name)} (r = {r:.2f})".replace("-", "−") for name, r in verdict.substitutes[:4])
        facts.append(("Carries much the same signal", twins))
    if analysis.attribution is not None:
        facts += _attribution_facts(analysis.attribution, verdict.index)
    if analysis.ablation is not None:
        facts += _ablation_facts(analysis.ablation, verdict.index)
    return InputCard(
        id=f"input-{verdict.index}",
        name=shown(verdict.name),
        verdict=verdict.survives,
        text=shown(verdict.text),
        facts=tuple(facts),
        rise=_rise(analysis.ablation, verdict.index),
        lags=input_lags(analysis, verdict.index),
        lags_text=_lag_words(material, verdict.index),
    )


def _swap_facts(analysis: Analysis, index: int) -> list[tuple[str, str]]:
    """Who stands in for a dropped column, or for whom a survivor stands in."""
    facts = []
    for swap in analysis.swaps:
        how = (
            f"r = {swap.correlation:.3f}".replace("-", "−")
            + f"; a curve of this column explains {percent(swap.smooth_r2)} of it"
        )
        if swap.dropped_index == index:
            facts.append(("Its place is taken by", f"{shown(swap.survivor)} ({how})"))
        elif swap.survivor_index == index and swap.back:
            facts.append(
                ("Would be replaced by", f"{shown(swap.dropped)} ({percent(swap.recovered.value)} of the loss)")
            )
    return facts[:MOST_FACTS]


def _attribution_facts(attribution: InputAttribution, index: int) -> list[tuple[str, str]]:
    size = attribution.magnitude[..., index].sum(-1).max(1)
    signed = attribution.signed[..., index].sum(-1)
    facts = []
    for b, baseline in enumerate(attribution.baselines):
        push = float(signed[b][np.abs(signed[b]).argmax()])
        facts.append(
            (f"{attribution.method} against {shown(baseline)}", f"{number(float(size[b]))}; signed sum {sign(push)}")
        )
    moved = float(attribution.perturbation[:, index].max())
    facts.append(("Output change when set to its mean", number(moved)))
    return facts


def _ablation_facts(ablation: InputAblation, index: int) -> list[tuple[str, str]]:
    facts = []
    if ablation.node_shares:
        share = float(ablation.node_shares[-1][:, index].max())
        facts.append(("Output variance lost when shuffled", percent(share)))
    norm = float(ablation.norms[index])
    if not np.isnan(norm):
        facts.append(("Norm of its first weights", number(norm)))
    return facts
