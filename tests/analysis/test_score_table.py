"""All scores side by side: the same numbers as their sources, per output, nothing left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.analysis import SCORES, measured, score_table
from kaninterp.core import InputError
from kaninterp.measure import ablate, attribute, column_shapley
from tests.tiny import hybrid


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def everything(model, x, y):
    ablation, curve = ablate(model, (x, y), progress=False)
    attribution = attribute(model, (x, y), progress=False)
    found = ki.analyze(ki.trace(model, (x, y), progress=False), ablation=ablation, curve=curve, attribution=attribution)
    options = {
        "probe": ki.probe(model, (x, y), progress=False),
        "shapley": column_shapley(model, (x, y), progress=False),
    }
    return found, options


def test_every_score_of_columns_of_a_hybrid():
    model, x = hybrid(), normal(60, 5, 4)
    found, options = everything(model, x, normal(60, 1))
    table = score_table(found, shapley=options["shapley"])
    assert set(table["score"]) == {s.name for s in SCORES if s.level == "column"}
    assert set(table["column"]) == set(found.trace.raw.names)
    rises = table[table["score"] == "column_ablation"].set_index("column")["value"]
    np.testing.assert_array_equal(rises[list(found.ablation.names)], found.ablation.change)
    errors = table[table["score"] == "column_shapley"]["error"]
    assert errors.notna().all()


def test_a_plain_kan_has_the_scores_of_its_input_nodes_too():
    head = ki.KANHead(3, 2, (4,), generator=torch.Generator().manual_seed(0))
    x, y = normal(80, 3), normal(80, 2)
    found, options = everything(head, x, y)
    table = score_table(found, **options)
    assert set(table["score"]) == {s.name for s in SCORES if s.needs != "seed"}
    for name in ("kan2", "path", "gradient", "loss_share", "l1"):
        expected = measured(name, found.trace, options["probe"], level="node").signed[0]
        got = table[table["score"] == name].sort_values(["output", "column"])["value"].to_numpy()
        np.testing.assert_array_equal(got, np.ravel(expected))
    assert set(table[table["score"] == "path"]["output"]) == set(found.trace.output_names)


def test_edges_and_nodes_and_a_wrong_level():
    head = ki.KANHead(3, 2, (4,), generator=torch.Generator().manual_seed(0))
    found, options = everything(head, normal(80, 3), normal(80, 2))
    edges = score_table(found, "edge", probe=options["probe"])
    assert set(edges["score"]) == {s.name for s in SCORES if s.level == "edge" and s.needs != "seed"}
    assert (edges["score"] == "path").sum() == 2 * (12 + 8)
    assert (edges["size"] >= 0).all()
    nodes = score_table(found, "node")
    assert "shapley" not in set(nodes["score"])
    with pytest.raises(InputError, match="'column', 'node', 'edge'"):
        score_table(found, "unit")
