from __future__ import annotations

import numpy as np
import pytest

from kaninterp.core import DataError, EdgeMask, PlanError, PrunePlan, Reason, ShapeError


def plan(**changes):
    mask = EdgeMask.full((2, 1)).without_edges([(0, 0, 1)])
    reason = Reason(kind="edge", place=(0, 0, 1), score=0.0, threshold=0.1, text="weak")
    parts = {
        "mask": mask,
        "constants": (np.array([[0.0, 2.5]]),),
        "input_names": ("a", "b"),
        "inputs": np.array([True, False]),
        "fill": np.array([0.0, 1.0]),
        "reasons": (reason,),
        "fingerprint": "",
    }
    return PrunePlan(**(parts | changes))


def test_a_plan_says_what_goes_and_why():
    assert plan().dropped_inputs == ("b",)
    assert [r.text for r in plan().why(0, 0, 1)] == ["weak"]
    assert plan().why(1, kind="input") == ()
    assert plan().equals(plan())
    assert not plan().equals(plan(fingerprint="x"))
    assert repr(plan()) == "PrunePlan(edges=1 of 2, inputs=1 of 2, reasons=1)"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"constants": ()}, PlanError),
        ({"constants": (np.zeros((2, 1)),)}, ShapeError),
        ({"constants": (np.array([[0.0, np.nan]]),)}, DataError),
        ({"inputs": np.array([True])}, ShapeError),
        ({"fill": np.zeros(3)}, ShapeError),
    ],
)
def test_a_plan_that_does_not_fit_itself_is_refused(changes, error):
    with pytest.raises(error):
        plan(**changes)


def test_what_goes_in_is_copied():
    constants = np.array([[0.0, 2.5]])
    made = plan(constants=(constants,))
    constants[0, 1] = 9.0
    assert made.constants[0][0, 1] == 2.5
