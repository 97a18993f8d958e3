"""`analyze` as a whole: what is refused, and that it is a pure function."""

from __future__ import annotations

import numpy as np
import pytest

from kaninterp.analysis import BudgetRule, EdgeRule, analyze
from kaninterp.core import DataError, EdgeAblation, NodeTable, PlanError, ShapeError
from kaninterp.core.frozen import same
from tests.evidence import ablation, attribution, curve, hybrid, ladder
from tests.traces import random_inputs, random_net


def test_the_same_trace_gives_the_same_conclusions():
    assert same(analyze(hybrid(3)), analyze(hybrid(3)))


def test_conclusions_cannot_be_written_to():
    analysis = analyze(ladder().trace(random_inputs(4)))
    for values in (analysis.scores[0].kan2, analysis.straightness[0].linear_r2, analysis.plan.constants[0]):
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 0


def test_a_rule_of_ones_own_is_used_and_its_error_is_not_swallowed():
    trace = ladder().trace(random_inputs(4))
    assert analyze(trace, rule=EdgeRule(0.2)).plan.why(0, 0, 3)
    assert analyze(trace, rule=BudgetRule(0.0)).plan.mask.count == 3
    with pytest.raises(PlanError, match="lower the threshold"):
        analyze(trace, rule=EdgeRule(9.0))


def test_dropped_inputs_reach_the_plan():
    names = ("a", "b", "c")
    trace = hybrid(3, names=names)
    analysis = analyze(trace, ablation=ablation([1.0, 0.0, 0.5], names=names))
    assert analysis.plan.dropped_inputs == ("b",)
    assert analysis.plan.why(1, kind="input")[0].text == analysis.verdicts[1].text
    np.testing.assert_array_equal(analysis.plan.fill, trace.raw.nodes.mean)


def test_a_model_that_needs_nothing_is_reported_and_not_pruned_to_nothing():
    analysis = analyze(hybrid(3), ablation=ablation([0.0, 0.0, -0.1]))
    assert all(v.survives == "drop" for v in analysis.verdicts)
    assert analysis.plan.inputs.all()
    assert analysis.plan.mask.count


def test_verdicts_go_before_scores_where_they_disagree():
    """The rule sees one loud column; the loss says the quiet one is the one that is needed."""
    trace = random_net((2, 2, 1), 0).trace(random_inputs(2))
    analysis = analyze(trace, ablation=ablation([0.0, 1.0]), rule=EdgeRule(0.3))
    assert analysis.plan.inputs.tolist() == [False, True]
    assert analysis.plan.mask.layers[0].any(0).tolist() == [False, True]


def test_no_rows():
    trace = random_net((2, 1), 0).trace(random_inputs(2))
    empty = NodeTable.of(np.zeros((0, 1)))
    bare = type(trace)(**{f: getattr(trace, f) for f in trace.__slots__ if f != "outputs"}, outputs=empty)
    with pytest.raises(DataError, match="no rows"):
        analyze(bare)


@pytest.mark.parametrize(
    "evidence",
    [
        {"ablation": ablation([1.0], names=("a",))},
        {"attribution": attribution(("a",), 3)},
        {"curve": curve([1.0, 0.0], 1)},
        {"edge_ablation": EdgeAblation(loss="mse", rows=1, base=1.0, change=(np.zeros((1, 1)),))},
        {"reference": random_net((2, 1), 0).trace(random_inputs(2))},
    ],
    ids=lambda e: next(iter(e)),
)
def test_evidence_of_another_model_or_other_columns_is_refused(evidence):
    with pytest.raises(ShapeError, match=r"use the same|with the same model"):
        analyze(hybrid(3), **evidence)


def test_it_says_what_it_is():
    assert repr(analyze(hybrid(3))).startswith("Analysis(Trace(Hybrid, widths=[3, 2, 1]")
