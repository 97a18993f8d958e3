"""KANHead: shapes, dtypes, config and state, the domain that takes care of itself, refusals; two-process DDP."""

import copy
import json
import os
import pickle
import tempfile

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from kaninterp.core.errors import (
    DataError,
    InputError,
    InputTypeError,
    KanInterpError,
    NamesError,
    PlanError,
    ShapeError,
    StateError,
)
from kaninterp.nn.head import KANHead, original_ids
from kaninterp.nn.penalty import layer_penalty
from kaninterp.nn.surgery import prune_head

OUTSIDES = ["linear", "base", "clamp"]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def head(*widths, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return KANHead(widths[0], widths[-1], widths[1:-1], generator=generator, **options)


def pruned():
    made = head(4, 3, 2)
    made.input_names = ("a", "b", "c", "d")
    keep = [np.ones((3, 4), bool), np.ones((2, 3), bool)]
    keep[0][:, 1], keep[1][:, 0] = False, False
    return prune_head(made, keep)[0]


# shapes and dtypes


@pytest.mark.parametrize("made", [head(4, 2), head(4, 3, 5, 2), pruned()], ids=["one", "three", "pruned"])
@pytest.mark.parametrize("leading", [(), (1,), (7,), (3, 5), (2, 3, 5), (0,), (3, 0)])
def test_any_leading_dimensions(made, leading):
    made = copy.deepcopy(made).eval()
    x = draw(*leading, 4)
    y = made(x)
    assert y.shape == (*leading, 2)
    if x.numel():
        rows = made(x.reshape(-1, 4))
        torch.testing.assert_close(y.reshape(-1, 2), rows)
        torch.testing.assert_close(y.reshape(-1, 2), torch.stack([made(row) for row in x.reshape(-1, 4)]))


def test_layers_are_applied_in_turn():
    made, x = head(3, 4, 2).eval(), draw(9, 3)
    assert torch.equal(made(x), made.layers[1](made.layers[0](x)))
    assert made.widths == (3, 4, 2)
    assert len(made.layers) == 2


def test_every_layer_owns_a_bias():
    made = head(3, 4, 2)
    assert [name for name, _ in made.named_parameters() if "bias" in name] == ["layers.0.bias", "layers.1.bias"]
    assert {name.rpartition(".")[2] for name, _ in made.named_buffers()} >= {"knots", "mask"}


def test_float64_and_autocast():
    made, x = head(3, 4, 1).eval(), draw(50, 3)
    double = copy.deepcopy(made).double()
    assert double(x.double()).dtype == torch.float64
    torch.testing.assert_close(double(x.double()).float(), made(x), atol=1e-5, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        half = made(x)
        chained = made(nn.Linear(3, 3)(x))
    torch.testing.assert_close(half.float(), made(x), atol=0.1, rtol=0.1)
    assert bool(chained.isfinite().all())
    with torch.autocast("cpu", torch.bfloat16):
        made.train()(x.bfloat16()).float().square().mean().backward()
    assert all(bool(p.grad.isfinite().all()) for p in made.parameters())


def test_device_moves_keep_everything_together():
    made = pruned().to("meta")
    assert {t.device.type for t in made.state_dict().values()} == {"meta"}
    with pytest.raises(StateError, match="meta"):
        made(draw(2, 4))


def test_copies_and_pickles_are_independent():
    made, x = pruned().eval(), draw(5, 4)
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert torch.equal(twin(x), made(x))
        assert twin.config == made.config
        with torch.no_grad():
            twin.layers[0].bias.add_(1)
        assert not torch.equal(twin(x), made(x))


def test_construction_follows_the_generator_and_only_it():
    state = torch.get_rng_state()
    a, b, c = head(3, 4, 1), head(3, 4, 1), head(3, 4, 1, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.layers[0].weight, c.layers[0].weight)
    KANHead(3, 1)
    assert not torch.equal(torch.get_rng_state(), state)


# config and state


@pytest.mark.parametrize(
    "made",
    [
        head(4, 2),
        head(4, 3, 3, 1, grid=7, order=2, uniform=False, outside="clamp", base="zero", noise=0.3),
        head(4, 2, domain=(-2, 3)),
        head(4, 2, input_names=["a", "b", "c", "d"], output_names=("y", "z")),
        pruned(),
        pruned().refine(8),
    ],
    ids=["plain", "options", "domain", "names", "pruned", "refined"],
)
def test_config_rebuilds_exactly(made):
    config = json.loads(json.dumps(made.config))
    twin = KANHead(**config)
    assert twin.config == made.config
    assert repr(twin) == repr(KANHead(**made.config))
    made.train()(draw(32, 4))
    twin.load_state_dict(made.state_dict())
    x = draw(20, 4, seed=1) * 3
    assert torch.equal(twin.eval()(x), made.eval()(x))
    assert original_ids(twin) == original_ids(made)
    twin.train()(x * 100)
    assert torch.equal(twin.layers[0].domain, made.layers[0].domain), "a calibrated head stays calibrated"


def test_state_dict_has_a_version_and_newer_ones_are_refused():
    made = head(3, 1)
    state = made.state_dict()
    assert state._metadata[""]["version"] == 1
    state._metadata[""]["version"] = 2
    with pytest.raises(RuntimeError, match="saved by a newer kaninterp"):
        head(3, 1).load_state_dict(state)
    outer = nn.ModuleDict({"head": head(3, 1)})
    state = outer.state_dict()
    state._metadata["head"]["version"] = 9
    with pytest.raises(RuntimeError, match=r"head\..*newer"):
        outer.load_state_dict(state)


def test_states_of_other_selections_are_refused():
    made = pruned()
    config = {**made.config, "select": [0, 1, 3], "node_ids": None}
    with pytest.raises(RuntimeError, match=r"\(0, 2, 3\).*\(0, 1, 3\)"):
        KANHead(**config).load_state_dict(made.state_dict())
    whole = head(4, 2, 2)
    with pytest.raises(RuntimeError, match="reads inputs"):
        whole.load_state_dict(made.state_dict())


def test_repr_says_what_is_read():
    assert "3 -> 4 -> 1, grid=5, order=3" in repr(head(3, 4, 1))
    assert "reads 3 of 4 inputs" in repr(pruned())


# refusals


def test_inputs_that_cannot_be_read_are_refused():
    made = head(3, 1)
    before = copy.deepcopy(made.state_dict())
    with pytest.raises(ShapeError, match=r"width 3 .*\(5, 4\)"):
        made(draw(5, 4))
    with pytest.raises(ShapeError, match=r"\(\)"):
        made(torch.tensor(1.0))
    with pytest.raises(InputTypeError, match=r"int64.*x\.to\(torch\.float32\)"):
        made(torch.ones(5, 3, dtype=torch.long))
    with pytest.raises(InputTypeError, match="float64"):
        made(draw(5, 3).double())
    with pytest.raises(InputTypeError, match="tuple"):
        made((draw(5, 3), None))
    with pytest.raises(ShapeError):
        pruned()(draw(5, 3))
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())


def test_structures_that_make_no_sense_are_refused():
    for widths in ((0, 1), (3, 0), (3, -1, 1), (3, 2.0, 1), (3, True, 1)):
        with pytest.raises(InputError):
            head(*widths)
    for select in ((), (3,), (1, 0), (0, 0), (-1,)):
        with pytest.raises(PlanError, match="select"):
            KANHead(3, 1, select=select)
    with pytest.raises(PlanError, match="node_ids"):
        KANHead(3, 1, node_ids=((0, 1), (0,)))
    with pytest.raises(PlanError, match=r"node_ids\[0\]"):
        KANHead(3, 1, select=(0, 2), node_ids=((0, 1), (0,)))
    for names in (("a", "b"), ("a", "a", "b"), ("a", "", "b"), "abc", (1, 2, 3)):
        with pytest.raises(NamesError, match="input names"):
            KANHead(3, 1, input_names=names)
    for options in ({"grid": 0}, {"order": 6}, {"outside": "wrap"}, {"base": "relu"}, {"noise": -1.0}):
        with pytest.raises(KanInterpError):
            KANHead(3, 1, **options)


# the domain


@pytest.mark.parametrize("uniform", [True, False])
def test_the_first_training_batch_sets_every_domain(uniform):
    made, x = head(3, 4, 1, uniform=uniform), draw(100, 3) * torch.tensor([0.01, 1.0, 50.0]) + 5
    made.eval()(x)
    assert not bool(made.layers[0].calibrated)
    made.train()(x)
    for layer, seen in zip(made.layers, (x, made.eval().layers[0](x)), strict=True):
        lo, hi = layer.domain
        assert bool((lo <= seen.amin(0)).all())
        assert bool((hi >= seen.amax(0)).all())
        assert bool(((hi - lo) <= 1.1 * (seen.amax(0) - seen.amin(0))).all())


@pytest.mark.parametrize("how", ["tensor", "list", "generator"])
def test_calibrating_on_batches_covers_all_of_them(how):
    made, x = head(3, 4, 1), draw(100, 3) * 7
    parts = list(x.split(30))
    assert made.calibrate({"tensor": x, "list": parts, "generator": iter(parts)}[how]) is made
    alike = head(3, 4, 1)
    alike.calibrate(x)
    for a, b, seen in zip(made.layers, alike.layers, (x, made.eval().layers[0](x)), strict=True):
        torch.testing.assert_close(a.domain, b.domain)
        assert bool((a.domain[0] <= seen.amin(0)).all() and (a.domain[1] >= seen.amax(0)).all())
        assert bool(a.calibrated)


def test_calibrating_a_pruned_head_reads_its_columns():
    made, x = pruned(), draw(50, 4) * torch.tensor([1.0, 1000.0, 2.0, 3.0])
    made.calibrate(x)
    assert float(made.layers[0].domain.abs().max()) < 50


@pytest.mark.parametrize("outside", OUTSIDES)
@pytest.mark.parametrize("uniform", [True, False])
def test_update_and_refine_keep_the_function(outside, uniform):
    made, x = head(3, 4, 2, outside=outside, uniform=uniform).double(), draw(400, 3).double()
    made.calibrate(x)
    before = made.eval()(x)
    fine = made.refine(10)
    torch.testing.assert_close(fine(x), before, atol=1e-8, rtol=1e-8)
    assert fine.config == {**made.config, "grid": 10}
    assert torch.equal(made(x), before)
    assert not fine.training
    inner = x * 0.5
    held = made(inner)
    narrower = copy.deepcopy(fine).update([inner[:200], inner[200:]])
    assert bool((narrower.layers[0].domain[1] < made.layers[0].domain[1]).all())
    torch.testing.assert_close(narrower(inner), held, atol=0.01, rtol=0.01)


def test_update_without_batches_uses_what_training_saw():
    made, x = head(3, 4, 1), draw(200, 3)
    made.train()(x)
    wide = made.layers[0].domain.clone()
    made.update()
    torch.testing.assert_close(made.layers[0].domain, wide)
    made(x * 0.5)
    made.update()
    assert bool((made.layers[0].domain[1] < wide[1]).all())
    before = copy.deepcopy(made.state_dict())
    with pytest.raises(StateError, match="layer 0"):
        made.update()
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())


