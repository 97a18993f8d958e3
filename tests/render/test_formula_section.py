"""The page's section Formula: what it is worth is said first, nothing is run, and it stays small."""

from __future__ import annotations

from dataclasses import replace

import html5lib
import pytest

from kaninterp.core.written import Written, WrittenEdge, WrittenOutput
from kaninterp.render import document, to_html, to_json, to_text
from kaninterp.render.blocks import Paragraph
from kaninterp.render.cells import Table
from kaninterp.render.formula_nouns import FormulaLines
from tests.render.synthetic import HOSTILE, synthetic, written_of

PLAIN = {"widths": (4, 3, 1), "names": ("a", "b", "c", "d"), "lags": 1, "backbone": False}
HYBRID = {"widths": (4, 2, 1), "live_units": 4}


def made(options=PLAIN, **written):
    analysis = synthetic(**options)
    return document(replace(analysis, formula=written_of(analysis, **written)))


def parts(doc):
    blocks = doc.section("formula").blocks
    return {getattr(block, "id", type(block).__name__): block for block in blocks}


def test_a_formula_stands_beside_its_model():
    found = parts(made())
    assert isinstance(found["Paragraph"], Paragraph)
    assert found["Paragraph"].text.startswith("The formula may stand for the model: on 350 held-out rows")
    assert "its mse is 0.0831 beside the model's 0.0824" in found["Paragraph"].text
    assert found["Paragraph"].tone == ""
    assert found["FormulaLines"].items[0].text == "temp_in_6h = 0.5*a**2 + 0*phi_0_0_0(a)"
    assert [row[1] for row in found["formula-losses"].rows] == [
        "0.0824",
        "0.0825",
        "0.0831",
        "+0.0007",
        "0.00165",
        "0.41",
    ]
    assert found["formula-losses"].caption.endswith("losses are in the units that the KAN gives")
    splines = found["formula-splines"]
    assert splines.caption.endswith("2 of 12")
    assert splines.rows[0][:1] + splines.rows[0][3:] == ("phi_0_0_0", "0.5", "no function comes near it")
    assert found["formula-edges"].folded
    assert "formula-units" not in found  # it is in columns itself


def test_a_formula_that_is_worse_is_called_worse():
    text = parts(made(holds=False))["Paragraph"]
    assert text.tone == "warning"
    assert text.text.startswith("The formula is worse than the model")
    assert "a rise of +0.02 (+0.01 to +0.03), where 0.00165 is allowed (2.0 % of the model's)" in text.text
    assert "do not tell the two apart" not in text.text


def test_a_worse_formula_within_its_interval_is_not_called_worse_for_sure():
    analysis = synthetic(**PLAIN)
    written = written_of(analysis, holds=False)
    unsure = replace(written.losses, rise=replace(written.losses.rise, low=-0.01))
    doc = document(replace(analysis, formula=replace(written, losses=unsure)))
    assert "The interval includes 0: these rows do not tell the two apart." in parts(doc)["Paragraph"].text


def test_a_formula_that_is_worse_than_a_constant_is_not_to_be_used():
    analysis = synthetic(**PLAIN)
    written = written_of(analysis, holds=False)
    lost = replace(
        written.losses, formula=1031.0, model=16.3, constant=31.8, rise=replace(written.losses.rise, value=1e3)
    )
    found = parts(document(replace(analysis, formula=replace(written, losses=lost))))
    assert found["Paragraph"].tone == "problem"
    assert found["Paragraph"].text.startswith("Do not use this formula: on 350 held-out rows")
    assert "worse than a constant, the mean of the model's outputs, with 31.8" in found["Paragraph"].text
    assert "outline" not in found["Paragraph"].text


def test_a_formula_as_good_as_a_model_that_is_worse_than_a_constant_stands_for_it():
    analysis = synthetic(**PLAIN)
    written = written_of(analysis)
    poor = replace(written.losses, constant=0.01)
    text = parts(document(replace(analysis, formula=replace(written, losses=poor))))["Paragraph"].text
    assert text.startswith("The formula may stand for the model")


