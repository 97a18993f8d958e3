"""The noise floor: p-values that are uniform where nothing is to be found, and small where something is."""

from __future__ import annotations

import functools
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

import kaninterp as ki
from kaninterp.core import DataError, InputError, InputTypeError, Shadows
from kaninterp.measure import shadow_inputs, shadows
from kaninterp.measure.moves import moves, pieces_of
from kaninterp.measure.prediction import predict, t_bound, t_tail
from tests.planted import additive, lagged
from tests.tiny import hybrid, known_head, known_layer, zero

MODULE = sys.modules["kaninterp.measure.shadows"]  # the function of the same name hides it
ROWS = 1000
NOISE = 12
CHANCE = 0.01
"""A test of uniformity fails below this: there are several, and each of them is left to chance."""
SEEDS = range(5)
"""Reported on these; the number of pieces was chosen in simulations with seeds from 100 on."""


def tensors(*arrays: np.ndarray) -> tuple[Tensor, ...]:
    return tuple(torch.tensor(a, dtype=torch.float32) for a in arrays)


@functools.cache
def trained_table(seed: int, hidden: tuple[int, ...] = ()) -> tuple[ki.KANHead, Tensor, Tensor]:
    """A head trained on the first half of an additive problem, and the second half."""
    problem = additive(2 * ROWS, NOISE, seed)
    X, y = tensors(problem.X, problem.y[:, None])
    head = ki.KANHead(X.shape[1], 1, hidden, domain=(-1, 1), generator=torch.Generator().manual_seed(seed))
    ki.fit(head, (X[:ROWS], y[:ROWS]), epochs=6, lr=0.02, seed=seed, progress=False)
    return head, X[ROWS:], y[ROWS:]


@functools.cache
def found_in_table(seed: int) -> Shadows:
    head, X, y = trained_table(seed)
    return shadows(head, (X, y), seed=seed, progress=False)


def test_inputs_that_know_nothing_have_uniform_p_values_and_the_others_small_ones():
    found = [found_in_table(seed) for seed in SEEDS]
    null = np.concatenate([each.p_value[3:] for each in found])
    assert stats.kstest(null, "uniform").pvalue > CHANCE
    assert np.mean(np.concatenate([each.q_value[3:] for each in found]) < 0.05) <= 0.05
    for each in found:
        assert (each.q_value[:3] < 0.001).all()
        assert each.tested.all()
        assert each.family == 3 + NOISE


def test_edges_that_know_nothing_stay_below_the_floor_and_the_others_do_not():
    found = [found_in_table(seed) for seed in SEEDS]
    null = np.concatenate([each.edge_p_value[0][0, 3:] for each in found])
    assert stats.kstest(null, "uniform").pvalue > CHANCE
    assert np.mean(np.concatenate([each.edge_q_value[0][0, 3:] for each in found]) < 0.05) <= 0.05
    for each in found:
        assert (each.edge_q_value[0][0, :3] < 0.001).all()
        assert (each.edge_benefit[0][0, :3] > each.edge_floor).all()
        assert np.mean(each.edge_benefit[0][0, 3:] > each.edge_floor) <= 0.25


def test_edges_that_only_undo_each_other_are_no_better_than_their_shadows():
    """Edges of a hidden layer read noise and cancel: each alone would be missed, all of them would not."""
    for seed in SEEDS[:2]:
        head, X, y = trained_table(seed, hidden=(4,))
        found = shadows(head, (X, y), seed=seed, progress=False)
        assert np.mean(found.edge_q_value[0][:, 3:] < 0.05) <= 0.05
        assert (found.edge_q_value[0][:, :3] < 0.05).any(0).all()
        assert (found.edge_q_value[1] < 0.001).any()


def test_slow_columns_of_noise_in_a_recurrent_model():
    """Two columns count, three drift slowly and know nothing; so does the noise on the target."""
    null = []
    for seed in SEEDS:
        X, y = slow_windows(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = ki.Hybrid(nn.LSTM(5, 6, batch_first=True), ki.KANHead(6, 1, (2,)))
        ki.fit(model, (X[:ROWS], y[:ROWS]), epochs=6, lr=0.02, seed=seed, progress=False)
        found = shadows(model, (X[ROWS:], y[ROWS:]), seed=seed, progress=False)
        null.append(found.p_value[2:])
        assert (found.q_value[:2] < 0.05).all()
    assert stats.kstest(np.concatenate(null), "uniform").pvalue > CHANCE


def slow_windows(seed: int) -> tuple[Tensor, Tensor]:
    problem = lagged(2 * ROWS, 4, 3, seed)
    rng = np.random.default_rng(seed + 1000)
    drift = np.zeros((2 * ROWS + 4, 4))
    news = rng.normal(size=drift.shape) * (1 - 0.9**2) ** 0.5
    for t in range(1, len(drift)):
        drift[t] = 0.9 * drift[t - 1] + news[t]
    X = problem.X.copy()
    X[..., 2:] = np.lib.stride_tricks.sliding_window_view(drift[:, :3], 4, axis=0).transpose(0, 2, 1)[: 2 * ROWS]
    return tensors(X, (problem.y + 0.5 * drift[3:-1, 3])[:, None])


@given(t=st.floats(-50, 50), freedom=st.integers(1, 200))
def test_the_tail_of_students_law(t, freedom):
    assert t_tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-9, abs=1e-300)


