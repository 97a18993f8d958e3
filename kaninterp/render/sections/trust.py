"""Section 9: what speaks for and against the explanation itself, each number with its limit and a verdict."""

from __future__ import annotations

import math

from kaninterp.analysis.trust import ENOUGH_FAILED, JudgedCheck, Trust
from kaninterp.core.trust import TrustReading
from kaninterp.render.blocks import Block, Paragraph, Section
from kaninterp.render.cells import Badge, Cell, Table
from kaninterp.render.material import Material
from kaninterp.render.wording import count, number, plural, shown

__all__ = ["trust_section"]

NOT_MEASURED = "Not measured: nothing on this page says whether the explanation holds. Ask for trust=True."
TONES = {"fail": "problem", "weak": "warning", "unmeasured": "note", "pass": ""}
HOW = (
    "The explanation as a whole fails when the model predicts no better than a constant, or less than half as well as "
    "another kind of model that saves far more of the loss, or when "
    f"{ENOUGH_FAILED} other checks fail, one of which has to be more than an order or a choice of columns, since "
    "columns that stand in for each other upset those alone. It is weak when a check fails, when "
    f"{ENOUGH_FAILED} are weak, or when it is not known whether the model predicts anything. Most checks hold the "
    "explanation against the model: one that knows nothing may be explained perfectly well, which is why skill "
    "decides first."
)


def trust_section(material: Material) -> Section:
    """Overall verdict, a table of checks, and what each rests on."""
    trust = material.analysis.trust
    if trust is None:
        return _section(NOT_MEASURED, ())
    blocks: tuple[Block, ...] = (_checks(trust), _grounds(trust), Paragraph(text=HOW, tone="note"))
    return _section(_lead(trust), (Paragraph(text=trust.text, tone=TONES[trust.status]), *blocks))


def _section(lead: str, blocks: tuple[Block, ...]) -> Section:
    return Section(id="trust", title="Trust", lead=lead, blocks=blocks)


def _lead(trust: Trust) -> str:
    left = len(trust.checks) - trust.measured
    more = f"; {count(left)} could not be measured" if left else ""
    return (
        f"{count(trust.measured)} check{plural(trust.measured)} that a wrong explanation, or a model that knows "
        f"nothing, would not pass{more}."
    )


def _checks(trust: Trust) -> Table:
    return Table(
        id="trust-checks",
        caption="Checks of this explanation",
        columns=("Check", "Verdict", "#Value", "#95 % interval", "#By chance", "Passes", "What it asks"),
        rows=tuple(_row(judged) for judged in trust.checks),
        note="By chance: what is reached without any knowledge. n/a: there is no such number, or no interval.",
    )


def _row(judged: JudgedCheck) -> tuple[Cell, ...]:
    check, reading = judged.check, judged.reading
    return (
        check.title,
        Badge(word=judged.status),
        number(reading.value, 2),
        _interval(reading),
        number(reading.chance, 2),
        check.limit,
        check.asks,
    )


def _interval(reading: TrustReading) -> str:
    if math.isnan(reading.low) or math.isnan(reading.high):
        return "n/a"
    return f"{number(reading.low, 2)} to {number(reading.high, 2)}"


def _grounds(trust: Trust) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (judged.check.title, _measured_on(judged), f"{judged.check.why}.") for judged in trust.checks
    )
    return Table(
        id="trust-grounds",
        caption="What each check rests on, and where its limit comes from",
        columns=("Check", "Measured on", "Why this limit"),
        rows=rows,
        folded=True,
    )


def _measured_on(judged: JudgedCheck) -> str:
    reading = judged.reading
    return shown(reading.effort or "not told") if reading.measured else f"Not measured: {shown(reading.remark)}."
