"""Raw inputs that do not matter become exactly zero; what matters stays and is not shrunk."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from kaninterp.core.errors import InputError, ModelError
from kaninterp.nn.head import KANHead
from kaninterp.nn.hybrid import Hybrid
from kaninterp.training import Sparsity, fit
from kaninterp.training.sparsity import InputShrinkage

RNG = np.random.default_rng(1)
ROWS = 900
X = RNG.normal(size=(ROWS, 6)).astype(np.float32)
Y = (np.sin(2 * X[:, 0]) + X[:, 1] + 0.5 * RNG.normal(size=ROWS)).astype(np.float32)
NOISE = ("x2", "x3", "x4", "x5")


def mlp(inputs=6, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), KANHead(16, 1, grid=3)).to(dtype)


def train(model, data=(X, Y), **options):
    return fit(
        model, data, **{"sparsity": Sparsity(), "epochs": 30, "lr": 0.01, "seed": 0, "progress": False, **options}
    )


def test_noise_goes_signal_stays_and_dropped_means_dropped():
    model = mlp()
    result = train(model)
    assert result.dropped_inputs == NOISE
    assert (model[0].weight[:, 2:] == 0).all()
    assert result.best_loss < 1.35 * 0.25
    model.eval()
    changed = torch.from_numpy(X).clone()
    changed[:, 2:] += 1e6
    assert torch.equal(model(torch.from_numpy(X)), model(changed))


def test_a_recurrent_backbone():
    sequence = RNG.normal(size=(1200, 6, 4)).astype(np.float32)
    y = sequence[:, -1, 0] + np.tanh(sequence[:, -2, 1])
    torch.manual_seed(0)
    model = Hybrid(nn.LSTM(4, 12, batch_first=True), KANHead(12, 1))
    result = train(model, (sequence, y), epochs=25)
    assert result.dropped_inputs == ("x2", "x3")
    assert (model.backbone.weight_ih_l0[:, 2:] == 0).all()


def test_a_head_on_raw_columns():
    torch.manual_seed(0)
    head = KANHead(6, 1)
    result = train(head)
    assert result.dropped_inputs == NOISE
    assert result.best_loss < 1.35 * 0.25


def test_lbfgs_drops_them_too():
    model = mlp(dtype=torch.float64)
    result = train(model, optimizer="lbfgs", lr=None, lbfgs_steps=8, epochs=20, batch_size=900)
    assert result.dropped_inputs == NOISE
    assert (model[0].weight[:, 2:] == 0).all()
    assert result.best_loss < 1.35 * 0.25


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_the_unit_of_the_target_does_not_matter(unit):
    # mean squared error scales with the square of the unit, Adam does not care; a linear model scales along
    kept = []
    for scale in (1.0, unit):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 1))
        with torch.no_grad():
            model[1].weight.mul_(scale), model[1].bias.mul_(scale)
        options = {"clip": None, "sparsity": Sparsity(head=0), "epochs": 20}
        frozen = [model[1].weight.requires_grad_(False), model[1].bias.requires_grad_(False)]
        assert len(frozen) == 2
        kept.append(train(model, (X, scale * (X[:, 0] + X[:, 1])), **options).dropped_inputs)
    assert kept[0] == kept[1] == NOISE


def test_survivors_recover_while_zeros_stay():
    plan = Sparsity(debias=0.4)
    norms = []
    model = mlp()

    def watched(output, target):
        if model.training:
            norms.append(model[0].weight.detach().norm(dim=0).clone())
        return (output.flatten() - target.flatten()) ** 2

    train(model, sparsity=plan, loss=watched)
    steps = -(-720 // 16)
    start = plan.bounds(30)[2] * steps
    shrunk, final = norms[start - 1], model[0].weight.detach().norm(dim=0)
    assert (final[:2] > 0.99 * shrunk[:2]).all()
    assert (final[:2] > shrunk[:2]).any()
    assert (torch.stack(norms[start:])[:, 2:] == 0).all()


def test_a_column_dropped_by_mistake_is_called_back(monkeypatch):
    def drop_all_but_one(self, *, lr):
        self._frozen = [torch.tensor([False] + [True] * 5)]
        self._zero_frozen()

    monkeypatch.setattr(InputShrinkage, "settle", drop_all_but_one)
    result = train(mlp())
    assert result.dropped_inputs == NOISE
    assert result.best_loss < 1.35 * 0.25
    alive = result.history["inputs_alive"]
    settled, recalled = Sparsity().settled(30), Sparsity().recall(30)
    assert (alive[settled:recalled] == 1).all()
    assert (alive[recalled:] == 2).all()


def test_the_phases_show_in_the_history():
    history = train(mlp(), epochs=10, sparsity=Sparsity(warmup=0.2, ramp=0.2, debias=0.3)).history
    assert list(history["phase"]) == ["warm-up"] * 2 + ["ramp"] * 2 + ["hold"] * 3 + ["debias"] * 3
    assert (history["penalty"].iloc[:2] == 0).all()
    assert (history["penalty"].iloc[2:] > 0).all()
    assert history["inputs_alive"].iloc[0] == 6


def test_only_settled_epochs_compete_and_only_they_count_for_patience():
    plan = Sparsity(warmup=0.2, ramp=0.2, debias=0.3)
    result = train(mlp(), epochs=20, sparsity=plan, patience=3)
    assert result.best_epoch > plan.settled(20)
    assert len(result.history) > plan.settled(20)


def test_fewer_edges_with_a_head_penalty():
    # sixteen units say the same: without a penalty all of them are used
    data = (np.tile(X[:, :1], (1, 6)), X[:, 0])
    edges = []
    for weight in (0.0, 0.02):
        torch.manual_seed(0)
        head = KANHead(6, 1)
        result = train(head, data, sparsity=Sparsity(head=weight, inputs=0), epochs=20)
        edges.append(result.history["edges"].iloc[-1])
        assert result.dropped_inputs == ()
    assert edges[1] < 0.7 * edges[0]


def test_penalties_of_several_heads_add_up():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = KANHead(6, 1), KANHead(6, 1)

        def forward(self, x):
            return self.first(x) + self.second(x)

    model = Two()
    first = train(model, epochs=2, sparsity=Sparsity(head=0.1, inputs=0, warmup=0, ramp=0), lr=1e-9)
    total = sum(0.1 * head.penalty().item() for head in (model.first, model.second))
    assert first.history["penalty"].iloc[-1] == pytest.approx(total, rel=1e-3)


def test_two_backbones_a_column_is_alive_if_either_reads_it():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.left, self.right = nn.Linear(6, 8), nn.Linear(6, 8)

        def forward(self, x):
            return (self.left(x).tanh() + self.right(x)).sum(1)

    model = Two()
    result = train(model, sparsity=Sparsity(head=0))
    alive = (model.left.weight != 0).any(0) | (model.right.weight != 0).any(0)
    assert result.dropped_inputs == tuple(f"x{i}" for i in range(6) if not alive[i])
    assert result.dropped_inputs == NOISE


def test_what_cannot_be_seen_into_is_never_called_dropped():
    class Leaky(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(6, 8)
            self.other = nn.Bilinear(6, 6, 1)

        def forward(self, x):
            return self.dense(x).sum(1) + self.other(x, x)[:, 0]

    result = train(Leaky(), sparsity=Sparsity(head=0), epochs=10)
    assert result.dropped_inputs == ()


def test_refused_where_there_is_nothing_to_act_on():
    with pytest.raises(ModelError, match="the model has none"):
        train(nn.Linear(6, 1))
    conv = nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 2, 3), nn.Flatten(), KANHead(8, 1))
    with pytest.raises(ModelError, match="needs a module whose first weights"):
        train(conv)
    train(conv, sparsity=Sparsity(inputs=0), epochs=2)


def test_wrong_numbers():
    for options in (
        {"head": -1},
        {"inputs": float("nan")},
        {"gamma": "1"},
        {"warmup": 0.5, "ramp": 0.4, "debias": 0.3},
    ):
        with pytest.raises(InputError):
            Sparsity(**options)


@given(
    st.integers(1, 60),
    st.tuples(*[st.floats(0, 1)] * 3).filter(lambda shares: sum(shares) <= 1),
)
def test_schedules_are_whole(epochs, shares):
    plan = Sparsity(warmup=shares[0], ramp=shares[1], debias=shares[2])
    ramp, hold, debias = plan.bounds(epochs)
    assert 1 <= ramp <= hold <= debias
    assert debias <= max(epochs - 1, 1)
    pushes = [plan.push(epoch, epochs) for epoch in range(epochs)]
    assert all(0 <= push <= 1 for push in pushes)
    before = pushes[:debias]
    assert before == sorted(before)
    assert all(push == 0 for push in pushes[debias:])
    assert 0 <= plan.settled(epochs) <= epochs - 1
    penalties = [plan.ramped(epoch, epochs) for epoch in range(epochs)]
    assert penalties == sorted(penalties)


def test_a_frozen_reader_is_not_shrunk_behind_the_users_back():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), KANHead(4, 1))
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    with pytest.raises(ModelError, match="frozen"):
        fit(model, (torch.randn(40, 3), torch.randn(40)), epochs=2, sparsity=Sparsity(), progress=False)
    assert torch.equal(model[0].weight, before)


def test_a_frozen_input_weight_beside_a_trainable_bias_is_refused():
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), KANHead(6, 1))
    model[0].weight.requires_grad_(False)
    before = model[0].weight.clone()
    x = torch.randn(64, 4)
    with pytest.raises(ModelError, match="frozen"):
        fit(model, (x, x[:, :1]), epochs=2, sparsity=Sparsity(), progress=False)
    assert torch.equal(model[0].weight, before)
