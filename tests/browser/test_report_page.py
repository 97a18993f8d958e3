"""The rules of the report that only a browser can check."""

from __future__ import annotations

import pytest

from tests.browser.conftest import CASES

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SIDEWAYS = """() => {
  const wide = document.documentElement.clientWidth, bad = [];
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('.scroll, .defs, .vh, .quiet, .skip, details:not([open])')) continue;
    const r = e.getBoundingClientRect();
    if (r.width && r.right > wide + 1) bad.push(e.tagName + '.' + e.className + ' ' + Math.round(r.right));
  }
  return {over: document.documentElement.scrollWidth - wide, bad: bad.slice(0, 5)};
}"""

CONTRAST = """() => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return [m[0], m[1], m[2], m.length > 3 ? m[3] : 1]; };
  const linear = v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
  const light = c => .2126 * linear(c[0]) + .7152 * linear(c[1]) + .0722 * linear(c[2]);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c[3] === 1) return c;
    }
    return [255, 255, 255, 1];
  };
  const bad = []; let seen = 0;
  for (const e of document.querySelectorAll('body *')) {
    const words = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!words || e.closest('script, style, .defs') || !e.checkVisibility()) continue;
    const style = getComputedStyle(e), svg = e.namespaceURI.endsWith('svg');
    if (svg && e.tagName !== 'text') continue;
    const ink = parse(svg ? style.fill : style.color), paper = behind(svg ? e.closest('svg').parentElement : e);
    const [a, b] = [light(ink), light(paper)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    seen += 1;
    const kind = e.tagName + '.' + (e.className.baseVal ?? e.className);
    if (ratio < (large ? 3 : 4.5)) bad.push(kind + ' ' + ratio.toFixed(2) + ' ' + e.textContent.trim().slice(0, 20));
  }
  return {seen, bad: [...new Set(bad)].slice(0, 8)};
}"""


@pytest.mark.parametrize("case", list(CASES))
def test_asks_for_nothing_and_says_nothing(open_page, case):
    with open_page(case) as opened:
        page = opened.page
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        assert [url for url in opened.requests if not url.startswith("file:")] == []
        assert len(opened.requests) == 1
        assert opened.said == []
        assert page.locator("h1").count() == 1
        assert page.locator("main").count() == 1


def test_policy_stops_a_request_even_if_one_got_in(open_page):
    with open_page("plain") as opened:
        opened.page.evaluate("() => { const i = new Image(); i.src = 'file:///nowhere.png'; document.body.append(i); }")
        opened.page.wait_for_timeout(100)
        assert any("Content Security Policy" in line for line in opened.said)


@pytest.mark.parametrize("width", [320, 360, 1280])
@pytest.mark.parametrize("case", ["usual", "hostile", "plain", "bare"])
def test_page_never_scrolls_sideways(open_page, case, width):
    with open_page(case, width=width) as opened:
        found = opened.page.evaluate(SIDEWAYS)
        assert found["over"] <= 0, found
        assert found["bad"] == []


def test_two_hundred_percent_zoom_does_not_scroll_sideways(open_page):
    with open_page("usual", width=640) as opened:
        assert opened.page.evaluate(SIDEWAYS)["over"] <= 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("case", ["usual", "two"])
def test_contrast_of_every_text_is_aa(open_page, case, dark):
    with open_page(case, dark=dark) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found = opened.page.evaluate(CONTRAST)
        assert found["seen"] > 300
        assert found["bad"] == []


@pytest.mark.parametrize("case", ["two", "plain"])
def test_tab_reaches_every_node_and_edge(open_page, case):
    with open_page(case) as opened:
        page = opened.page
        wanted = set(page.evaluate("[...document.querySelectorAll('.netsvg a')].map(a => a.id)"))
        assert any(i.startswith("line-") for i in wanted)
        page.locator(".skip.inline").focus()
        reached = {}
        for _ in range(len(wanted) + 4):
            page.keyboard.press("Tab")
            name, label = page.evaluate(
                "[document.activeElement.id, document.activeElement.getAttribute('aria-label')]"
            )
            reached[name] = label
        assert wanted <= set(reached)
        assert all(reached[name] and len(reached[name]) > 8 for name in wanted)


def test_every_node_and_edge_of_a_large_network_can_be_focused_and_has_a_name(open_page):
    with open_page("large") as opened:
        found = opened.page.evaluate(
            "[...document.querySelectorAll('.netsvg a')]"
            ".map(a => [a.tabIndex, a.getAttribute('aria-label'), a.hasAttribute('href')])"
        )
        assert len(found) > 300
        assert all(index == 0 and label and link for index, label, link in found)


