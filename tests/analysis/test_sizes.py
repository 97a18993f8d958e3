"""Sizes counted from a mask equal those of the head that is really built."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kaninterp as ki
from kaninterp.analysis.sizes import compact_widths, multiply_adds, parameters, weights_per_edge
from kaninterp.core import EdgeMask, InputError, ShapeError
from kaninterp.nn import prune_head
from kaninterp.pruning import measure_efficiency
from tests.traces import random_inputs, random_net


def built(widths, keep, grid, order):
    head = ki.KANHead(widths[0], widths[-1], widths[1:-1], grid=grid, order=order)
    return prune_head(head, keep)[0]


@given(
    seed=st.integers(0, 2**16),
    widths=st.sampled_from([(4, 1), (3, 4, 2), (5, 3, 3, 1), (1, 1, 1)]),
    share=st.floats(0, 1),
    grid=st.integers(2, 7),
    order=st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_counted_sizes_are_those_of_the_compact_head(seed, widths, share, grid, order):
    rng = np.random.default_rng(seed)
    mask = EdgeMask.of(rng.random(layer.shape) < share for layer in EdgeMask.full(widths).layers)
    small = built(widths, list(mask.layers), grid, order)
    weights = [grid + order + 1] * len(mask.layers)
    assert compact_widths(mask) == small.widths
    assert parameters(mask, weights) == sum(p.numel() for p in small.parameters())
    assert multiply_adds(mask, weights) == sum(layer.weight.numel() for layer in small.layers)


def test_a_trace_says_how_many_weights_an_edge_has():
    head = ki.KANHead(3, 1, (2,), grid=7, order=2)
    trace = ki.trace(head, torch.rand(50, 3))
    assert weights_per_edge(trace) == (10, 10)
    assert parameters(EdgeMask.full((3, 2, 1)), trace) == sum(p.numel() for p in head.parameters())


def test_a_running_model_is_counted_in_the_same_way():
    head = ki.KANHead(5, 2, (4,), grid=6)
    keep = [np.ones((4, 5), bool), np.ones((2, 4), bool)]
    keep[0][:, [1, 3]] = keep[1][:, 0] = False
    cost = measure_efficiency(prune_head(head, keep)[0], torch.rand(8, 5), repeats=1)
    mask = EdgeMask.of(keep)
    assert (cost.parameters, cost.multiply_adds) == (parameters(mask, (10, 10)), multiply_adds(mask, (10, 10)))


def test_other_heads_and_other_masks_are_refused():
    trace = random_net((3, 1)).trace(random_inputs(3))
    with pytest.raises(ShapeError, match="widths"):
        parameters(EdgeMask.full((4, 1)), trace)
    with pytest.raises(ShapeError, match="1 layers"):
        parameters(EdgeMask.full((4, 1)), (9, 9))
    foreign = replace(trace, card=replace(trace.card, head="FastKAN"))
    with pytest.raises(InputError, match="FastKAN"):
        multiply_adds(EdgeMask.full((3, 1)), foreign)
