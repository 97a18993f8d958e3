"""The page's section Trust: every number with its verdict in words, and silence never taken for consent."""

from __future__ import annotations

import pytest

from kaninterp.core import TrustReading
from kaninterp.render import document, to_html, to_text
from kaninterp.render.blocks import AnswerBox, Paragraph
from kaninterp.render.cells import Badge, Table
from tests.render.synthetic import synthetic, trust_readings_of

SHAPE = {"widths": (4, 3, 1), "names": ("a", "b", "c", "d"), "lags": 1, "backbone": False}


def made(trust):
    return document(synthetic(**SHAPE, trust=trust))


def tables(doc):
    return {block.id: block for block in doc.section("trust").blocks if isinstance(block, Table)}


def trust_lines(doc):
    box = next(block for block in doc.section("answer").blocks if isinstance(block, AnswerBox))
    return [check for check in box.checks if "Trust" in check.text]


def test_nothing_measured_is_said_and_promises_nothing():
    doc = made(None)
    assert doc.section("trust").lead.startswith("Not measured")
    assert doc.section("trust").blocks == ()
    assert trust_lines(doc) == []


def test_every_check_has_a_verdict_in_words_and_the_failed_ones_are_named_on_top():
    doc = made(trust_readings_of())
    table = tables(doc)["trust-checks"]
    assert [row[1] for row in table.rows] == [
        Badge(word=word) for word in ("pass", "pass", "fail", "weak", "pass", "weak", "unmeasured", "fail")
    ]
    assert table.rows[0][2:5] == ("0.62", "0.57 to 0.67", "0")
    first = doc.section("trust").blocks[0]
    assert isinstance(first, Paragraph)
    assert first.text.startswith("Do not trust")
    assert first.tone == "problem"
    assert "insertion and other rows: ranking" in first.text
    (line,) = trust_lines(doc)
    assert not line.passed
    assert line.text.startswith("3 of 7 checks")
    html = to_html(doc)
    for word in ("pass", "weak", "fail", "unmeasured"):
        assert f'<span class="shape {word}" aria-hidden="true"></span> {word}</span>' in html


def test_reasons_are_shown_as_text():
    doc = made(trust_readings_of())
    grounds = {row[0]: row[1] for row in tables(doc)["trust-grounds"].rows}
    assert grounds["Sensitivity"] == "Not measured: no input moves the <output>."
    assert "no input moves the &lt;output&gt;" in to_html(doc)


@pytest.mark.parametrize(
    ("value", "word", "passed"), [(0.62, "This explanation passes", True), (0.05, "with care", False)]
)
def test_good_and_doubtful_ones_are_told_apart(value, word, passed):
    skill = TrustReading(check="skill", value=value, low=value - 0.02, high=value + 0.02, chance=0.0, effort="9 rows")
    doc = made((skill,))
    assert word in to_text(doc)
    assert [line.passed for line in trust_lines(doc)] == [passed]
