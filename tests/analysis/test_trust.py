"""Verdicts on checks: limits, chance, and what all of them come to."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaninterp.analysis import SECTIONS, TRUST_CHECKS, analyze, judge
from kaninterp.core import TrustReading
from kaninterp.core.errors import InputError
from tests.render.synthetic import synthetic

BY_NAME = {check.name: check for check in TRUST_CHECKS}
GOOD = {check.name: 1.0 if check.better == "high" else 0.0 for check in TRUST_CHECKS}
BAD = {check.name: -0.5 if check.better == "high" else 2.0 for check in TRUST_CHECKS}


def reading(name, value, **interval):
    return TrustReading(check=name, value=value, remark="" if value == value else "why", **interval)


def status(name, value, **interval):
    return BY_NAME[name].status(reading(name, value, **interval))


def test_skill_that_chance_gives_fails_whatever_its_size():
    assert status("skill", 0.6, low=0.5, high=0.7, chance=0.0) == "pass"
    assert status("skill", 0.6, low=-0.1, high=0.9, chance=0.0) == "fail"
    assert status("skill", 0.005, low=0.004, high=0.006, chance=0.0) == "fail"
    assert status("skill", 0.05, low=0.04, high=0.06, chance=0.0) == "weak"
    assert status("skill", math.nan) == "unmeasured"


def test_a_map_as_alike_as_chance_makes_it_fails_and_a_less_alike_one_is_weak():
    assert status("randomised", 0.9, low=0.85, high=0.95, chance=0.93) == "fail"
    assert status("randomised", 0.8, low=0.75, high=0.85, chance=0.93) == "weak"
    assert status("randomised", 0.1, low=0.0, high=0.2, chance=0.0) == "pass"
    assert status("completeness", 0.5) == "fail"


@given(st.sampled_from(TRUST_CHECKS), st.floats(-1, 2), st.floats(-1, 2))
def test_a_better_number_is_never_judged_worse(check, one, two):
    order = ("fail", "weak", "pass")
    better, worse = (max(one, two), min(one, two)) if check.better == "high" else (min(one, two), max(one, two))
    found = [order.index(check.status(TrustReading(check=check.name, value=v))) for v in (worse, better)]
    assert found[0] <= found[1]


def test_no_skill_is_enough_to_fail_and_two_others_are():
    good = {name: reading(name, value) for name, value in GOOD.items()}
    assert judge(good.values()).status == "pass"
    assert judge({**good, "skill": reading("skill", BAD["skill"])}.values()).status == "fail"
    others = [name for name in GOOD if name not in ("skill", "black-box-loss")]
    for first, second in pairwise(others):
        one = {**good, first: reading(first, BAD[first])}
        assert judge(one.values()).status == "weak"
        orders = BY_NAME[first].order_only and BY_NAME[second].order_only
        assert judge({**one, second: reading(second, BAD[second])}.values()).status == ("weak" if orders else "fail")


def test_orders_and_choices_of_columns_alone_fail_nothing():
    orders = [check.name for check in TRUST_CHECKS if check.order_only]
    found = {name: reading(name, (BAD if name in orders else GOOD)[name]) for name in GOOD}
    assert judge(found.values()).status == "weak"
    assert judge({**found, "seeds-sizes": reading("seeds-sizes", BAD["seeds-sizes"])}.values()).status == "fail"


def test_a_model_that_missed_most_of_the_data_fails_alone():
    def against(own, rival, low):
        found = [reading("skill", own), reading("black-box-loss", rival, low=low, high=1.0)]
        return judge([*found, *(reading(n, GOOD[n]) for n in GOOD if n not in ("skill", "black-box-loss"))])

    missed = against(0.2, 0.8, 0.7)
    assert missed.status == "fail"
    assert "twice as much" in missed.text
    assert against(0.2, 0.8, 0.3).status == "weak"  # not sure
    assert against(0.45, 0.8, 0.75).status == "weak"  # more than half
    assert against(0.12, 0.3, 0.28).status == "pass"  # no three tenths ahead: hardly anything can be known


def test_models_are_compared_on_the_same_rows():
    def rival(own):
        trust = judge([reading("black-box-loss", 0.8, low=0.7, high=0.9, own=own), reading("skill", 0.2)])
        return trust.status, trust.checks[-1].status

    assert rival(0.78) == ("pass", "pass")
    assert rival(0.2) == ("fail", "fail")


def test_without_a_target_nothing_is_better_than_weak():
    found = [reading(name, GOOD[name]) for name in ("deletion", "insertion", "bootstrap")]
    trust = judge([*found, reading("skill", math.nan)])
    assert (trust.status, trust.measured) == ("weak", 3)
    assert "was not measured" in trust.text
    assert judge([reading("skill", math.nan)]).status == "unmeasured"
    assert judge([]).status == "unmeasured"


def test_another_model_is_held_against_the_skill_of_this_one():
    def rival(own, other):
        trust = judge([reading("black-box-loss", other), reading("skill", own)])
        return trust.checks[-1].status

    assert rival(0.6, 0.65) == "pass"
    assert rival(0.6, 0.8) == "weak"
    assert rival(0.3, 0.8) == "fail"
    assert rival(math.nan, 0.8) == "unmeasured"


def test_unknown_and_double_checks_are_refused():
    with pytest.raises(InputError, match="known are: skill"):
        judge([reading("vibes", 1.0)])
    with pytest.raises(InputError, match="twice"):
        judge([reading("skill", 1.0), reading("skill", 0.5)])


def test_a_red_box_is_the_first_finding_and_a_green_one_is_none():
    trace = synthetic((4, 3, 1), names=("a", "b", "c", "d"), lags=1, backbone=False).trace
    red = analyze(trace, trust=[reading("skill", 0.0, low=-0.1, high=0.1, chance=0.0)])
    assert red.findings[0].code == "untrusted"
    assert red.findings[0].severity == "problem"
    assert red.findings[0].section in SECTIONS
    assert "better than a constant" in red.findings[0].advice
    assert "95 %" not in red.findings[0].claim
    green = analyze(trace, trust=[reading("skill", 0.9, low=0.8, high=0.95, chance=0.0)])
    assert "untrusted" not in [finding.code for finding in green.findings]
    assert analyze(trace).trust is None
