"""Small laws of the drawings."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaninterp.render.charts import nice_ticks
from kaninterp.render.figure_nouns import Reading
from kaninterp.render.html import bidi
from kaninterp.render.layout import place
from kaninterp.render.network import edge_levels, network_svg
from kaninterp.render.ruler import ruler
from kaninterp.render.svg import bars_path, polyline, simplified, tag
from kaninterp.render.thumbnails import groups, thumbnail
from kaninterp.render.wording import columns_of, number, percent, shorten, shown
from tests.render.synthetic import synthetic


def figure_of(**options):
    from kaninterp.render import document

    return next(
        b for b in document(synthetic(**options)).section("network").blocks if type(b).__name__ == "NetworkFigure"
    )


@given(st.lists(st.tuples(st.integers(-500, 500), st.integers(-500, 500)), min_size=2, max_size=20))
def test_polyline_goes_through_its_points(points):
    numbers = [int(n) for n in re.findall(r"-?\d+", polyline(points))]
    x, y = numbers[0], numbers[1]
    walked = [(x, y)]
    for dx, dy in zip(numbers[2::2], numbers[3::2], strict=True):
        x, y = x + dx, y + dy
        walked.append((x, y))
    assert walked == points


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=40), st.floats(0, 5))
def test_simplified_curves_keep_their_ends_and_stay_near(heights, within):
    points = list(enumerate(heights))
    few = simplified(points, within)
    assert set(few) <= set(points)
    assert (few[0], few[-1]) == (points[0], points[-1])
    drawn = np.interp(range(len(heights)), [x for x, _ in few], [y for _, y in few])
    assert np.abs(drawn - heights).max() <= within + 1e-9


def test_a_straight_line_needs_two_points():
    assert simplified([(3 * i, 2 * i) for i in range(33)], 0.0) == [(0, 0), (96, 64)]


@given(st.text())
def test_tag_escapes_whatever_it_is_given(text):
    made = str(tag("text", text, aria_label=text))
    assert made.count("<") == (2 if text else 1)
    assert made.count('"') == 2


@given(st.text(max_size=50))
def test_shown_names_are_never_empty_and_hold_no_control_character(text):
    visible = shown(text)
    assert visible.strip()
    assert all(ord(c) >= 0x20 for c in visible)
    assert not set(visible) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    visible.encode("utf-8")


@given(st.text(max_size=80), st.integers(1, 60))
def test_shorten_never_exceeds_its_columns(text, columns):
    assert columns_of(shorten(text, columns)) <= max(columns, 1)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_numbers_keep_three_digits(value):
    text = number(value).replace("\u2212", "-").replace(",", "")
    assert float(text) == pytest.approx(value, rel=6e-3, abs=1e-45)


@given(st.floats(-2, 2))
def test_percent_is_near_the_share(share):
    text = percent(share).replace("\u2212", "-").rstrip(" %")
    if text[0] not in "<>":
        assert float(text) == pytest.approx(100 * share, abs=0.51)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_inside_and_few(low, span):
    ticks = nice_ticks(low, low + span)
    assert len(ticks) <= 7
    assert all(low - 0.01 * span - 1e-9 * abs(low) <= t <= low + 1.01 * span + 1e-9 * abs(low) for t in ticks)


def test_bars_of_nothing_are_empty():
    assert bars_path((0.0, 0.0), 10, 10) == ""
    assert bars_path((), 10, 10) == ""


def test_right_to_left_runs_are_isolated():
    assert bidi("a שלום עולם (42 %)") == "a <bdi>שלום עולם</bdi> (42 %)"


@pytest.mark.parametrize("widths", [(32, 8, 1), (64, 16, 1), (12, 6, 3), (200, 4, 2)])
def test_nodes_do_not_overlap(widths):
    layout = place(figure_of(widths=widths))
    for column in range(len(layout.xs)):
        spots = [s for s in layout.spots if s.node.column == column]
        rows = sorted(s.y for s in spots if not s.dot)
        assert all(b - a >= 11 for a, b in itertools.pairwise(rows))
        assert len({(s.x, s.y) for s in spots}) == len(spots)
        assert all(0 < s.y < layout.height for s in spots)


def test_levels_are_proper_and_the_strongest_is_full_width():
    figure = figure_of(widths=(16, 8, 1))
    levels = [edge_levels(figure, i) for i in range(len(figure.edges))]
    for key in levels[0]:
        assert all(0 <= level[key] <= 1 for level in levels)
        assert max(level[key] for level in levels) == pytest.approx(1.0, abs=1e-3)


def test_planned_edges_are_dashed_and_kept_ones_are_not():
    figure = figure_of(widths=(16, 8, 1))
    drawing = str(network_svg(figure))
    for i in range(figure.edges.drawn):
        place_ = f"{figure.edges.layer[i]}-{figure.edges.dst[i]}-{figure.edges.src[i]}"
        kind = re.search(rf'<a id="line-{place_}"[^>]*class="([^"]*)"', drawing).group(1)
        assert kind == ("e" if figure.edges.kept[i] else "e x")


def test_ruler_marks_threshold_and_noise():
    reading = Reading(
        key="kan2",
        label="Share",
        meaning="",
        scale=(0.8, 0.8),
        power=1.0,
        threshold=0.03,
        threshold_text="prune threshold 0.03",
        noise=0.1,
        noise_text="",
        measured=4,
    )
    drawing = str(ruler(reading))
    assert "prune threshold 0.03" in drawing
    assert "noise band to 0.1" in drawing
    assert "0.8 px" in drawing
    assert "35 %" in drawing
    x = float(re.search(r'd="M([\d.]+) 26V52"', drawing).group(1))
    assert x == pytest.approx(16 + 594 * 0.03 / 0.8, abs=0.1)
    assert math.isclose(float(re.search(r'width="([\d.]+)" height="20"', drawing).group(1)), 594 * 0.125, abs_tol=0.1)


def test_an_edge_whose_removal_helps_is_drawn_like_zero():
    from dataclasses import replace

    figure = figure_of(widths=(8, 4, 1))
    keys = [reading.key for reading in figure.readings]
    columns = list(figure.edges.readings)
    columns[keys.index("loss")] = tuple(-1.0 for _ in columns[0])
    helped = replace(figure, edges=replace(figure.edges, readings=tuple(columns)))
    assert {edge_levels(helped, i)["loss"] for i in range(len(helped.edges))} == {0.0}


def test_shared_axis_holds_the_part_of_every_curve_where_the_data_are():
    figure = figure_of(widths=(16, 8, 1))
    for _, _, ids, half in groups(figure):
        assert half > 0
        for i in ids:
            k, m = re.search(r"--k:([\d.]+);--m:(-?[\d.]+)px", str(thumbnail(figure, i, half))).groups()
            thick = re.search(r'd="M(-?\d+) (-?\d+)l([^"]*)" class="v"', str(thumbnail(figure, i, half)))
            y, lowest, highest = int(thick.group(2)), int(thick.group(2)), int(thick.group(2))
            for step in [int(n) for n in re.findall(r"-?\d+", thick.group(3))][1::2]:
                y += step
                lowest, highest = min(lowest, y), max(highest, y)
            assert float(k) * lowest + float(m) >= 12 - 1.5
            assert float(k) * highest + float(m) <= 148 + 1.5