@given(tail=st.floats(1e-6, 0.49), freedom=st.integers(1, 200))
def test_the_bound_of_students_law(tail, freedom):
    assert t_bound(tail, freedom) == pytest.approx(stats.t.isf(tail, freedom), rel=1e-7)


def test_predictions_are_uniform_for_one_more_draw_and_agree_with_the_floor():
    rng = np.random.default_rng(0)
    found = predict(rng.normal(size=4000), rng.normal(size=(20, 4000)))
    assert stats.kstest(found.p_value, "uniform").pvalue > CHANCE
    np.testing.assert_array_equal(found.p_value < 0.05, found.benefit > found.floor)
    still = predict(np.array([1.0, 0.5, 1.5]), np.ones((9, 3)))
    assert still.p_value.tolist() == [1.0, 0.1, 1.0]
    assert still.as_good.tolist() == [9, 0, 9]


@given(rows=st.integers(5, 200), pieces=st.integers(5, 12), seed=st.integers(0, 99))
def test_moves_are_orders_that_keep_neighbours_together(rows, pieces, seed):
    pieces = min(pieces, rows)
    orders = moves(rows, pieces, 3, np.random.default_rng(seed))
    for order in orders:
        assert sorted(order) == list(range(rows))
        assert ((np.diff(order) % rows) != 1).sum() <= pieces - 1
    assert pieces_of(rows, rows) == 0


def random_head(*widths: int) -> ki.KANHead:
    """A float64 head whose functions are far from straight."""
    made = torch.Generator().manual_seed(0)
    return ki.KANHead(
        widths[0], widths[-1], widths[1:-1], domain=(-1, 1), noise=1.0, dtype=torch.float64, generator=made
    ).eval()


def direct_losses(head, x, y, orders, dst, src):
    """Brute force: the layer's edges, one of them moved, summed by hand."""
    with torch.no_grad():
        values, above = x, 0.0
        layer = head.kan_layers[0]
        edges = layer.edges(values)
        losses = []
        for order in orders:
            changed = edges.clone()
            changed[:, dst, src] = edges[:, dst, src].mean(0) if order is None else edges[order][:, dst, src]
            nodes = changed.sum(-1) + (layer(values) - edges.sum(-1))
            for above in head.kan_layers[1:]:
                nodes = above(nodes)
            losses.append(float(((nodes - y) ** 2).mean()))
    return losses