@pytest.mark.parametrize("uniform", [True, False])
def test_dead_constant_and_duplicated_columns_do_no_harm(uniform):
    x = draw(64, 5)
    x[:, 1], x[:, 2], x[:, 3] = 0.0, 1e4, x[:, 0]
    made = head(5, 3, 1, uniform=uniform)
    optimiser = torch.optim.Adam(made.parameters(), 0.01)
    for _ in range(3):
        optimiser.zero_grad()
        (made(x).square().mean() + made.penalty(smooth=1.0)).backward()
        assert all(bool(p.grad.isfinite().all()) for p in made.parameters())
        optimiser.step()
    made.update().calibrate(x)
    for each in (made, made.refine(12), made.update(x), made.update(x[:1])):
        assert bool(each.eval()(x).isfinite().all())


def test_a_batch_of_one_trains():
    made = head(3, 2, 1)
    made.train()(draw(1, 3)).sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in made.parameters())
    assert bool(made.update().eval()(draw(5, 3)).isfinite().all())


@pytest.mark.parametrize("batches", [torch.zeros(0, 3), [], [torch.zeros(0, 3)]])
def test_nothing_to_calibrate_on_is_an_error(batches):
    made = head(3, 2, 1)
    before = copy.deepcopy(made.state_dict())
    for call in (made.calibrate, made.update):
        with pytest.raises(DataError, match="at least one row"):
            call(batches)
    with pytest.raises(DataError, match="empty"):
        made.train()(torch.zeros(0, 3))
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())


