from __future__ import annotations

import numpy as np
import pytest

from kaninterp.analysis import layer_ranges
from kaninterp.core import ShapeError
from tests.traces import Net, random_inputs

net = Net.of([[[np.sin, np.cos]]], domains=[np.array([[-1.0, 1.0], [0.0, 10.0]])])


def test_zones_coverage_and_reference():
    inside = random_inputs(2, 1000)
    outside = inside * [5.0, 1.0]
    ranges = layer_ranges(net.trace(outside), reference=net.trace(inside))[0]
    share = np.abs(outside[:, 0]) <= 1
    np.testing.assert_allclose(ranges.trained[0], share.mean())
    np.testing.assert_allclose(ranges.trained + ranges.fringe + ranges.dead, 1)
    np.testing.assert_allclose(ranges.dead[0], (np.abs(outside[:, 0]) > 1 + 3 * 2 / 5).mean())
    assert ranges.coverage.tolist() == [1.0, 0.2]
    assert ranges.domain.tolist() == [[-1, 1], [0, 10]]
    np.testing.assert_allclose(ranges.seen[0], [outside[:, 0].min(), outside[:, 0].max()])
    assert ranges.reference.trained[0] == 1
    assert ranges.reference.reference is None


def test_a_reference_of_another_model_is_refused():
    other = Net.of([[[np.sin] * 3]]).trace(random_inputs(3))
    with pytest.raises(ShapeError, match="same model"):
        layer_ranges(net.trace(random_inputs(2)), reference=other)
