"""Checks of an explanation: right ones pass; models that know nothing, and wrong explanations, do not."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import kaninterp as ki
from kaninterp.analysis import judge
from kaninterp.core import ShapeError
from kaninterp.core.errors import InputError
from kaninterp.data import Batch
from kaninterp.measure import TrustBudget, trust_readings
from kaninterp.measure.ablation import ablated
from kaninterp.measure.bootstrap import quotients
from kaninterp.measure.cells import cells_of, labels_of, places_in
from kaninterp.measure.rows import held_rows
from kaninterp.measure.skill import best_constant, skill_reading
from kaninterp.measure.tracing import prepared
from kaninterp.measure.trust import CHECKS
from tests.planted import additive, lagged
from tests.tiny import hybrid

SMALL = TrustBudget(curve_rows=200, orders=8, map_rows=32, draws=4, explained=16, sets=4, moves=2, steps=8)


def table(seed):
    problem = additive(n=1000, seed=seed)
    return torch.from_numpy(problem.X).float(), torch.from_numpy(problem.y).float()[:, None]


def fitted(x, y, seed):
    head = ki.KANHead(x.shape[1], 1, domain=(-1, 1), generator=torch.Generator().manual_seed(seed))
    ki.fit(head, (x[:700], y[:700]), epochs=20, lr=2e-2, seed=seed, progress=False)
    return head


def redrawn(model, seed):
    """The same model with all weights drawn anew."""
    new = copy.deepcopy(model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in new.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return new


def measured(model, data, *, judged=None, **options):
    found = ablated(model, data, progress=False, **options)
    attribution = ki.attribute(model, data, progress=False)
    attribution = attribution if judged is None else judged(attribution)
    readings = trust_readings(
        model, data, ablation=found.ablation, attribution=attribution, rises=found.rises, progress=False, **options
    )
    return {reading.check: reading for reading in readings}


@pytest.fixture(scope="module", params=[0, 1])
def learnt(request):
    x, y = table(request.param)
    return fitted(x, y, request.param), x, y, request.param


def test_a_model_that_learnt_the_truth_passes(learnt):
    model, x, y, _ = learnt
    found = measured(model, (x[700:], y[700:]))
    assert tuple(found) == CHECKS
    assert judge(found.values()).status == "pass"
    # noise of variance .05 on a target of variance 4/3 + 1/2 + 4/45
    best = 1 - 0.05 / (4 / 3 + 1 / 2 + 4 / 45 + 0.05)
    assert best - 0.05 < found["skill"].value < best + 0.02
    assert found["deletion"].value > 0.9
    assert found["insertion"].value > 0.9
    assert found["bootstrap"].value > 0.9


def test_weights_drawn_anew_turn_it_red(learnt):
    model, x, y, seed = learnt
    trust = judge(measured(redrawn(model, seed), (x[700:], y[700:])).values())
    assert trust.status == "fail"
    assert "skill" in [judged.check.name for judged in trust.of("fail")]


@pytest.mark.parametrize("honest", [True, False], ids=["judged by true labels", "judged by shuffled labels"])
def test_shuffled_labels_turn_it_red(learnt, honest):
    _, x, y, seed = learnt
    shuffled = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]
    model = fitted(x, shuffled, seed)
    trust = judge(measured(model, (x[700:], (y if honest else shuffled)[700:])).values())
    assert trust.status == "fail"
    assert "skill" in [judged.check.name for judged in trust.of("fail")]


def test_a_good_model_with_a_wrong_explanation_turns_it_red(learnt):
    model, x, y, _ = learnt

    def turned(attribution):
        return replace(attribution, magnitude=attribution.magnitude.max() - attribution.magnitude)

    found = measured(model, (x[700:], y[700:]), judged=turned)
    trust = judge(found.values())
    assert found["deletion"].high < 0
    assert found["insertion"].high < 0
    assert trust.status == "fail"
    assert {judged.check.name for judged in trust.of("fail")} == {"deletion", "insertion"}


def test_a_map_that_only_shows_the_spread_of_the_columns_is_found_out():
    """Columns of very different units and an untrained model: its map is that of any other untrained model."""
    x = torch.randn(300, 6, generator=torch.Generator().manual_seed(0)) * 10.0 ** torch.arange(-2.0, 4.0)
    model = nn.Sequential(nn.Linear(6, 8), ki.KANHead(8, 1, domain=(-1e4, 1e4)))
    redraw = redrawn(model, 0)
    reading = measured(redraw, x)["randomised"]
    assert reading.value > 0.8
    assert judge([reading]).checks[0].status == "fail"


def test_windows_are_cut_into_lags_and_nothing_of_the_model_moves():
    problem = lagged(n=900, noise_columns=1)
    x, y = torch.from_numpy(problem.X).float(), torch.from_numpy(problem.y).float()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ki.Hybrid(nn.LSTM(3, 8, batch_first=True), ki.KANHead(8, 1))
    ki.fit(model, (x[:600], y[:600]), epochs=25, batch_size=64, lr=1e-2, seed=0, progress=False)
    model.train()
    handle = model.register_forward_hook(lambda *_: None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = trust_readings(model, (x[600:], y[600:]), budget=SMALL, progress=False)
    assert trust_readings(model, (x[600:], y[600:]), budget=SMALL, progress=False)[0] == first[0]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())
    assert list(model._forward_hooks) == [handle.id]
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numbers, np.random.get_state()[1])  # noqa: NPY002
    deletion = measured(model, (x[600:], y[600:]))["deletion"]
    assert "12 parts" in deletion.effort
    assert deletion.value > 0.8


def test_the_same_seed_gives_the_same_numbers_and_another_one_others():
    x, y = table(100)
    head = ki.KANHead(8, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    data = (x[:200], y[:200])
    one, two, other = (
        repr(trust_readings(head, data, budget=SMALL, attribution=ki.attribute(head, data, progress=False), seed=seed,
                            progress=False))
        for seed in (3, 3, 4)
    )  # fmt: skip
    assert one == two
    assert one != other


def test_draws_that_miss_the_rows_that_matter_leave_nothing_to_save():
    batch = Batch(inputs=(torch.arange(300.0)[:, None],), keys=None, target=torch.zeros(300, 1))
    batch.target[50] = 1e3
    with torch.no_grad():
        found = skill_reading(nn.Linear(1, 1), batch, 7, loss="mae", rng=np.random.default_rng(0))
    assert -1e3 < found.low <= 0.0
    assert found.high < 1e3


@pytest.mark.parametrize("seed", range(3))
def test_luck_that_lasts_is_not_taken_for_skill(seed):
    rng = np.random.default_rng(seed)
    slow = np.cumsum(rng.normal(size=(600, 2)), axis=0)
    slow = (slow - slow.mean(0)) / slow.std(0)

    def width(rows):
        x, y = (torch.from_numpy(rows[:, [k]]) for k in (0, 1))
        with torch.no_grad():
            batch = Batch(inputs=(x,), keys=None, target=y)
            found = skill_reading(nn.Identity(), batch, 9, loss=None, rng=np.random.default_rng(0))
        return found.high - found.low

    assert width(slow) > 4 * width(slow[rng.permutation(600)])


def test_quotients_of_means_near_zero_are_left_out_without_a_warning():
    found = quotients(np.array([1e3, 1e3, 1.0]), np.array([-1.0, 1e-310, 2.0]))
    assert np.array_equal(found, [np.nan, np.nan, 0.5], equal_nan=True)


def test_constant_columns_are_no_part_of_a_ranking(learnt):
    _, x, y, seed = learnt
    lonely = x.clone()
    lonely[:, 1:] = 0.3
    found = measured(fitted(lonely, y, seed), (lonely, y))
    for check in ("deletion", "randomised", "bootstrap", "bootstrap-kept"):  # one column varies: nothing to rank
        assert not found[check].measured, check


def test_what_cannot_be_measured_says_why():
    x = torch.randn(30, 1, generator=torch.Generator().manual_seed(0))
    head = ki.KANHead(1, 1, generator=torch.Generator().manual_seed(0))
    found = measured(head, x)
    assert "no target" in found["skill"].remark
    for check in ("deletion", "insertion", "randomised", "bootstrap", "bootstrap-kept"):
        assert "column" in found[check].remark
    assert found["completeness"].measured
    assert judge(found.values()).status == "weak"
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
    assert not any(reading.measured for reading in measured(head, x).values())
    assert "same on all rows" in measured(head, (x, torch.ones(30, 1)))["skill"].remark


def test_constant_columns_and_few_rows_give_numbers_or_reasons():
    x = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 2.0
    head = ki.KANHead(5, 2, generator=torch.Generator().manual_seed(0))
    for y in (None, x[:, :2], torch.arange(30) % 2, x[:, :2] > 0):
        found = measured(head, x if y is None else (x, y))
        assert tuple(found) == CHECKS
        assert all(reading.measured != bool(reading.remark) for reading in found.values())


def test_classes_are_judged_by_their_frequencies():
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(900, 4, generator=rng) * 2 - 1
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0.3).long()
    head = ki.KANHead(4, 3, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    ki.fit(head, (x[:600], y[:600]), epochs=25, lr=2e-2, seed=0, progress=False)
    data = (x[600:], y[600:])
    assert judge(measured(head, data).values()).status == "pass"
    assert judge(measured(redrawn(head, 0), data).values()).status == "fail"


def test_indices_beside_the_columns_stay_with_their_rows():
    class Station(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(5, 2), ki.KANHead(5, 1, domain=(-2, 2))

        def forward(self, now, station):
            return self.head(torch.cat([now, self.embed(station)], 1))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Station()
    x = torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = measured(model, {"now": x, "station": torch.arange(200) % 5})
    # a single KAN layer is additive: Integrated Gradients are exact, so sets of columns are foretold exactly
    assert found["infidelity"].value < 1e-4


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        ("mse", torch.tensor([[1.0], [2.0], [6.0]])),
        ("mae", torch.tensor([[1.0], [2.0], [6.0]])),
        ("huber", torch.tensor([[1.0], [2.0], [6.0]])),
        ("bce", torch.tensor([[1.0], [0.0], [0.0]])),
        ("cross_entropy", torch.tensor([0, 2, 2])),
        (lambda output, target: (output - target).abs() ** 3, torch.tensor([[1.0], [2.0], [6.0]])),
    ],
    ids=["mse", "mae", "huber", "bce", "cross_entropy", "own"],
)
def test_no_other_constant_is_better(loss, y):
    output = torch.zeros(3, 3 if loss == "cross_entropy" else 1)
    name = loss if isinstance(loss, str) else "own"
    found = best_constant(loss, name, output, y)
    from kaninterp.nn import resolve_loss

    def cost(constant):
        return float(resolve_loss(loss)(constant.expand_as(output), y).mean())

    for step in torch.eye(output.shape[1]) * 0.05:
        assert cost(found) <= cost(found + step) + 1e-6
        assert cost(found) <= cost(found - step) + 1e-6


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10), seed=st.integers(0, 99))
def test_skill_does_not_depend_on_units_of_the_target(scale, shift, seed):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(40, 1)))
    y = x + torch.from_numpy(rng.normal(size=(40, 1)))

    class Units(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.a, self.b = a, b

        def forward(self, x):
            return self.a * x + self.b

    def skill(a, b):
        batch = Batch(inputs=(x,), keys=None, target=a * y + b)
        return skill_reading(Units(a, b), batch, 4, loss="mse", rng=np.random.default_rng(0)).value

    assert skill(scale, shift) == pytest.approx(skill(1.0, 0.0), rel=1e-6, abs=1e-6)


def test_a_loss_without_a_gradient_has_no_best_constant():
    batch = Batch(inputs=(torch.randn(20, 1),), keys=None, target=torch.randn(20, 1))
    reading = skill_reading(
        nn.Identity(), batch, 3, loss=lambda o, t: (o.detach() - t) ** 2, rng=np.random.default_rng(0)
    )
    assert "no gradient" in reading.remark


@settings(max_examples=40, deadline=None)
@given(columns=st.integers(1, 30), steps=st.integers(1, 40), seed=st.integers(0, 99))
def test_cells_cover_every_read_place_once(columns, steps, seed):
    reads = np.random.default_rng(seed).random(columns) < 0.7
    x = torch.zeros(3, steps, columns)
    held = held_rows(prepared(nn.Identity(), x), 3)
    cells = cells_of(held, reads)
    labels = labels_of(cells, held.batch)[0]
    covered = places_in(np.ones(len(cells), bool), labels)
    assert torch.equal(covered, torch.from_numpy(reads).expand(steps, columns))
    assert sum(int(places_in(one, labels).sum()) for one in np.eye(len(cells), dtype=bool)) == int(covered.sum())
    assert len(cells) <= max(12, int(reads.sum()))


def test_evidence_of_other_columns_and_bad_budgets_are_refused():
    x = torch.randn(60, 5, 4, generator=torch.Generator().manual_seed(0))
    model = hybrid()
    other = ki.attribute(model, x, feature_names=list("abcd"), progress=False)
    with pytest.raises(ShapeError, match="use the same data"):
        trust_readings(model, x, attribution=other, progress=False)
    with pytest.raises(ShapeError, match="one per column"):
        trust_readings(model, x, rises=np.zeros((60, 3)), progress=False)
    for bad in (1, 2.5, None):
        with pytest.raises(InputError, match="at least 2"):
            TrustBudget(orders=bad)