def test_bad_calibration_batches_change_nothing():
    made = head(3, 2, 1)
    before = copy.deepcopy(made.state_dict())
    bad = draw(4, 3)
    bad[1, 1] = float("nan")
    with pytest.raises(DataError, match="NaN"):
        made.calibrate([draw(4, 3), bad])
    with pytest.raises(ShapeError):
        made.calibrate([draw(4, 3), draw(4, 2)])
    with pytest.raises(InputTypeError):
        made.calibrate(3)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())


def test_an_empty_batch_gives_an_empty_result_once_calibrated():
    made = head(3, 2, 1)
    made.train()(draw(8, 3))
    before = copy.deepcopy(made.state_dict())
    assert made(torch.zeros(0, 3)).shape == (0, 1)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())


# penalty


def test_the_penalty_is_the_sum_over_layers():
    made = head(3, 4, 2)
    options = {"edge": 0.3, "entropy": 0.2, "smooth": 0.1, "src": 0.4, "dst": 0.5}
    parts = sum(layer_penalty(layer, **options) for layer in made.layers)
    torch.testing.assert_close(made.penalty(**options), parts)
    made.penalty(**options).backward()
    assert all(bool(layer.weight.grad.isfinite().all()) for layer in made.layers)
    assert made.penalty(0.0, 0.0, 0.0).item() == 0.0


