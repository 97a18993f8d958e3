"""Ablation, bootstrap and attribution on problems whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.core import ModelError
from kaninterp.measure import BlockBootstrap, ablate, ablate_edges, attribute
from tests.planted import lagged
from tests.tiny import hybrid, known_head, known_layer, paper_head, zero

X = torch.rand(2000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


def test_shares_are_the_total_sobol_indices_of_an_additive_function():
    head = paper_head()
    ablation, _ = ablate(head, X, rows=2000, repeats=4)
    variances = np.array([4 / 45, 0.03, 0.01 / 7, 0.0])
    np.testing.assert_allclose(ablation.node_shares[-1][0], variances / variances.sum(), atol=0.03)
    assert ablation.loss == "output change"


def test_the_rise_of_the_loss_is_twice_the_variance_of_the_edge():
    head = paper_head()
    ablation, curve = ablate(head, (X, head(X).detach()), rows=2000, repeats=4)
    variances = head.kan_layers[0].edges(X)[:, 0].detach().var(0).numpy()
    np.testing.assert_allclose(ablation.change, 2 * variances, rtol=0.05, atol=1e-12)
    assert ablation.base.value == pytest.approx(0, abs=1e-12)
    assert curve.order.tolist() == [0, 1, 2, 3]
    assert curve.loss[-1] == pytest.approx(0, abs=1e-12)
    assert np.all(np.diff(curve.loss) <= 1e-3)
    assert ablation.p_value[3] > 0.5 > 0.001 > ablation.p_value[2]


def test_a_zero_column_is_read_off_the_weights():
    model = hybrid()
    with torch.no_grad():
        model.backbone.weight_ih_l0[:, 1] = 0
    ablation, curve = ablate(model, torch.randn(300, 5, 4), rows=200)
    assert ablation.reads.tolist() == [True, False, True, True]
    assert ablation.norms[1] == 0
    assert ablation.change[1] == 0
    assert ablation.p_value[1] == 1
    assert curve.order[-1] == 1


def test_a_column_used_behind_our_back_counts_as_read():
    class Sneaky(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = hybrid()

        def forward(self, x):
            return self.inner(x) + x[:, -1, 1:2]

    model = Sneaky()
    with torch.no_grad():
        model.inner.backbone.weight_ih_l0[:, 1] = 0
    ablation, _ = ablate(model, torch.randn(300, 5, 4), rows=200)
    assert ablation.reads[1]


def test_held_out_noise_columns_are_not_told_from_noise():
    problem = lagged(n=1200)

    class Truth(nn.Module):
        """The planted function; the head only passes it on."""

        def __init__(self):
            super().__init__()
            self.head = known_head(known_layer([[lambda x: x]], lo=-6, hi=6))

        def forward(self, x):
            return self.head((x[:, -2, 0] + torch.sin(x[:, -3, 1]))[:, None])

    X, y = torch.from_numpy(problem.X), torch.from_numpy(problem.y)
    ablation, curve = ablate(Truth(), (X, y), rows=1000)
    assert all(ablation.p_value[i] < 1e-3 for i in problem.keep)
    assert all(ablation.change[i] == 0 for i in problem.drop)
    assert curve.chosen == 2


def test_lags_are_found():
    problem = lagged(n=400)

    class Truth(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = known_head(known_layer([[lambda x: x]], lo=-8, hi=8))

        def forward(self, x):
            return self.head((x[:, -2, 0] + torch.sin(x[:, -3, 1]))[:, None])

    found = attribute(Truth(), torch.from_numpy(problem.X), rows=100)
    for magnitude in found.magnitude[:, 0]:  # both baselines
        assert magnitude[1, 0] > 0
        assert magnitude[2, 1] > 0
        assert magnitude.sum() == pytest.approx(magnitude[1, 0] + magnitude[2, 1])
    assert (found.residual < 1e-2).all()
    assert found.node_lags[0][0].argmax() == 1 * 5 + 0
    assert found.perturbation[0, 2:].max() == 0


def test_tables_and_several_outputs():
    head = known_head(known_layer([[torch.sin, zero], [zero, torch.square]]))
    found = attribute(head, X[:100, :2])
    assert found.signed.shape == (2, 2, 1, 2)
    assert found.magnitude[0, 0, 0, 1] == pytest.approx(0, abs=1e-9)
    assert found.magnitude[0, 1, 0, 0] == pytest.approx(0, abs=1e-9)


def test_an_edge_costs_its_variance():
    head = paper_head()
    cost = ablate_edges(head, (X, head(X).detach()), rows=2000)
    variances = head.kan_layers[0].edges(X)[:, 0].detach().var(0).numpy()
    np.testing.assert_allclose(cost.change[0][0], variances, rtol=0.02, atol=1e-12)
    assert cost.loss == "mse"


def test_an_edge_below_a_changed_output_is_priced_in_output_change():
    model = nn.Sequential(paper_head(), nn.Flatten(0))
    scaled = nn.Sequential(paper_head(), nn.Tanh())
    assert ablate_edges(model, (X, X[:, 0])).loss == "mse"
    assert ablate_edges(scaled, (X, X[:, :1])).loss == "output change"


def test_images_have_no_columns():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), ki.KANHead(2 * 16, 1))
    with pytest.raises(ModelError, match="n, F"):
        ablate(model, torch.randn(8, 1, 6, 6))
    assert ki.trace(model, torch.randn(8, 1, 6, 6)).raw is None


def test_bootstrap_intervals_cover_and_widen_with_dependence():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(60):
        values = np.random.default_rng(seed).normal(0.3, 1.0, 300)
        estimate = BlockBootstrap(300, 5, rng).estimate(values)
        hits += estimate.low < 0.3 < estimate.high
    assert hits >= 51  # 95 % of 60 is 57; the chance of fewer than 51 is below 1 %
    slow = np.repeat(np.random.default_rng(0).normal(size=30), 10)
    narrow, wide = (BlockBootstrap(300, block, rng).standard_error(slow) for block in (1, 20))
    assert wide > 1.5 * narrow


def test_the_same_seed_gives_the_same_evidence():
    model, data = hybrid(), torch.randn(100, 5, 4, generator=torch.Generator().manual_seed(0))
    first, second = (ablate(model, data, seed=3) for _ in range(2))
    assert np.array_equal(first[0].change, second[0].change)
    assert np.array_equal(first[1].loss, second[1].loss)
