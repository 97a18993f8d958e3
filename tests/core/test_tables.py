"""Tables on their own: zones, shapes, correlations and what is refused. Merging is law 3, in tests/laws."""

from __future__ import annotations

import numpy as np
import pytest

from kaninterp.core import DataError, NodeTable, RangeTable, RawTable, ShapeError
from tests.traces import Net, random_inputs, random_net, range_table, raw_table


def test_moments_of_a_node_are_numpys():
    x = np.random.default_rng(0).normal(50, 2, (300, 3))
    table = NodeTable.of(x)
    np.testing.assert_allclose(table.std, x.std(0), rtol=1e-12)
    np.testing.assert_allclose(table.mean, x.mean(0), rtol=1e-14)


def test_a_constant_node_is_constant_whatever_its_value():
    table = NodeTable.of(np.full((1000, 2), [0.1, 1e9 + 0.1]))
    assert table.constant.all()
    assert not table.std.any()


def test_zones_and_coverage():
    h = np.array([[-9.0], [-0.1], [0.0], [0.5], [1.0], [1.1], [9.0], [9.0]])
    table = range_table(h, np.array([[0.0, 1.0]]))
    np.testing.assert_allclose(table.zones, [[3 / 8, 2 / 8, 3 / 8]])
    np.testing.assert_allclose(table.coverage, [3 / 5])
    assert table.outside.tolist() == [[1, 1, 1, 2]]


def test_correlation_of_columns():
    x = np.random.default_rng(0).normal(size=(500, 3))
    x = np.column_stack([x, 3 - 2 * x[:, 0], np.full(500, 0.1)])
    r = raw_table(x, "abcde").correlation
    np.testing.assert_allclose(r[:4, :4], np.corrcoef(x[:, :4].T), atol=1e-12)
    assert r[4].tolist() == [0, 0, 0, 0, 1]


def test_merging_what_does_not_belong_together_is_refused():
    one, other = (random_net((2, 1), seed).trace(random_inputs(2)) for seed in (1, 2))
    with pytest.raises(ShapeError, match="different knots"):
        one.layers[0].ranges.merge(range_table(random_inputs(2), np.array([[0, 1.0], [0, 1.0]])))
    with pytest.raises(ShapeError, match="different models"):
        one.layers[0].edges.merge(other.layers[0].edges, (np.zeros(2), np.zeros(2)), (np.zeros(1), np.zeros(1)))
    with pytest.raises(ShapeError, match="different columns"):
        raw_table(random_inputs(2), "ab").merge(raw_table(random_inputs(2), "ac"))


def test_traces_of_different_models_are_not_merged():
    net, x = random_net((2, 1), 0), random_inputs(2)
    with pytest.raises(ShapeError, match="different models"):
        net.trace(x).merge(net.trace(x, output_names=["other"]))


def test_not_finite_or_misshapen_is_refused():
    with pytest.raises(DataError, match="1 NaN"):
        NodeTable.of(np.array([[np.nan]]))
    with pytest.raises(ShapeError, match="expected shape"):
        RangeTable(knots=np.zeros((2, 6)), order=3, intervals=np.zeros((2, 4), int), outside=np.zeros((2, 4), int))
    with pytest.raises(ShapeError):
        RawTable(names=("a",), nodes=NodeTable.of(np.zeros((1, 1))), co=np.zeros((2, 2)), lags=1)


def test_node_names_survive_a_prune():
    net = Net.of([[[np.sin, np.cos]], [[np.sin]]])
    ids = ((0, 3), (2,), (0,))
    plain = net.trace(random_inputs(2), node_ids=ids)
    assert plain.node_name(1, 0) == "node 1.2"
    assert plain.node_name(2, 0) == "y0"
    hybrid = net.trace(random_inputs(2), raw=random_inputs(5), node_ids=ids)
    assert hybrid.node_name(0, 1) == "unit 3"