# distributed training


def _ddp_worker(rank, rendezvous, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    torch.manual_seed(rank)  # DDP must make the copies equal, not the seed
    model = DistributedDataParallel(KANHead(3, 1, (4,), generator=torch.Generator().manual_seed(rank)))
    optimiser = torch.optim.SGD(model.parameters(), 0.05)
    x = draw(64, 3, seed=rank) * (1 + 4 * rank)
    for _ in range(3):
        optimiser.zero_grad()
        loss = model(x).square().mean() + 0.01 * model.module.penalty()
        loss.backward()
        optimiser.step()
    model(x)  # the forward that brings rank 0's buffers to all
    model.module.update()
    probe = torch.linspace(-6, 6, 30).reshape(10, 3)
    found = {"penalty": model.module.penalty().detach(), "outputs": model.module.eval()(probe).detach()}
    torch.save({**model.module.state_dict(), **found}, f"{results}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="torch without gloo")
def test_two_processes_train_one_head():
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_ddp_worker, (os.path.join(folder, "rendezvous"), folder), nprocs=2)
        first, second = (torch.load(f"{folder}/{rank}.pt", weights_only=True) for rank in range(2))
    assert bool(first["layers.0.calibrated"])
    for name, tensor in first.items():
        if not name.endswith("seen"):
            assert torch.equal(tensor, second[name]), name
