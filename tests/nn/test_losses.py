"""Per-row losses: values against torch's own reductions, shapes aligned or refused, never broadcast."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kaninterp.core.errors import InputError, InputTypeError, ShapeError
from kaninterp.nn.losses import LOSSES, resolve_loss

REFERENCE = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss, "bce": F.binary_cross_entropy_with_logits}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", sorted(REFERENCE))
@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 3), (6, 4, 3)])
def test_rows_average_to_torchs_mean(name, shape):
    output, target = draw(*shape), draw(*shape, seed=1).sigmoid()
    rows = resolve_loss(name)(output, target)
    assert rows.shape == (6,)
    torch.testing.assert_close(rows.mean(), REFERENCE[name](output, target))


@pytest.mark.parametrize("steps", [(), (5,)])
def test_cross_entropy_takes_indices_and_probabilities(steps):
    output = draw(6, *steps, 4)
    target = torch.randint(0, 4, (6, *steps), generator=torch.Generator().manual_seed(2))
    rows = resolve_loss("cross_entropy")(output, target)
    assert rows.shape == (6,)
    torch.testing.assert_close(rows.mean(), F.cross_entropy(output.reshape(-1, 4), target.reshape(-1)))
    torch.testing.assert_close(rows, resolve_loss("cross_entropy")(output, F.one_hot(target, 4).float()))
    torch.testing.assert_close(rows, resolve_loss("cross_entropy")(output, target.unsqueeze(-1).int()))


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "bce", None])
def test_a_trailing_axis_of_one_is_aligned_both_ways(name):
    output, target = draw(6, 1), draw(6, seed=1).sigmoid()
    same = resolve_loss(name)(output[:, 0], target)
    torch.testing.assert_close(resolve_loss(name)(output, target), same)
    torch.testing.assert_close(resolve_loss(name)(output[:, 0], target[:, None]), same)


def test_default_follows_the_targets_dtype():
    output = draw(5, 3)
    loss = resolve_loss()
    torch.testing.assert_close(loss(output, output + 1), torch.ones(5))
    index = torch.tensor([0, 1, 2, 0, 1])
    torch.testing.assert_close(loss(output, index), F.cross_entropy(output, index, reduction="none"))
    yes = torch.tensor([True, False, True, True, False])
    expected = F.binary_cross_entropy_with_logits(output[:, 0], yes.float(), reduction="none")
    torch.testing.assert_close(loss(output[:, :1], yes), expected)


@pytest.mark.parametrize("pair", [((4, 3), (4,)), ((4,), (3,)), ((4, 2), (4, 3)), ((4, 1), (1, 4)), ((4, 2), (4, 1))])
@pytest.mark.parametrize("name", ["mse", None])
def test_other_shapes_are_refused_naming_both(pair, name):
    with pytest.raises(ShapeError) as caught:
        resolve_loss(name)(torch.zeros(pair[0]), torch.zeros(pair[1]))
    assert str(pair[0]) in str(caught.value)
    assert str(pair[1]) in str(caught.value)


def test_bad_losses_and_targets_are_refused():
    with pytest.raises(InputError, match="cross_entropy, huber"):
        resolve_loss("rmse")
    with pytest.raises(InputTypeError):
        resolve_loss(3)
    with pytest.raises(InputError, match="0 to 2"):
        resolve_loss("cross_entropy")(torch.zeros(2, 3), torch.tensor([0, 3]))
    with pytest.raises(InputError, match="from 0 to 1"):
        resolve_loss("bce")(torch.zeros(2), torch.tensor([0.0, 2.0]))
    with pytest.raises(ShapeError, match="at least 2 classes"):
        resolve_loss()(torch.zeros(4, 1), torch.tensor([0, 0, 1, 0]))
    with pytest.raises(InputTypeError, match="tuple"):
        resolve_loss("mse")((torch.zeros(2),), torch.zeros(2))
    with pytest.raises(ShapeError, match="rows"):
        resolve_loss("mse")(torch.tensor(1.0), torch.tensor(1.0))


def test_callables_keep_their_rows():
    output, target = draw(6, 2), draw(6, 2, seed=1)
    rows = resolve_loss(lambda a, b: (a - b).abs().max(1).values)(output, target)
    torch.testing.assert_close(rows, (output - target).abs().max(1).values)
    module = nn.SmoothL1Loss()
    torch.testing.assert_close(resolve_loss(module)(output, target).mean(), module(output, target))
    assert module.reduction == "mean"
    aligned = resolve_loss(nn.MSELoss())(output[:, :1], target[:, 0])
    torch.testing.assert_close(aligned, (output[:, 0] - target[:, 0]).square())
    with pytest.raises(ShapeError, match="one number per row"):
        resolve_loss(F.mse_loss)(output, target)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradients_flow(name):
    output = draw(4, 3).requires_grad_()
    target = torch.tensor([0, 1, 2, 1]) if name == "cross_entropy" else draw(4, 3, seed=1).sigmoid()
    resolve_loss(name)(output, target).sum().backward()
    assert bool((output.grad != 0).any())


def test_a_callable_gets_the_shapes_it_expects_and_may_not_broadcast():
    output, target = torch.randn(6, 1), torch.randn(6)
    rows = resolve_loss(lambda out, y: (out[:, 0] - y) ** 2)(output, target)
    torch.testing.assert_close(rows, (output[:, 0] - target) ** 2)
    with pytest.raises(ShapeError, match="broadcast"):
        resolve_loss(lambda out, y: (out - y) ** 2)(output, target)
