"""The page about a pruning: the same rules as the report's."""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import html5lib
import numpy as np
import pytest

from kaninterp.core import Estimate, PartVerdict, Reason, SurvivalPath, SurvivalTable, Verdict
from kaninterp.core.pruned import Efficiency, HeldOut, PruneReport, StepLine
from kaninterp.render import Report, prune_document, to_html, to_json, to_text
from kaninterp.render.loss_curve import loss_curve
from kaninterp.render.sections.pruned_parts import ranges
from tests.render.synthetic import HOSTILE

NAN = float("nan")


def estimate(value, spread=0.1):
    return Estimate(value=value, low=value - spread, high=value + spread)


def cost(scale=1.0, **options):
    return Efficiency(
        parameters=int(1000 * scale), nonzero=int(900 * scale), multiply_adds=int(5000 * scale),
        bytes_on_disk=int(9000 * scale), latency_ms=2.0 * scale, latency_iqr_ms=0.1, latency_best_ms=1.9 * scale,
        throughput=1000 / scale, batch=64, threads=2, repeats=50, **options,
    )  # fmt: skip


def pruned(names=("income", "age", "noise"), *, measured=True, plain=True) -> PruneReport:
    kept = tuple(range(0, len(names), 2))
    gone = tuple(range(1, len(names), 2))
    reasons = (
        Reason(kind="edge", place=(0, 1, 1), score=0.01, threshold=0.03, text="kan2 0.01 < 0.03"),
        Reason(kind="node", place=(1, 1), score=0.0, threshold=0.03, text="nobody reads it"),
        *(Reason(kind="input", place=(i,), score=0.0, threshold=0.0, text=f"no rise: {names[i]}") for i in gone),
    )
    held = HeldOut(
        loss="mse", rows=400, before=estimate(0.5), after=estimate(0.55), difference=estimate(0.05, 0.02),
        score="R2", score_before=estimate(0.9), score_after=estimate(0.88), score_difference=estimate(-0.02, 0.01),
    )  # fmt: skip
    line = {"nodes": 5, "parameters": 1000}
    return PruneReport(
        kept_inputs=tuple(names[i] for i in kept),
        dropped_inputs=tuple(names[i] for i in gone),
        node_ids=(kept, (0, 2), (0,)),
        widths=((len(names), 3, 1), (len(kept), 2, 1)),
        edges=(12, 6),
        nodes=(7, 5),
        parameters=(1000, 250),
        reasons=reasons,
        input_ids=kept,
        node_names=(
            tuple(names[i] for i in kept) if plain else tuple(f"unit {i}" for i in kept),
            ("node 1.0", "node 1.2"),
            ("y<0>",),
        ),
        model="Hybrid",
        held_out=held if measured else None,
        efficiency=(cost(compiled_ms=1.0, compiled_iqr_ms=0.1), cost(0.25, compiled_ms=0.5, compiled_iqr_ms=0.1))
        if measured
        else None,
        steps=(
            StepLine(step=0, label="start", edges=12, inputs=None, **line),
            StepLine(step=1, label="kan2 < 0.03", edges=6, inputs=2, train=Estimate(value=0.4, low=NAN, high=NAN),
                     held_out=estimate(0.55), multiply_adds=1250, latency_ms=0.5, **line),
        )
        if measured
        else (),
    )  # fmt: skip


def falling(level, kept, loss, chosen, places) -> SurvivalPath:
    loss, points = np.array(loss), len(kept)
    return SurvivalPath(
        level=level, kept=np.array(kept), threshold=np.arange(points, dtype=float), loss=loss, low=loss - 0.05,
        high=loss + 0.05, rise=loss - loss.min(), error=np.full(points, 0.02), best=int(loss.argmin()), chosen=chosen,
        places=np.array(places), survival=np.linspace(0, 1, len(places)),
    )  # fmt: skip


def chosen(names=("income", "age", "noise")) -> PruneReport:
    """`pruned` as data would have decided it, with the curves."""
    report, n = pruned(names), len(names)
    kept = set(report.input_ids)
    table = SurvivalTable(
        names=tuple(names), loss="mse", rows=400, block=5, held_out="the last <400> rows", base=estimate(0.5),
        inputs=falling("inputs", range(n, -1, -1), [0.51, 0.5, *[0.5 + 30 * i for i in range(1, n)]], 1,
                       [[i] for i in range(n)]),
        edges=falling("edges", [6, 4, 3], [0.5, 0.52, 0.9], 1, [(0, 0, 0), (0, 0, 2), (1, 0, 0)]),
        verdicts=tuple(
            Verdict(index=i, name=name, survives=("keep" if i else "tentative") if i in kept else "drop",
                    cause="needed", text=f"told: {name}")
            for i, name in enumerate(names)
        ),
        parts=tuple(
            PartVerdict(kind="edge", place=(0, 0, k), name=f"{names[k % n]} → node 1.0", survives=word, cause=cause,
                        share=share)
            for k, (word, cause, share) in enumerate([("keep", "needed", 1.0), ("drop", "with-column", None),
                                                      ("tentative", "weak", 0.6), *[("drop", "noise", 0.02)] * 40])
        ),
    )  # fmt: skip
    return replace(report, survival=table)


