"""Why a node shows no edge: all seven reasons planted in one head, named right, each with what removing it does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.analysis import analyze, missing_nodes
from kaninterp.core import EdgeAblation, Estimate, Twins, archive
from kaninterp.core.frozen import same
from kaninterp.measure import ablate_edges, edges, trace
from kaninterp.measure.twins import moving, twins
from kaninterp.render import document
from kaninterp.render.cells import Whisker
from kaninterp.render.figure_nouns import NetworkFigure
from tests.tiny import known_head, known_layer, zero

COLUMNS = ("signal", "masked", "zero", "constant", "dead", "twin", "other", "noise", "weak")
REASONS = {
    "masked": "masked",
    "zero": "zero",
    "constant": "constant",
    "dead": "dead-target",
    "twin": "cancelled",
    "other": "cancelled",
    "noise": "noise",
    "weak": "below-limit",
}
ROWS = 2000
SIGMA = 0.02
"""Of what the model does not know about the target."""


def wave(x):
    return torch.sin(2 * x)


def small(size: float):
    return lambda x: size * (x**2 - 1 / 3)


def planted():
    """A head 9-3-1: node 0 does the work, node 1 is made of twins, node 2 leads nowhere."""
    first = known_layer(
        [
            [wave, wave, zero, wave, zero, zero, zero, small(0.001), small(0.02)],
            [zero, zero, zero, zero, zero, wave, zero, zero, zero],
            [zero, zero, zero, zero, wave, zero, zero, zero, zero],
        ]
    )
    with torch.no_grad():
        first.weight[1, :, 6] = -first.weight[1, :, 5]
    live = [[1, 0, 1, 1, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0, 0]]
    second = known_layer([[lambda x: x, lambda x: x + 0.5 * x**2, wave]], lo=-2.0, hi=2.0)
    first.set_mask(torch.tensor(live, dtype=torch.float64))
    second.set_mask(torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64))
    return known_head(first, second)


def rows(seed: int, head):
    """Uniform columns, one constant and two the same; the target is what the head says, but for noise's part."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (ROWS, len(COLUMNS)))
    x[:, 3], x[:, 6] = 0.4, x[:, 5]
    x = torch.as_tensor(x)
    with torch.no_grad():
        without_noise = x.clone()
        without_noise[:, 7] = 3**-0.5  # there the small edge is 0
        y = head(without_noise)
    return x, y + SIGMA * torch.as_tensor(rng.normal(size=y.shape))


def measured(seed: int):
    head = planted()
    x, y = rows(seed, head)
    ablation = ablate_edges(head, (x, y), feature_names=COLUMNS, rows=ROWS)
    return analyze(trace(head, (x, y), feature_names=COLUMNS, progress=False), edge_ablation=ablation), head, x, y


@pytest.mark.parametrize("seed", range(5))
def test_each_reason_is_named_and_backed_by_a_removal(seed):
    analysis, *_ = measured(seed)
    found = {m.name: m for m in missing_nodes(analysis) if m.side == "out" and m.layer == 0}
    assert {name: m.code for name, m in found.items()} == REASONS
    for name in ("masked", "zero", "constant", "dead"):
        assert found[name].change == Estimate(value=0.0, low=0.0, high=0.0)
    assert found["noise"].change.low <= 0 <= found["noise"].change.high
    assert found["weak"].change.low > 0
    assert "removing all 3 changes the loss (mse) by +" in found["weak"].text
    both = found["twin"].twins[0]
    assert found["twin"].twins == found["other"].twins
    told = "twin and other undo each other in node 1.1: removing both edges, 0 (95 % interval 0 to 0)"
    for name in ("twin", "other"):  # each alone is missed, both together are not
        assert found[name].change.low > 0
        assert told in found[name].text
    assert both.together == Estimate(value=0.0, low=0.0, high=0.0)


def test_hidden_nodes_are_named_on_both_sides():
    analysis, *_ = measured(0)
    found = {(m.index, m.side): m for m in missing_nodes(analysis) if m.layer == 1}
    assert {place: m.code for place, m in found.items()} == {
        (1, "in"): "cancelled",
        (1, "out"): "constant",
        (2, "in"): "dead-target",
        (2, "out"): "masked",
    }
    assert all(m.change == Estimate(value=0.0, low=0.0, high=0.0) for m in found.values())


def test_a_removal_is_what_is_left_when_the_edges_are_replaced_by_their_means():
    """The oracle: the head run again by hand, on the same rows, without all edges of a node."""
    analysis, head, x, y = measured(1)
    first, second = head.kan_layers
    with torch.no_grad():
        edges = first.edges(x)
        base = ((head(x) - y) ** 2).mean()

        def loss(changed):
            nodes = changed.sum(2) + first.bias
            return float(((second(nodes) - y) ** 2).mean() - base)

        for src in range(len(COLUMNS)):
            changed = edges.clone()
            changed[:, :, src] = edges[:, :, src].mean(0)
            assert analysis.edge_ablation.out[0][src] == pytest.approx(loss(changed), abs=1e-12)
        for dst in range(3):
            changed = edges.clone()
            changed[:, dst] = edges[:, dst].mean(0)
            assert analysis.edge_ablation.into[0][dst] == pytest.approx(loss(changed), abs=1e-12)


