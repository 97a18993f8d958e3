"""The swap test on planted copies: who replaces whom, and that noise replaces nobody."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.analysis import analyze
from kaninterp.analysis.swaps import swap_words, with_swaps
from kaninterp.core import Estimate, ShapeError
from kaninterp.core.frozen import same
from kaninterp.data import Batch, as_batches
from kaninterp.measure import BlockBootstrap, ablate, trace
from kaninterp.measure.association import smooth_r2
from kaninterp.measure.host import Columns
from kaninterp.measure.rows import held_rows
from kaninterp.pruning import swaps
from kaninterp.pruning.swapping import _bench, won_back
from kaninterp.pruning.teaching import Lesson, taught
from tests.benchmarks.problems import copies

LIKE_FIRST = {0, 4, 5, 6}


def data_of(seed, rows=1000):
    problem = copies(seed)
    X, y = (torch.from_numpy(a[:rows]).float() for a in (problem.X, problem.y[:, None]))
    return (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()


def network(kind, seed):
    source = torch.Generator().manual_seed(seed)
    if kind == "kan":
        return ki.KANHead(12, 1, (4,), generator=source)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first = nn.Linear(12, 12)
    return nn.Sequential(first, nn.Tanh(), ki.KANHead(12, 1, generator=source))


def concluded(model, data):
    ablation, curve = ablate(model, data, progress=False)
    return analyze(trace(model, data, progress=False), ablation=ablation, curve=curve)


@pytest.fixture(scope="module", params=["kan", "mlp"])
def studied(request):
    """A model of the first three columns; what reads the other nine is masked, or exactly zero."""
    X, y = data_of(0)
    model, only = network(request.param, 0), X.clone()
    only[:, 3:] = 0
    ki.fit(model, (only, y), epochs=8, lr=1e-2, seed=0, progress=False)
    with torch.no_grad():
        if request.param == "kan":
            mask = model.kan_layers[0].mask.clone()
            mask[:, 3:] = 0
            model.kan_layers[0].set_mask(mask)
        else:
            model[0].weight[:, 3:] = 0
    return model, (X, y), concluded(model, (X, y))


def judged(analysis, dropped, cause="noise"):
    """The analysis with verdicts by decree."""
    verdicts = [
        replace(v, survives="drop" if v.index in dropped else "keep", cause=cause if v.index in dropped else "needed")
        for v in analysis.verdicts
    ]
    return replace(analysis, verdicts=tuple(verdicts))


def test_a_sparse_fit_drops_copies_that_each_name_a_survivor():
    X, y = data_of(0, 1600)
    model = network("mlp", 0)
    sparsity = ki.Sparsity(inputs=1.5)
    ki.fit(model, (X[:1000], y[:1000]), epochs=30, sparsity=sparsity, seed=0, progress=False)
    held = X[1000:], y[1000:]
    analysis = concluded(model, held)
    survivors = {v.index for v in analysis.verdicts if v.survives != "drop"}
    assert 0 < len(survivors & LIKE_FIRST) < 4
    found = swaps(model, analysis, held, progress=False)
    assert {swap.dropped_index for swap in found} == LIKE_FIRST - survivors
    assert all(swap.survivor_index in LIKE_FIRST & survivors for swap in found)
    assert all(swap.rise.low > 0 for swap in found if swap.test == "refit")


def test_what_was_zero_or_masked_comes_back_and_noise_names_nobody(studied):
    model, data, analysis = studied
    assert {v.index for v in analysis.verdicts if v.survives == "drop"} == set(range(3, 12))
    found = {swap.dropped_index: swap for swap in swaps(model, analysis, data, progress=False)}
    assert set(found) == {4, 5, 6}
    for swap in found.values():
        assert (swap.survivor, swap.test, swap.back) == ("x0", "refit", True)
        assert swap.recovered.low > 0.8
        assert swap.rise.low > 0.5 * swap.lost.value
        assert swap.recovered.value > swap.others.value + 0.3  # no other column says what these say
    assert found[5].correlation == pytest.approx(-1)
    few = swaps(model, analysis, data, most=1, progress=False)
    assert [swap.test for swap in few] == ["refit", "none", "none"]


def test_a_column_that_only_looks_alike_does_not_come_back(studied):
    model, data, analysis = studied
    raw = analysis.trace.raw
    co = raw.co.copy()
    co[0, 8] = co[8, 0] = np.sqrt(co[0, 0] * co[8, 8])  # noise, said to be a copy
    told = replace(analysis, trace=replace(analysis.trace, raw=replace(raw, co=co)))
    found = {swap.dropped_index: swap for swap in swaps(model, told, data, progress=False)}
    assert found[8].test == "refit"
    assert not found[8].back
    assert found[4].back


def test_a_column_that_was_cut_out_is_stood_in_for(studied):
    model, data, analysis = studied
    small, outcome = ki.prune(model, analysis.plan, example=[(data[0][:4],)])
    assert outcome.kept_inputs == ("x0", "x1", "x2")
    found = {swap.dropped_index: swap for swap in swaps(small, concluded(small, data), data, progress=False)}
    assert {swap.test for swap in found.values()} == {"stand-in"}
    assert found[4].recovered.value == pytest.approx(1, abs=1e-4)  # an exact copy undoes all of it
    assert found[5].recovered.value == pytest.approx(1, abs=1e-4)
    assert 0.8 < found[6].recovered.value < 1.1
    assert all(swap.back and swap.epochs == 0 for swap in found.values())
    assert "a line of it in that place" in swap_words(found[4])


def test_a_survivor_that_can_go_leaves_nothing_to_win_back():
    X, y = data_of(0)
    model = nn.Sequential(nn.Linear(12, 2), ki.KANHead(2, 1, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        model[0].weight[:, [0, 4]] = 0
    analysis = judged(concluded(model, (X, y)), set(range(4, 12)))
    found = {swap.dropped_index: swap for swap in swaps(model, analysis, (X, y), most=1, progress=False)}
    assert found[4].test == "nothing-lost"
    assert "a swap shows nothing here" in swap_words(found[4])
    assert found[4].recovered.value == 0


def windows(seed=0, rows=700, length=6):
    """u0 at lag 1 and sin(u1); u2 is u0 upside down, u3 a parabola of u1, u4 noise."""
    u = np.random.default_rng(seed).normal(size=(rows + length, 5))
    u[:, 2], u[:, 3] = -2 * u[:, 0] + 1, u[:, 1] ** 2
    X = np.lib.stride_tricks.sliding_window_view(u, length, axis=0).transpose(0, 2, 1)[:rows]
    y = X[:, -2, 0] + np.sin(X[:, -1, 1])
    return torch.from_numpy(X.copy()).float(), torch.from_numpy(y)[:, None].float()


def test_windows_through_a_recurrent_backbone_with_and_without_target():
    X, y = windows()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ki.Hybrid(
            nn.GRU(5, 10, batch_first=True), ki.KANHead(10, 1, generator=torch.Generator().manual_seed(0))
        )
    without = X.clone()
    without[..., 2:] = 0
    ki.fit(model, (without, y), epochs=8, lr=1e-2, seed=0, progress=False)
    for target in (True, False):
        data = (X, y) if target else X
        analysis = judged(concluded(model, (X, y) if target else X), {2, 3, 4})
        (swap,) = swaps(model, analysis, data, progress=False)
        assert (swap.dropped, swap.survivor, swap.test) == ("x2", "x0", "refit")
        assert swap.back, target
        assert swap.recovered.value > 0.7


def test_a_curve_counts_as_much_as_a_line():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 600)
    found = smooth_r2(x, np.column_stack([x**2, np.sin(4 * x), rng.normal(size=600), np.ones(600)]))
    assert found[:2].min() > 0.98
    assert found[2] < 0.02
    assert found[3] == 0
    assert not smooth_r2(np.ones(600), x[:, None]).any()
    assert not smooth_r2(x[:30], x[:30, None]).any()


def test_the_model_is_left_alone_and_results_repeat(studied):
    model, held, analysis = studied
    state = {key: value.clone() for key, value in model.state_dict().items()}
    random_state, flags = torch.get_rng_state(), [module.training for module in model.modules()]
    one, two = (swaps(model, analysis, held, seed=3, progress=False) for _ in range(2))
    assert one
    assert same(one, two)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(random_state, torch.get_rng_state())
    assert flags == [module.training for module in model.modules()]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_few_rows_leave_the_association_and_other_columns_are_refused(studied):
    model, (X, y), analysis = studied
    decreed = judged(analysis, {4, 5})
    found = swaps(model, decreed, (X[:50], y[:50]), progress=False)
    assert {swap.test for swap in found} == {"none"}
    assert len(found) == 2
    assert swaps(model, judged(analysis, set()), (X, y), progress=False) == ()
    assert swaps(model, judged(analysis, set(range(12))), (X, y), progress=False) == ()
    names = list("abcdefghijkl")
    named = replace(analysis, trace=trace(model, X, feature_names=names, progress=False))
    with pytest.raises(ShapeError, match="feature_names"):
        swaps(model, named, (X, y))
    found = swaps(model, named, (X[:50], y[:50]), feature_names=names, progress=False)
    assert "e" in {swap.dropped for swap in found}


def test_the_verdict_says_redundant_given_or_that_it_does_not_come_back(studied):
    model, held, analysis = studied
    decreed = judged(analysis, set(range(3, 12)))
    told = with_swaps(decreed, swaps(model, decreed, held, most=1, progress=False))
    first = told.verdicts[told.swaps[0].dropped_index]
    assert first.cause == "redundant"
    assert first.text.startswith("Redundant given x0: with x0 removed and the model refitted it wins back")
    assert first.survives == "drop"
    assert told.verdicts[8] == decreed.verdicts[8]
    swap = told.swaps[0]
    none = Estimate(value=0.01, low=-0.1, high=0.1)
    assert "does not come back" in swap_words(replace(swap, rise=none))
    zero = tuple(replace(v, cause="zero-weight", text="Zero.") if v.survives == "drop" else v for v in decreed.verdicts)
    kept = with_swaps(replace(decreed, verdicts=zero), [swap]).verdicts[swap.dropped_index]
    assert kept.cause == "zero-weight"
    assert kept.text.startswith("Zero. Redundant given x0")
    with pytest.raises(ShapeError):
        with_swaps(decreed, [replace(swap, survivor="somebody")])


def test_draws_in_which_nothing_was_lost_do_not_break_the_interval():
    lost = np.r_[np.full(40, -1.0), np.full(60, 1.0)]  # in some draws nothing is lost
    won = won_back(BlockBootstrap(100, 1, np.random.default_rng(0)), lost, np.full(100, 0.1))
    assert won.value == pytest.approx(0.5)
    assert 0 < won.low < 0.5 < won.high < np.inf


MODULES = {
    "linear": (lambda: nn.Linear(3, 4), (3,)),
    "lstm": (lambda: nn.LSTM(3, 4, batch_first=True, bidirectional=True), (5, 3)),
    "gru": (lambda: nn.GRU(3, 4, batch_first=True), (5, 3)),
    "kan": (lambda: ki.KANHead(3, 2, domain=(-1, 1)), (3,)),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_taught_column_does_what_its_teacher_did(name):
    """With an exact line between the two: the taught model without the teacher is the old model with the line."""
    make, shape = MODULES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make().double()
    x = torch.rand(400, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5
    slope, start = (1.0, 0.0) if name == "kan" else (0.6, 0.2)
    x[..., 1] = slope * x[..., 0] + start
    means = float(x[..., 0].mean()), float(x[..., 1].mean())

    def run(x):
        with torch.no_grad():
            output = model(x)
        return output[0] if isinstance(output, tuple) else output

    old = x.clone()
    if name == "kan":
        old[..., 0] = means[0]  # its own function gives way
    before = run(old)
    lesson = Lesson(pupil=0, teacher=1, curve=lambda v: slope * v + start, slope=slope, means=means)
    columns = Columns(names=("a", "b", "c"), places=((0, 0), (0, 1), (0, 2)), lags=shape[0] if len(shape) == 2 else 1)
    assert taught(model, Batch(inputs=(x,), keys=None, target=None), columns, lesson, seed=0)
    without = x.clone()
    without[..., 1] = means[1]
    torch.testing.assert_close(run(without), before, rtol=0, atol=1e-3 if name == "kan" else 1e-12)
    assert float((run(without) - run(x)).abs().max()) > 1e-2


def test_columns_of_a_shorter_input_are_held_at_their_own_means():
    """Six steps beside four: stretching the four to six would count some of them twice."""

    class Two(nn.Module):
        def forward(self, long, short):
            return long[:, -1] + short.sum(1)

    long, short = (torch.randn(100, steps, 1, generator=torch.Generator().manual_seed(steps)) for steps in (6, 4))
    short[:, 0] += 10
    held = held_rows(as_batches(((long, short), long[:, -1])), 100)
    bench = _bench(Two(), held, SimpleNamespace(verdicts=()), loss=None, epochs=1, seed=0)
    expected = [float(x.mean()) for x in bench.train.inputs]
    assert [bench.means[i].intercept for i in range(2)] == pytest.approx(expected, abs=1e-5)
