"""The examples of the README and of CONTRIBUTING do what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import kaninterp as ki
from kaninterp.adapters import ADAPTERS, registry

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def names() -> dict[str, object]:
    """What the examples take for granted: windows of 28 columns."""
    X = torch.randn(300, 6, 28, generator=torch.Generator().manual_seed(0))
    y = X[:, -1, :1]
    rows = TensorDataset(X, y)
    return {
        "torch": torch,
        "X_train": X[:200],
        "y_train": y[:200],
        "X_valid": X[150:200],
        "y_valid": y[150:200],
        "X_test": X[200:],
        "y_test": y[200:],
        "columns": [f"column {i}" for i in range(28)],
        "loader": DataLoader(rows, batch_size=100),
        "test_loader": DataLoader(rows, batch_size=100),
    }


@pytest.mark.parametrize("number", range(len(BLOCKS)))
@pytest.mark.filterwarnings("ignore::tqdm.TqdmWarning")
def test_python_examples_run(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shorter = BLOCKS[number].replace("range(20)", "range(2)").replace("sparsity=", "epochs=3, sparsity=")
    exec(compile(shorter, f"README example {number}", "exec"), names())
    assert (tmp_path / "report.html").exists() == ("report.html" in BLOCKS[number])


def test_the_view_of_contributing_keeps_the_contract(monkeypatch):
    """The example runs, and the KAN it registers is traced as torch computes it."""
    monkeypatch.setattr("kaninterp.adapters.registry.ADAPTERS", dict(ADAPTERS))
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    monkeypatch.setattr("kaninterp.adapters.ADAPTERS", registry.ADAPTERS)
    space: dict[str, Any] = {"__name__": "mine"}
    exec(compile(example, "CONTRIBUTING example", "exec"), space)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), space["SineKAN"](3, 2)).double()
    x = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    trace = ki.trace(model, x, progress=False)
    np.testing.assert_allclose(trace.outputs.mean, model(x).detach().mean(0), rtol=1e-9, atol=1e-12)
    assert trace.card.options[0] == ("library", "SineKAN")
    with pytest.raises(ki.KanInterpError, match=r"name no module for a hook.*`module`"):
        ki.RangeMonitor(model, ki.range_card(model, x, progress=False))


def test_every_command_named_is_a_target():
    text = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z-]+)", text)) - {"it"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_name_used_is_public():
    used = set(re.findall(r"\bki\.(\w+)", README))
    assert used <= set(ki.__all__)


def test_every_link_leads_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
