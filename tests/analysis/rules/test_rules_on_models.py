"""Every rule on a real head that was traced and probed: what counts stays, what does nothing goes first."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.analysis import RULES, Count, Fraction, ScoreRule, rule_named
from kaninterp.measure import probe
from tests.tiny import known_head, known_layer, zero

judges = {name: rule for name, rule in RULES if getattr(rule, "score", "") != "random"}
every_judge = pytest.mark.parametrize("rule", judges.values(), ids=judges)


def head():
    """Two inputs and two nodes that count, a third of each that does nothing."""
    first = known_layer([[torch.sin, zero, zero], [zero, torch.square, zero], [zero, zero, zero]])
    last = known_layer([[lambda h: 2 * h, torch.tanh, zero]])
    return known_head(first, last)


@cache
def measured_head():
    model = head()
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(500, 3, dtype=torch.float64, generator=generator) * 2 - 1
    y = model(x).detach() + 0.1 * torch.randn(500, 1, dtype=torch.float64, generator=generator)
    return model, x, ki.trace(model, x), probe(model, (x, y), progress=False)


@every_judge
def test_what_does_nothing_goes_and_what_counts_stays(rule):
    model, x, trace, prices = measured_head()
    if isinstance(rule, ScoreRule):
        rule = replace(rule, amount=Count({"edge": 4, "node": 2, "input": 2}[rule.level]))
    plan = rule(trace, probe=prices)
    assert plan.mask.layers[0][:2, :2].diagonal().all()
    assert plan.mask.layers[1][0, :2].all()
    if rule != rule_named("node"):
        new, report = ki.prune(model, plan)
        torch.testing.assert_close(new(x), model(x), atol=1e-6, rtol=0)
        assert report.edges[1] < 12


def test_chance_is_the_control_that_it_is_taken_for():
    """At the same size the rules that look keep the function, the one that does not loses it."""
    model, x, trace, prices = measured_head()
    before = model(x).detach()

    def change(rule):
        new, _ = ki.prune(model, rule(trace, probe=prices))
        return float((new(x).detach() - before).pow(2).mean().sqrt() / before.std())

    seeds = range(20)
    by_chance = [change(ScoreRule("random", amount=Fraction(0.3), seed=s)) for s in seeds]
    assert np.median(by_chance) > 0.1
    assert change(ScoreRule("kan2", amount=Fraction(0.3))) < 1e-6
    assert change(ScoreRule("ablation", amount=Fraction(0.3))) < 1e-6


def test_a_probe_of_the_head_before_training_is_refused():
    _, x, _, prices = measured_head()
    other = head()
    with torch.no_grad():
        other.layers[0].bias += 1.0
    with pytest.raises(ki.KanInterpError, match="other weights"):
        ScoreRule("fisher")(ki.trace(other, x), probe=prices)
