"""Laws 3, 6 and 9 on traces of real models."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import kaninterp as ki
from kaninterp.measure import ablate, ablate_edges, attribute, column_shapley
from tests.tiny import hybrid

MODEL = hybrid(outputs=2)
DATA = torch.randn(60, 5, 4, generator=torch.Generator().manual_seed(1))
WHOLE = ki.trace(MODEL, DATA)


def close(a: ki.Trace, b: ki.Trace) -> None:
    assert a.rows == b.rows
    for left, right in zip(a.layers, b.layers, strict=True):
        for name in ("mean", "m2", "with_output", "with_input"):
            np.testing.assert_allclose(getattr(left.edges, name), getattr(right.edges, name), rtol=1e-5, atol=1e-6)
        assert np.abs(left.ranges.intervals - right.ranges.intervals).sum() <= 2  # float32 at a knot
    for left, right in zip(a.nodes, b.nodes, strict=True):
        np.testing.assert_allclose(left.mean, right.mean, atol=1e-6)
        np.testing.assert_allclose(left.low, right.low, atol=1e-6)
    np.testing.assert_allclose(a.raw.co, b.raw.co, rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(1, 59), min_size=1, max_size=4, unique=True), st.randoms(use_true_random=False))
def test_any_partition_in_any_order_is_the_whole(cuts, rng):
    places = [0, *sorted(cuts), 60]
    parts = [ki.trace(MODEL, DATA[a:b]) for a, b in pairwise(places)]
    rng.shuffle(parts)
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    close(total, WHOLE)


@settings(deadline=None, max_examples=6)
@given(st.integers(1, 80), st.permutations(list(range(60))))
def test_batch_size_and_row_order_do_not_matter(batch_size, order):
    close(ki.trace(MODEL, DATA[order], batch_size=batch_size), WHOLE)


def test_traces_of_different_models_do_not_merge():
    with pytest.raises(ki.KanInterpError, match="different models"):
        WHOLE.merge(ki.trace(hybrid(outputs=2, seed=1), DATA))


MEASURES = {
    "column_shapley": lambda model, loader: column_shapley(model, loader, permutations=4, progress=False),
    "conditional": lambda model, loader: ablate(model, loader, fill="conditional", progress=False),
    "trace": ki.trace,
    "ablate": lambda model, data: ablate(model, data, rows=40),
    "attribute": lambda model, data: attribute(model, data, rows=10, steps=4),
    "edges": lambda model, data: ablate_edges(model, data, rows=20),
    "report": lambda model, data: ki.report(model, data, progress=False),
}


@pytest.mark.parametrize("name", MEASURES)
def test_measuring_moves_nothing(name):
    model = nn.Sequential(hybrid(outputs=2), nn.Dropout(0.5))
    model.train()
    model[0].head.eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    y = DATA[:, -1, :2]
    loader = DataLoader(TensorDataset(DATA, y), batch_size=16, shuffle=True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    flags = [module.training for module in model.modules()]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    MEASURES[name](model, loader)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert flags == [module.training for module in model.modules()]
    assert hooks == [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    assert all(torch.equal(p.grad, torch.ones_like(p)) and p.requires_grad for p in model.parameters())
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert states[2] == random.getstate()
