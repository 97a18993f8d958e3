"""Cutting heads and models: worked cases by hand; the laws on random cases are in tests/laws."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from kaninterp.core.errors import ModelError, PlanError
from kaninterp.nn.dropped import check_dropped
from kaninterp.nn.gate import gated_columns
from kaninterp.nn.head import KANHead
from kaninterp.nn.host_surgery import prune_model
from kaninterp.nn.hybrid import Hybrid
from kaninterp.nn.inputs import entries
from kaninterp.nn.surgery import narrow_head, prune_head


def head(*widths, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    made = KANHead(widths[0], widths[-1], widths[1:-1], generator=generator, **options)
    with torch.no_grad():
        for layer in made.layers:
            layer.bias.normal_(generator=generator)
    return made.eval()


def everything(made):
    return [np.ones((layer.out_features, layer.in_features), bool) for layer in made.layers]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_cut_edge_becomes_its_constant():
    made, x = head(3, 2), draw(50, 3)
    keep = everything(made)
    keep[0][1, 2] = False
    constants = [np.full((2, 3), 9.0)]
    constants[0][1, 2] = 0.25
    small, maps = prune_head(made, keep, constants)
    edges = made.layers[0].edges(x)
    expected = made(x) - torch.stack([torch.zeros(50), edges[:, 1, 2] - 0.25], -1)
    torch.testing.assert_close(small(x), expected)
    assert maps == ((0, 1, 2), (0, 1))
    assert small.layers[0].mask.tolist() == [[1, 1, 1], [1, 1, 0]]


def test_a_node_without_inputs_is_a_constant_folded_downstream():
    made, x = head(2, 3, 1), draw(50, 2)
    keep = everything(made)
    keep[0][1] = False
    small, maps = prune_head(made, keep, [np.full((3, 2), 0.5), np.zeros((1, 3))])
    value = made.layers[0].bias[1] + 1.0
    edges = made.layers[1].edges(made.layers[0](x))
    at = made.layers[1].edges(value.expand(1, 3))[0, 0, 1]
    expected = made.layers[1].bias + edges[:, 0, [0, 2]].sum(-1, keepdim=True) + at
    torch.testing.assert_close(small(x), expected)
    assert maps == ((0, 1), (0, 2), (0,))
    assert small.widths == (2, 2, 1)


def test_a_node_nobody_reads_goes_and_takes_its_input_along():
    made, x = head(2, 2, 1), draw(50, 2)
    keep = everything(made)
    keep[1][0, 1] = False
    keep[0][0, 1] = False  # input 1 now feeds hidden node 1 only, which nobody reads
    small, maps = prune_head(made, keep)
    assert maps == ((0,), (0,), (0,))
    assert small.select == (0,)
    assert small.in_features == 2
    assert small.widths == (1, 1, 1)
    masked, same = prune_head(made, keep, compact=False)
    torch.testing.assert_close(small(x), masked(x), atol=1e-6, rtol=0)
    assert same == ((0, 1), (0, 1), (0,))
    moved = x.clone()
    moved[:, 1] = float("nan")
    assert torch.equal(small(moved), small(x))
    assert torch.equal(masked(moved), masked(x))


def test_everything_cut_leaves_a_valid_constant():
    made, x = head(3, 4, 2), draw(20, 3)
    keep = [mask & False for mask in everything(made)]
    constants = [np.zeros((4, 3)), np.full((2, 4), 0.5)]
    small, maps = prune_head(made, keep, constants)
    assert small.widths == (1, 1, 2)
    assert maps[-1] == (0, 1)
    torch.testing.assert_close(small(x), (made.layers[1].bias + 2.0).expand(20, 2))
    small.train()(x).sum().backward()
    assert bool(small.penalty().isfinite())
    again, _ = prune_head(small, everything(small))
    assert torch.equal(again.eval()(x), small.eval()(x))
    assert bool(KANHead(**small.config)(x).isfinite().all())


def test_nothing_cut_is_the_same_function_and_no_map():
    made, x = head(3, 2, 1), draw(20, 3)
    same, maps = prune_head(made, everything(made))
    assert torch.equal(same(x), made(x))
    assert maps == ((0, 1, 2), (0, 1), (0,))
    assert same.node_ids is None
    assert same is not made


def test_ids_and_names_survive_repeated_prunes():
    made = head(4, 3, 2)
    made.input_names, made.output_names = ("a", "b", "c", "d"), ("y", "z")
    keep = everything(made)
    keep[0][:, 1] = False
    keep[1][:, 0] = False
    once, _ = prune_head(made, keep)
    assert once.node_ids == ((0, 2, 3), (1, 2), (0, 1))
    keep = everything(once)
    keep[0][:, 0] = False
    keep[1][:, 0] = False
    twice, maps = prune_head(once, keep)
    assert maps == twice.node_ids == ((2, 3), (2,), (0, 1))
    assert twice.select == (2, 3)
    assert twice.input_names == ("a", "b", "c", "d")
    assert [twice.input_names[i] for i in twice.select] == ["c", "d"]
    refined = twice.refine(10)
    assert refined.node_ids == twice.node_ids
    assert refined.select == (2, 3)
    rebuilt = KANHead(**twice.config)
    rebuilt.load_state_dict(twice.state_dict())
    assert torch.equal(rebuilt.eval()(draw(9, 4)), twice(draw(9, 4)))


@pytest.mark.parametrize("outside", ["linear", "base", "clamp"])
@pytest.mark.parametrize("uniform", [True, False])
def test_slices_keep_domains_knots_and_modes(outside, uniform):
    made = head(3, 3, 2, outside=outside, uniform=uniform, grid=4, order=2).double()
    made.calibrate(draw(200, 3).double() * torch.tensor([0.1, 1.0, 30.0]))
    keep = everything(made)
    keep[0][:, 0] = False
    keep[1][:, 1] = False
    small, maps = prune_head(made, keep)
    masked, _ = prune_head(made, keep, compact=False)
    x = draw(100, 3, seed=1).double() * 20
    torch.testing.assert_close(small(x), masked(x), atol=1e-10, rtol=1e-10)
    kept = list(maps[0])
    assert torch.equal(small.layers[0].domain, made.layers[0].domain[:, kept])
    assert not small.training
    assert bool(small.layers[0].calibrated)
    assert small.layers[0].weight.dtype == torch.float64
    small.train()(x)
    assert torch.equal(small.layers[0].domain, made.layers[0].domain[:, kept]), "no second calibration"


def test_the_old_head_and_the_random_state_stay():
    made = head(3, 3, 2)
    before = copy.deepcopy(made.state_dict())
    state = torch.get_rng_state()
    keep = everything(made)
    keep[0][0] = False
    keep[1][:, 1] = False
    given = [mask.copy() for mask in keep]
    small, _ = prune_head(made, keep, [np.ones(mask.shape) for mask in keep])
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all((a == b).all() for a, b in zip(keep, given, strict=True))


def test_a_pruned_head_trains_without_moving_its_masked_edges():
    made = head(3, 3, 1)
    keep = everything(made)
    keep[0][0, 1:] = False
    small, _ = prune_head(made, keep)
    small.train()
    optimiser = torch.optim.Adam(small.parameters(), 0.1)
    x, y = draw(64, 3), draw(64, 1, seed=1)
    for _ in range(5):
        optimiser.zero_grad()
        ((small(x) - y).square().mean() + 0.01 * small.penalty()).backward()
        optimiser.step()
    assert bool((small.eval().layers[0].edges(x)[:, 0, 1:] == 0).all())


def test_bad_plans_are_refused_and_change_nothing():
    made = head(3, 2)
    with pytest.raises(PlanError, match=r"\(2, 3\)"):
        prune_head(made, [np.ones((3, 2), bool)])
    with pytest.raises(PlanError, match="one per layer"):
        prune_head(made, [])
    with pytest.raises(PlanError, match="boolean"):
        prune_head(made, [np.ones((2, 3))])
    with pytest.raises(PlanError, match="constants"):
        prune_head(made, everything(made), [np.ones((3, 2))])
    keep, constants = everything(made), [np.zeros((2, 3))]
    keep[0][1, 2], constants[0][1, 2] = False, np.nan
    with pytest.raises(PlanError, match=r"dst 1, src 2.* of layer 0"):
        prune_head(made, keep, constants)
    constants[0][1, 2], constants[0][0, 0] = 0.0, np.nan  # the constant of a kept edge is not used
    prune_head(made, keep, constants)


def test_narrow_head_holds_inputs():
    made, x, fill = head(3, 2, 1), draw(50, 3), torch.tensor([0.3, float("nan"), -1.0])
    small = narrow_head(made, (1,), fill)
    held = x.clone()
    held[:, 0], held[:, 2] = 0.3, -1.0
    torch.testing.assert_close(small(x), made(held), atol=1e-6, rtol=1e-5)
    assert small.select == (1,)


def model_of(rnn):
    return Hybrid(rnn, head(4, 3, 1), "last").eval()


def test_prune_model_replaces_head_and_columns():
    model = model_of(nn.LSTM(5, 4, batch_first=True))
    x, fill = draw(6, 7, 5), draw(5, seed=1)
    before = copy.deepcopy(model.state_dict())
    keep = everything(model.head)
    keep[0][1] = False
    found = entries(model, x)
    small = prune_model(model, "head", keep, None, found, (0, 3), fill)
    held = x.clone()
    held[..., [1, 2, 4]] = fill[[1, 2, 4]]
    expected = prune_model(model, "head", keep)(held)
    torch.testing.assert_close(small(x), expected, atol=1e-6, rtol=1e-5)
    assert isinstance(small, Hybrid)
    assert isinstance(small.backbone, nn.LSTM)
    assert small.backbone.kept_columns == (0, 3)
    assert small.head.widths == (4, 2, 1)
    check_dropped(small, x, (1, 2, 4))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    for old, new in ((model, small),):
        theirs = {p.data_ptr() for p in old.parameters()}
        assert not any(p.data_ptr() in theirs for p in new.parameters())
    again = prune_model(small, "head", everything(small.head), None, entries(small, x), (0,), fill)
    assert again.backbone.kept_columns == (0,)
    check_dropped(again, x, (1, 2, 3, 4))


class Two(nn.Module):
    """Two inputs, a shared reader, and a head that is used twice and has two names."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(2, 4)
        self.head = head(4, 1)
        self.parts = nn.ModuleDict({"head": self.head})

    def forward(self, a, b):
        return self.head(self.left(a)) + self.parts["head"](self.right(b))


