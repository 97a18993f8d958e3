"""Where shadows are shown: the noise band of the ruler, q-values in both tables, and a word where there are none."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from kaninterp.render import Report, document
from kaninterp.render.readings import readings
from tests.render.synthetic import synthetic

SIZES = {"widths": (4, 3, 1), "names": ("income", "age", "height", "noise"), "lags": 1, "backbone": False}


def html(analysis) -> str:
    return Report(document(analysis)).to_html()


@pytest.fixture(scope="module")
def analysis():
    return synthetic(**SIZES)


def band(analysis):
    return next(r for r in readings(analysis) if r.key == "loss")


def test_the_noise_band_is_the_floor_of_the_edges(analysis):
    edges = sum(int(t.sum()) for t in analysis.shadows.edge_tested)
    assert band(analysis).noise == analysis.shadows.edge_floor
    assert f"30 shadows of each of {edges} edges, 500 rows" in band(analysis).noise_text
    assert "noise band to 0.0002" in html(analysis)


def test_without_a_floor_of_edges_there_is_no_band_or_the_one_of_the_columns(analysis):
    flat = replace(analysis, shadows=replace(analysis.shadows, edge_floor=0.0))
    assert band(flat).noise is None
    assert "fewer than one in twenty shadow edges" in band(flat).noise_text
    for other in (None, replace(analysis.shadows, loss="mae")):  # not in the units of the ruler
        assert band(replace(analysis, shadows=other)).noise != analysis.shadows.edge_floor


def test_both_tables_have_a_column_of_q_values(analysis):
    page = html(analysis)
    assert len(re.findall(r"<th[^>]*>q \(shadows\)", page)) == 2
    bare = html(replace(analysis, shadows=None))
    assert "q (shadows)" not in bare
    table = re.search(r"Scores of the \d+ edges.*?</table>", page, re.DOTALL).group()
    columns = table.split("<tbody>")[0].count("<th ")
    assert all(row.count("<td") == columns for row in table.split("<tr>")[2:])


def test_the_document_holds_the_q_values_of_its_edges(analysis):
    found = json.loads(Report(document(analysis)).to_json())
    figure = next(b for s in found["sections"] if s["id"] == "network" for b in s["blocks"] if "edges" in b)
    edges, q = figure["edges"], analysis.shadows.edge_q_value
    for layer, dst, src, shown in zip(edges["layer"], edges["dst"], edges["src"], edges["q"], strict=True):
        assert shown == pytest.approx(q[layer][dst, src], rel=0.05)


def test_what_is_missing_is_said(analysis):
    assert "No noise floor was measured: without a target" in html(synthetic(**SIZES, loss=False))
    few = replace(analysis, shadows=replace(analysis.shadows, remark="30 rows are <few>."))
    assert "30 rows are &lt;few&gt;." in html(few)
    assert "No noise floor" not in html(analysis)


def test_the_glossary_says_what_a_shadow_is(analysis):
    page = html(analysis)
    assert "Shadow input, shadow edge" in page
    assert "q-value" in page
