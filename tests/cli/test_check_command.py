"""The commands, as a shell sees them: what they write, and what they leave with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch

import kaninterp as ki
from kaninterp.cli import main

COLUMNS = ["wind", "rain, mm", "<b>sun</b>"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a head, its training table, a table that drifted, and a module that makes a hybrid."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    head = ki.KANHead(3, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    ki.save_head(head, tmp_path / "head.safetensors")
    table = pd.DataFrame(rng.uniform(-1, 1, (400, 3)), columns=COLUMNS).assign(y=0.5)
    table.to_csv("before.csv", index=False)
    table.assign(wind=table["wind"] + 3).to_csv("after.csv", index=False)
    np.save("windows.npy", rng.uniform(-1, 1, (200, 5, 2)))
    (tmp_path / "our_models.py").write_text(
        "import torch, kaninterp as ki\n"
        "def forecaster():\n"
        "    torch.manual_seed(0)\n"
        "    return ki.Hybrid(torch.nn.GRU(2, 4, batch_first=True), ki.KANHead(4, 1))\n"
        "number = 3\n"
    )
    monkeypatch.delitem(sys.modules, "our_models", raising=False)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert main(["card", "head.safetensors", "before.csv", "--target", "y", "--out", "card.json"]) == 0
    return tmp_path


def check(*more, data="before.csv"):
    return main(["check", "head.safetensors", data, "--card", "card.json", "--target", "y", *more])


def test_data_like_those_before_pass(place, capsys):
    assert check() == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("✓ raw columns stay")


def test_drift_is_found_and_said(place, capsys):
    assert check(data="after.csv") == 1
    text = capsys.readouterr().out
    assert "▲ raw columns stay in the range of the card" in text
    assert "1 column of 3 left the range of the card: wind." in text
    assert check("--format", "json", data="after.csv") == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert check("--format", "junit", "--out", "result.xml", data="after.csv") == 1
    assert capsys.readouterr().out == ""
    assert ElementTree.parse(place / "result.xml").getroot().get("failures") == "2"


def test_a_model_from_code_and_windows(place, capsys):
    model = "our_models:forecaster"
    assert main(["card", model, "windows.npy", "--columns", "a,b", "--out", "w.json"]) == 0
    assert main(["check", model, "windows.npy", "--columns", "a, b", "--card", "w.json"]) == 0
    assert main(["check", model, "windows.npy", "--columns", "b,a", "--card", "w.json"]) == 2
    assert "another order" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "none.safetensors", "before.csv", "--card", "card.json"], "none.safetensors"),
        (["check", "head.safetensors", "none.csv", "--card", "card.json"], "no file 'none.csv'"),
        (["check", "head.safetensors", "before.csv", "--card", "none.json"], "none.json"),
        (["check", "head.safetensors", "before.csv", "--card", "before.csv"], "not a file written by kaninterp"),
        (["check", "head.safetensors", "card.json", "--card", "card.json"], "card.json"),
        (["check", "head.safetensors", "head.npy", "--card", "card.json"], "cannot be read as .npy"),
        (["check", "head.safetensors", "empty.csv", "--card", "card.json"], "empty.csv"),
        (["check", "before.csv", "before.csv", "--card", "card.json"], "before.csv"),
        (
            ["check", "no_such_module:x", "before.csv", "--card", "card.json"],
            "cannot be made from code (ModuleNotFoundError",
        ),
        (["check", ".no:x", "before.csv", "--card", "card.json"], "cannot be made from code"),
        (["check", "leaving:x", "before.csv", "--card", "card.json"], "cannot be made from code (SystemExit"),
        (["check", "head.safetensors", "zipped.npy", "--card", "card.json"], "cannot be read as .npy"),
        (["check", "our_models:number", "before.csv", "--card", "card.json"], "gives a int"),
        (["check", "our_models:forecaster", "before.csv", "--card", "card.json"], "another model"),
        (["card", "head.safetensors", "before.csv", "--target", "y", "--out", "no/card.json"], "does not exist"),
    ],
)
def test_what_cannot_be_done_leaves_with_two_and_says_why(place, capsys, arguments, words):
    (place / "head.npy").write_bytes(b"\x93NUMPY but not really")
    (place / "empty.csv").write_text("wind\n")
    (place / "leaving.py").write_text("import sys\nsys.exit(0)\n")
    np.savez(place / "zipped", a=np.zeros(3))
    (place / "zipped.npz").rename(place / "zipped.npy")
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_wrong_usage_leaves_with_two(capsys):
    with pytest.raises(SystemExit) as left:
        main(["check"])
    assert left.value.code == 2
    assert "--card" in capsys.readouterr().err


def test_an_error_of_ours_is_not_taken_for_a_finding(place, capsys, monkeypatch):
    monkeypatch.setattr("kaninterp.workflows.check", lambda *_, **__: 1 / 0)
    assert check() == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_terminal_that_speaks_no_utf8_gets_it_all_the_same(place):
    command = ["check", "head.safetensors", "before.csv", "--card", "card.json", "--target", "y"]
    done = subprocess.run(
        [sys.executable, "-m", "kaninterp", *command],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "✓ raw columns still vary" in done.stdout.decode("utf-8")


def test_it_runs_as_a_module_and_starts_without_torch(place):
    done = subprocess.run([sys.executable, "-m", "kaninterp", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "check" in done.stdout
    code = "import sys, kaninterp.cli; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
