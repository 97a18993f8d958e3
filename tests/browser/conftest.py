"""One Chromium for all browser tests, with networking off; pages come from synthetic analyses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kaninterp.render import Report, document
from tests.render.synthetic import HOSTILE, answers_of, cost_of, synthetic, trust_readings_of

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
CASES = {
    "usual": {"widths": (32, 8, 1), "trust": trust_readings_of()},
    "large": {"widths": (64, 16, 1)},
    "two": {"widths": (32, 8, 1), "live_units": 2},
    "plain": {
        "widths": (4, 5, 1),
        "names": ("income", "age", "height in cm", "noise"),
        "lags": 1,
        "backbone": False,
        "trust": trust_readings_of(),
    },
    "outputs": {"widths": (12, 6, 3)},
    "hostile": {"widths": (16, 4, 2), "names": HOSTILE, "output_names": ("<b>out</b>", "")},
    "bare": {"widths": (16, 8, 1), "measured": False},
}


def _missing(reason: str) -> None:
    if os.environ.get("KANINTERP_REQUIRE_BROWSER"):
        pytest.fail(f"a browser is required (KANINTERP_REQUIRE_BROWSER is set), but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium")
    if path is None:
        _missing("there is no chromium on the PATH")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report_file(tmp_path_factory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("reports")

    def write(case: str) -> Path:
        path = folder / f"{case}.html"
        if not path.exists():
            analysis = synthetic(**CASES[case])
            extra = {} if case == "bare" else {"cost": cost_of(analysis), "answers": answers_of(analysis)}
            Report(document(analysis, call="import kaninterp as ki\nki.report(model, data)", **extra)).save(path)
        return path

    return write


class Page:
    """A page of a case, with everything it asked for and said."""

    def __init__(self, page):
        self.page = page
        self.requests: list[str] = []
        self.said: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))


@pytest.fixture
def open_page(chromium, report_file):
    @contextmanager
    def opened(case: str, *, width: int = 1280, dark: bool = False, script: bool = True) -> Iterator[Page]:
        context = chromium.new_context(
            offline=True,
            java_script_enabled=script,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        try:
            opened_page = Page(context.new_page())
            opened_page.page.goto(report_file(case).as_uri())
            yield opened_page
        finally:
            context.close()

    return opened
