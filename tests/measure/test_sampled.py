"""Attribution of models that no gradient passes through: the report still comes, its numbers add up, and it says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.core import ModelError
from kaninterp.core.evidence import GRADIENTS, SAMPLED
from kaninterp.measure import attribute
from kaninterp.measure.sampled import cells_of, sampled
from tests.tiny import Weighted, hybrid


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Stepped(nn.Module):
    """Columns 0 and 1 at lags 1 and 3, through a rounding or outside of autograd."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.head = ki.KANHead(2, 1, domain=(-4, 4), generator=torch.Generator().manual_seed(0))

    def forward(self, x):
        cells = torch.stack([x[:, -2, 0], x[:, -4, 1]], 1)
        return self.head(torch.round(8 * cells) / 8 if self.how == "round" else cells.detach())


@pytest.mark.parametrize("how", ["round", "detach"])
def test_the_cells_that_count_are_found_and_add_up(how):
    model, x = Stepped(how), normal(100, 5, 3)
    found = attribute(model, x, progress=False)
    assert found.method == SAMPLED
    assert found.residual.max() < 1e-5
    for magnitude in found.magnitude[:, 0]:
        assert {tuple(map(int, place)) for place in np.argwhere(magnitude > 0)} == {(1, 0), (3, 1)}
    for nodes in found.node_lags:
        assert {tuple(map(int, place)) for place in np.argwhere(nodes.sum(0) > 0)} == {(1, 0), (3, 1)}
    again = attribute(model, x, progress=False)
    np.testing.assert_array_equal(found.signed, again.signed)


@pytest.mark.parametrize("how", ["round", "detach"])
def test_the_report_says_so(how):
    x = normal(200, 5, 3)
    page = ki.report(Stepped(how), (x, x[:, -2, :1]), progress=False)
    assert "no-gradient" in {finding.code for finding in page.analysis.findings}
    assert SAMPLED in page.to_html()
    assert GRADIENTS not in {name for name, _ in _facts(page)}


def _facts(page):
    cards = [b for s in page.document.sections for b in s.blocks if type(b).__name__ == "InputCards"]
    return [fact for block in cards for item in block.items for fact in item.facts]


def test_a_model_with_gradients_keeps_them():
    model, x = hybrid(), normal(40, 5, 4)
    assert attribute(model, x, progress=False).method == GRADIENTS
    page = ki.report(model, (normal(200, 5, 4), normal(200, 1)), progress=False)
    assert "no-gradient" not in {finding.code for finding in page.analysis.findings}


def test_an_input_that_is_never_read_is_no_error():
    class OneOfTwo(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = ki.KANHead(2, 1, generator=torch.Generator().manual_seed(0))

        def forward(self, a, b):
            return self.head(a)

    found = attribute(OneOfTwo(), {"a": normal(30, 2), "b": normal(30, 2, seed=1)}, progress=False)
    assert found.magnitude[..., :2].any()
    assert not found.magnitude[..., 2:].any()


def test_shapley_values_of_a_sum_and_of_a_product():
    x, base = normal(50, 4), torch.zeros(50, 4)
    model = Weighted([1.0, -2.0, 0.0, 0.5])
    ((parts,),) = sampled(model.to(torch.float32), [x], [base], np.random.default_rng(0), progress=False)
    np.testing.assert_allclose(parts.detach(), x * model.weights, atol=1e-5)
    ((parts,),) = sampled(lambda v: (v[:, 0] * v[:, 1])[:, None], [x], [base], np.random.default_rng(0), progress=False)
    half = x[:, 0] * x[:, 1] / 2  # an order and its reverse share a product in halves
    np.testing.assert_allclose(parts, torch.stack([half, half, 0 * half, 0 * half], 1), atol=1e-6)
    assert cells_of([x, normal(2, 3, 2)])[3:6] == [(0, None, 3), (1, 0, 0), (1, 0, 1)]


def test_kan_attribution_refuses_and_says_what_to_use():
    for how in ("round", "detach"):
        with pytest.raises(ModelError, match=r"kaninterp\.attribute"):
            ki.KANAttribution(Stepped(how)).attribute(normal(20, 5, 3))


class Looked(nn.Module):
    """A unit from a table of numbers beside one from a column: no gradient leads to the first, and nothing is amiss."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.tensor([[-1.0], [0.5], [2.0]]))
        self.head = ki.KANHead(2, 1, domain=(-4, 4), generator=torch.Generator().manual_seed(0))

    def forward(self, x, index):
        return self.head(torch.cat([x[:, -2, :1] ** 3 / 9, self.table(index)], 1))


def test_a_unit_that_indices_alone_move_leaves_the_gradients_to_the_others():
    x = normal(200, 3, 2)
    index = torch.arange(200) // 7 % 3
    found = attribute(Looked(), {"x": x, "index": index}, rows=200, progress=False)
    assert found.method == GRADIENTS
    units = found.node_lags[0]
    assert not units[1].any()
    few = x[:: 200 // 64][:, -2, 0]
    expected = (few**2 / 3 * (few - x[:, :, 0].mean())).abs().mean()  # occlusion gives |x^3 - mean^3| / 9 instead
    assert units[0, 1, 0] == pytest.approx(float(expected), rel=1e-4)
    assert np.count_nonzero(units[0]) == 1
