"""`check_view` notices every way in which a view can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.adapters import as_view, check_view, stack_view
from kaninterp.core import ModelError
from tests.adapters import layers_efficient

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))


def broken(**parts):
    """A view of a layer with some of its parts replaced."""
    layer = ki.KANLayer(3, 2, domain=(-1, 1), noise=1.0, generator=torch.Generator().manual_seed(0))
    layer.set_mask(torch.tensor([[1, 1, 1], [1, 1, 0]]))
    view = as_view(layer).layers[0]
    kind = type("Broken", (type(view),), {name: value for name, value in parts.items() if callable(value)})
    changed = kind(layer)
    for name, value in parts.items():
        if not callable(value):
            setattr(changed, name, value)
    return stack_view(layer, "", [changed])


def first_node(view, x, change):
    """All edges, those of the first node changed; their sum is the same."""
    edges = view.module.edges(x)
    return torch.cat((change(edges[:, :1]), edges[:, 1:]), 1)


def test_a_right_view_passes():
    check_view(broken(), X)
    check_view(broken(), X[:1])
    check_view(broken(), X[:0])


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"bias": np.zeros(3)}, r"bias of its view have shape \(3,\); allowed: \(2,\)"),
        ({"bias": np.array([0.0, np.nan])}, "a finite bias"),
        ({"knots": np.linspace(-1, 1, 6)}, r"knots of its view have shape \(6,\)"),
        ({"knots": np.tile([0.0, -1.0, 1.0], (3, 1))}, "rising knots"),
        ({"bias": np.ones(2)}, "not the sum of its edges: off by 1"),
        ({"alive": np.eye(2, 3, dtype=bool)}, "masked edges are not 0"),
        ({"edges": lambda self, x: self.module.edges(x).mT}, r"\(n, dst, src\) = \(40, 2, 3\)"),
        ({"edges": lambda self, x: first_node(self, x, lambda e: e.roll(1, 2))}, "an edge reads other inputs too"),
        (
            {"edges": lambda self, x: first_node(self, x, lambda e: e.mean(-1, keepdim=True).expand_as(e))},
            "an edge reads other inputs too",
        ),
        ({"coefficients": lambda self: 2 * self.module.masked_weight()}, "planes times coefficients are not its edges"),
        ({"base_edges": lambda self, x: self.edges(x)}, "planes times base coefficients are not its base edges"),
        ({"base_edges": lambda self, x: self.edges(x)[0]}, "its view gives base edges of shape"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_what_is_wrong_is_named(parts, words):
    with pytest.raises(ModelError, match=rf"layer 0 of KANLayer.*{words}"):
        check_view(broken(**parts), X)


def test_a_module_that_takes_more_than_its_rows_is_told_to_part_from_its_kan():
    class Scaled(ki.KANHead):
        def forward(self, x, scale):
            return super().forward(x) * scale

    with pytest.raises(ModelError, match=r"cannot be called with the 3 columns.*nn.Sequential of their own"):
        check_view(as_view(Scaled(3, 1, domain=(-1, 1))), X)


def test_a_module_that_does_more_than_its_layers_is_told():
    class Doubled(ki.KANHead):
        def forward(self, x):
            return 2 * super().forward(x)

    with pytest.raises(ModelError, match=r"not its KAN layers one after the other.*path="):
        check_view(as_view(Doubled(3, 1, domain=(-1, 1), noise=1.0)), X)


def test_knots_that_coincide_are_told():
    layer = layers_efficient.KANLinear(3, 2)
    layer.grid[1] = 0.5
    with pytest.raises(ModelError, match=r"layer 0 of KANLinear gives NaN.*knots coincide.*constant column"):
        as_view(layer)


def test_a_layer_is_left_as_found():
    layer = ki.KANLayer(3, 2).train()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    check_view(as_view(layer), 5 * X)  # in train mode the first batch would set its domain
    assert layer.training
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
