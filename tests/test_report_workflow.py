"""`ki.report` end to end: laws 9, 11 and 12, every kind of model, and every bad input before anything is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import kaninterp as ki
from kaninterp.core import DataError, ModelError, ReportWriteError, ShapeError, StateError
from kaninterp.render.passport_nouns import PassportCards
from tests.benchmarks.problems import products
from tests.planted import additive, lagged
from tests.tiny import TwoPaths, hybrid, paper_head

ROOT = Path(__file__).resolve().parent.parent
DATA = torch.randn(300, 5, 4, generator=torch.Generator().manual_seed(5))
Y = DATA[:, -1, :1] - DATA[:, -2, 1:2]


@pytest.fixture(scope="module")
def trained():
    """A small LSTM + KANHead that has learnt a planted problem, with its held-out rows."""
    problem = lagged(n=1600, noise_columns=3)
    X, y = torch.from_numpy(problem.X).float(), torch.from_numpy(problem.y).float()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ki.Hybrid(nn.LSTM(5, 12, batch_first=True), ki.KANHead(12, 1, (3,)))
    sparsity = ki.Sparsity()
    ki.fit(model, (X[:1200], y[:1200]), epochs=30, batch_size=64, sparsity=sparsity, seed=0, progress=False)
    return model, X[1200:], y[1200:], problem


def test_a_trained_hybrid_is_explained(trained):
    model, X, y, problem = trained
    page = ki.report(model, (X, y), feature_names=problem.names, target_names=["y"], progress=False)
    assert page.analysis.trust.status == "pass"
    assert page.analysis.trust.measured == 15
    verdicts = {v.name: v.survives for v in page.analysis.verdicts}
    assert all(verdicts[problem.names[i]] == "keep" for i in problem.keep)
    assert all(verdicts[problem.names[i]] == "drop" for i in problem.drop)
    text = str(page)
    assert "u0" in text
    new, outcome = ki.prune(model, page.analysis.plan)
    assert outcome.kept_inputs == ("u0", "u1")
    assert float(((new(X)[:, 0] - y) ** 2).mean().detach()) < 0.15


def test_a_target_brings_a_noise_floor(trained):
    model, X, y, problem = trained
    floor = ki.report(model, (X, y), feature_names=problem.names, progress=False).analysis.shadows
    assert (floor.q_value[sorted(problem.keep)] < 0.001).all()
    assert (floor.q_value[sorted(problem.drop)] > 0.05).all()
    assert floor.edge_family > 0
    bare = ki.report(model, X, feature_names=problem.names, progress=False)
    assert bare.analysis.shadows is None
    assert "No noise floor was measured" in bare.to_html()


def test_columns_that_act_together_are_told_with_their_share():
    problem = products(0)
    X, y = torch.from_numpy(problem.X).float(), torch.from_numpy(problem.y).float()[:, None]
    head = ki.KANHead(10, 1, (6,), domain=(-1.05, 1.05), generator=torch.Generator().manual_seed(0))
    ki.fit(head, (X[:2000], y[:2000]), epochs=30, lr=1e-2, seed=0, progress=False)
    page = ki.report(head, (X[2000:], y[2000:]), target_names=["yield"], progress=False)
    table = next(block for block in page.document.section("inputs").blocks if getattr(block, "id", "") == "together")
    assert [row[0].text for row in table.rows[:2]] == ["x0 × x1", "x2 × x3"]
    assert [row[-1] for row in table.rows[:2]] == ["yes", "yes"]
    assert page.analysis.interactions.outputs == ("yield",)
    found = next(finding for finding in page.analysis.findings if finding.code == "act-together")
    assert found.claim.startswith("x0 and x1 act together")
    plain = ki.report(ki.KANHead(10, 1), (X[2000:], y[2000:]), progress=False)
    assert "none, of the 10 columns compared" in plain.to_html()
    assert "act-together" not in {finding.code for finding in plain.analysis.findings}


def test_a_dropped_copy_is_redundant_given_its_survivor():
    x = torch.rand(600, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x[:, 2] = x[:, 0]
    head = ki.KANHead(3, 1, domain=(-1.05, 1.05), generator=torch.Generator().manual_seed(0))
    head.kan_layers[0].set_mask(torch.tensor([[1.0, 1.0, 0.0]]))
    y = 2 * x[:, :1] + torch.sin(3 * x[:, 1:2]) + 0.1 * torch.randn(600, 1, generator=torch.Generator().manual_seed(1))
    ki.fit(head, (x, y), epochs=15, lr=2e-2, seed=0, progress=False)
    page = ki.report(head, (x, y), feature_names=["a", "b", "copy"], progress=False)
    (swap,) = page.analysis.swaps
    assert (swap.dropped, swap.survivor, swap.back) == ("copy", "a", True)
    assert "Redundant given a: with a removed and the model refitted it wins back" in page.analysis.verdicts[2].text
    assert "Its place is taken by" in page.to_html()
    assert {f.code for f in page.analysis.findings} >= {"copies"}


def test_two_runs_give_the_same_bytes_and_leave_nothing_else(tmp_path):
    script = (
        "import sys, socket\n"
        "def refuse(*args, **kwargs): raise AssertionError('network used')\n"
        "socket.socket.connect = refuse\n"
        "import torch, kaninterp as ki\n"
        "from tests.tiny import hybrid\n"
        "X = torch.randn(200, 5, 4, generator=torch.Generator().manual_seed(0))\n"
        "ki.report(hybrid(), (X, X[:, -1, :1]), out=sys.argv[1], progress=False)\n"
    )
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": str(ord(name)), "PYTHONPATH": str(ROOT), "HOME": str(folder)}
        command = [sys.executable, "-W", "error", "-c", script, "report.html"]
        done = subprocess.run(command, check=True, env=environment, cwd=folder, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("", "")
        # matplotlib, which captum imports, may keep its font cache in the home folder
        assert {p.name for p in folder.iterdir()} - {".cache", ".config"} == {"report.html"}
    assert (tmp_path / "a" / "report.html").read_bytes() == (tmp_path / "b" / "report.html").read_bytes()


class Net(nn.Module):
    def __init__(self, body, head):
        super().__init__()
        self.body, self.head = body, head

    def forward(self, x):
        out = self.body(x)
        return self.head(out[0][:, -1] if isinstance(out, tuple) else out)


class Mixed(nn.Module):
    """A sequence, a table and an index, by name."""

    def __init__(self):
        super().__init__()
        self.rnn, self.embed = nn.GRU(2, 4, batch_first=True), nn.Embedding(7, 3)
        self.head = ki.KANHead(4 + 3 + 2, 2)

    def forward(self, past, now, station):
        return self.head(torch.cat([self.rnn(past)[0][:, -1], torch.tanh(now), self.embed(station)], dim=1))


TABLE = DATA[:, -1]
MODELS = {
    "lstm": (hybrid, DATA, Y),
    "gru, two ways, all steps": (
        lambda: ki.Hybrid(nn.GRU(4, 3, batch_first=True, bidirectional=True), ki.KANHead(6, 1), readout="all"),
        DATA,
        None,
    ),
    "mlp": (lambda: Net(nn.Sequential(nn.Linear(4, 6), nn.ReLU()), ki.KANHead(6, 2, (3,))), TABLE, None),
    "plain kan": (lambda: ki.KANHead(4, 1, (3,)), TABLE, Y),
    "float64": (paper_head, TABLE.double(), None),
    "two readers": (TwoPaths, DATA, Y),
    "classes": (lambda: ki.KANHead(4, 3), TABLE, torch.arange(300) % 3),
    "named inputs": (
        Mixed,
        {"past": DATA[..., :2], "now": DATA[:, -1, 2:], "station": torch.arange(300) % 7},
        None,
    ),
    "convolution": (
        lambda: nn.Sequential(nn.Conv1d(5, 2, 3), nn.Flatten(), nn.Tanh(), ki.KANHead(4, 1)),
        DATA,
        Y,
    ),
    "images": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Tanh(), ki.KANHead(2 * 9, 1)),
        torch.randn(60, 1, 5, 5),
        None,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model_is_reported(name):
    make, X, y = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make()
    page = ki.report(model, X if y is None else (X, y), progress=False)
    assert len(page.to_html()) < 1_000_000
    assert json.loads(page.to_json())


def test_the_reference_appears_in_the_ranges():
    page = ki.report(hybrid(), (DATA * 3, Y), reference=(DATA, Y), progress=False)
    assert page.analysis.ranges[0].reference is not None


def test_a_frame_with_hostile_names_and_a_target_column():
    frame = pd.DataFrame(TABLE.numpy(), columns=["</script><b>", "\u202eevil", "x" * 300, 7])
    frame["y"] = Y.numpy()[:, 0]
    html = ki.report(ki.KANHead(4, 1), frame, target="y", progress=False).to_html()
    assert "</script><b>" not in html
    assert "&lt;/script&gt;" in html


def test_a_model_trained_on_nothing_is_not_praised():
    problem = additive(n=600)
    page = ki.report(ki.KANHead(8, 1), (problem.X[:, :8], problem.y), progress=False)
    assert page.analysis.findings


def bad_inputs():
    nan = DATA.clone()
    nan[3, 0, 1] = torch.nan
    return {
        "wrong width": (hybrid(), (DATA[..., :3], Y), ModelError),
        "wrong rank": (hybrid(), (DATA[:, 0, 0], Y), (ShapeError, ModelError)),
        "nan": (hybrid(), (nan, Y), DataError),
        "inf in target": (hybrid(), (DATA, Y / 0), DataError),
        "empty": (hybrid(), (DATA[:0], Y[:0]), DataError),
        "integers": (hybrid(), DATA.long(), TypeError),
        "no kan": (nn.LSTM(4, 2), DATA, ModelError),
        "not a model": ("lstm", DATA, TypeError),
        "meta device": (hybrid().to("meta"), DATA, StateError),
        "generator": (hybrid(), (batch for batch in (DATA, DATA)), DataError),
        "not data": (hybrid(), 3, TypeError),
        "lengths differ": (hybrid(), (DATA, Y[:7]), ShapeError),
    }


@pytest.mark.parametrize("name", bad_inputs())
def test_bad_input_is_refused_before_anything_is_changed(name, tmp_path):
    model, data, error = bad_inputs()[name]
    state = {k: v.clone() for k, v in model.state_dict().items()} if isinstance(model, nn.Module) else {}
    random_state = torch.get_rng_state()
    out = tmp_path / "report.html"
    out.write_text("old")
    with pytest.raises(error) as caught:
        ki.report(model, data, out=out, progress=False)
    assert isinstance(caught.value, ki.KanInterpError)
    assert len(str(caught.value)) > 30
    assert out.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert torch.equal(random_state, torch.get_rng_state())
    if name != "meta device":
        assert all(torch.equal(v, state[k]) for k, v in (model.state_dict() if state else {}).items())


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c", "c"], "abcd"])
def test_names_that_do_not_fit(names):
    with pytest.raises(ki.KanInterpError):
        ki.report(hybrid(), (DATA, Y), feature_names=names, progress=False)


def test_a_path_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    class Never(nn.Module):
        def forward(self, x):
            raise AssertionError("measured before the path was checked")

    for bad in (tmp_path, tmp_path / "missing" / "report.html"):
        with pytest.raises(ReportWriteError):
            ki.report(Never(), DATA, out=bad)


def test_a_loader_that_shuffles_is_left_alone():
    loader = DataLoader(TensorDataset(DATA, Y), batch_size=32, shuffle=True)
    state = torch.get_rng_state()
    ki.report(hybrid(), loader, progress=False)
    assert torch.equal(state, torch.get_rng_state())
    assert np.isfinite(float(Y.sum()))


def drifted(rows=600, **index):
    """Two columns, y = a + b; a leaves its range in the last third. Data from before, and data from now."""
    rng = np.random.default_rng(0)
    then = pd.DataFrame({"a": rng.uniform(-1, 1, rows), "b": rng.uniform(-1, 1, rows)})
    now = pd.DataFrame({"a": rng.uniform(-1, 1, rows), "b": rng.uniform(-1, 1, rows)}, **index)
    now.iloc[2 * rows // 3 :, 0] += 3
    for table in (then, now):
        table["y"] = table["a"] + table["b"]
    return then.astype("float32"), now.astype("float32")


def learnt(then):
    head = ki.KANHead(2, 1, base="zero", domain=(-1.05, 1.05), generator=torch.Generator().manual_seed(0))
    ki.fit(head, then, target="y", epochs=30, lr=2e-2, domain_updates=0.0, seed=0, progress=False)
    return head


def blocks(page, section="drift"):
    return {getattr(block, "id", type(block).__name__): block for block in page.document.section(section).blocks}


def test_the_drift_page_says_what_left_when_and_what_it_costs():
    then, now = drifted(index=pd.date_range("2024-01-01", periods=600, freq="D"))
    page = ki.report(learnt(then), now, target="y", reference=then, progress=False)
    found = blocks(page)
    assert found["drift-columns"].rows[0][0].text == "a"
    assert found["drift-columns"].rows[0][1] == "33 %"
    columns = page.analysis.shapes.columns
    assert found["drift-columns"].rows[0][-2] == f"{columns.before[0]:,.0f} | {columns.now[0]:,.0f}"
    when = found["PeriodMap"]
    assert when.names == ("a", "a (grid)")
    assert {round(share, 2) for share in when.shares[0][:20]} == {0.0}
    assert {round(share, 2) for share in when.shares[0][-10:]} == {1.0}
    assert when.last[-1].startswith("2025-08-22")
    assert when.table.rows[0][2].startswith("2025-02-04")
    # the model is constant beyond its grid: all of the rise of the loss sits on the rows that left
    assert page.analysis.drift.clipping.part("columns").carried.value == pytest.approx(1, abs=0.02)
    assert any("of the rise" in getattr(block, "text", "") for block in page.document.section("drift").blocks)
    assert {finding.section for finding in page.analysis.findings} >= {"drift"}


def test_a_card_stands_in_for_the_reference_data():
    then, now = drifted()
    head = learnt(then)
    card = ki.range_card(head, then, target="y", progress=False)
    page = ki.report(head, now, target="y", reference=card, progress=False)
    assert "drift-consequences" in blocks(page)
    assert not any("rise" in getattr(block, "text", "") for block in page.document.section("drift").blocks)
    same = ki.report(head, then, target="y", reference=card, progress=False)
    assert "PeriodMap" not in blocks(same)
    assert "Nothing found" in same.document.section("drift").lead


def test_hostile_labels_of_rows_are_shown_as_text():
    then, now = drifted(index=[f"{i:04d}</text><script>alert(1)</script>" for i in range(600)])
    html = ki.report(learnt(then), now, target="y", reference=then, progress=False).to_html()
    assert "<script>alert" not in html
    assert "0400&lt;/text&gt;" in html


@pytest.mark.parametrize("target", [None, "y"])
def test_without_a_target_only_changes_of_the_output_are_told(target):
    then, now = drifted()
    head = learnt(then)
    if target is None:
        then, now = then.drop(columns="y"), now.drop(columns="y")
    page = ki.report(head, now, target=target, reference=then, progress=False)
    assert ("#Costs" in blocks(page)["drift-consequences"].columns) == (target == "y")


def test_distributions_are_compared_once_for_findings_and_page(monkeypatch):
    from kaninterp.analysis import drift

    calls, column_drift, layer_drift = [], drift.column_drift, drift.layer_drift
    counted = {"column_drift": column_drift, "layer_drift": layer_drift}
    for module in [module for name, module in sys.modules.items() if name.startswith("kaninterp")]:
        for name, function in counted.items():
            if getattr(module, name, None) is function:
                monkeypatch.setattr(module, name, lambda *a, n=name, f=function: calls.append(n) or f(*a))
    then, now = drifted()
    page = ki.report(learnt(then), now, target="y", reference=then, progress=False)
    assert sorted(calls) == ["column_drift", "layer_drift"]
    assert page.analysis.shapes.columns.names == ("a", "b")


def test_an_untrained_model_is_not_trusted_and_trust_can_be_left_out():
    page = ki.report(hybrid(), (DATA, Y), progress=False)
    assert page.analysis.trust.status == "fail"
    assert page.analysis.findings[0].code == "untrusted"
    silent = ki.report(hybrid(), (DATA, Y), trust=False, progress=False)
    assert silent.analysis.trust is None
    assert silent.document.section("trust").lead.startswith("Not measured")
    assert "trust=False" in str(silent)


def test_no_reference_no_drift_page():
    page = ki.report(hybrid(), (DATA, Y), progress=False)
    assert "drift" not in [section.id for section in page.document.sections]


def test_many_columns_with_endless_names_are_cut_and_counted():
    rng = np.random.default_rng(0)
    names = [f"{i:02d}" + "x" * 300 for i in range(80)]
    then, now = (pd.DataFrame(rng.uniform(-1, 1, (200, 80)).astype("float32"), columns=names) for _ in range(2))
    now += 3
    then["y"], now["y"] = then.sum(axis=1), now.sum(axis=1)
    head = ki.KANHead(80, 1, (40,), domain=(-1.05, 1.05), generator=torch.Generator().manual_seed(0))
    ki.fit(head, then, target="y", epochs=1, domain_updates=0.0, seed=0, progress=False)
    page = ki.report(head, now, target="y", reference=then, progress=False)
    found = blocks(page)
    assert "more columns or nodes are left out" in found["PeriodMap"].table.note
    assert "more columns are left out" in found["drift-consequences"].note
    assert "x" * 100 not in page.document.section("drift").lead + found["PeriodMap"].summary
    assert found["PeriodMap"].table.caption in str(page)
    html = page.to_html()
    body = html[: html.index('<script type="application/json"')]
    assert set(re.findall(r'href="#([^"]*)"', body)) <= set(re.findall(r'\sid="([^"]*)"', body))


DOUBLE = {"dtype": torch.float64, "domain": (-1, 1)}


def far_away(scale):
    x = torch.rand(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.stack([x[:, 0], scale * x[:, 1]], 1), x


@pytest.mark.parametrize(
    "verb",
    [
        lambda head, x, ok: ki.report(head, (x, ok[:, :1]), feature_names=["wind", "rain"], progress=False),
        lambda head, x, ok: ki.range_card(head, x, feature_names=["wind", "rain"], progress=False),
        lambda head, x, ok: ki.would_bend(head, (x, ok[:, :1]), feature_names=["wind", "rain"], progress=False),
        lambda head, x, ok: ki.check(
            head, x, feature_names=["wind", "rain"], progress=False,
            card=ki.range_card(head, ok, feature_names=["wind", "rain"], progress=False),
        ),
    ],
    ids=["report", "range_card", "would_bend", "check"],
)  # fmt: skip
def test_numbers_whose_squares_have_no_room_are_refused_by_name(verb):
    head = ki.KANHead(2, 1, generator=torch.Generator().manual_seed(0), **DOUBLE)
    with pytest.raises(DataError, match=r"values too large in rain \(up to .*e\+2.*allowed: up to 1e\+70"):
        verb(head, *far_away(1e250))


def test_what_is_just_allowed_has_a_report_even_against_a_reference():
    head = ki.KANHead(2, 1, (3,), generator=torch.Generator().manual_seed(0), **DOUBLE)
    x, ok = far_away(1e69)
    page = ki.report(head, (x, ok[:, :1]), reference=(ok, ok[:, :1]), progress=False)
    assert "x1" in page.to_html()


def test_weights_that_give_numbers_without_room_are_named_by_node():
    head = ki.KANHead(1, 1, (2,), generator=torch.Generator().manual_seed(0), **DOUBLE)
    with torch.no_grad():
        head.kan_layers[0].weight[1, -1] = 1e200
    with pytest.raises(ModelError, match=r"input node 1 of KAN layer 2 .* reaches .*e\+19"):
        ki.trace(head, torch.ones(10, 1, dtype=torch.float64), progress=False)


def test_nodes_are_described_in_columns_or_it_is_said_why_not():
    then, _ = drifted()
    head = ki.KANHead(2, 1, (2,), domain=(-1.05, 1.05), generator=torch.Generator().manual_seed(0))
    ki.fit(head, then, target="y", epochs=20, lr=2e-2, domain_updates=0.0, seed=0, progress=False)
    page = ki.report(head, then, target="y", progress=False)
    cards = next(b for b in page.document.section("network").blocks if isinstance(b, PassportCards))
    table = cards.table
    assert table.rows[0][0].text == page.analysis.trace.output_names[0]
    assert len(table.rows) == 3  # the output and the hidden nodes, not the columns themselves
    assert "a rising" in table.rows[0][2]
    assert "b rising" in table.rows[0][2]
    assert "About" in table.rows[0][2]
    output = cards.items[0]
    assert output.described
    assert output.text.startswith("Rises with ")
    assert {effect.name for effect in output.effects} == {"a", "b"}
    for effect in output.effects:
        column = then[effect.name]
        assert effect.seen == pytest.approx((column.min(), column.max()), abs=0.05)  # of the rows it was fitted on
        assert effect.curve[0] < 0 < effect.curve[-1]
        assert sum(effect.support) == pytest.approx(1, abs=1e-2)
    few = ki.report(head, then[:150], target="y", progress=False)
    assert any(
        "Nodes were not described: 150 rows" in getattr(block, "text", "")
        for block in few.document.section("network").blocks
    )