CASES = {
    "usual": pruned(),
    "hostile": pruned(HOSTILE),
    "bare": pruned((), measured=False),
    "units": pruned(plain=False),
    "many": pruned(tuple(f"pixel {i}" for i in range(784)), plain=False),
    "chosen": chosen(),
    "chosen-hostile": chosen(HOSTILE),
}


@pytest.fixture(params=list(CASES), scope="module")
def html(request) -> str:
    return to_html(prune_document(CASES[request.param], call="run = run.undo()", versions=(("torch", "2"),)))


def test_strict_parser_finds_nothing_wrong(html):
    html5lib.HTMLParser(strict=True).parse(html)


def test_ids_are_unique_and_every_reference_is_met(html):
    body = html[: html.index('<script type="application/json"')]
    ids = re.findall(r'\sid="([^"]*)"', body)
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'href="#([^"]*)"', body)) | set(re.findall(r'aria-labelledby="([^"]*)"', body))
    assert wanted <= set(ids)


def test_nothing_points_outside_and_names_are_escaped(html):
    assert not re.search(r"(https?:)?//[a-z]", html.replace("http://www.w3.org/2000/svg", ""))
    assert not any(part.get("src") for part in html5lib.parse(html, namespaceHTMLElements=False).iter())
    assert html.count("</script>") == 2
    assert "<img" not in html
    assert "\u202e" not in html
    assert "y<0>" not in html
    assert "default-src &#39;none&#39;" in html


def test_tables_have_captions_and_figures_have_words(html):
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    for table in tree.iter("table"):
        assert "".join(table.find("caption").itertext()).strip()
        assert table.find(".//th[@scope]") is not None
    for svg in tree.iter("{http://www.w3.org/2000/svg}svg"):
        assert svg.get("aria-hidden") == "true" or svg.get("aria-label")