def test_losses_in_standardised_units_say_so():
    analysis = synthetic(**PLAIN)
    written = written_of(analysis)
    scaled = replace(written.losses, standardised=True)
    found = parts(document(replace(analysis, formula=replace(written, losses=scaled))))
    assert "its mse in standardised units is 0.0831" in found["Paragraph"].text
    assert found["formula-losses"].columns[1] == "#mse in standardised units"
    assert found["formula-losses"].caption.endswith("losses are in standardised units")


def test_a_formula_that_is_not_defined_is_not_to_be_used():
    analysis = synthetic(**PLAIN)
    written = written_of(analysis)
    torn = replace(written.losses, rise=None, undefined=3, formula=float("inf"))
    doc = document(replace(analysis, formula=replace(written, losses=torn)))
    found = parts(doc)
    assert found["Paragraph"].tone == "problem"
    assert "on 3 of 350 held-out rows" in found["Paragraph"].text
    assert found["formula-losses"].rows[3][1:] == ("n/a", "n/a")
    html5lib.HTMLParser(strict=True).parse(to_html(doc))


def test_without_a_formula_one_line_says_why():
    analysis = synthetic(**PLAIN)
    doc = document(replace(analysis, formula=Written(live=2000, remark="the KAN has 2,000 live edges. Ask")))
    section = doc.section("formula")
    assert section.lead == "No formula: the KAN has 2,000 live edges. Ask."
    assert section.blocks == ()
    assert "formula" not in {each.id for each in document(analysis).sections}


def test_units_lead_to_their_passports():
    doc = made(HYBRID)
    table = parts(doc)["formula-units"]
    assert [row[0].text for row in table.rows] == ["unit 0", "unit 1"]
    page = to_html(doc)
    for (name, *_), unit in zip(table.rows, (0, 1), strict=True):
        drawn = f'id="passport-0-{unit}"' in page
        assert name.href == (f"passport-0-{unit}" if drawn else f"node-0-{unit}")
        assert f'<a href="#{name.href}"><bdi>{name.text}</bdi></a>' in page
    assert {name.href.split("-")[0] for name, *_ in table.rows} >= {"passport"}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name):
    analysis = synthetic(**{**PLAIN, "names": (name, "b", "c", "d"), "output_names": (name,)})
    written = written_of(analysis, name=name)
    page = to_html(document(replace(analysis, formula=written)))
    html5lib.HTMLParser(strict=True).parse(page)
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "\u202e" not in page
    page.encode("utf-8")


def test_the_page_stays_small_and_says_what_is_left_out():
    analysis = synthetic((16, 4, 20))
    edges = tuple(WrittenEdge(layer=0, dst=0, src=0, family=None, r2=0.1, why="no") for _ in range(2000))
    long = WrittenOutput(name="y", text="x0 + " * 20_000, latex="x_{0}" * 20_000, reads=(0,))
    written = replace(
        written_of(analysis), outputs=(long,) * 20, edges=edges, live=2000, dropped=("sin(x0)" * 500,) * 500
    )
    doc = document(replace(analysis, formula=written))
    bare = document(analysis)
    assert len(to_html(doc)) - len(to_html(bare)) < 250_000
    found = parts(doc)
    assert "8 more outputs are not shown" in found["FormulaLines"].note
    assert found["FormulaLines"].items[0].remark.startswith("The first 4,000 of 100,0")
    assert found["FormulaLines"].items[0].latex == ""
    assert len(found["formula-edges"].rows) == 200
    assert "1,800 more edges are not listed" in found["formula-edges"].note
    assert "476 more are not listed" in found["formula-dropped"].note
    assert "1,988 more" in found["formula-splines"].note


def test_three_views_and_the_same_bytes_twice():
    doc = made()
    assert isinstance(parts(doc)["formula-edges"], Table)
    assert isinstance(parts(doc)["FormulaLines"], FormulaLines)
    assert "temp_in_6h = 0.5*a**2" in to_text(doc)
    assert '"kind":"FormulaLines"' in to_json(doc)
    assert "<code>temp_in_6h = 0.5*a**2 + 0*phi_0_0_0(a)</code>" in to_html(doc)
    assert to_html(made()) == to_html(doc)
