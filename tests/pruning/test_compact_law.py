"""Law 4 on whole models: the compact copy, the masked copy and the definition agree, whatever the plan cuts away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import kaninterp as ki
from kaninterp.analysis import plan_of
from kaninterp.analysis.sizes import multiply_adds, parameters
from kaninterp.core import PlanError
from kaninterp.data import Batch
from kaninterp.nn import KANHead
from kaninterp.pruning import prune
from kaninterp.pruning.counting import count_multiply_adds
from kaninterp.pruning.efficiency import nonzero_count
from kaninterp.pruning.outcome import parameter_count
from tests.pruning.random_nets import rows

COLUMNS, STEPS, ROWS = 3, 4, 12


class Shared(nn.Module):
    """A backbone around which the raw columns also go: two readers, and units that share them."""

    def __init__(self, family, width, head):
        super().__init__()
        self.body, self.skip, self.head = family(COLUMNS, width), nn.Linear(COLUMNS, width), head

    def forward(self, x):
        h = self.body(x)
        return self.head(torch.tanh((h[0] if isinstance(h, tuple) else h) + self.skip(x))[:, -1])


def recurrent(kind):
    return lambda columns, width: kind(columns, width, batch_first=True)


BACKBONES = [nn.Linear, recurrent(nn.LSTM), recurrent(nn.GRU), recurrent(nn.RNN)]


@st.composite
def plans(draw):
    """A model with random widths and biases, data, and a plan that leaves at least one path."""
    widths = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    head = KANHead(widths[0], widths[-1], widths[1:-1], grid=3, domain=(-1, 1), noise=0.5, generator=generator)
    with torch.no_grad():
        for layer in head.layers:
            layer.bias.normal_(generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Shared(draw(st.sampled_from(BACKBONES)), widths[0], head).eval().requires_grad_(False)
    data = torch.randn(ROWS, STEPS, COLUMNS, generator=generator)
    trace = ki.trace(model, data, progress=False)
    density = draw(st.sampled_from([0.2, 0.5, 0.8, 1.0]))
    keep = [rng.random(layer.edges.alive.shape) < density for layer in trace.layers]
    path = [int(rng.integers(width)) for width in trace.card.widths]
    for layer, mask in enumerate(keep):
        mask[path[layer + 1], path[layer]] = True
    constants = tuple(rng.normal(size=mask.shape) for mask in keep)
    plan = replace(
        plan_of(trace, keep, []), constants=constants, inputs=rng.random(COLUMNS) < 0.6, fill=rng.normal(size=COLUMNS),
        lags=STEPS,
    )  # fmt: skip
    return model, data, trace, plan


def by_hand(model, data, plan):
    """The definition in float64: dropped columns at their fill, cut edges at their constants."""
    held = data.clone()
    for column in np.flatnonzero(~plan.inputs):
        held[..., column] = float(plan.fill[column])
    seen = []
    handle = model.head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(held)
    handle.remove()
    x = seen[0].double()
    for layer, mask, constant in zip(model.head.layers, plan.mask.layers, plan.constants, strict=True):
        values = np.where(mask, layer.edges(x).numpy(), constant)
        x = torch.from_numpy(values.sum(-1) + layer.bias.double().numpy())
    return x


@settings(max_examples=40, deadline=None, derandomize=True)
@given(plans())
def test_compact_masked_and_definition_agree(case):
    model, data, trace, plan = case
    before = {name: value.clone() for name, value in model.state_dict().items()}
    compact, report = prune(model, plan)
    masked, _ = prune(model, plan, compact=False)
    wanted = by_hand(model, data, plan)
    scale = max(1.0, float(wanted.abs().max()))
    assert float((compact(data) - masked(data)).abs().max()) <= 2e-6 * scale
    assert float((compact(data).double() - wanted).abs().max()) <= 1e-4 * scale
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    moved = data.clone()
    moved[..., ~plan.inputs] = 1e3
    assert torch.equal(compact(moved), compact(data))
    # what was counted from the mask is what is there
    assert parameters(plan.mask, trace) == parameter_count(compact.head)
    batch = Batch(inputs=(rows(5, model.head.in_features),), keys=None, target=None)
    assert multiply_adds(plan.mask, trace) == count_multiply_adds(compact.head, batch)
    assert parameter_count(compact) <= parameter_count(masked) == parameter_count(model)
    assert nonzero_count(compact) <= nonzero_count(masked) <= nonzero_count(model)
    assert report.parameters == (parameter_count(model), parameter_count(compact))
    assert report.node_ids == ki.trace(compact, data, progress=False).card.node_ids


@settings(max_examples=15, deadline=None, derandomize=True)
@given(plans(), st.integers(0, 3))
def test_a_plan_that_cuts_every_path_is_refused_and_nothing_moves(case, which):
    model, _, _, plan = case
    before = {name: value.clone() for name, value in model.state_dict().items()}
    layers = [layer.copy() for layer in plan.mask.layers]
    layers[which % len(layers)][:] = False
    with pytest.raises(PlanError, match="no path"):
        prune(model, replace(plan, mask=type(plan.mask)(layers=tuple(layers))))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
