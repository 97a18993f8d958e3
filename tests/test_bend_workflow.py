"""`would_bend`: a planted sine bends, a planted line does not, and nothing moves until `apply`."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.core.errors import DataError, InputTypeError, ModelError, StateError
from kaninterp.nn.moving import MovingDomain

ROWS = 600


def rows(scale, seed, columns=1):
    return scale * (2 * torch.rand(ROWS, columns, generator=torch.Generator().manual_seed(seed)) - 1)


def trained(x, y, seed=0, **options):
    """A head as it is found: trained for a while on a grid that does not fit its data."""
    head = ki.KANHead(x.shape[1], 1, generator=torch.Generator().manual_seed(seed), **options)
    ki.fit(head, (x, y), epochs=20, lr=1e-2, domain_updates=0.0, seed=seed, progress=False)
    return head


def noise(seed):
    return 0.1 * torch.randn(ROWS, 1, generator=torch.Generator().manual_seed(1000 + seed))


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(("seed", "uniform"), [(0, True), (1, True), (2, True), (0, False)])
def test_a_planted_sine_beyond_the_grid_bends(seed, uniform):
    """Most rows lie outside [-1, 1]; only the base branch sees them, and it draws a line through a wave."""
    x = rows(4.0, seed) + 6.5
    y = torch.sin(2 * x) + 0.5 * x + noise(seed)
    head = trained(x, y, seed, domain=(-1, 1), outside="base", base="identity", uniform=uniform)
    trial = ki.would_bend(head, (x, y), lr=2e-2, seed=seed, progress=False)
    (edge,) = trial.edges
    assert edge.cause == "out-of-domain"
    assert edge.verdict == "bends"
    assert edge.linear_r2[0] >= 0.99 > edge.linear_r2[2]
    assert edge.linear_r2[1] >= 0.99  # no training on the old grid can do it
    assert trial.gain.low > 0
    assert trial.losses[2].value < 0.2 * trial.losses[1].value
    assert "bends" in str(trial)


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_line_stays_straight(seed):
    x = rows(4.0, seed) + 6.5
    y = 0.5 * x + noise(seed)
    head = trained(x, y, seed, domain=(-1, 1), outside="base", base="identity")
    trial = ki.would_bend(head, (x, y), lr=1e-2, seed=seed, progress=False)
    assert [edge.verdict for edge in trial.edges] == ["stays straight"]
    assert trial.gain.high < 0.01  # nothing to gain: the noise has a variance of 0.01


def test_a_wave_in_a_sliver_of_the_grid_bends_and_its_neighbour_does_not():
    x = rows(0.1, 0, columns=2)
    y = torch.sin(60 * x[:, :1]) + 5 * x[:, 1:] + noise(0)
    head = trained(x, y, domain=(-1, 1))
    trial = ki.would_bend(head, (x, y), epochs=60, lr=2e-2, progress=False)
    verdicts = {edge.name: edge.verdict for edge in trial.edges}
    assert verdicts["x0 -> y0"] == "bends"
    assert verdicts["x1 -> y0"] == "stays straight"
    assert trial.moved < 1e-5


def test_nothing_moves_until_apply_and_then_all_that_was_shown():
    x = rows(0.1, 0)
    y = torch.sin(60 * x)
    head = trained(x, y, domain=(-1, 1))
    before, state = state_of(head), torch.random.get_rng_state()
    trial = ki.would_bend(head, (x, y), lr=2e-2, progress=False)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state_of(head).items())
    assert trial.apply() is head
    torch.testing.assert_close(head(x), trial.model(x))
    assert head.kan_layers[0].grid == head.options["grid"] == trial.grid[1]
    again = ki.KANHead(**head.config)
    again.load_state_dict(head.state_dict())
    with pytest.raises(StateError, match="has changed since the trial"):
        trial.apply()


def test_a_model_that_was_trained_since_is_not_overwritten():
    x = rows(0.1, 0)
    head = trained(x, x, domain=(-1, 1))
    trial = ki.would_bend(head, (x, x), epochs=1, progress=False)
    ki.fit(head, (x, x), epochs=1, progress=False)
    before = state_of(head)
    with pytest.raises(StateError):
        trial.apply()
    assert all(torch.equal(tensor, before[name]) for name, tensor in state_of(head).items())


def test_an_lstm_keeps_its_weights_unless_it_is_told_otherwise():
    x = torch.randn(300, 6, 3, generator=torch.Generator().manual_seed(0))
    y = torch.sin(3 * x[:, -1, :1])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ki.Hybrid(nn.LSTM(3, 8, batch_first=True), ki.KANHead(8, 1, domain=(-1, 1)))
    model.requires_grad_(True)
    backbone = state_of(model)
    for all_of_it in (False, True):
        copied = copy.deepcopy(model)
        trial = ki.would_bend(copied, (x, y), epochs=2, backbone=all_of_it, progress=False)
        assert trial.edges
        assert trial.moved < 1e-5
        trial.apply()
        after = state_of(copied)
        same = [torch.equal(after[n], t) for n, t in backbone.items() if "weight_ih" in n or "weight_hh" in n]
        assert same
        assert all(same) != all_of_it
        assert all(parameter.requires_grad for parameter in copied.parameters())


def test_a_frozen_backbone_keeps_its_running_statistics():
    x = rows(0.1, 0, columns=2)
    model = nn.Sequential(nn.BatchNorm1d(2), ki.KANHead(2, 1, domain=(-1, 1)))
    trial = ki.would_bend(model, (x, x[:, :1]), epochs=2, progress=False)
    assert torch.equal(trial.model[0].running_mean, model[0].running_mean)
    model[0].running_mean.add_(1.0)
    with pytest.raises(StateError):
        trial.apply()


def test_a_head_in_the_middle_of_a_model_cannot_say_what_a_bend_is_worth():
    x = rows(0.1, 0)
    inner = ki.KANHead(1, 2, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(inner, nn.Tanh(), nn.Linear(2, 1))
    trial = ki.would_bend(model, (x, torch.sin(60 * x)), epochs=40, lr=3e-2, backbone=True, progress=False)
    assert {edge.verdict for edge in trial.edges} <= {"not clear", "stays straight"}


def test_a_curve_that_does_not_pay_is_not_called_straight():
    """Bent by chance, from few rows of pure noise: no line any more, and of no use on rows it has not seen."""
    x = rows(0.1, 0)[:80]
    y = noise(0)[:80]
    head = ki.KANHead(1, 1, domain=(-1, 1), noise=0.0, generator=torch.Generator().manual_seed(0))
    trial = ki.would_bend(head, (x, y), epochs=200, lr=5e-2, progress=False)
    (edge,) = trial.edges
    assert edge.linear_r2[2] < 0.9
    assert edge.rise.low <= 0
    assert edge.verdict == "not proven"
    assert "is no line any more, but its bend is not proven to pay (was " in str(trial)
    assert "straight (" not in str(trial)


class EveryStep(nn.Module):
    """The mean of a head over the time steps of a row: in one call, or in a loop over the steps."""

    def __init__(self, looped):
        super().__init__()
        self.looped = looped
        self.head = ki.KANHead(1, 1, domain=(-1, 1), noise=0.0, generator=torch.Generator().manual_seed(0))

    def forward(self, x):
        if not self.looped:
            return self.head(x).mean(1)
        return torch.stack([self.head(x[:, step]) for step in range(x.shape[1])]).mean(0)


def test_calls_for_the_steps_of_a_row_are_no_rows_of_their_own():
    x = rows(0.1, 0)[:, None].expand(ROWS, 8, 1).contiguous()
    y = torch.sin(60 * x[:, 0])
    once, looped = (
        ki.would_bend(EveryStep(looped), (x, y), epochs=10, lr=2e-2, progress=False).edges[0].rise
        for looped in (False, True)
    )
    assert once.high - once.low > 0
    assert [looped.value, looped.low, looped.high] == pytest.approx([once.value, once.low, once.high], rel=1e-3)


class OnlyWhatIsPositive(nn.Module):
    """A head on a part of the steps that depends on the data."""

    def __init__(self):
        super().__init__()
        self.head = ki.KANHead(1, 1, domain=(-1, 1), noise=0.0, generator=torch.Generator().manual_seed(0))

    def forward(self, x):
        flat = x.flatten()
        chosen = flat > 0
        found = torch.zeros_like(flat).masked_scatter(chosen, self.head(flat[chosen, None])[:, 0])
        return found.view(x.shape[0], -1).sum(1, keepdim=True)


def test_an_interval_is_open_where_nobody_knows_the_row_of_a_call():
    x = rows(0.1, 0, columns=4)
    y = torch.sin(60 * x).sum(1, keepdim=True)
    (edge,) = ki.would_bend(OnlyWhatIsPositive(), (x, y), epochs=2, lr=2e-2, progress=False).edges
    assert (edge.rise.low, edge.rise.high) == (-float("inf"), float("inf"))
    assert edge.verdict == ("stays straight" if edge.linear_r2[2] >= 0.99 else "not clear")


def test_bad_input_says_what_to_do():
    x = rows(1.0, 0)
    head = ki.KANHead(1, 1, domain=(-1, 1))
    with pytest.raises(DataError, match="needs a target"):
        ki.would_bend(head, x, progress=False)
    with pytest.raises((ModelError, InputTypeError)):
        ki.would_bend(nn.Linear(1, 1), (x, x), progress=False)
    with pytest.raises(DataError):
        ki.would_bend(head, (x[:2], x[:2]), progress=False)


def test_grids_that_move_by_themselves_stay_in_a_trial(monkeypatch):
    """Else the copy with the old grid would get a new one, and both trials would be of the same."""
    x = rows(1.0, 0)
    head = trained(x, x, domain=(-8.0, 8.0), moving_domain=True)
    looks = []
    monkeypatch.setattr(MovingDomain, "see", lambda *_: looks.append(1))
    trial = ki.would_bend(head, (x, x), epochs=2, seed=0, progress=False)
    assert not looks
    trial.apply().train()(x)
    assert looks
