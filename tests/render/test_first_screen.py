"""The first screen does not contradict the rest of the page."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from kaninterp.analysis import answers
from kaninterp.core import TrustReading
from kaninterp.core.evidence import OUTPUT_CHANGE, Estimate
from kaninterp.core.findings import Finding
from kaninterp.render import document, to_html
from kaninterp.render.blocks import AnswerBox, Paragraph, SurvivalChart
from kaninterp.render.cells import Table
from tests.render.synthetic import cost_of, synthetic, trust_readings_of

SHAPE = {"widths": (4, 3, 1), "names": ("a", "b", "c", "d"), "lags": 1, "backbone": False}


def box(doc):
    return next(block for block in doc.section("answer").blocks if isinstance(block, AnswerBox))


def warnings(doc):
    return [block.text for block in doc.section("answer").blocks if isinstance(block, Paragraph)]


def with_verdicts(analysis, survives, cause):
    changed = (replace(v, survives=survives, cause=cause) for v in analysis.verdicts)
    return replace(analysis, verdicts=tuple(changed))


def test_an_explanation_that_fails_its_checks_says_so_before_the_answer():
    doc = document(synthetic(**SHAPE, trust=trust_readings_of(skill=-0.8)))
    assert warnings(doc)[0].startswith("Do not trust this explanation")
    assert doc.section("answer").blocks.index(box(doc)) == 1
    assert warnings(document(synthetic(**SHAPE))) == []


def test_columns_that_give_the_target_are_named_before_the_answer():
    found = Finding(
        code="leak",
        severity="problem",
        claim="a + b gives the target exactly.",
        evidence="",
        advice="Take them out.",
        section="inputs",
    )
    assert warnings(document(replace(synthetic(**SHAPE), findings=(found,)))) == [
        f"{found.claim} Take them out. See Findings."
    ]


def test_without_a_target_the_check_says_what_was_not_measured():
    readings = [r for r in trust_readings_of() if r.check in {"completeness", "deletion"}]
    readings = [replace(r, value=0.9 if r.check == "deletion" else 0.0) for r in readings]
    doc = document(
        synthetic(**SHAPE, trust=(TrustReading(check="skill", value=math.nan, remark="no target"), *readings))
    )
    (line,) = [check for check in box(doc).checks if "Trust" in check.text]
    assert not line.passed
    assert "whether the model predicts anything was not measured" in line.text


def test_without_a_target_no_loss_rises():
    analysis = synthetic(**SHAPE, loss=False)
    cost = replace(
        cost_of(analysis), loss=OUTPUT_CHANGE, before=Estimate(value=0.0, low=0.0, high=0.0),
        after=Estimate(value=0.25, low=0.2, high=0.3), difference=Estimate(value=0.25, low=0.2, high=0.3),
    )  # fmt: skip
    doc = document(analysis, cost=cost, answers=answers(analysis, cost))
    assert "the outputs move by 0.25 of their variance" in box(doc).price
    assert "moves the outputs by 0.25 of their variance" in answers(analysis, cost)[-1].answer
    assert "Loss on held-out data" not in to_html(doc)


def test_a_column_that_never_changed_was_not_decided_on():
    analysis = synthetic(**SHAPE)
    fixed = replace(analysis.verdicts[0], survives="drop", cause="constant")
    kept = tuple(replace(v, survives="keep", cause="needed") for v in analysis.verdicts[1:])
    doc = document(replace(analysis, verdicts=(fixed, *kept)))
    assert any("3 of 4 inputs; 1 constant in it" in check.text for check in box(doc).checks)
    assert "1 constant in this data" in box(doc).drop_note
    assert "decides on every input" not in to_html(doc)


@pytest.mark.parametrize("survives", ["keep", "drop"])
def test_a_curve_that_marks_another_number_than_the_verdicts_says_why(survives):
    analysis = with_verdicts(synthetic(**SHAPE), survives, "noise" if survives == "drop" else "needed")
    chart = next(b for b in document(analysis).section("inputs").blocks if isinstance(b, SurvivalChart))
    kept = 4 if survives == "keep" else 0
    assert (f"The verdicts keep {kept}" in chart.summary) is (kept != analysis.curve.chosen)


def test_a_table_of_pairs_is_never_empty():
    analysis = synthetic(**SHAPE)
    weak = replace(analysis.interactions, **{
        name: getattr(analysis.interactions, name) * 1e-6 for name in ("share", "low", "high")
    })  # fmt: skip
    table = next(
        b for b in document(replace(analysis, interactions=weak)).section("inputs").blocks
        if isinstance(b, Table) and b.id == "together"
    )  # fmt: skip
    assert len(table.rows) == 1
