"""Law 4 (folding) and law 5 (dropped means dropped) on random heads and random cuts."""

import copy
from itertools import pairwise

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kaninterp.nn.head import KANHead, original_ids
from kaninterp.nn.host_surgery import prune_model
from kaninterp.nn.inputs import entries
from kaninterp.nn.surgery import prune_head

LAWS = settings(max_examples=60, deadline=None, derandomize=True)
POINTS = torch.cat([torch.linspace(-3, 3, 64), torch.tensor([-1e3, 1e3])])


@st.composite
def cuts(draw):
    """A head with random widths, biases and domains, edges to keep, and constants for the others."""
    widths = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    seed = draw(st.integers(0, 2**16))
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    outside = draw(st.sampled_from(["linear", "base", "clamp"]))
    uniform = draw(st.booleans())
    head = (
        KANHead(
            widths[0],
            widths[-1],
            widths[1:-1],
            grid=3,
            uniform=uniform,
            outside=outside,
            noise=0.5,
            generator=generator,
        )
        .eval()
        .requires_grad_(False)
    )
    with torch.no_grad():
        for layer in head.layers:
            layer.bias.normal_(generator=generator)
    density = draw(st.sampled_from([0.0, 0.3, 0.6, 1.0]))
    keep = [rng.random((dst, src)) < density for src, dst in pairwise(widths)]
    emptied = draw(st.integers(-1, len(keep) - 1))
    if emptied >= 0:
        keep[emptied][:] = False
    return head, keep, [rng.normal(size=mask.shape) for mask in keep], rng


def inputs(head, rng):
    columns = [POINTS[torch.from_numpy(rng.permutation(len(POINTS)))] for _ in range(head.in_features)]
    return torch.stack(columns, -1)


def by_hand(head, keep, constants, x):
    """The definition, in float64: a cut edge gives its constant, whatever its input."""
    x = x.double()
    for layer, mask, constant in zip(head.layers, keep, constants, strict=True):
        values = copy.deepcopy(layer).double().edges(x).detach().numpy()
        values = np.where(mask, values, constant) * (layer.mask.numpy() != 0)
        x = torch.from_numpy(values.sum(-1) + layer.bias.detach().double().numpy())
    return x


def close(a, b, scale):
    return float((a.double() - b.double()).abs().max()) <= 1e-6 * max(1.0, scale)


@LAWS
@given(cuts())
def test_masked_compact_and_definition_agree_on_every_input(case):
    head, keep, constants, rng = case
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    x = inputs(head, rng)
    expected = by_hand(head, keep, constants, x)
    masked, same = prune_head(head, keep, constants, compact=False)
    compact, maps = prune_head(head, keep, constants)
    scale = float(expected.abs().max())
    assert close(masked(x), compact(x), scale)
    assert float((masked(x).double() - expected).abs().max()) <= 1e-4 * max(1.0, scale)
    assert same == original_ids(head)
    assert tuple(map(len, maps)) == compact.widths
    assert min(compact.widths) >= 1
    assert compact.in_features == head.in_features
    assert maps[-1] == tuple(range(head.out_features))
    assert all(torch.equal(before[name], tensor) for name, tensor in head.state_dict().items())


@LAWS
@given(cuts())
def test_closure_leaves_no_useless_node(case):
    head, keep, constants, _ = case
    compact, maps = prune_head(head, keep, constants)
    live = [layer.mask.numpy() != 0 for layer in compact.layers]
    for below, above in pairwise(live):
        reads, writes = below.any(1), above.any(0)
        assert (reads == writes).all() or not (reads.any() or writes.any())
        assert writes.all() or len(writes) == 1
    for mask, ids, above in zip(live, maps, maps[1:], strict=False):
        dst, src = np.nonzero(mask)
        depth = maps.index(ids) if maps.count(ids) == 1 else None
        if depth is not None:
            assert all(keep[depth][above[d], ids[s]] for d, s in zip(dst, src, strict=True))


@LAWS
@given(cuts(), st.integers(0, 2**16))
def test_pruning_twice_is_pruning_once(case, seed):
    head, keep, constants, rng = case
    second = np.random.default_rng(seed)
    once, maps = prune_head(head, keep, constants)
    again = [second.random(layer.mask.shape) < 0.7 for layer in once.layers]
    twice, both = prune_head(once, again, None)
    joint, joint_constants = [mask.copy() for mask in keep], [value.copy() for value in constants]
    for depth, mask in enumerate(again):
        for dst, src in np.argwhere(~mask):
            j, i = maps[depth + 1][dst], maps[depth][src]
            if once.layers[depth].mask[dst, src]:
                joint[depth][j, i], joint_constants[depth][j, i] = False, 0.0
    at_once, expected = prune_head(head, joint, joint_constants)
    x = inputs(head, rng)
    assert close(twice(x), at_once(x), 10 * float(at_once(x).abs().max()))
    assert both == original_ids(twice)
    if all(bool(layer.mask.any()) for layer in at_once.layers):  # else which masked node stays is arbitrary
        assert both == expected


@LAWS
@given(cuts())
def test_unread_inputs_move_no_bit(case):
    head, keep, constants, rng = case
    x = inputs(head, rng)
    for compact in (True, False):
        pruned, _ = prune_head(head, keep, constants, compact=compact)
        read = original_ids(pruned)[0]
        alive = {read[i] for i in np.flatnonzero(pruned.layers[0].mask.numpy().any(0))}
        base = pruned(x)
        for column in set(range(head.in_features)) - alive:
            for value in (1e30, -7.0, float("nan"), float("inf")):
                moved = x.clone()
                moved[:, column] = value
                assert torch.equal(pruned(moved), base)


@LAWS
@given(cuts(), st.sampled_from([nn.LSTM, nn.GRU, nn.RNN, nn.Linear]), st.integers(0, 2**16))
def test_whole_models_fold_too(case, family, seed):
    head, keep, constants, _ = case

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.skip = nn.Linear(3, head.in_features)
            self.body = family(3, head.in_features)
            self.head = head

        def forward(self, x):
            h = self.body(x)
            return self.head((h[0] if isinstance(h, tuple) else h) + self.skip(x))

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Model().eval().requires_grad_(False)
    x = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(seed))
    second = np.random.default_rng(seed)
    columns = tuple(np.flatnonzero(second.random(3) < 0.6).tolist())
    fill = torch.randn(3, generator=torch.Generator().manual_seed(seed + 1))
    found = entries(model, x)
    arguments = {"entries": found, "keep_columns": columns, "fill": fill}
    compact = prune_model(model, "head", keep, constants, **arguments)
    masked = prune_model(model, "head", keep, constants, **arguments, compact=False)
    held = x.clone()
    for column in set(range(3)) - set(columns):
        held[..., column] = fill[column]
    expected = prune_model(model, "head", keep, constants)(held)
    scale = 10 * float(expected.abs().max())
    assert close(compact(x), expected, scale)
    assert close(masked(x), expected, scale)
    assert [e.path for e in found] == ["body", "skip"]
    for column in set(range(3)) - set(columns):
        moved = x.clone()
        moved[..., column] = float("nan")
        assert torch.equal(compact(moved), compact(x))
