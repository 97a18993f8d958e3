"""The page about a pruning in a browser: silent, alone and never wider than its window."""

from __future__ import annotations

import pytest

from kaninterp.render import Report, prune_document
from tests.browser.test_report_page import CONTRAST, SIDEWAYS
from tests.render.test_prune_page import CASES

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("case", list(CASES))
def test_page_is_silent_alone_and_narrow_enough(chromium, tmp_path, case, width):
    path = Report(prune_document(CASES[case], call="run = run.undo()")).save(tmp_path / "page.html")
    context = chromium.new_context(offline=True, viewport={"width": width, "height": 900})
    try:
        page = context.new_page()
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found = page.evaluate(SIDEWAYS)
        assert said == []
        assert len(asked) == 1
        assert found["over"] <= 0, found
        assert found["bad"] == []
        assert page.evaluate(CONTRAST)["bad"] == []
    finally:
        context.close()
