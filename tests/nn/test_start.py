"""Splines that were never trained are known as such, through everything that keeps their functions."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.surgery import prune_head


def fresh(**options):
    return KANLayer(3, 2, domain=(-1, 1), generator=torch.Generator().manual_seed(0), **options)


def moved_first_edge(layer, by=1e-4):
    """The layer after an optimiser moved the spline of one edge a little, and every base weight."""
    with torch.no_grad():
        layer.weight[0, 2, 0] += by
        layer.base_weight.add_(0.5)
    return layer


WANTED = [[False, True, True], [True, True, True]]


def test_only_moved_splines_count_as_trained():
    assert fresh().untouched.all()
    assert moved_first_edge(fresh()).untouched.tolist() == WANTED


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.update(-2.0, 3.0),
        lambda layer: layer.set_domain(-2.0, 3.0),
        lambda layer: layer.double(),
        lambda layer: layer.half(),
        lambda layer: layer.refine(10),
        lambda layer: layer.refine(7),
        copy.deepcopy,
    ],
    ids=["update", "set_domain", "double", "half", "refine", "refine to no multiple", "deepcopy"],
)
def test_what_keeps_the_functions_keeps_the_record(change):
    layer = moved_first_edge(fresh(), by=0.1)  # half precision does not see less
    size = layer.start[1].clone()
    changed = change(layer)
    layer = changed if isinstance(changed, KANLayer) else layer
    assert layer.untouched.tolist() == WANTED
    torch.testing.assert_close(layer.start[1].float(), size, rtol=1e-3, atol=0)


@pytest.mark.parametrize("coarse", [torch.half, torch.bfloat16])
@pytest.mark.parametrize("grid", [5, 40])
def test_a_visit_to_a_coarser_number_type_changes_no_record(coarse, grid):
    """Nor is a spline whose training the coarser type cannot see taken for one that was never trained."""
    for by in (0.1, 1e-4):
        layer = moved_first_edge(fresh(grid=grid), by=by)
        for _ in range(2):
            layer = layer.to(coarse)
            assert layer.untouched.tolist() == WANTED
            layer = layer.float()
            assert layer.untouched.tolist() == WANTED
    assert not moved_first_edge(fresh().to(coarse).float()).untouched[0, 0]


def test_number_types_change_on_no_device_too():
    layer = fresh().to("meta").half()
    assert layer.start.dtype == torch.half
    assert layer.start.device.type == "meta"


def test_a_state_dict_brings_the_record_along():
    source, target = moved_first_edge(fresh()), KANLayer(3, 2)
    target.load_state_dict(source.state_dict())
    assert target.untouched.tolist() == WANTED


def test_cutting_keeps_the_record_of_what_is_left():
    head = ki.KANHead(3, 2, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    moved_first_edge(head.kan_layers[0])
    small, _ = prune_head(head, [np.array([[1, 0, 1], [0, 0, 1]], bool)])
    assert small.kan_layers[0].untouched.tolist() == [[False, True], [True, True]]


def test_no_noise_at_the_start_is_a_start_too():
    layer = fresh(noise=0.0)
    assert layer.untouched.all()
    assert not moved_first_edge(layer).untouched[0, 0]
    assert not layer.start[1].any()


def test_training_touches_every_spline_that_its_data_reach():
    head = ki.KANHead(2, 1, domain=(-1, 1), outside="base", generator=torch.Generator().manual_seed(0))
    x = torch.rand(200, 2, generator=torch.Generator().manual_seed(1))
    x[:, 1] += 5  # beyond the grid: the spline is 0 there and gets no gradient
    ki.fit(head, (x, x[:, :1]), epochs=2, domain_updates=0.0, seed=0, progress=False)
    assert head.kan_layers[0].untouched.tolist() == [[False, True]]


def test_a_state_from_before_the_record_says_that_nothing_is_known():
    state = {name: tensor for name, tensor in fresh().state_dict().items() if name != "start"}
    layer = KANLayer(3, 2)
    layer.load_state_dict(state)
    assert not layer.untouched.any()
    assert not layer.start[1].any()