def test_errors_are_those_of_rows_drawn_again():
    """Means over fresh rows scatter as the standard error says (independent rows)."""
    head = planted()
    runs = [ablate_edges(head, rows(seed, head), rows=ROWS) for seed in range(100, 160)]
    for pick in (lambda a: (a.out[0][0], a.out_error[0][0]), lambda a: (a.change[0][0, 8], a.error[0][0, 8])):
        values, errors = np.array([pick(run) for run in runs]).T
        assert errors.mean() == pytest.approx(values.std(ddof=1), rel=0.3)


def test_a_noise_edge_that_measures_a_rise_within_its_error_is_no_rise():
    analysis, *_ = measured(0)
    ablation = analysis.edge_ablation
    risen = [layer.copy() for layer in ablation.change]
    risen[0][0, 7] = ablation.error[0][0, 7]
    code = {
        m.name: m.code for m in missing_nodes(replace(analysis, edge_ablation=replace(ablation, change=tuple(risen))))
    }
    assert code["noise"] == "noise"
    risen[0][0, 7] = 3 * ablation.error[0][0, 7]
    code = {
        m.name: m.code for m in missing_nodes(replace(analysis, edge_ablation=replace(ablation, change=tuple(risen))))
    }
    assert code["noise"] == "below-limit"


def test_without_a_target_removals_change_the_outputs():
    head = planted()
    x, _ = rows(0, head)
    ablation = ablate_edges(head, x, feature_names=COLUMNS)
    found = {m.name: m for m in missing_nodes(analyze(trace(head, x, progress=False), edge_ablation=ablation))}
    assert "changes the outputs by +" in next(m.text for name, m in found.items() if m.code == "below-limit")


def test_what_is_missing_stands_in_the_report_with_its_interval():
    analysis, *_ = measured(0)
    section = document(analysis).section("network")
    figure = next(block for block in section.blocks if isinstance(block, NetworkFigure))
    tables = {table.id: table for table in figure.companions}
    out = {row[0].text: row for row in tables["missing"].rows if row[1] == "out"}
    assert set(REASONS) <= set(out)
    for name in REASONS:
        assert isinstance(out[name][2], Whisker)
    assert out["twin"][2].low > 0
    assert (out["masked"][2].low, out["masked"][2].high) == (0, 0)
    pair = tables["twins"].rows[0]
    assert [name.text for name in pair[:3]] == ["twin", "other", "node 1.1"]
    assert pair[3].low > 0 < pair[4].low
    assert pair[5].value == 0
    assert "removing" not in out["weak"][3]  # the interval stands beside it


def test_twins_that_leave_something_are_missed_by_what_they_leave():
    """Two columns that nearly agree, in float32: the pair is found, and both together change little."""
    head = planted().float()
    x, _ = rows(3, planted())
    x[:, 6] += 0.05 * torch.as_tensor(np.random.default_rng(3).normal(size=ROWS))
    x = x.clamp(-1, 1).float()
    ablation = ablate_edges(head, (x, head(x).detach()), rows=ROWS)
    (pair,) = ablation.twins
    assert (pair.layer, pair.dst, pair.src) == (0, 1, (5, 6))
    assert 0 < pair.together.high < 0.05 * ablation.node(0, 5, "out").low


def test_twins_are_pairs_whose_sum_hardly_moves():
    rng = np.random.default_rng(0)
    a, b, c = torch.as_tensor(rng.normal(size=(3, 400)))
    edges = torch.stack([a, b, -0.9 * a, 0.1 * b, c, -c], 1)[:, None]
    alive = np.ones((1, 6), bool)
    assert list(twins(edges, moving(edges, alive))) == [(0, 4, 5), (0, 0, 2)]
    alive[0, 5] = False
    assert list(twins(edges, moving(edges, alive))) == [(0, 0, 2)]
    still = torch.ones(10, 1, 3)
    assert list(twins(still, moving(still, np.ones((1, 3), bool)))) == []


def test_ablation_with_everything_survives_a_file(tmp_path):
    analysis, *_ = measured(0)
    archive.save(analysis.edge_ablation, tmp_path / "edges.npz")
    again = archive.load(tmp_path / "edges.npz", EdgeAblation, (Twins, Estimate))
    assert same(again, analysis.edge_ablation)


def test_edges_that_would_fill_the_memory_are_measured_on_fewer_rows(monkeypatch):
    """A KAN that reads 40 steps of each of 400 rows holds 16000 x 12 values for its 12 edges."""

    class PerStep(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = ki.KANHead(4, 3, generator=torch.Generator().manual_seed(0))

        def forward(self, x):
            return self.head(torch.tanh(x)).mean(1)

    model, x = PerStep(), torch.randn(400, 40, 4, generator=torch.Generator().manual_seed(0))
    whole = ablate_edges(model, x, rows=400)
    monkeypatch.setattr(edges, "EDGE_VALUES", 100 * 40 * 12)
    part = ablate_edges(model, x, rows=400)
    assert (whole.rows, part.rows) == (400, 100)
    assert (np.abs(part.change[0] - whole.change[0]) < 6 * part.error[0]).all()
    assert (part.error[0] > whole.error[0]).all()
    assert ablate_edges(model, x[:20], rows=400).rows == 20
