"""Shapley values of columns against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kaninterp.core import InputError, InputShapley, InputTypeError
from kaninterp.measure import column_shapley
from tests.tiny import Weighted, hybrid


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [3, 10])
def test_independent_columns_that_add_up_are_worth_their_variance_in_any_order(count):
    weights = [1.0, 0.5, 0.0] + [0.1] * (count - 3)
    x = normal(2000, count)
    model = Weighted(weights)
    y = model(x) + 0.3 * normal(2000, 1, seed=1)
    found = column_shapley(model, (x, y), fill="mean", rows=2000, permutations=4, progress=False)
    moved = x - x.mean(0)
    part = (moved * torch.tensor(weights)).double().numpy()
    rest = (y - model(x)).double().numpy()
    # quadratic: rise of a set S is 2 E[rest s] + E[s^2], s the sum of its parts
    expected = 2 * (rest * part).mean(0) + (part.T @ part / len(part)).sum(1)
    np.testing.assert_allclose(found.value, expected, atol=1e-5)
    np.testing.assert_allclose(found.error, 0, atol=1e-6)
    assert found.permutations == (0 if count == 3 else 4)
    assert found.value.sum() == pytest.approx(found.bare - found.base, rel=1e-6)


def test_a_product_is_shared_and_a_dummy_is_worth_nothing():
    class Product(Weighted):
        def forward(self, x):
            return x[:, :1] * x[:, 1:2] + 0 * self.head(x[:, :1]).detach()

    x = normal(4000, 9)
    model = Product([0.0] * 9)
    found = column_shapley(model, (x, model(x)), fill="mean", rows=4000, permutations=8, progress=False)
    assert found.value[0] == pytest.approx(found.value[1], abs=0.02)
    assert not found.value[2:].any()
    assert found.value[:2].sum() == pytest.approx(1.0, abs=0.1)


def test_windows_files_and_refusals(tmp_path):
    model, x = hybrid(), normal(50, 5, 4)
    first, second = (column_shapley(model, (x, normal(50, 1)), progress=False) for _ in range(2))
    np.testing.assert_array_equal(first.value, second.value)
    first.save(tmp_path / "s.npz")
    back = InputShapley.load(tmp_path / "s.npz")
    np.testing.assert_array_equal(back.value, first.value)
    assert (back.names, back.fill, back.loss) == (first.names, "permuted", "mse")
    with pytest.raises(InputError, match="even number of at least 4, got 3"):
        column_shapley(model, x, permutations=3)
    with pytest.raises(InputTypeError, match="rows"):
        column_shapley(model, x, rows=1.5)
    with pytest.raises(InputError, match="fill='last'"):
        column_shapley(model, x, fill="last")
