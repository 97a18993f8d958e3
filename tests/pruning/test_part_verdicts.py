"""Verdicts on edges and nodes: an independent count over single draws, and what they say of a known head."""

from __future__ import annotations

import numpy as np
import torch

import kaninterp as ki
from kaninterp.core import EdgeMask, SurvivalTable
from kaninterp.pruning.choose import choose, survival
from kaninterp.pruning.part_verdicts import _best_ways
from tests.pruning.test_choose import line, noise, uniform
from tests.tiny import hybrid, known_head, known_layer, zero


def test_shares_are_those_of_the_closed_masks_of_single_draws():
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (3, 3), (2, 3)]
    total = sum(d * s for d, s in shapes)
    # draw number t keeps the edges whose rank is at least t: nested, as draws of one path are
    rank = rng.permutation(total)
    ends = np.cumsum([d * s for d, s in shapes])[:-1]
    ranks = [part.reshape(shape) for part, shape in zip(np.split(rank, ends), shapes, strict=True)]
    masks = [EdgeMask.of([r >= t for r in ranks]).closed() for t in range(total)]
    edges = [np.mean([mask.layers[i] for mask in masks], axis=0) for i in range(3)]
    nodes = [np.mean([mask.nodes()[i] for mask in masks], axis=0) for i in range(3)]
    found_nodes, found_edges = _best_ways(tuple((r + 1) / total for r in ranks))
    for told, counted in zip(found_edges, edges, strict=True):
        np.testing.assert_allclose(told, counted)
    for told, counted in zip(found_nodes[:3], nodes, strict=True):
        np.testing.assert_allclose(told, counted)


def small_head():
    first = known_layer([[line, line, zero], [line, lambda x: 0.001 * x, zero]])
    head, x = known_head(first, known_layer([[torch.square, line]], lo=-2.5, hi=2.5)), uniform(1000, 3)
    return head, x, head(x)[:, 0].detach() + noise(1000, 0.05)


def test_each_edge_and_node_has_a_verdict_that_fits_the_choice(tmp_path):
    head, x, y = small_head()
    choice = choose(head, (x, y), feature_names=["a", "b", "c"], progress=False)
    parts = {(part.kind, part.place): part for part in choice.table.parts}
    assert {place for kind, place in parts if kind == "node"} == {(1, 0), (1, 1)}  # columns have their own verdicts
    for (kind, place), part in parts.items():
        if kind == "edge":
            layer, dst, src = place
            assert (part.survives == "drop") == (not choice.plan.mask.layers[layer][dst, src])
            assert part.survives != "keep" or part.share >= 0.95
            assert part.survives != "tentative" or part.share < 0.95
    assert parts["edge", (0, 1, 1)].survives == "drop"
    assert parts["edge", (0, 1, 1)].name == "b → node 1.1"
    assert parts["edge", (0, 0, 0)].survives == parts["node", (1, 0)].survives == "keep"
    gone = [part for (kind, place), part in parts.items() if kind == "edge" and place[0] == 0 and place[2] == 2]
    assert all(part.survives == "drop" for part in gone)
    doubts = [part.doubt for part in choice.table.doubtful]
    assert doubts == sorted(doubts, reverse=True)
    choice.table.save(tmp_path / "table.npz")
    assert SurvivalTable.load(tmp_path / "table.npz").parts == choice.table.parts


def test_few_rows_leave_everything_open():
    head, x, y = small_head()
    table = survival(head, (x[:60], y[:60]), progress=False)
    assert {part.survives for part in table.parts} == {"tentative"}
    assert all("Too few" in part.text for part in table.parts)


def test_numbers_are_the_original_ones_and_units_are_judged():
    model = hybrid(nodes=(3,))
    x = torch.randn(400, 5, 4, generator=torch.Generator().manual_seed(1))
    y = model(x).detach() + 0.01 * torch.randn(400, 1, generator=torch.Generator().manual_seed(2))
    once, report = ki.prune(model, (x, y), progress=False)
    table = survival(once, (x, y), progress=False)
    ids = report.node_ids
    assert {part.place[1] for part in table.parts if part.kind == "node" and part.place[0] == 0} <= set(ids[0])
    assert all(part.place[1] in ids[part.place[0] + 1] for part in table.parts if part.kind == "edge")
    assert any(part.name.startswith("unit") for part in table.parts)
