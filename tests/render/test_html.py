"""The page as text: valid, safe, small, the same every time."""

from __future__ import annotations

import itertools
import re

import html5lib
import pytest

from kaninterp.render import document, to_html, to_json
from tests.render.synthetic import HOSTILE, answers_of, cost_of, synthetic, trust_readings_of

MEGABYTE = 1_000_000
SVG = "{http://www.w3.org/2000/svg}svg"


def page(**options) -> str:
    analysis = synthetic(**options)
    return to_html(document(analysis, cost=cost_of(analysis), answers=answers_of(analysis), call="ki.report(model)"))


@pytest.fixture(scope="module")
def usual() -> str:
    return page(widths=(32, 8, 1))


@pytest.fixture(scope="module")
def hostile() -> str:
    return page(widths=(16, 4, 2), names=HOSTILE, output_names=("<b>out</b>", ""))


@pytest.mark.parametrize("which", ["usual", "hostile"])
def test_strict_parser_finds_nothing_wrong(which, request):
    html5lib.HTMLParser(strict=True).parse(request.getfixturevalue(which))


@pytest.mark.parametrize("which", ["usual", "hostile"])
def test_ids_are_unique_and_every_reference_is_met(which, request):
    text = request.getfixturevalue(which)
    body = text[: text.index('<script type="application/json"')]
    ids = re.findall(r'\sid="([^"]*)"', body)
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'href="#([^"]*)"', body)) | set(re.findall(r'aria-labelledby="([^"]*)"', body))
    assert wanted <= set(ids)


def test_nothing_points_outside(usual):
    without_namespace = usual.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(https?:)?//[a-z]", without_namespace)
    assert "src=" not in usual
    assert "url(" not in usual
    assert "@import" not in usual


def test_policy_comes_before_everything_it_governs(usual):
    policy = usual.index("Content-Security-Policy")
    assert policy < usual.index("<style>") < usual.index("<script")
    assert "default-src &#39;none&#39;" in usual
    assert usual.index('charset="utf-8"') < 1024


def test_page_embeds_exactly_the_json(usual):
    analysis = synthetic(widths=(32, 8, 1))
    doc = document(analysis, cost=cost_of(analysis), answers=answers_of(analysis), call="ki.report(model)")
    assert f'<script type="application/json" id="kaninterp-data">{to_json(doc)}</script>' in usual


def test_same_bytes_twice(usual):
    assert page(widths=(32, 8, 1)) == usual


def test_hostile_names_cannot_close_the_script(hostile):
    assert hostile.count("</script>") == 2
    assert "<img" not in hostile
    assert "\u202e" not in hostile
    assert "\x00" not in hostile
    hostile.encode("utf-8")


def test_every_figure_has_a_table(usual):
    tree = html5lib.parse(usual, namespaceHTMLElements=False)
    for figure in tree.iter("figure"):
        assert figure.find(".//figcaption") is not None
        assert figure.find(".//table") is not None
    for table in tree.iter("table"):
        caption = table.find("caption")
        assert caption is not None
        assert "".join(caption.itertext()).strip()
        assert table.find(".//th[@scope]") is not None
    charts = [svg for svg in tree.iter(SVG) if svg.get("role") == "img"]
    assert charts
    assert all(svg.get("aria-label") for svg in charts)
    silent = [s for s in tree.iter(SVG) if s.get("role") is None]
    assert all(svg.get("aria-hidden") == "true" for svg in silent)


def test_headings_do_not_skip_a_level(usual):
    levels = [int(level) for level in re.findall(r"<h([1-6])", usual)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"widths": (16, 8, 1)}, 0.6 * MEGABYTE),
        ({"widths": (64, 16, 1)}, MEGABYTE),
        ({"widths": (128, 32, 8)}, 2 * MEGABYTE),
        ({"widths": (512, 64, 10), "names": tuple(f"x{i}" for i in range(600))}, 2 * MEGABYTE),
        ({"widths": (64,) * 8 + (4,)}, 2 * MEGABYTE),
        ({"widths": (8, 4, 1), "names": tuple(f"{'x' * 300}{i}" for i in range(300)), "lags": 400}, 2 * MEGABYTE),
    ],
    ids=["16-8-1", "64-16-1", "128-32-8", "600 inputs", "8 layers", "long names and lags"],
)
def test_size_budget(options, most):
    assert len(page(trust=trust_readings_of(), **options).encode()) < most
