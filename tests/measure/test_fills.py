"""What a column is worth by what comes in its place, on models and laws where that is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.core import InputError, InputTypeError
from kaninterp.data import as_batches
from kaninterp.measure import ablate
from kaninterp.measure.fills import FILLS, Fill
from kaninterp.measure.rows import held_rows
from tests.tiny import Weighted, hybrid, paper_head

ROWS = 2000


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rises(model, x, y, fill):
    return ablate(model, (x, y), fill=fill, rows=ROWS, repeats=4, progress=False)[0]


def test_known_rises_of_independent_columns():
    """Of w x with x of mean m and variance 1: w^2 for the mean, twice that for another row, w^2 (1 + m^2) for 0."""
    x = normal(ROWS, 3) + torch.tensor([0.0, 2.0, 0.0])
    model = Weighted([1.0, 0.5, 0.0])
    y = model(x).detach()
    expected = {"mean": [1, 0.25, 0], "zero": [1, 0.25 * 5, 0], "permuted": [2, 0.5, 0], "conditional": [2, 0.5, 0]}
    for fill, values in expected.items():
        found = rises(model, x, y, fill)
        np.testing.assert_allclose(found.change, values, rtol=0.12, atol=1e-9)
        assert (found.fill, found.repeats) == (fill, 4 if fill in ("permuted", "conditional") else 1)


@pytest.mark.parametrize("fill", ["permuted", "conditional", "mean"])
def test_shares_of_the_output_are_total_indices(fill):
    x = 2 * torch.rand(ROWS, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    found, _ = ablate(paper_head(), x, rows=ROWS, repeats=4, fill=fill, progress=False)
    variances = np.array([4 / 45, 0.03, 0.01 / 7, 0.0])
    # x^2 at the mean of x is 0, not the mean of x^2: the share is E[x^4] there
    variances[0] = 1 / 5 if fill == "mean" else variances[0]
    expected = variances / np.array([4 / 45, 0.03, 0.01 / 7, 0.0]).sum()
    np.testing.assert_allclose(found.node_shares[-1][0], expected, atol=0.03)


def test_what_another_column_knows_is_not_worth_anything_given_that_column():
    """x1 = x0 + sqrt(1/3) e: given x0 only e is news; an exact copy (x2 = x0) is worth nothing."""
    x = normal(ROWS, 3)
    x[:, 1] = x[:, 0] + x[:, 1] * 3**-0.5
    x[:, 2] = x[:, 0]
    model = Weighted([0.0, 1.0, 1.0])
    y = model(x).detach()
    conditional, permuted = (rises(model, x, y, fill).change for fill in ("conditional", "permuted"))
    np.testing.assert_allclose(conditional, [0, 2 / 3, 0], atol=0.05)
    np.testing.assert_allclose(permuted, [0, 8 / 3, 2], rtol=0.12, atol=1e-9)


def test_a_delayed_copy_is_found_at_its_lag():
    """In windows u1 is u0 two steps before: given u0 nothing of it is news, but for its first two steps."""
    series = normal(ROWS + 12, 2)
    series[2:, 1] = series[:-2, 0]
    windows = series.unfold(0, 6, 1)[:ROWS].transpose(1, 2).contiguous()

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = ki.KANHead(1, 1)

        def forward(self, x):
            return x[:, -1, 1:2] + 0 * self.head(x[:, -1, :1])

    model = Last()
    y = model(windows).detach()
    assert rises(model, windows, y, "conditional").change[1] < 1e-6
    assert rises(model, windows, y, "permuted").change[1] > 1.5


@pytest.mark.parametrize("fill", FILLS)
def test_models_are_left_alone_and_draws_depend_on_the_seed(fill):
    model, x = hybrid(), normal(60, 5, 4)
    x[:, :, 2] = 0.3  # constant
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (rises(model, x, normal(60, 1), fill) for _ in range(2))
    np.testing.assert_array_equal(first.change, second.change)
    assert np.isfinite(first.change).all()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_few_rows_of_many_columns_stay_finite():
    model, x = hybrid(), normal(12, 5, 4)
    found = rises(model, x, normal(12, 1), "conditional")
    assert np.isfinite(found.change).all()


def test_a_single_column_has_nothing_that_speaks_of_it():
    head = ki.KANHead(1, 1, generator=torch.Generator().manual_seed(0))
    x = normal(200, 1)
    same = [rises(head, x, x, fill).change[0] for fill in ("conditional", "permuted")]
    assert same[0] == pytest.approx(same[1])


def test_an_unknown_fill_is_refused_before_anything_runs():
    with pytest.raises(InputError, match="fill='median'; allowed: 'permuted', 'conditional'"):
        ablate(hybrid(), normal(20, 5, 4), fill="median")


@pytest.mark.parametrize("rows", [30, 100])
def test_with_fewer_rows_than_columns_need_chance_explains_nothing_but_a_copy_does(rows):
    """49 columns of noise fit 30 rows exactly: a column that only counts must keep its price all the same."""
    found = []
    for seed in range(5):
        x = normal(rows, 50, seed=seed)
        x[:, 2] = x[:, 1]
        x[:, 3] = 0.1
        model = Weighted([1.0, 1.0, *[0.0] * 48])
        found.append(rises(model, x, model(x).detach(), "conditional").change)
    price, copy, *others = np.mean(found, axis=0)
    assert 1.5 < price < 2.6
    assert abs(copy) < 1e-6
    np.testing.assert_allclose(others, 0, atol=1e-9)


def test_columns_taken_together_are_fitted_by_those_that_stay_whatever_the_lengths():
    """One column of a window, one of a table: both follow a third; without all three nothing is left to fit by."""

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = ki.KANHead(1, 1)

        def forward(self, window, table):
            return window[:, -1, :1] + table[:, 1:] + 0 * self.head(table[:, :1])

    window, table = normal(ROWS, 4, 2), normal(ROWS, 2, seed=1)
    table[:, 0] = window[:, -1, 1]
    window[:, -1, 0], table[:, 1] = window[:, -1, 1] * 0.5, window[:, -1, 1] * 2
    data = ((window, table), Sum()(window, table).detach())
    held = held_rows(as_batches(data), ROWS)
    fill = Fill.of(held, "conditional", 1, np.random.default_rng(0))
    model, target = Sum(), data[1]
    pair = fill.without([0, 3], fill.orders[0])
    everything = fill.without([0, 1, 2, 3], fill.orders[0])
    np.testing.assert_allclose(model(*pair.inputs).detach(), target, atol=1e-4)
    moved = (model(*everything.inputs).detach() - target).square().mean()
    assert float(moved / target.var()) == pytest.approx(2, rel=0.1)
    shuffled = torch.cat([x[fill.orders[0]].flatten(1) for x in held.batch.inputs], 1)
    np.testing.assert_allclose(torch.cat([x.flatten(1) for x in everything.inputs], 1), shuffled, atol=1e-5)


@pytest.mark.parametrize("options", [{"repeats": 0}, {"repeats": -1}, {"repeats": 1.5}, {"rows": 0}, {"rows": 2.5}])
def test_counts_that_measure_nothing_are_refused(options):
    with pytest.raises((InputError, InputTypeError), match="expected a"):
        ablate(Weighted([1.0]), normal(20, 1), progress=False, **options)


def test_fits_explain_little_of_noise():
    """A fit explains cells / rows of noise by chance, a tenth at most."""
    explained = []
    for seed in range(5):
        x = normal(300, 12, 5, seed=seed)
        fill = Fill.of(held_rows(as_batches(x), 300), "conditional", 1, np.random.default_rng(0))
        residual = fill.without([1], fill.orders[0]).inputs[0][..., 1] - x[fill.orders[0]][..., 1]
        explained.append(float(residual.var(0).mean() / x[..., 1].var(0).mean()) / 2)  # two fits differ
    assert 0.05 < np.mean(explained) < 0.11
