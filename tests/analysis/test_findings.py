"""Each finding appears where it should, with its numbers, and not where it should not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kaninterp.analysis import SECTIONS, analyze, rank_agreement
from kaninterp.core import EdgeAblation
from kaninterp.core.findings import SEVERITIES
from tests.evidence import ablation, attribution, hybrid, ladder
from tests.traces import Net, random_inputs, random_net


def codes(analysis):
    return {f.code for f in analysis.findings}


def found(analysis, code):
    return next(f for f in analysis.findings if f.code == code)


def healthy():
    """Two needed columns, curved edges, enough rows, everything on the grid."""
    net = Net.of([[[lambda x: np.sin(3 * x), lambda x: x**2]]])
    return net.trace(random_inputs(2, 2000))


def test_a_healthy_model_has_no_findings():
    assert analyze(healthy(), ablation=ablation([0.5, 0.4])).findings == ()


def test_findings_are_complete_sentences_worst_first():
    trace = random_net((6, 4, 2), 1, dead=0.5).trace(random_inputs(6, 60))
    analysis = analyze(trace)
    ranks = [SEVERITIES.index(f.severity) for f in analysis.findings]
    assert ranks == sorted(ranks)
    assert analysis.findings
    for f in analysis.findings:
        assert f.section in SECTIONS
        assert f.claim.endswith(".")
        assert f.evidence.endswith(".")
        assert any(character.isdigit() for character in f.evidence + f.claim)
        assert f.advice.endswith(".")
        assert "\n" not in f.advice


def test_out_of_grid_names_the_layer_the_node_and_the_share():
    net = Net.of([[[np.sin, np.sin]]], domains=[np.tile([-1.0, 1.0], (2, 1))])
    x = random_inputs(2, 1000)
    x[:, 1] *= 4
    finding = found(analyze(net.trace(x)), "out-of-grid")
    assert finding.severity == "problem"
    assert "1 input node of 2" in finding.claim
    assert "x1" in finding.claim
    assert "75 %" in finding.evidence or "74 %" in finding.evidence or "76 %" in finding.evidence
    assert "out-of-grid" not in codes(analyze(net.trace(random_inputs(2))))


def test_drift_needs_a_reference_and_a_change():
    net = Net.of([[[np.sin]]], domains=[np.array([[-1.0, 1.0]])])
    here, there = net.trace(2 * random_inputs(1)), net.trace(random_inputs(1))
    assert "drift" in codes(analyze(here, reference=there))
    assert "drift" not in codes(analyze(there, reference=there))


def test_unused_grid():
    net = Net.of([[[np.sin]]], domains=[np.array([[-10.0, 10.0]])])
    assert "x0 (10 %)" in found(analyze(net.trace(random_inputs(1))), "unused-grid").evidence


def test_a_grid_that_a_few_far_values_have_stretched():
    x = random_inputs(2, 1000)
    x[:10, 1] = 1000.0
    finding = found(analyze(Net.of([[[np.sin, np.sin]]]).trace(x)), "stretched-grid")
    assert "x1 (1.06 effective)" in finding.evidence
    assert "x0" not in finding.evidence
    assert "unused-grid" not in codes(analyze(Net.of([[[np.sin, np.sin]]]).trace(x)))


def test_whole_numbers_between_which_nothing_was_learnt():
    x = np.random.default_rng(0).integers(0, 3, (400, 2)).astype(float)
    x[:, 1] *= 4
    finding = found(analyze(Net.of([[[np.sin, np.sin]]]).trace(x)), "whole-numbers")
    assert finding.evidence == "Values seen: x0 (0 to 2)."
    assert finding.severity == "note"


def test_straight_edges_and_their_cause():
    net = Net.of([[[lambda x: -x, lambda x: 2 * x]]])
    finding = found(analyze(net.trace(random_inputs(2, 500))), "straight-edges")
    assert finding.claim.startswith("2 of 2 live edges")
    assert "2: a line is what was learnt over the whole domain" in finding.evidence
    assert finding.advice == "Nothing to mend."


def test_the_first_thing_to_mend_comes_first():
    x = random_inputs(3, 500) * [1, 0.05, 1] + [0, 0, 4]
    net = Net.of([[[lambda x: -x, np.exp, lambda x: x]]], domains=[np.tile([-1.0, 1.0], (3, 1))])
    finding = found(analyze(net.trace(x)), "straight-edges")
    assert [part.split(":")[0] for part in finding.evidence.split(". ")[1].split("; ")] == ["1", "1", "1"]
    assert finding.advice.startswith("Update the domains to these data")


def test_constant_columns_and_units():
    x = random_inputs(2)
    x[:, 1] = 3.0
    assert "x1" in found(analyze(ladder_of(2).trace(x)), "constant-columns").claim
    raw = random_inputs(2)
    net = random_net((3, 1), 0)
    units = np.column_stack([raw, np.zeros(len(raw))])
    assert "unit 2" in found(analyze(net.trace(units, raw=raw)), "constant-units").claim


def ladder_of(n):
    return Net.of([[[lambda x: x**2] * n]])


def test_edges_that_cancel():
    x = np.repeat(random_inputs(1, 500), 2, axis=1)
    finding = found(analyze(Net.of([[[lambda v: 3 * v, lambda v: -2 * v]]]).trace(x)), "cancelling")
    assert "sum to −2.00 against 3.00" in finding.evidence


def test_survivors_that_carry_the_same_signal():
    a = np.random.default_rng(0).normal(size=300)
    raw = np.column_stack([a, a + 0.01 * np.random.default_rng(1).normal(size=300), -a[::-1]])
    trace = hybrid(raw=raw, names=("a", "b", "c"))
    finding = found(analyze(trace, ablation=ablation([0.5, 0.4, 0.3], names=("a", "b", "c"))), "correlated-survivors")
    assert finding.evidence == "a and b (r = 1.000)."
    dropped = analyze(trace, ablation=ablation([0.5, 0.0, 0.3], names=("a", "b", "c")))
    assert "correlated-survivors" not in codes(dropped)


def test_too_few_rows():
    net = random_net((8, 4, 1), 0)
    assert found(analyze(net.trace(random_inputs(8, 50))), "few-rows").severity == "caution"
    assert "few-rows" not in codes(analyze(net.trace(random_inputs(8, 3000))))


def test_a_hint_at_a_leak_is_careful():
    finding = found(analyze(hybrid(3), ablation=ablation([5.0, 0.01, 0.0])), "one-input")
    assert "This can be right" in finding.advice
    assert "one-input" not in codes(analyze(hybrid(3), ablation=ablation([1.0, 0.5, 0.0])))


def test_readings_that_disagree():
    """Loud inside, quiet at the output: strength and KAN 2.0 rank the first layer the other way round."""
    row = [[lambda x, s=s: s * np.sin(x)] for s in (1, 2, 3, 4, 5, 6)]
    last = [[lambda h, s=s: 10.0 ** -(2 * s) * h for s in (1, 2, 3, 4, 5, 6)]]
    trace = Net.of([row, last]).trace(random_inputs(1, 500))
    analysis = analyze(trace)
    assert rank_agreement(analysis, 0)["strength", "kan2"] == -1
    assert "amplitude / KAN 2.0 score −1.00" in found(analysis, "readings-disagree").evidence
    change = tuple(np.asarray(s.kan2[0]) for s in analysis.scores)
    measured = analyze(trace, edge_ablation=EdgeAblation(loss="mse", rows=9, base=1.0, change=change))
    assert rank_agreement(measured, 0)["kan2", "loss"] == 1


def test_an_attribution_that_does_not_add_up():
    trace = hybrid(2, names=("a", "b"))
    evidence = ablation([1.0, 0.5], names=("a", "b"))
    bad = analyze(trace, ablation=evidence, attribution=attribution(("a", "b"), 3, residual=0.3))
    assert found(bad, "incomplete-attribution").severity == "problem"
    assert "'zero'" in found(bad, "incomplete-attribution").evidence
    good = analyze(trace, ablation=evidence, attribution=attribution(("a", "b"), 3))
    assert "incomplete-attribution" not in codes(good)


def test_no_evidence_weak_evidence_and_none_at_all():
    assert "not-measured" in codes(analyze(hybrid(3)))
    nothing = analyze(hybrid(3), ablation=ablation([0.0, -0.01, 0.001]))
    assert found(nothing, "no-input-needed").severity == "problem"
    weak = analyze(hybrid(3), ablation=ablation([1.0, 0.03, 0.032], error=[0.01, 0.015, 0.015]))
    assert "weak-evidence" in codes(weak)


def test_a_constant_output_is_a_problem_and_nothing_is_pruned():
    trace = Net.of([[[lambda x: 0 * x + 2.0] * 2]]).trace(random_inputs(2))
    analysis = analyze(trace)
    assert found(analysis, "constant-output").severity == "problem"
    assert analysis.plan.mask.count == 2


def test_what_the_plan_removes_is_bounded_in_words():
    assert "0.000" not in found(analyze(ladder().trace(random_inputs(4, 500))), "prunable").claim
    assert "1 edge of 4" in found(analyze(ladder().trace(random_inputs(4, 500))), "prunable").claim


@pytest.mark.parametrize("name", ["<b>x</b>", "", "a\nb", "y" * 300])
def test_hostile_names_stay_one_short_line(name):
    x = random_inputs(2)
    x[:, 0] = 1.0
    finding = found(analyze(ladder_of(2).trace(x, raw_names=(name, "ok"))), "constant-columns")
    assert "\n" not in finding.claim
    assert len(finding.claim) < 150


def test_findings_are_a_function_of_the_analysis():
    one, two = (analyze(random_net((5, 3, 1), 4).trace(random_inputs(5))) for _ in range(2))
    assert one.findings == two.findings
    assert replace(one, findings=()).findings == ()
