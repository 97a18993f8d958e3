"""Searches again without each input, on searches whose answers are written down; curve and its choice."""

from __future__ import annotations

import numpy as np
import pytest

from kaninterp.selection import select
from kaninterp.selection.curve import one_standard_error, survival_curve
from kaninterp.selection.expansion import Expansion
from kaninterp.selection.swap import Fitted, swapped, unexplained
from tests.benchmarks.problems import corral


def fitted(kept, left):
    readers = tuple(frozenset({unit}) for unit in kept)
    return Fitted(Expansion((), ()), readers, (), {}, 1 - left, left)


def answers(table):
    """A search that looks up what is found without some inputs."""
    return lambda banned: table[frozenset(banned)]


def test_an_input_that_the_others_replace_at_no_loss_goes():
    start = fitted({0, 1}, 0.3)
    better = fitted({1, 2, 3}, 0.1)
    table = {
        frozenset({0}): better,
        frozenset({0, 1}): fitted({2, 3}, 0.5),
        frozenset({0, 2}): fitted({1, 4}, 0.4),
        frozenset({0, 3}): fitted({1, 2}, 0.2),
    }
    model, replacements, gone = swapped(start, answers(table))
    assert model is better
    assert gone == {0}
    assert {unit: found.newcomers for unit, found in replacements.items()} == {1: (), 2: (4,), 3: ()}
    assert {unit: found.explained for unit, found in replacements.items()} == {1: 0.5, 2: 0.6, 3: 0.8}


def test_equally_good_needs_fewer_inputs_to_be_better():
    start = fitted({0, 1}, 0.3)
    same, fewer = fitted({1, 2}, 0.3), fitted({2}, 0.3)
    stay = {frozenset({0}): same, frozenset({1}): same}
    assert swapped(start, answers(stay))[0] is start
    go = {frozenset({0}): fewer, frozenset({0, 2}): fitted(set(), 1.0)}
    assert swapped(start, answers(go))[0] is fewer


def test_unexplained_is_the_noise_variance_over_that_of_the_target():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(5000, 3))
    y = columns.sum(1) + rng.normal(size=5000)
    assert unexplained(y, columns) == pytest.approx(1 / 4, rel=0.06)
    # columns of noise do not make it smaller, as they would the residual variance
    assert unexplained(y, np.column_stack((columns, rng.normal(size=(5000, 500))))) == pytest.approx(1 / 4, rel=0.06)


@pytest.mark.parametrize("seed", [100, 101, 102])
@pytest.mark.parametrize("hard", [False, True])
def test_what_only_resembles_the_target_goes(seed, hard):
    """CORRAL: the bit that equals the target three times out of four comes in first, and goes."""
    problem = corral(seed, hard=hard)
    names = ("A0", "A1", "B0", "B1", "noise", "alike")
    found = select(problem.X, problem.y, names=names)
    assert found.kept == (0, 1, 2, 3)
    assert found.inputs[5].verdict != "keep"


def test_one_standard_error_takes_the_fewest_within_reach_of_the_best():
    rng = np.random.default_rng(0)
    for _ in range(50):
        losses, errors = rng.uniform(size=8), rng.uniform(0, 0.3, size=8)
        chosen, best = one_standard_error(losses, errors), losses.argmin()
        limit = losses[best] + errors[best]
        assert losses[chosen] <= limit
        assert (losses[:chosen] > limit).all()


def test_curve_holds_rows_out():
    """By hand: fold by fold, fitted on the other rows."""
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(53, 3))
    y = columns @ [1.0, 0.5, 0.0] + 0.3 * rng.normal(size=53)
    y -= y.mean()
    readers = [frozenset({2}), frozenset({0}), frozenset({0, 2})]
    curve = survival_curve(columns, y, readers, [2, 0], ["a", "b", "c"])
    assert [(point.inputs, point.added) for point in curve] == [(0, ""), (1, "c"), (2, "a")]
    for point, used in zip(curve, ([], [0], [0, 1, 2]), strict=True):
        losses = []
        for fold in np.array_split(np.arange(53), 5):
            rest = np.setdiff1d(np.arange(53), fold)
            design = np.column_stack((np.ones(53), columns[:, used]))
            made = design[fold] @ np.linalg.lstsq(design[rest], y[rest], rcond=None)[0]
            losses.extend((y[fold] - made) ** 2 / y.var())
        assert point.loss == pytest.approx(np.mean(losses))
        assert point.error == pytest.approx(np.std(losses) / 53**0.5)
        low, high = point.interval
        assert (low + high) / 2 == pytest.approx(point.loss)
    assert sum(point.chosen for point in curve) == 1