def test_several_inputs_and_shared_parts():
    model, a, b = Two().eval(), draw(5, 3), draw(5, 2)
    found = entries(model, (a, b))
    keep = everything(model.head)
    keep[0][0, 2] = False
    small = prune_model(model, "head", keep, None, found, {0: (1,)}, {0: torch.ones(3)})
    assert small.parts["head"] is small.head
    assert small.head.select == (0, 1, 3)
    held = a.clone()
    held[:, [0, 2]] = 1.0
    torch.testing.assert_close(small(a, b), prune_model(model, "head", keep)(held, b), atol=1e-6, rtol=1e-5)
    assert type(small.right) is nn.Linear
    check_dropped(small, (a, b), {0: (0, 2)})
    with pytest.raises(PlanError, match="mapping"):
        prune_model(model, "head", keep, None, found, (1,))
    with pytest.raises(PlanError, match="names inputs"):
        prune_model(model, "head", keep, None, found, {"a": (1,)})


def test_a_head_on_the_raw_input_is_cut_and_narrowed():
    made, x = head(4, 2), draw(20, 4)
    keep = everything(made)
    keep[0][:, 1] = False
    small = prune_model(made, "", keep, None, entries(made, x), (0, 1, 3))
    assert isinstance(small, KANHead)
    assert small.select == (0, 3)
    held = x.clone()
    held[:, 2] = 0.0
    torch.testing.assert_close(small(x), prune_head(made, keep)[0](held), atol=1e-6, rtol=1e-5)


def test_models_that_cannot_be_pruned_say_why():
    model = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2), head(2, 1)).eval()
    keep = everything(model[2])
    with pytest.raises(ModelError, match="no KANHead at '1', but a Linear"):
        prune_model(model, "1", keep)
    with pytest.raises(ModelError, match="no part 'head'"):
        prune_model(model, "head", keep)


def test_columns_that_cannot_be_cut_out_are_held_by_a_gate():
    model, x = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2), head(2, 1)).eval(), draw(4, 3)
    keep = everything(model[2])
    gated = prune_model(model, "2", keep, None, entries(model, x), (0, 1), torch.ones(3))
    assert gated_columns(gated) == {0: (2,)}
    held = x.clone()
    held[:, 2] = 1.0
    assert torch.equal(gated(x), model(held))
    same = prune_model(model, "2", keep, None, entries(model, x), (0, 1, 2))
    assert torch.equal(same(x), model(x))
    assert not gated_columns(same)
