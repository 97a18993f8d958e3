"""KANs of other libraries: law 1, the trace, hosts, several blocks, and what is refused by name."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.adapters import as_view, check_view, find_kans
from kaninterp.core import ModelError
from tests.adapters.peers import PEERS

pytestmark = pytest.mark.parametrize("name", PEERS)
WIDTHS = (3, 4, 2)


class Host(nn.Module):
    """An LSTM with a KAN of some library on its last state."""

    def __init__(self, kan):
        super().__init__()
        self.rnn = nn.LSTM(2, WIDTHS[0], batch_first=True)
        self.kan = kan

    def forward(self, x):
        return self.kan(self.rnn(x)[0][:, -1])


@pytest.fixture
def kan(name):
    torch.manual_seed(0)
    return PEERS[name](WIDTHS)


def test_the_edges_sum_to_the_layer(kan):
    view = as_view(kan)
    assert view.widths == WIDTHS
    x = torch.randn(200, 3)
    check_view(view, x)
    torch.testing.assert_close(view.activations(x)[-1], kan(x), atol=1e-5, rtol=1e-5)


def test_planes_and_edges_agree(kan):
    x = torch.randn(50, 3, dtype=torch.float64)
    for layer, values in zip(as_view(kan).layers, (x, torch.randn(50, 4, dtype=torch.float64)), strict=True):
        edges = torch.einsum("nki,oki->noi", layer.planes(values), layer.coefficients().double())
        torch.testing.assert_close(layer.edges(values), edges)
        assert (np.diff(layer.knots, axis=1) > 0).all()


def test_the_trace_equals_direct_measurement(kan):
    x = torch.randn(300, 3) * 0.8
    trace, view = ki.trace(kan, x, progress=False), as_view(kan)
    for table, layer, values in zip(trace.layers, view.layers, view.activations(x), strict=False):
        edges = layer.edges(values.double()).detach().numpy()
        np.testing.assert_allclose(table.edges.mean, edges.mean(0), atol=1e-5)
        np.testing.assert_allclose(np.sqrt(table.edges.m2 / len(x)), edges.std(0), atol=1e-5)


def test_it_is_found_in_a_host_and_left_as_it_was(kan):
    host = Host(kan)
    assert set(find_kans(host)) == {"kan"}
    before = copy.deepcopy(host.state_dict())
    trace = ki.trace(host, torch.randn(60, 5, 2), progress=False)
    assert trace.card.head == type(kan).__name__
    assert all(torch.equal(before[key], value) for key, value in host.state_dict().items())
    assert host.training


def test_several_blocks_need_a_path(kan, name):
    both = nn.ModuleDict({"left": kan, "right": PEERS[name](WIDTHS)})
    with pytest.raises(ModelError, match=r"'left'.*'right'"):
        as_view(both)
    assert as_view(both, "right").path == "right"
