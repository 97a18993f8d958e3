"""The five answers, on models whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from kaninterp.analysis import QUESTIONS, SECTIONS, analyze, answers, column_effects, lag_profile, node_drivers
from kaninterp.core import Estimate, InputError, PruneCost
from tests.evidence import ablation, attribution, hybrid, ladder
from tests.traces import Net, random_inputs, random_net, zero

NAMES = ("temp", "dewp", "noise")


def hybrid_analysis():
    shares = (
        np.array([[0.9, 0.2, 0.0], [0.1, 0.95, 0.0], [0.6, 0.5, 0.01]]),
        np.array([[0.7, 0.3, 0.0], [0.4, 0.6, 0.0]]),
        np.array([[0.8, 0.3, 0.0]]),
    )
    evidence = ablation([1.0, 0.4, 0.0], names=NAMES, shares=shares)
    return analyze(hybrid(3, names=NAMES), ablation=evidence, attribution=attribution(NAMES, 3))


def cost(low=-0.01, high=0.03):
    estimate = Estimate(value=0.5, low=0.4, high=0.6)
    return PruneCost(
        loss="mse",
        rows=500,
        before=estimate,
        after=Estimate(value=0.51, low=0.41, high=0.61),
        difference=Estimate(value=0.01, low=low, high=high),
        inputs=(3, 2),
        edges=(8, 6),
        nodes=(6, 5),
        parameters=(100, 80),
        largest_gap=0.0,
    )


CASES = {
    "hybrid": hybrid_analysis,
    "hybrid, nothing measured": lambda: analyze(hybrid(3)),
    "plain, one layer": lambda: analyze(ladder().trace(random_inputs(4, 500))),
    "plain, deep": lambda: analyze(random_net((4, 3, 2), 1, dead=0.5).trace(random_inputs(4))),
    "all masked": lambda: analyze(Net.of([[[np.sin, np.sin]]], alive=[np.zeros((1, 2), bool)]).trace(random_inputs(2))),
    "constant output": lambda: analyze(Net.of([[[zero]]]).trace(random_inputs(1))),
    "one row": lambda: analyze(random_net((2, 2, 1), 0).trace(random_inputs(2, 1))),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
@pytest.mark.parametrize("price", [None, cost()], ids=["no cost", "cost"])
def test_five_short_answers_in_plain_words_with_numbers(make, price):
    given = answers(make(), price)
    assert tuple(a.question for a in given) == QUESTIONS
    for answer in given:
        assert answer.section in SECTIONS
        sentences = answer.answer.replace(". ", ".\n").splitlines()
        assert 2 <= len(sentences) <= 5
        assert all(len(s) < 260 for s in sentences)
        assert any(character.isdigit() for character in answer.answer) or "Not known" in answer.answer
        assert "nan" not in answer.answer.lower().split()
        for word in ("because of", "causes the", "unimportant"):
            assert word not in answer.answer


def test_question_1_counts_masks_and_gives_each_missing_node_its_reason():
    net = Net.of([[[np.sin, zero, lambda x: 1e-4 * x, np.sin]]], alive=[np.array([[True, True, True, False]])])
    answer = answers(analyze(net.trace(random_inputs(4))))[0]
    assert "1 of 4 edges are masked in the model as it was given" in answer.answer
    assert "3 of 4 first-layer nodes show no edge" in answer.answer
    for reason in ("1 zero function", "1 alive but below the drawing limit", "1 masked"):
        assert reason in answer.answer
    assert "No: all 4 edges of the head are alive" in answers(analyze(ladder().trace(random_inputs(4))))[0].answer


def test_question_1_follows_the_drawing_limit():
    analysis = analyze(ladder().trace(random_inputs(4, 500)))
    assert "1 of 4 first-layer nodes shows no edge" in answers(analysis)[0].answer
    assert "2 of 4 first-layer nodes show no edge" in answers(analysis, limit=0.2)[0].answer
    with pytest.raises(InputError, match="limit"):
        answers(analysis, limit=-1)


def test_question_2_says_what_lines_mean():
    answer = answers(analyze(ladder().trace(random_inputs(4, 5000))))[1]
    assert answer.answer.startswith("No. A line shows the KAN 2.0 score")
    assert "from 0 to 0.8" in answer.answer


def test_question_3_names_columns_shares_and_lags():
    answer = answers(hybrid_analysis())[2]
    assert "temp" in answer.answer
    assert "mostly at lag 2" in answer.answer
    assert any("lag 0 (latest)" in line for line in answer.evidence)
    assert "Not known" in answers(analyze(hybrid(3)))[2].answer
    plain = answers(analyze(ladder().trace(random_inputs(4))))[2]
    assert "one of your columns" in plain.answer


def test_question_4_counts_straight_edges_by_cause():
    net = Net.of([[[lambda x: -x, lambda x: np.sin(3 * x)]]], domains=[np.tile([-0.2, 0.2], (2, 1))])
    answer = answers(analyze(net.trace(random_inputs(2, 1000))))[3]
    assert answer.answer.startswith("1 of 2 varying edges is straight")
    assert "1 because most of the data lie outside the domain" in answer.answer


def test_question_5_lists_what_goes_and_what_it_costs():
    analysis = hybrid_analysis()
    answer = answers(analysis, cost())[4]
    assert "1 of 3 inputs can go: noise." in answer.answer
    assert "2 stay" in answer.answer
    assert (
        "from 0.5 to 0.51, by +0.01 (95 % interval −0.01 to +0.03): within the noise of the data (500 rows)"
        in answer.answer
    )
    assert "beyond the noise" in answers(analysis, cost(low=0.005))[4].answer
    assert "not measured" in answers(analysis)[4].answer
    assert any(line.startswith("noise (drop):") for line in answer.evidence)


def test_column_effects_of_a_plain_kan_are_path_products():
    net = Net.of([[[lambda x: x, lambda x: 2 * x], [zero, lambda x: x]], [[lambda h: h, zero]]])
    rng = np.random.default_rng(0)
    x = np.stack([rng.permutation(np.linspace(-1, 1, 4001)) for _ in range(2)], axis=1)
    analysis = analyze(net.trace(x, raw_names=("a", "b")))
    np.testing.assert_allclose(column_effects(analysis, 1), [[0.2, 0.8], [0, 1]], atol=0.02)
    np.testing.assert_allclose(column_effects(analysis, 2), [[0.2, 0.8]], atol=0.02)
    assert [d.name for d in node_drivers(analysis, 1, 0)] == ["b", "a"]
    assert node_drivers(analysis, 1, 0)[0].lag is None


def test_lags_of_a_node():
    analysis = hybrid_analysis()
    driver = node_drivers(analysis, 0, 0)[0]
    assert (driver.name, driver.lag) == ("temp", 2)
    profile = lag_profile(analysis, 0, 0)
    np.testing.assert_allclose(profile.sum(), 1)
    assert profile.argmax() == 2
