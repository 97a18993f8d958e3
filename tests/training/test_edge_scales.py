"""Edges as a scale times numbers: the same model, the same gradients, fewer edges in the end."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kaninterp.core.errors import FileFormatError
from kaninterp.nn import KANHead
from kaninterp.nn.penalty import edge_strengths
from kaninterp.training import Sparsity, fit, large_step
from kaninterp.training.edge_scales import EdgeScales, calibrated

RNG = np.random.default_rng(3)
X = RNG.uniform(-1, 1, size=(400, 2)).astype(np.float32)
Y = np.exp(np.sin(np.pi * X[:, 0]) + X[:, 1] ** 2)
PENALTY = Sparsity(head=3e-3, edge=1.0, entropy=2.0, inputs=0.0, warmup=0.0, ramp=0.0, debias=0.0)


def head_of(seed=0, hidden=4):
    torch.manual_seed(seed)
    return KANHead(2, 1, hidden=(hidden,), grid=3)


def ready(seed=0, hidden=4):
    head = head_of(seed, hidden)
    head(torch.from_numpy(X))
    return head


@settings(deadline=None)
@given(st.integers(0, 20))
def test_the_gradients_are_those_of_the_product(seed):
    head = ready(seed).double()
    scales = EdgeScales((head,))
    layer = head.kan_layers[0]
    with torch.no_grad():
        for each in scales.in_place_of_weights([]):
            each.add_(0.3 * torch.randn_like(each))
    scales.write()
    pull = torch.randn_like(layer.weight)
    layer.weight.grad = pull
    scales.pull_gradients()
    scale, *_ = factors = [each.detach().clone().requires_grad_() for each in scales.in_place_of_weights([])]
    numbers = factors[len(head.kan_layers)]
    (pull * scale * numbers).sum().backward()
    found = scales.in_place_of_weights([])
    torch.testing.assert_close(found[0].grad, scale.grad)
    torch.testing.assert_close(found[len(head.kan_layers)].grad, numbers.grad)


def test_nothing_moves_until_the_optimiser_does():
    head = ready()
    before = {key: value.clone() for key, value in head.state_dict().items()}
    scales = EdgeScales((head,))
    scales.write()
    scales.read()
    scales.write()
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())


def test_weights_changed_elsewhere_are_followed():
    head = ready()
    scales = EdgeScales((head,))
    with torch.no_grad():
        scales.in_place_of_weights([])[0].zero_()  # scales at zero are no way out of the division
        head.kan_layers[0].weight.fill_(2.0)
    scales.read()
    scales.write()
    torch.testing.assert_close(head.kan_layers[0].weight, torch.full_like(head.kan_layers[0].weight, 2.0))


def test_only_the_weights_are_replaced():
    head = head_of()
    head.kan_layers[1].weight.requires_grad_(False)
    parameters = [each for each in head.parameters() if each.requires_grad]
    replaced = EdgeScales((head,)).in_place_of_weights(parameters)
    assert not any(each is head.kan_layers[0].weight for each in replaced)
    assert any(each is head.kan_layers[0].bias for each in replaced)
    assert len(replaced) == len(parameters) + 1  # one layer's weight became two


def live_nodes(head):
    into, out = (edge_strengths(layer) for layer in head.kan_layers)
    return int(((into.sum(1) > 0.02 * into.sum()) & (out.sum(0) > 0.02 * out.sum())).sum())


def test_one_node_is_found_for_a_function_that_needs_one():
    found = []
    for seed in range(5):
        head = head_of(seed)
        assert not calibrated((head,))
        fit(head, (X, Y), epochs=30, optimizer="lbfgs", validation=None, sparsity=PENALTY, domain_every=3,
            seed=0, progress=False)  # fmt: skip
        found.append(live_nodes(head))
    assert np.median(found) == 1


def test_a_pruned_edge_and_a_frozen_layer_stay_as_they_are():
    head = ready()
    mask = torch.ones(4, 2)
    mask[1, 0] = 0
    head.kan_layers[0].set_mask(mask)
    head.kan_layers[1].weight.requires_grad_(False)
    gone, frozen = head.kan_layers[0].weight[1, :, 0].clone(), head.kan_layers[1].weight.clone()
    fit(head, (X, Y), epochs=2, optimizer="lbfgs", validation=None, sparsity=PENALTY, domain_updates=0.0,
        seed=0, progress=False)  # fmt: skip
    assert torch.equal(head.kan_layers[0].weight[1, :, 0], gone)
    assert torch.equal(head.kan_layers[1].weight, frozen)


def test_a_checkpoint_of_other_edges_is_refused():
    other = EdgeScales((ready(hidden=3),)).state_dict()
    with pytest.raises(FileFormatError, match="another model"):
        EdgeScales((ready(),)).load_state_dict(other)


def scaled_heads(model, sparsity, monkeypatch):
    """Heads that `fit` gives scales to."""
    given = []

    class Watched(EdgeScales):
        def __init__(self, heads):
            given.extend(heads)
            super().__init__(heads)

    monkeypatch.setattr(large_step, "EdgeScales", Watched)
    fit(model, (X, Y[:, None]), epochs=1, optimizer="lbfgs", validation=None, sparsity=sparsity, seed=0, progress=False)
    return given


def test_a_head_whose_own_columns_are_pushed_to_zero_has_no_scales(monkeypatch):
    head = head_of()
    assert scaled_heads(head, Sparsity(), monkeypatch) == []
    assert scaled_heads(head, Sparsity(inputs=0.0), monkeypatch) == [head]
    host = nn.Sequential(nn.Linear(2, 2), head_of())
    assert scaled_heads(host, Sparsity(), monkeypatch) == [host[1]]


def test_columns_that_do_not_matter_are_dropped_beside_a_penalty_of_edges():
    """Of five such columns per seed; with scales ten of the twenty-five stayed."""
    false, missed = 0, 0
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(600, 8, generator=generator)
        y = torch.sin(2 * x[:, :1]) + 0.3 * x[:, 1:2] ** 2 + 0.3 * x[:, 2:3]
        y = y + 0.5 * torch.randn(600, 1, generator=generator)
        head = KANHead(8, 1, hidden=(4,), generator=torch.Generator().manual_seed(seed))
        result = fit(head, (x, y), epochs=20, optimizer="lbfgs", sparsity=Sparsity(), seed=seed, progress=False)
        dropped = {int(name[1:]) for name in result.dropped_inputs}
        false, missed = false + 5 - len(dropped - {0, 1, 2}), missed + len(dropped & {0, 1, 2})
    assert missed == 0
    assert false <= 5
