"""Survival over seeds on data with known drivers, and the stability of random selections."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.core.errors import InputError, ModelError
from kaninterp.pruning.seeds import nogueira, survival_over_seeds

X = torch.rand(500, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
NOISE = 0.1 * torch.randn(500, generator=torch.Generator().manual_seed(1))


def build(seed):
    return ki.KANHead(5, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(seed))


def test_drivers_survive_every_seed_and_noise_none():
    data = (X, 2 * X[:, 1] + torch.sin(3 * X[:, 3]) + NOISE)
    found = survival_over_seeds(build, data, seeds=(0, 1, 2), epochs=8, optimizer="lbfgs", progress=False)
    assert found.kept.shape == (3, 5)
    np.testing.assert_array_equal(found.share, [0, 1, 0, 1, 0])
    assert found.stability == pytest.approx(1.0)
    assert str(found).splitlines()[0] == "x1: kept in 3 of 3 seeds"


def test_a_target_without_cause_keeps_nothing():
    data = (X, NOISE)
    found = survival_over_seeds(build, data, seeds=(0, 1), epochs=3, optimizer="lbfgs", progress=False)
    assert found.kept.sum() <= 1


def test_stability_of_chance_is_near_zero_and_of_a_fixed_choice_one():
    rng = np.random.default_rng(0)
    at_random = np.array([rng.permutation(40) < 10 for _ in range(400)])
    assert abs(nogueira(at_random)) < 0.02
    assert nogueira(np.tile(at_random[0], (5, 1))) == pytest.approx(1.0)
    assert np.isnan(nogueira(np.ones((3, 4), bool)))


def test_stability_by_hand():
    kept = np.array([[True, True, False, False], [True, False, True, False]])
    # shares 1, .5, .5, 0: mean variance 2/1 * (.25 + .25) / 4 = .25; chance .5 * .5 = .25
    assert nogueira(kept) == pytest.approx(0.0)


@pytest.mark.parametrize("seeds", [(0,), (1, 1), ()])
def test_too_few_seeds_are_refused(seeds):
    with pytest.raises(InputError, match="two or more"):
        survival_over_seeds(build, (X, NOISE), seeds=seeds)


def test_the_same_module_twice_is_refused():
    head = build(0)
    with pytest.raises(ModelError, match="twice"):
        survival_over_seeds(lambda seed: head, (X, X[:, 0]), seeds=(0, 1), epochs=2, progress=False)