@pytest.mark.parametrize("widths", [(3, 2), (3, 4, 1), (2, 3, 3, 2)])
def test_edges_against_brute_force(widths, monkeypatch):
    head = random_head(*widths)
    head.kan_layers[0].set_mask(torch.tensor([[1.0, 0.0, 1.0][: widths[0]]] * widths[1], dtype=torch.float64))
    x = torch.rand(120, widths[0], dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    y = torch.sin(3 * x @ torch.ones(widths[0], widths[-1], dtype=torch.float64))
    orders = moves(120, 10, 6, np.random.default_rng(1))
    monkeypatch.setattr(MODULE, "moves", lambda *_: orders)
    for host in (head, nn.Sequential(head, nn.Hardtanh(-50, 50))):
        found = shadows(host, (x, y), copies=6, progress=False)
        with torch.no_grad():
            base = float(((head(x) - y) ** 2).mean())
        for dst in range(widths[1]):
            assert (found.edge_p_value[0][dst, 1], found.edge_benefit[0][dst, 1]) == (1.0, 0.0)
            assert not found.edge_tested[0][dst, 1]
            for src in {0, widths[0] - 1} - {1}:
                removed, *moved = direct_losses(head, x, y, [None, *orders], dst, src)
                assert found.edge_benefit[0][dst, src] == pytest.approx(removed - base, abs=1e-10)
                together = direct_losses(head, x, y, orders, slice(None), src)
                exact = predict(np.full(2, base), np.column_stack([moved, together])).p_value.max()
                assert found.edge_p_value[0][dst, src] == pytest.approx(exact, abs=1e-8)


def test_where_every_step_is_read_all_steps_of_a_row_move_together():
    head = random_head(3, 2, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ki.Hybrid(nn.LSTM(2, 3, batch_first=True), head, readout="all").double().eval()
    x = torch.randn(60, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.randn(60, 5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = shadows(model, (x, y), copies=5, progress=False)
    rng = np.random.default_rng(0)
    moves(60, 10, 5, rng)  # those of the inputs are drawn first
    orders = moves(60, pieces_of(60, 5), 5, rng)
    with torch.no_grad():
        edges = head.kan_layers[0].edges(model.backbone(x)[0].flatten(0, 1)).reshape(60, 5, 2, 3)
        losses = []
        for order in orders:
            both = []
            for dst in (1, slice(None)):
                changed = edges.clone()
                changed[:, :, dst, 2] = edges[order][:, :, dst, 2]
                outputs = head.kan_layers[1](changed.sum(-1).flatten(0, 1)).reshape(60, 5, 1)
                both.append(float(((outputs - y) ** 2).mean()))
            losses.append(both)
        base = float(((model(x) - y) ** 2).mean())
    exact = predict(np.full(2, base), np.array(losses)).p_value.max()
    assert found.edge_p_value[0][1, 2] == pytest.approx(exact, abs=1e-8)


def test_what_cannot_help_is_not_tested():
    layer = known_layer([[lambda v: v, zero, lambda v: v, lambda v: v]])
    head = known_head(layer)
    layer.set_mask(torch.tensor([[1.0, 1.0, 1.0, 0.0]], dtype=torch.float64))
    x = torch.rand(200, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x[:, 2] = 0.25
    found = shadows(head, (x, x[:, :1]), progress=False)
    assert found.tested.tolist() == [True, False, False, False]
    assert found.p_value[1:].tolist() == found.q_value[1:].tolist() == [1.0] * 3
    assert found.p_value[0] < 1e-9
    assert found.edge_tested[0].tolist() == [[True, False, False, False]]
    assert found.edge_q_value[0][0, 1:].tolist() == [1.0] * 3


def test_a_model_that_is_constant_and_one_column():
    head = known_head(known_layer([[zero]]))
    x = torch.rand(30, 1, dtype=torch.float64)
    found = shadows(head, (x, x), progress=False)
    assert found.family == found.edge_family == 0
    assert found.edge_floor == 0.0


def test_too_few_rows_are_said_and_not_judged():
    found = shadows(hybrid(), (torch.randn(30, 24, 4), torch.randn(30, 1)), progress=False)
    assert found.family == found.edge_family == 0
    assert "30 rows are fewer than 5 pieces of 24 rows" in found.remark
    assert (found.p_value == 1).all()
    assert shadows(trained_table(0)[0], tuple(t[:30] for t in trained_table(0)[1:]), progress=False).family == 3 + NOISE


class TwoInputs(nn.Module):
    """A table and a sequence, and a class to tell; the KAN's outputs go through a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 3, batch_first=True)
        self.head = ki.KANHead(5, 3, (2,), generator=torch.Generator().manual_seed(0))

    def forward(self, table: Tensor, series: Tensor) -> Tensor:
        return self.head(torch.cat([table, self.lstm(series)[0][:, -1]], 1)).log_softmax(1)


def test_several_inputs_and_classes():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TwoInputs()
        table, series = torch.randn(300, 2), torch.randn(300, 6, 2)
    y = torch.bucketize(table[:, 0].contiguous(), torch.tensor([-0.4, 0.4]))
    ki.fit(model, ((table, series), y), epochs=30, lr=0.02, seed=0, progress=False)
    found = shadows(model, ((table, series), y), progress=False)
    assert found.loss == "cross_entropy"
    assert len(found.names) == 4
    assert found.q_value[0] < 0.001
    assert found.edge_family > 0


def test_nothing_moves_and_the_same_input_gives_the_same_bytes(tmp_path):
    model = hybrid().train()
    x, y = torch.randn(120, 5, 4), torch.randn(120, 1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    one, two = (shadows(model, (x, y), seed=3, progress=False) for _ in range(2))
    assert one.equals(two)
    assert not one.equals(shadows(model, (x, y), seed=4, progress=False))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(m.training for m in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    one.save(tmp_path / "shadows.npz")
    assert Shadows.load(tmp_path / "shadows.npz").equals(one)
    assert "inputs above the floor" in repr(one)


def test_work_is_bounded(monkeypatch):
    head, X, y = trained_table(0, hidden=(4,))
    monkeypatch.setattr(shadow_inputs, "WORK", 1)
    monkeypatch.setattr(MODULE, "EVALUATIONS", 31 * 200 * 40)
    found = shadows(head, (X, y), progress=False)
    assert found.rows == shadow_inputs.FEWEST_ROWS
    assert found.edge_rows == 200
    assert 0 < found.edge_family < 4 * (3 + NOISE) + 4
    assert "edges with the smallest parts" in found.remark
    monkeypatch.setattr(shadow_inputs, "MOST_WORK", 3 * 30 * 200 * shadow_inputs.parameters_run(head))
    fewest = shadows(head, (X, y), progress=False)
    assert fewest.tested.tolist() == [True] * 3 + [False] * NOISE
    assert f"{NOISE} inputs that move the output least" in fewest.remark
    np.testing.assert_array_equal(fewest.p_value[:3], found.p_value[:3])


def test_bad_questions_are_refused():
    head, X, y = trained_table(0)
    with pytest.raises(DataError, match="needs a target"):
        shadows(head, X, progress=False)
    with pytest.raises(InputError, match="copies"):
        shadows(head, (X, y), copies=4)
    with pytest.raises(InputTypeError, match="rows"):
        shadows(head, (X, y), rows=1.5)
