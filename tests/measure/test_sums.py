"""Sums over blocks of rows: right at the knots, far from their starting point, and on every way to the planes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.adapters import as_view
from kaninterp.core.tables import zone_ends
from kaninterp.measure.edge_sums import edge_sums
from kaninterp.measure.range_counts import RangeCounts
from kaninterp.measure.raw_sums import raw_block


def layer_of(**options):
    head = ki.KANHead(3, 2, generator=torch.Generator().manual_seed(0), **options)
    return as_view(head, None).layers[0]


@pytest.mark.parametrize("grid", [5, 60])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_counts_at_the_ends_themselves(grid, dtype):
    """Values on the ends, and the next numbers on both sides of them, fall where comparing exact numbers puts them."""
    layer = layer_of(grid=grid, domain=(-0.1, 0.7))
    ends = zone_ends(layer.knots, layer.order)
    near = torch.as_tensor(ends).to(dtype)
    up, down = (torch.nextafter(near, torch.tensor(end, dtype=dtype)) for end in (torch.inf, -torch.inf))
    columns = torch.cat([near, up, down], 1)
    counts = RangeCounts(layer)
    counts.add(columns)
    values = columns.double().numpy()
    place = (values[:, None, :] >= ends[:, :, None]).sum(1)
    place[values == ends[:, -2:-1]] = grid + 1  # the last knot belongs to the last interval
    expected = np.stack([np.bincount(row, minlength=grid + 4) for row in place])
    table = counts.table()
    assert (table.intervals == expected[:, 2:-2]).all()
    assert (table.outside == expected[:, [0, 1, -2, -1]]).all()


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("rows", [3, 700])
def test_planes_written_are_the_planes(uniform, rows):
    layer = layer_of(domain=(-1, 1), uniform=uniform)
    x = 2 * torch.randn(rows, 3)
    planes = layer.planes(x)
    out = torch.full(planes.shape[::-1], torch.nan, dtype=torch.float64)
    layer.planes_into(out.permute(2, 1, 0), x)
    np.testing.assert_allclose(out.permute(2, 1, 0).numpy(), planes.detach().numpy(), atol=2e-6)


def test_far_from_the_first_block():
    """The starting point is a block that lies nowhere near the rest: nothing cancels."""
    layer = layer_of(domain=(-1, 1))
    source = torch.Generator().manual_seed(1)
    blocks = [1e3 + torch.randn(10, 3, generator=source), *torch.randn(20, 300, 3, generator=source)]
    sums = edge_sums(layer, blocks[0])
    for block in blocks:
        sums.add(block.double(), block.T.double())
    rows = torch.cat(blocks).double()
    edges = layer.edges(rows).detach().numpy()
    found = sums.moments()
    np.testing.assert_allclose(found.mean.numpy(), edges.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.m2.numpy(), edges.var(0) * len(rows), rtol=1e-6)


@pytest.mark.parametrize("columns", [1, 3, 700, 2000])
def test_raw_columns_of_any_width(columns):
    values = np.random.default_rng(0).normal(3.0, 1.0, (37, 11, columns))
    table = raw_block(torch.as_tensor(values), tuple(map(str, range(columns))))
    flat = values.reshape(-1, columns)
    assert table.nodes.count == len(flat)
    np.testing.assert_array_equal(table.nodes.low, flat.min(0))
    np.testing.assert_array_equal(table.nodes.high, flat.max(0))
    np.testing.assert_allclose(table.nodes.mean, flat.mean(0), rtol=1e-12)
    np.testing.assert_allclose(table.co, np.cov(flat.T, bias=True).reshape(columns, -1) * len(flat), atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_outputs_are_the_layer_s_own_and_stay_so(dtype):
    """They are the inputs of the next layer, whatever is centred meanwhile."""
    layer = layer_of(domain=(-1, 1), noise=1.0, dtype=dtype)
    x = torch.randn(50, 3, dtype=dtype, generator=torch.Generator().manual_seed(0)) + 1
    out = edge_sums(layer, x).add(x, x.T.contiguous())
    torch.testing.assert_close(out, layer(x).detach(), atol=1e-5, rtol=1e-5)
