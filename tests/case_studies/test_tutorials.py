"""The tutorials end where they say, and write their reports where they are told."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

STUDIES = Path(__file__).resolve().parent.parent.parent / "case_studies"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::tqdm.TqdmWarning")]


def run(name, folder, capsys):
    study = runpy.run_path(str(STUDIES / f"{name}.py"))
    scope = study["main"].__globals__
    scope["OUT"] = folder / f"{name}.html"
    scope["REPORTS"] = folder
    study["main"]()
    assert scope["OUT"].stat().st_size > 50_000
    return capsys.readouterr().out


def test_pruning(tmp_path, capsys):
    out = run("tutorial_pruning", tmp_path, capsys)
    assert "one hidden node" in out
    assert len(list(tmp_path.glob("*.svg"))) == 3


def test_formula(tmp_path, capsys):
    out = run("tutorial_formula", tmp_path, capsys)
    assert "pruned to [3, 1, 1]" in out
    assert "sin(phase)" in out
    assert "(flow - 2)**2" in out
