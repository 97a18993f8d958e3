"""Edges with something to mend come first, each with its picture, cause and fix."""

from __future__ import annotations

import numpy as np
import pytest

from kaninterp.analysis import analyze
from kaninterp.analysis.straightness import CAUSES
from kaninterp.render import document
from kaninterp.render.edge_figure import edge_figure
from kaninterp.render.edge_nouns import EdgeCards
from kaninterp.render.html import to_html
from tests.traces import Net, random_inputs


def ranges_of(functions, x, **options):
    names = options.pop("names", None)
    trace = Net.of([[functions]], domains=[np.tile([-1.0, 1.0], (len(functions), 1))]).trace(x, raw_names=names)
    return document(analyze(trace))


def cards(doc):
    return next((block for block in doc.section("ranges").blocks if isinstance(block, EdgeCards)), None)


def test_flagged_edges_come_by_cause_and_the_table_has_all():
    x = random_inputs(4, 800) * [1, 0.05, 1, 1] + [0, 0, 4, 0]
    doc = ranges_of(
        [lambda v: np.sin(3 * v), np.exp, lambda v: v, lambda v: 2 * v], x, names=["bent", "sliver", "far", "line"]
    )
    found = cards(doc)
    assert [card.source.text for card in found.items] == ["far", "sliver"]
    assert [card.why for card in found.items] == [
        f"Straight: {CAUSES[cause].why}." for cause in ("out-of-domain", "under-used")
    ]
    assert found.items[0].fix.startswith("Update the domains")
    table = next(b for b in doc.section("ranges").blocks if getattr(b, "id", "") == "edge-straightness")
    assert [(row[0].text, row[2]) for row in table.rows] == [
        ("far", "out-of-domain"), ("sliver", "under-used"), ("bent", "curved"), ("line", "linear"),
    ]  # fmt: skip


def test_a_curved_edge_whose_data_leave_the_grid_is_flagged_too():
    doc = ranges_of([lambda v: np.sin(3 * v)], random_inputs(1, 500) * 1.3)
    (card,) = cards(doc).items
    assert card.why.startswith("Curved, but its input leaves the domain on ")


def test_nothing_to_mend_no_cards():
    assert cards(ranges_of([np.exp], random_inputs(1, 500))) is None


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_picture_stays_in_its_frame(scale):
    """Whatever the units: no coordinate beyond the view box, curve and axis in the same scale."""
    doc = ranges_of([lambda v: scale * np.exp(v)], random_inputs(1, 500) * 1.3)
    (card,) = cards(doc).items
    drawing = edge_figure(card.figure)
    top, bottom = (float(f"{v:.3g}") for v in (max(card.figure.curve), min(card.figure.curve)))
    assert top > 0 > bottom
    assert drawing.count("<path") == 4  # zero line, bars inside, bars outside, curve: the net has no base branch
    assert "nan" not in drawing


def test_hostile_names_are_shown_as_text():
    doc = ranges_of([lambda v: v], random_inputs(1, 100) + 5, names=["</h4><script>alert(1)</script>"])
    page = to_html(doc)
    assert "<script>alert" not in page
    assert "&lt;/h4&gt;&lt;script&gt;" in page
