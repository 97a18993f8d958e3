"""Passports as cards: what is drawn is what was measured, in one scale per node, with its words."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaninterp.core.passports import DESCRIBED
from kaninterp.render import document, to_html, to_text
from kaninterp.render.passport_cards import MOST_CARDS
from kaninterp.render.passport_figure import FLOOR, LEFT, RIGHT, RUG, TOP, WITHIN, effect_figure, in_words
from kaninterp.render.passport_nouns import EffectFigure, PassportCards
from tests.render.synthetic import HOSTILE, synthetic


def cards_of(analysis) -> PassportCards:
    return next(b for b in document(analysis).section("network").blocks if isinstance(b, PassportCards))


def figure(curve, support=None, seen=(-1.0, 3.0)) -> EffectFigure:
    n = len(curve)
    return EffectFigure(
        name="a",
        when="lag 2",
        way="rising",
        share=0.2,
        seen=seen,
        curve=tuple(curve),
        support=tuple(support if support is not None else np.full(n - 1, 1 / (n - 1))),
    )


def walked(path: str) -> list[list[tuple[int, int]]]:
    """The points of a path made by `polyline`, run by run."""
    runs = []
    for part in path.split("M")[1:]:
        numbers = [int(v) for v in re.findall(r"-?\d+", part)]
        steps = np.array(numbers).reshape(-1, 2)
        runs.append([tuple(int(v) for v in point) for point in np.cumsum(steps, axis=0)])
    return runs


def heights(rug: str) -> list[int]:
    """Height of each bar of an outline."""
    found, here = [], 0
    for kind, value in re.findall(r"([vh])(-?\d+)", rug):
        if kind == "v":
            here -= int(value)
        else:
            found.append(here)
    return found


def paths(drawing, kind: str) -> list[str]:
    return re.findall(rf'<path d="([^"]*)" class="{kind}"/>', str(drawing))


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=40), st.floats(0.01, 1e6))
def test_curve_is_drawn_to_scale_on_the_axis_of_its_node(curve, size):
    half = 2 * size  # another effect of the node is larger
    drawing = effect_figure(figure([size * v for v in curve]), half)
    (points,) = walked(paths(drawing, "v")[0])
    assert paths(drawing, "t") == []  # no interval without rows
    assert (points[0][0], points[-1][0]) == (LEFT, RIGHT)
    drawn = np.interp(np.rint(np.linspace(LEFT, RIGHT, len(curve))), *zip(*points, strict=True))
    want = (TOP + FLOOR) / 2 - (FLOOR - TOP) / 2 * np.array(curve) / 2
    assert drawn == pytest.approx(want, abs=0.51 + WITHIN)


def test_curve_is_thick_where_rows_are_and_thin_between_them():
    support = [0.5, 0.1, 0.0, 0.0, 0.2, 0.2, 0.0]
    drawing = effect_figure(figure([-1, 0.5, -0.5, 1, 0, 1, -1, 0], support), 1.0)
    thin, thick = walked(paths(drawing, "t")[0]), walked(paths(drawing, "v")[0])
    assert len(thin) == 1
    assert thick == [thin[0][0:3], thin[0][4:7]]
    assert heights(paths(drawing, "rug")[0]) == [round(RUG * share / 0.5) for share in support]
    one_row = effect_figure(figure(np.linspace(-1, 1, 3), [0.9999, 0.0001]), 1.0)
    assert heights(paths(one_row, "rug")[0]) == [RUG, 1]  # one row is seen, too


def test_a_flat_effect_is_a_line_at_zero():
    drawing = effect_figure(figure(np.zeros(5)), 0.0)
    (points,) = walked(paths(drawing, "v")[0])
    assert {y for _, y in points} == {round((TOP + FLOOR) / 2)}
    assert "nan" not in str(drawing)


def test_values_at_the_ends_are_printed():
    drawing = str(effect_figure(figure([-0.41, 0.1, 0.62], seen=(2.0, 31.5)), 0.62))
    assert re.findall(r">([^<>]+)</text>", drawing) == [
        "−0.41",
        "+0.62",
        "2",
        "31.5",
    ]


def test_cards_hold_what_was_measured():
    analysis = synthetic((16, 4, 1))
    known = {(p.layer, p.index): p for p in analysis.passports.nodes}
    cards = cards_of(analysis)
    assert cards.items[0].name.text == analysis.trace.output_names[0]
    assert {card.described for card in cards.items} == {True, False}
    for card in cards.items:
        passport = known[tuple(int(v) for v in card.id.split("-")[1:])]
        assert card.described == (passport.r2 >= DESCRIBED)
        assert card.text.startswith("Cannot be described by three inputs or fewer") != card.described
        assert [e.share for e in card.effects] == pytest.approx([e.share for e in passport.effects], rel=5e-3)
        for drawn, effect in zip(card.effects, passport.effects, strict=True):
            assert drawn.curve == pytest.approx(effect.curve, rel=5e-3)
            assert drawn.support == pytest.approx(effect.counts, rel=5e-2)
            assert drawn.seen == (effect.grid[0], effect.grid[-1])
            assert drawn.name == effect.name
        assert card.half == max(np.abs(e.curve).max() for e in passport.effects)
        assert any("Formula" in term for term, _ in card.facts) == (card.described and bool(passport.formula))


def test_a_node_that_nothing_describes_is_not_said_to_be_explained_by_a_negative_share():
    analysis = synthetic((16, 4, 1))
    passports = analysis.passports
    worse = replace(passports, nodes=tuple(replace(p, r2=-0.3, additive=-0.3) for p in passports.nodes))
    assert all("explain nothing of it" in c.text for c in cards_of(replace(analysis, passports=worse)).items)


def test_label_says_where_the_curve_turns_and_where_the_rows_are():
    analysis = synthetic((16, 4, 1))
    first = analysis.passports.nodes[0]
    grid = np.linspace(0.0, 32.0, 33)
    bend = replace(
        first.effects[0],
        name="wind",
        grid=grid,
        curve=(grid - 16.0) ** 2 / 256 - 0.5,
        counts=np.eye(32)[8],
        direction=0.0,
        lag=3,
        weights=np.eye(24)[3],
    )
    node = replace(first, effects=(bend,))
    found = cards_of(replace(analysis, passports=replace(analysis.passports, nodes=(node,)))).items[0].effects[0]
    assert in_words(found) == (
        "wind at lag 3, up and down: +0.5 at 0, +0.5 at 32, lowest −0.5 at 16; half of the rows between 8.25 and 8.75"
    )


def test_size_is_bounded_and_says_what_is_left_out():
    cards = cards_of(synthetic((64, 16, 1)))
    assert len(cards.items) == MOST_CARDS
    assert re.search(r"\d+ more nodes are not drawn", cards.note)
    assert "not drawn" not in cards_of(synthetic((4, 2, 1))).note


def test_nothing_is_drawn_where_nothing_was_described():
    for analysis in (synthetic((4, 2, 1), measured=False), synthetic((4, 2, 1), names=None)):
        assert not any(isinstance(b, PassportCards) for b in document(analysis).section("network").blocks)


def test_page_has_every_picture_with_its_words_and_the_table_beside_them():
    analysis = synthetic((16, 4, 2), names=HOSTILE)
    page, cards = to_html(document(analysis)), cards_of(analysis)
    assert page.count('class="effect" role="img"') == sum(len(card.effects) for card in cards.items)
    assert page.count('<details class="twin" id="passports">') == 1
    assert all(f'id="{card.id}"' in page for card in cards.items)


def test_text_names_nodes_and_says_what_cannot_be_described():
    text = " ".join(to_text(document(synthetic((16, 4, 1)))).split())
    assert "What each node is, in at most three of your columns" in text
    assert "Cannot be described by three inputs or fewer: the best explain" in text
