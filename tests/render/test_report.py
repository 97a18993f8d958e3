"""Saving, and the forms a report takes."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from kaninterp.analysis.answers import Answer
from kaninterp.core import KanInterpError, ReportWriteError
from kaninterp.render import Report, check_writable, document
from tests.render.synthetic import cost_of, synthetic, trust_readings_of, written_of

GOLDEN = Path(__file__).parents[1] / "golden" / "report.txt"


ANSWERS = (
    Answer(
        question="Which lines are missing?",
        answer="3 of 12.",
        evidence=("one", "two", "three", "four"),
        section="network",
    ),
    Answer(question="What can I drop?", answer="3 of 4 inputs.", evidence=(), section="inputs"),
)


@pytest.fixture(scope="module")
def report() -> Report:
    analysis = synthetic(
        (4, 3, 1), names=("income", "age", "height", "noise"), lags=1, backbone=False, trust=trust_readings_of()
    )
    analysis = replace(analysis, formula=written_of(analysis, name="income"))
    return Report(
        document(
            analysis,
            cost=cost_of(analysis),
            answers=ANSWERS,
            call='ki.report(model, data, out="report.html")',
            versions=(("kaninterp", "0.1.0"),),
        )
    )


def test_save_writes_the_page_and_returns_its_path(report, tmp_path):
    path = report.save(tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == report.to_html()
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert path.read_bytes().startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("where", ["missing/report.html", "."])
def test_a_path_that_cannot_be_written_is_refused(report, tmp_path, where):
    with pytest.raises(ReportWriteError, match="report:") as caught:
        report.save(tmp_path / where)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, KanInterpError)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ReportWriteError, match="no permission"):
        check_writable(tmp_path / "report.html")


def test_a_failure_leaves_the_old_report(report, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(ReportWriteError, match="disk full"):
        report.save(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_notebook_frame_is_sandboxed_and_closed(report):
    frame = report._repr_html_()
    assert frame.startswith('<iframe sandbox="allow-scripts" srcdoc="')
    assert frame.count("<") == 2  # the frame's own tags: all else is escaped


def test_report_is_frozen(report):
    with pytest.raises(FrozenInstanceError):
        report.document = None


def test_text_is_the_golden_text(report):
    text = str(report)
    if os.environ.get("KANINTERP_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_text_fits_a_terminal(report):
    prose = [line for line in str(report).splitlines() if not line.startswith("  ")]
    assert max(map(len, prose)) <= 100