@pytest.mark.parametrize("case", ["large", "two", "bare"])
def test_links_inside_the_page_lead_somewhere(open_page, case):
    with open_page(case) as opened:
        lost = opened.page.evaluate(
            "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href').slice(1))"
            ".filter(id => !document.getElementById(id))"
        )
        assert sorted(set(lost)) == []


def test_focus_can_be_seen(open_page):
    with open_page("plain") as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_readings_change_the_widths_and_the_ruler(open_page):
    with open_page("usual") as opened:
        page = opened.page
        read = "[...document.querySelectorAll('.e path')].map(p => getComputedStyle(p).strokeWidth)"
        widths = {}
        for key in ("kan2", "norm", "strength", "loss"):
            page.locator(f"#reading-{key}").check(force=True)
            widths[key] = page.evaluate(read)
            assert page.locator(f".rn-{key}").is_visible()
            assert page.locator(".reading-note:visible").count() == 1
        assert len({tuple(w) for w in widths.values()}) == 4
        assert all(0.8 <= float(w[:-2]) <= 6.01 for w in widths["kan2"])


def test_readings_and_axes_switch_without_javascript(open_page):
    with open_page("plain", script=False) as opened:
        page = opened.page
        page.locator("#reading-loss").check(force=True)
        assert page.locator(".rn-loss").is_visible()
        box = page.locator(".thumbs g").nth(2).bounding_box()
        page.locator("#axes-own").check(force=True)
        assert page.locator(".thumbs g").nth(2).bounding_box() != box


def test_path_lights_up_on_focus_and_hover(open_page):
    with open_page("usual") as opened:
        page = opened.page
        page.locator(".e").first.focus()
        assert page.locator(".netsvg.tracing").count() == 1
        assert page.locator(".n.on").count() >= 2
        assert page.locator(".e.at").count() == 1
        assert "Loss when removed" in page.locator("#readout").inner_text()
        page.locator("#node-2-0").hover()
        assert page.locator("#node-2-0.at").count() == 1
        assert page.locator(".e.on").count() == page.locator(".e").count()


def test_filter_hides_weak_lines_and_probe_draws_an_edge(open_page):
    with open_page("usual") as opened:
        page = opened.page
        total = page.locator(".e").count()
        page.locator("#fade").fill("50")
        hidden = page.locator(".e.low").count()
        assert 0 < hidden < total
        page.locator("#probe").select_option(index=3)
        assert page.locator("#probe-figure svg path").count() == 1
        assert opened.said == []


def test_complete_without_javascript(open_page):
    with open_page("usual", script=False) as opened:
        page = opened.page
        for section in ("answer", "findings", "network", "inputs", "ranges", "model", "glossary"):
            assert page.locator(f"#{section}").is_visible()
        assert page.locator(".netsvg .e").count() > 50
        assert page.locator(".thumbs svg").count() > 50
        assert page.locator(".js:visible").count() == 0
        page.locator("details.twin > summary").first.click()
        assert page.locator("details.twin table").first.is_visible()


def test_print_opens_everything(open_page, tmp_path):
    with open_page("plain") as opened:
        page = opened.page
        page.emulate_media(media="print")
        assert page.locator(".toc").is_hidden()
        shut = page.evaluate(
            "[...document.querySelectorAll('details > :not(summary)')]"
            ".filter(e => !e.checkVisibility({contentVisibilityAuto: true})).length"
        )
        assert shut == 0
        pdf = page.pdf(prefer_css_page_size=True)
        assert pdf.startswith(b"%PDF")
        pages = pdf.count(b"/Type /Page\n") or pdf.count(b"/Type /Page ") or pdf.count(b"/Type /Page")
        assert 3 <= pages <= 25


def test_hostile_names_are_text(open_page):
    with open_page("hostile") as opened:
        page = opened.page
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        text = page.locator("body").inner_text()
        assert "</script><script>alert(1)</script>" in text
        assert "<img src=x onerror=alert(1)>" in text
        assert "{{ 7*7 }} {% raw %}" in text
        assert "x" * 300 in text
        assert "(empty name)" in text
        assert "[U+202E]evil override" in text
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 2
        assert opened.said == []


def test_notebook_frame_shows_the_report(chromium):
    from kaninterp.render import Report, document
    from tests.render.synthetic import synthetic

    report = Report(document(synthetic((4, 3, 1), names=("a", "b", "c", "d"), lags=1, backbone=False)))
    context = chromium.new_context(offline=True)
    page = context.new_page()
    page.set_content(f"<!DOCTYPE html><title>notebook</title>{report._repr_html_()}")
    assert page.frame_locator("iframe").locator("h1").inner_text() == report.document.title
    assert page.locator("iframe").get_attribute("sandbox") == "allow-scripts"
    context.close()
