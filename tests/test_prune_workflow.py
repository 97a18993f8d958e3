"""From a trained model to a page about its pruning: end to end, and every bad input before anything is written."""

from __future__ import annotations

import pytest
import torch

import kaninterp as ki
from kaninterp.core import ReportWriteError
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.pruning import PruneRun, fine_tune, prune, refit
from kaninterp.workflows import prune_page
from tests.pruning.test_prune import plan_without
from tests.tiny import hybrid

DATA = torch.randn(300, 5, 4, generator=torch.Generator().manual_seed(5))
Y = DATA[:, -1, :1] - DATA[:, -2, 1:2]
NAMES = ("wind", "<script>alert(1)</script>", "rain", "\u202eleft")


@pytest.fixture(scope="module")
def run() -> PruneRun:
    model = hybrid(nodes=(4,))
    small, report = prune(model, plan_without(model, [1, 3]))
    again, _ = refit(small, model, DATA[:200], progress=False)
    tuned, _ = fine_tune(again, (DATA[:200], Y[:200]), epochs=2, seed=0, progress=False)
    return PruneRun.begin(model).add("two columns", small, report=report).add("refit", again).add("tuned", tuned)


def test_a_run_becomes_a_page(run, tmp_path):
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    page = prune_page(run, (DATA[200:], Y[200:]), out=tmp_path / "page.html", batch=32)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html == page.to_html()
    assert [section.id for section in page.document.sections] == [
        "answer", "accuracy", "efficiency", "steps", "inputs", "reasons", "map", "model", "glossary",
    ]  # fmt: skip
    assert "2 of 4 inputs" in str(page)
    assert "run = run.undo()" in str(page)
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())


def test_a_report_becomes_the_same_page_twice(run):
    report = run.steps[0].report
    page = prune_page(report, title="Two columns less")
    assert page.to_html() == prune_page(report, title="Two columns less").to_html()
    assert page.document.title == "Two columns less"


def test_hostile_names_stay_words():
    model = hybrid()
    trace = ki.trace(model, DATA, feature_names=NAMES, progress=False)
    small, report = prune(model, ki.analyze(trace).plan)
    html = prune_page(PruneRun.begin(model).add("<b>plan</b>", small, report=report)).to_html()
    assert html.count("</script>") == 2
    assert "<script>alert" not in html
    assert "<b>plan" not in html


def test_bad_input_is_refused_before_any_work(run, tmp_path):
    with pytest.raises(InputTypeError, match="expected a PruneRun"):
        prune_page(run.model)
    with pytest.raises(InputTypeError, match="give the run"):
        prune_page(run.steps[0].report, DATA)
    with pytest.raises(InputError, match="no step yet"):
        prune_page(PruneRun.begin(run.start), DATA)
    with pytest.raises(ReportWriteError, match="does not exist"):
        prune_page(run, out=tmp_path / "missing" / "page.html")
    assert list(tmp_path.iterdir()) == []