def test_headings_do_not_skip_a_level(html):
    levels = [int(level) for level in re.findall(r"<h([1-6])", html)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_page_is_small(html):
    assert len(html.encode()) < 1_000_000


def test_same_bytes_twice():
    assert to_html(prune_document(CASES["usual"])) == to_html(prune_document(pruned()))


def test_numbers_are_those_of_the_report():
    text = to_text(prune_document(CASES["usual"]))
    assert "2 of 3 inputs and 6 of 12 edges are left, with 25 % of the parameters." in text
    assert "The loss on held-out data rises: 0.5 → 0.55 mse (difference +0.05" in text
    assert re.search(r"Multiply-adds per row +5,000 +1,250 +× 0.25", text)
    assert re.search(r"Latency compiled, ms +1 +0.5 +× 0.5", text)
    assert re.search(r"R2 +0.9 \(0.8 to 1\) +0.88", text)
    assert re.search(r"1  kan2 < 0.03 +6 +5 +2 +1,000 +1,250 +0.5 +0.4 +0.55", text)
    assert "✓ Latency falls by more than it spreads: 2 → 0.5 ms." in text
    assert "! The loss rises beyond noise." in text
    assert "age → node 1.1" in text
    assert re.search(r"Layer 1 +3 +2 +0, 2 +node 1.0 and node 1.2", text)


def test_an_edge_out_of_a_unit_is_not_named_after_a_column():
    assert "unit 1 → node 1.1" in to_text(prune_document(CASES["units"]))


def test_what_was_not_measured_is_not_shown():
    document = prune_document(CASES["bare"])
    assert [section.id for section in document.sections] == ["answer", "reasons", "map", "model", "glossary"]
    assert "was not measured" in to_text(document)


def test_the_curves_say_what_is_enough():
    document = prune_document(CASES["chosen"])
    section = document.section("enough")
    assert [section.id for section in document.sections][1:3] == ["accuracy", "enough"]
    assert [(block.what, block.kept, block.best, block.chosen) for block in section.blocks[:2]] == [
        ("inputs", (3, 2, 1, 0), 1, 1), ("edges", (6, 4, 3), 0, 1),
    ]  # fmt: skip
    text = to_text(document)
    assert "2 of 3 inputs are kept: loss 0.5, the lowest of all." in text
    assert "4 of 6 edges are kept: loss 0.52, +0.02 against the best, standard error 0.02." in " ".join(text.split())
    assert re.search(r"  4 +0.52 +0.47 to 0.57 +\+0.02 +0.02 +◆ chosen", text)
    assert "enough" not in [section.id for section in prune_document(CASES["usual"]).sections]


def test_columns_that_stay_without_being_sure_are_told_apart():
    document = prune_document(CASES["chosen"])
    box = document.section("answer").blocks[0]
    assert [[name.text for name in names] for names in (box.keep, box.tentative, box.drop)] == [
        ["noise"], ["income"], ["age"],
    ]  # fmt: skip
    cards = {card.name: card for card in document.section("inputs").blocks[0].items}
    assert (cards["income"].verdict, cards["income"].text) == ("tentative", "told: income")
    assert cards["noise"].verdict == "keep"
    assert document.section("inputs").lead.startswith("2 kept, 1 of them tentative, 1 dropped.")
    assert "Kept, but not for sure" in to_html(document)
    assert "Kept, but not for sure" not in to_html(prune_document(CASES["usual"]))


def test_edges_are_listed_with_the_most_doubtful_first():
    table = prune_document(CASES["chosen"]).section("enough").blocks[2]
    assert len(table.rows) == 30
    assert [cell.word for cell in next(zip(*[row[2:3] for row in table.rows[:2]], strict=True))] == [
        "tentative",
        "drop",
    ]
    assert table.rows[0][0].text == "noise → node 1.0"
    assert table.rows[0][3] == "60 %"
    assert "Edges: 1 keep, 1 tentative, 41 drop; Nodes: 0 keep, 0 tentative, 0 drop." in table.note
    assert "13 surer ones" in table.note
    assert json.loads(CASES["chosen"].to_json())["survival"]["parts"][2]["share"] == 0.6


def test_a_curve_is_drawn_where_its_losses_are():
    chart = prune_document(CASES["chosen"]).section("enough").blocks[1]
    drawing = ElementTree.fromstring(str(loss_curve(chart)))
    dots = [(float(c.get("cx")), float(c.get("cy"))) for c in drawing.iter("circle") if c.get("class") == "pt"]
    assert len(dots) == 3
    (x0, y0), (x1, y1), (x2, y2) = dots
    assert x0 > x1 > x2  # everything is on the right
    assert (y1 - y0) / (y2 - y0) == pytest.approx(0.02 / 0.4, abs=0.02)
    assert y2 < y1 <= y0
    (ring,) = [c for c in drawing.iter("circle") if c.get("class") == "ring"]
    assert (float(ring.get("cx")), float(ring.get("cy"))) == dots[0]
    assert [t.text for t in drawing.iter("text") if "strong" in t.get("class")] == ["chosen: 4 edges", "4"]
    assert "4 of 6 edges are kept" in drawing.get("aria-label")


def test_a_steep_curve_has_a_logarithmic_axis():
    chart = prune_document(CASES["chosen"]).section("enough").blocks[0]
    drawing = ElementTree.fromstring(str(loss_curve(chart)))
    height = [float(c.get("cy")) for c in drawing.iter("circle") if c.get("class") == "pt"]
    # 0.51, 0.5, 30.5, 60.5
    assert (height[1] - height[2]) / (height[1] - height[3]) == pytest.approx(math.log(61) / math.log(121), abs=0.02)
    assert any("log scale" in (t.text or "") for t in drawing.iter("text"))
    alone = replace(chart, kept=(3,), value=(0.5,), low=(0.4,), high=(0.6,), best=0, chosen=0)
    assert "chosen, and the best: 3 inputs" in str(loss_curve(alone))


def test_json_of_the_report_holds_the_curves():
    read = json.loads(CASES["chosen"].to_json())["survival"]
    assert read["edges"]["kept"] == [6, 4, 3]
    assert read["inputs"]["loss"][0] == 0.51
    assert json.loads(CASES["usual"].to_json())["survival"] is None


def test_json_is_the_document():
    document = prune_document(CASES["hostile"])
    read = json.loads(to_json(document))
    assert read["sections"][0]["blocks"][0]["kind"] == "AnswerBox"
    assert Report(document).to_json() == to_json(document)


def test_runs_of_numbers_are_short():
    assert ranges(tuple(range(1000))) == "0–999"
    assert ranges(()) == ""
    assert ranges(tuple(range(0, 200, 2))).endswith("and 60 more runs")
