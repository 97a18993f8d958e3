"""What a document says: the numbers of the analysis, for every shape of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kaninterp.analysis.missing import DRAWING_LIMIT
from kaninterp.render import document, to_json, to_text
from kaninterp.render.blocks import AnswerBox, InputCards
from kaninterp.render.document import SECTIONS
from kaninterp.render.figure_nouns import NetworkFigure
from tests.render.synthetic import answers_of, cost_of, synthetic, trust_readings_of

SHAPES = {
    "usual": {"widths": (32, 8, 1)},
    "trusted": {"widths": (8, 4, 1), "trust": trust_readings_of()},
    "two live units": {"widths": (32, 8, 1), "live_units": 2},
    "plain": {"widths": (4, 5, 1), "names": ("a", "b", "c", "d"), "lags": 1, "backbone": False},
    "outputs": {"widths": (12, 6, 3)},
    "one layer": {"widths": (6, 1)},
    "nothing measured": {"widths": (16, 8, 1), "measured": False},
    "no columns": {"widths": (16, 8, 1), "names": None},
    "no loss": {"widths": (8, 4, 1), "loss": False},
    "one input": {"widths": (3, 2, 1), "names": ("only",), "lags": 3},
}


def made(shape: str):
    analysis = synthetic(**SHAPES[shape])
    return analysis, document(analysis, cost=cost_of(analysis), answers=answers_of(analysis))


def block(doc, section: str, kind: type):
    return next(b for b in doc.section(section).blocks if isinstance(b, kind))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_section_is_there_for_every_shape(shape):
    _, doc = made(shape)
    assert [s.id for s in doc.sections] == [
        "answer",
        "findings",
        "network",
        "inputs",
        "ranges",
        "trust",
        "model",
        "glossary",
    ]
    assert len(doc.sections) == len(SECTIONS) - 2  # no drift without a reference, no formula unasked


@pytest.mark.parametrize("shape", SHAPES)
def test_findings_and_answers_link_to_sections_that_exist(shape):
    _, doc = made(shape)
    known = {s.id for s in doc.sections}
    for section in doc.sections:
        for part in section.blocks:
            for item in getattr(part, "items", ()):
                assert getattr(item, "section", "answer") in known


def test_answer_box_repeats_the_verdicts_and_the_price():
    analysis, doc = made("usual")
    box = block(doc, "answer", AnswerBox)
    verdicts = {
        kind: {v.name for v in analysis.verdicts if v.survives == kind} for kind in ("keep", "tentative", "drop")
    }
    assert {n.text for n in box.keep} == verdicts["keep"]
    assert {n.text for n in box.drop} == verdicts["drop"]
    survivors = len(verdicts["keep"]) + len(verdicts["tentative"])
    assert box.headline.startswith(f"{survivors} of 28 inputs survive")
    cost = cost_of(analysis)
    assert (box.before.value, box.after.value) == (cost.before.value, cost.after.value)
    assert "does not change beyond noise" in box.price
    rises = [analysis.ablation.change[int(n.href.split("-")[1])] for n in box.keep]
    assert rises == sorted(rises, reverse=True)


def test_a_rise_beyond_the_noise_is_called_a_rise():
    analysis = synthetic((8, 4, 1))
    cost = cost_of(analysis)
    from dataclasses import replace

    from kaninterp.core import Estimate

    dearer = replace(cost, difference=Estimate(value=0.0824, low=0.07, high=0.09))
    price = block(document(analysis, cost=dearer), "answer", AnswerBox).price
    assert "the loss rises by 100 %" in price
    cheaper = replace(cost, difference=Estimate(value=-0.00824, low=-0.009, high=-0.007))
    assert "the loss falls by 10 %" in block(document(analysis, cost=cheaper), "answer", AnswerBox).price


def test_without_a_price_none_is_claimed():
    analysis = synthetic((8, 4, 1))
    box = block(document(analysis), "answer", AnswerBox)
    assert box.after is None
    assert "was not carried out" in box.price


def test_figure_draws_exactly_the_edges_from_the_limit_on():
    analysis, doc = made("usual")
    figure = block(doc, "network", NetworkFigure)
    edges = figure.edges
    strong = sum(
        int(((s.kan2.max(0) >= DRAWING_LIMIT) & t.edges.alive).sum())
        for s, t in zip(analysis.scores, analysis.trace.layers, strict=True)
    )
    assert edges.drawn == strong
    assert len(edges) == sum(int(t.edges.alive.sum()) for t in analysis.trace.layers)
    column = [r.key for r in figure.readings].index("kan2")
    for i in (0, edges.drawn - 1, len(edges) - 1):
        layer, dst, src = edges.layer[i], edges.dst[i], edges.src[i]
        assert edges.readings[column][i] == pytest.approx(analysis.scores[layer].kan2[:, dst, src].max(), rel=1e-3)
        assert edges.kept[i] == analysis.plan.mask.layers[layer][dst, src]
    values = edges.readings[column]
    assert list(values) == sorted(values, reverse=True)


def test_curves_are_those_of_the_trace():
    analysis, doc = made("usual")
    figure = block(doc, "network", NetworkFigure)
    edges = figure.edges
    layer, dst, src = edges.layer[0], edges.dst[0], edges.src[0]
    table = analysis.trace.layers[layer].edges
    x = np.linspace(*figure.axes[layer].window[src], len(edges.curve[0]))
    want = np.interp(x, table.curve_x[src], table.curves[dst, src]) - table.mean[dst, src]
    got = edges.low[0] + (edges.high[0] - edges.low[0]) * np.array(edges.curve[0]) / 1000
    assert np.abs(got - want).max() <= 2e-3 * np.ptp(want)


def test_units_without_a_drawn_edge_are_named_with_a_reason():
    _, doc = made("two live units")
    figure = block(doc, "network", NetworkFigure)
    units = [n for n in figure.nodes if n.kind == "unit"]
    assert sum(n.live for n in units) == 2
    assert all("masked" in n.note for n in units if not n.live)
    table = next(t for t in figure.companions if t.id == "missing")
    assert len([row for row in table.rows if row[0].text.startswith("unit")]) == 30


def test_readings_that_disagree_raise_a_banner_with_an_example():
    from dataclasses import replace

    from kaninterp.core import EdgeAblation

    analysis = synthetic((16, 4, 1))
    upside_down = EdgeAblation(
        loss="mse",
        rows=512,
        base=0.1,
        change=tuple(np.where(s.kan2[0] > 0, 1 - s.kan2[0], 0.0) for s in analysis.scores),
    )
    doc = document(replace(analysis, edge_ablation=upside_down))
    banner = doc.section("network").blocks[0]
    assert banner.tone == "warning"
    assert "rank correlation of −" in banner.text or "rank correlation of -" in banner.text
    assert "is number" in banner.text
    agreeing = EdgeAblation(loss="mse", rows=512, base=0.1, change=tuple(s.kan2[0] for s in analysis.scores))
    same = tuple(replace(s, norm=s.kan2[0], strength=s.kan2[0]) for s in analysis.scores)
    calm = document(replace(analysis, edge_ablation=agreeing, scores=same))
    assert isinstance(calm.section("network").blocks[0], NetworkFigure)


def test_every_input_has_a_card_with_its_reason():
    analysis, doc = made("usual")
    cards = block(doc, "inputs", InputCards).items
    assert {c.name for c in cards} == {v.name for v in analysis.verdicts}
    by_name = {v.name: v for v in analysis.verdicts}
    assert all(c.text == by_name[c.name].text and c.verdict == by_name[c.name].survives for c in cards)
    top = cards[0]
    assert top.rise.value == max(analysis.ablation.change)


def range_table(doc):
    return next(block for block in doc.section("ranges").blocks if getattr(block, "id", "") == "ranges-0")


def test_reference_ranges_are_shown_beside_the_given_data():
    table = range_table(document(synthetic((8, 4, 1))))
    assert table.columns[3:6] == ("#Trained", "#Reference", "#Change")
    assert all(len(row[-1].reference) == len(row[-1].shares) for row in table.rows)
    alone = range_table(document(synthetic((8, 4, 1), reference=False)))
    assert "#Change" not in alone.columns
    assert not any(row[-1].reference for row in alone.rows)


@pytest.mark.parametrize("shape", SHAPES)
def test_json_is_one_object_without_nan_and_safe_in_a_script(shape):
    _, doc = made(shape)
    text = to_json(doc)
    assert not {"<", ">", "&"} & set(text)
    body = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert (body["format"], body["version"]) == ("kaninterp-report", 1)
    assert [s["id"] for s in body["sections"]] == [s.id for s in doc.sections]
    assert all(b["kind"] for s in body["sections"] for b in s["blocks"])


def test_same_analysis_same_bytes():
    one, two = (to_json(made("usual")[1]) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("shape", SHAPES)
def test_no_causal_or_belittling_words(shape):
    text = to_text(made(shape)[1]).lower()
    for word in ("unimportant.", "because of your", " causes ", "caused by", "nan", "none of the checks"):
        assert word not in text


def test_left_out_edges_are_counted():
    analysis = synthetic((64, 16, 1))
    figure = block(document(analysis), "network", NetworkFigure)
    live = sum(int(t.edges.alive.sum()) for t in analysis.trace.layers)
    assert figure.left_out.startswith(f"{figure.edges.drawn} of {live} live edges")
    assert figure.edges.drawn <= 460
