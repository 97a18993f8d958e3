"""Running somebody's model leaves no trace (law 9), also when it fails or writes its own buffers."""

import pytest
import torch
from torch import nn

from kaninterp.nn.undisturbed import undisturbed


class Writing(nn.Module):
    """Counts its calls in one buffer in place, replaces another, draws random numbers."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("calls", torch.tensor([0.0, float("nan")]))
        self.register_buffer("last", torch.zeros(2))
        self.register_buffer("nothing", None)

    def forward(self, x):
        self.calls += 1
        self.last = x.mean(0)
        return self.norm(self.linear(x)) + torch.rand(2)


def snapshot(model):
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    return buffers, [module.training for module in model.modules()], torch.get_rng_state()


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_as_before(fails):
    model = Writing()
    model.norm.eval()
    buffers, flags, state = snapshot(model)
    try:
        with undisturbed(model):
            assert not any(module.training for module in model.modules())
            assert not torch.is_grad_enabled()
            assert not model(torch.ones(3, 2)).requires_grad
            if fails:
                raise KeyError("stop")
    except KeyError:
        assert fails
    for (old, bits), new in zip(buffers, model.buffers(), strict=True):
        assert new is old
        assert torch.equal(new.nan_to_num(7.0), bits.nan_to_num(7.0))
    assert [module.training for module in model.modules()] == flags
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_a_model_that_shadows_train_is_left_alone():
    class Shadowing(nn.Linear):
        def train(self, mode=True):
            raise AssertionError("pykan's train() fits the model")

    model = Shadowing(2, 1)
    with undisturbed(model):
        assert not model.training
    assert model.training
