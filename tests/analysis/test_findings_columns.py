"""Copies of columns, and sums that give the target, as findings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import kaninterp as ki
from kaninterp.analysis import analyze
from kaninterp.analysis.findings_columns import copy_groups
from kaninterp.core import Leak, ShapeError
from kaninterp.core.leaks import Term
from kaninterp.measure import interactions, trace
from tests.benchmarks.problems import copies


def found(analysis, code):
    return [finding for finding in analysis.findings if finding.code == code]


def traced(X, names=None):
    head = ki.KANHead(X.shape[1], 1, generator=torch.Generator().manual_seed(0))
    return trace(head, torch.as_tensor(X).float(), feature_names=names, progress=False)


@pytest.mark.parametrize("seed", range(5))
def test_only_exact_copies_form_groups(seed):
    analysis = analyze(traced(copies(seed).X))
    assert copy_groups(analysis.trace.raw) == ((0, 4, 5),)  # 6 is blurred, 7 a sum, 3 and 8 to 11 are noise
    (finding,) = found(analysis, "copies")
    assert "x0, x4 and x5 (reversed)" in finding.claim


def test_copies_that_act_together_are_said_to_be_copies():
    class Product(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = ki.KANHead(1, 1, domain=(-4, 4), generator=torch.Generator().manual_seed(0))

        def forward(self, x):
            return self.head(x[:, :1] * x[:, 1:2])

    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    for data, tied in ((x, False), (x[:, [0, 0]], True)):
        model = Product()
        acting = interactions(model, data, progress=False)
        (finding,) = found(analyze(trace(model, data, progress=False), interactions=acting), "act-together")
        assert ("x0 and x1 hold the same values" in finding.evidence) is tied


def test_groups_are_followed_through_and_constants_are_none():
    x = np.random.default_rng(0).normal(size=(100, 2))
    X = np.column_stack([x[:, 0], np.ones(100), x[:, 1], -x[:, 0], 1e3 + 5 * x[:, 1], np.ones(100), 2 * x[:, 0]])
    assert copy_groups(traced(X).raw) == ((0, 3, 6), (2, 4))
    assert not found(analyze(traced(x)), "copies")


def test_a_leak_is_a_problem_and_names_every_weight():
    x = np.random.default_rng(0).normal(size=(100, 3))
    current = traced(x, ["casual", "wind", "registered"])
    terms = (
        Term(name="registered", column=2, lag=0, weight=1.0),
        Term(name="casual", column=0, lag=0, weight=1.0),
    )
    one = Leak(output=0, terms=terms, intercept=0.0, r2=1.0, rows=60, held_out=40)
    (finding,) = found(analyze(current, leaks=(one,)), "leak")
    assert finding.claim == "registered + casual gives the target exactly."
    assert finding.severity == "problem"
    assert "registered 1; casual 1" in finding.evidence
    near = Leak(output=0, terms=terms[:1], intercept=0.0, r2=0.99995, rows=60, held_out=40)
    (finding,) = found(analyze(current, leaks=(near,)), "leak")
    assert finding.claim == "registered gives the target."
    assert "99.995 %" in finding.evidence
    wrong = Leak(output=0, terms=(Term(name="other", column=1, lag=0, weight=1.0),), intercept=0.0, r2=1.0, rows=60,
                 held_out=40)  # fmt: skip
    with pytest.raises(ShapeError, match="leaks"):
        analyze(current, leaks=(wrong,))


def test_the_report_shows_the_leak_and_survives_hostile_names():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 3)).astype("float32"), columns=["<b>a</b>", "b" * 300, "c"])
    frame["y"] = frame["<b>a</b>"] + frame["b" * 300]
    page = ki.report(ki.KANHead(3, 1), frame, target="y", progress=False)
    (finding,) = found(page.analysis, "leak")
    assert finding.claim.endswith("gives the target exactly.")
    assert len(finding.claim) < 150
    assert "<b>a</b>" not in page.to_html()


def test_the_two_random_columns_of_the_appliances_data_are_copies():
    place = os.environ.get("KANINTERP_DATA")
    if not place:
        pytest.skip("KANINTERP_DATA is not set")
    path = Path(place) / "timeseries" / "appliances_energydata_complete.csv.zip"
    table = pd.read_csv(path).select_dtypes("number").drop(columns="Appliances")
    analysis = analyze(traced(table.to_numpy(), list(table.columns)))
    (finding,) = found(analysis, "copies")
    assert "rv1 and rv2" in finding.claim
    assert copy_groups(analysis.trace.raw) == (tuple(table.columns.get_loc(name) for name in ("rv1", "rv2")),)
