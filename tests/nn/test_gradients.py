"""What needs gradients has them under no_grad, and says so in inference mode before anything is changed."""

import inspect

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.core.errors import StateError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 2)).astype(np.float32)
Y = (np.sin(X[:, 0]) + X[:, 1]).astype(np.float32)
CALLS = {
    "fit": lambda head: ki.fit(head, (X, Y), epochs=2, seed=0, progress=False),
    "attribute": lambda head: ki.attribute(head, (X, Y), progress=False),
    "prune": lambda head: ki.prune(head, (X, Y), progress=False),
    "formula": lambda head: ki.formula(head, (X, Y), trials=1, progress=False),
    "report": lambda head: ki.report(head, (X, Y), trust=False, formula=False, progress=False),
    "would_bend": lambda head: ki.would_bend(head, (X, Y), epochs=1, progress=False),
    "probe": lambda head: ki.probe(head, (X, Y)),
}


@pytest.fixture
def head():
    head = ki.KANHead(2, 1, grid=3, generator=torch.Generator().manual_seed(0))
    ki.fit(head, (X, Y), epochs=2, seed=0, progress=False)
    return head


@pytest.mark.parametrize("name", CALLS)
def test_without_gradients_around(head, name):
    with torch.no_grad():
        CALLS[name](head)
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("name", CALLS)
def test_inference_mode_is_refused(head, name):
    before = {key: value.clone() for key, value in head.state_dict().items()}
    with torch.inference_mode(), pytest.raises(StateError, match=f"{name} takes gradients.*call it outside"):
        CALLS[name](head)
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())
    assert "model" in inspect.signature(getattr(ki, name)).parameters
