"""Group norms of raw columns, and the proximal step that makes columns exactly zero."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kaninterp.core.errors import InputError, ModelError, ShapeError
from kaninterp.nn import KANHead, KANLayer, column_norms, narrow, proximal_step_
from kaninterp.nn.readers import column_axis
from tests.raw_readers import READERS, WIDTH, first, held_at, sample_for


def weights_by_hand(module):
    """Every first weight as (anything, WIDTH), written down without the library."""
    if isinstance(module, (KANHead, KANLayer)):
        layer = module.layers[0] if isinstance(module, KANHead) else module
        return [layer.weight.reshape(-1, WIDTH)]
    if isinstance(module, nn.Linear):
        return [module.weight]
    if isinstance(module, nn.Conv1d):
        out, size = module.out_channels // module.groups, WIDTH // module.groups
        columns = [module.weight[c // size * out : (c // size + 1) * out, c % size].reshape(-1) for c in range(WIDTH)]
        return [torch.stack(columns, -1)]
    return [p for n, p in module.named_parameters() if n.startswith("weight_ih_l0")]


@pytest.mark.parametrize("name", READERS)
def test_a_group_is_everything_that_reads_the_column(name):
    module = READERS[name]().eval()
    x = sample_for(module)
    expected = sum(w.detach().square().sum(0) for w in weights_by_hand(module)).sqrt()
    torch.testing.assert_close(column_norms(module).detach(), expected)
    after = proximal_step_(module, torch.tensor([0.0, 1e9, 0.0, 1e9, 0.0, 0.0]))
    torch.testing.assert_close(column_norms(module).detach(), after)
    assert bool((after[[1, 3]] == 0).all())
    torch.testing.assert_close(after[[0, 2, 4, 5]], expected[[0, 2, 4, 5]])
    changed = held_at(x, torch.full((WIDTH,), 7.0), (0, 2, 4, 5), column_axis(module))
    assert torch.equal(first(module(x)), first(module(changed))), "a zero group has no effect at all"


@pytest.mark.parametrize("name", READERS)
@given(share=st.floats(0.0, 1.5))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_the_proximal_step_solves_its_problem(name, share):
    """v = prox(w) minimises threshold ||v|| + ||v - w||^2 / 2: zero subgradient, or ||w|| below the threshold."""
    module = READERS[name]()
    before = [w.detach().clone() for w in weights_by_hand(module)]
    norms = column_norms(module).detach()
    threshold = share * norms.max()
    proximal_step_(module, threshold)
    after = [w.detach() for w in weights_by_hand(module)]
    w, v = torch.cat(before), torch.cat(after)
    dropped = norms <= threshold
    assert bool((v[:, dropped] == 0).all())
    residual = threshold * v / v.norm(dim=0) + v - w
    torch.testing.assert_close(residual[:, ~dropped], torch.zeros_like(w[:, ~dropped]), atol=1e-5, rtol=0)


def test_groups_join_the_columns_of_a_flattened_window():
    linear = nn.Linear(6, 2)
    groups = (0, 1, 0, 1, 0, 1)
    norms = column_norms(linear, groups).detach()
    expected = torch.stack([linear.weight[:, 0::2].norm(), linear.weight[:, 1::2].norm()])
    torch.testing.assert_close(norms, expected.detach())
    proximal_step_(linear, torch.tensor([1e9, 0.0]), groups)
    assert bool((linear.weight[:, 0::2] == 0).all())
    assert bool((linear.weight[:, 1::2] != 0).all())


@pytest.mark.parametrize("kind", [lambda: nn.Linear(6, 2), lambda: nn.Conv1d(6, 2, 3), lambda: nn.LSTM(6, 2)])
def test_columns_that_are_not_raw_belong_to_no_group(kind):
    module, untouched = kind(), kind()
    untouched.load_state_dict(module.state_dict())
    groups = (-1, -1, 0, 1, -1, 0)
    plain = column_norms(module).detach()
    expected = torch.stack([plain[[2, 5]].norm(), plain[3]])
    torch.testing.assert_close(column_norms(module, groups).detach(), expected)
    proximal_step_(module, 1e9, groups)
    after = column_norms(module).detach()
    assert bool((after[[2, 3, 5]] == 0).all())
    assert torch.equal(after[[0, 1, 4]], column_norms(untouched).detach()[[0, 1, 4]])


@pytest.mark.parametrize("name", [name for name in READERS if name != "kan layer"])
def test_norms_of_narrowed_modules_keep_the_full_width(name):
    small = narrow(READERS[name](), (0, 3))
    norms = column_norms(small)
    assert norms.shape == (WIDTH,)
    assert ((norms > 0).tolist()) == [True, False, False, True, False, False]
    proximal_step_(small, torch.tensor([0.0, 0.0, 0.0, 1e9, 0.0, 0.0]))
    assert column_norms(small)[3] == 0
    assert column_norms(narrow(small, ())).tolist() == [0.0] * WIDTH


def test_norms_are_differentiable_at_zero():
    for module in (nn.Linear(3, 2), nn.Conv1d(3, 2, 2)):
        with torch.no_grad():
            module.weight[:, 1] = 0
        column_norms(module).sum().backward()
        assert bool(module.weight.grad.isfinite().all())
        assert not bool(module.weight.grad[:, 1].any())


def test_bad_steps_are_refused():
    with pytest.raises(InputError, match="0 or more"):
        proximal_step_(nn.Linear(3, 2), -1.0)
    with pytest.raises(InputError):
        proximal_step_(nn.Linear(3, 2), float("nan"))
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        proximal_step_(nn.Linear(3, 2), torch.ones(2))
    with pytest.raises(ShapeError, match="each of the 3 columns"):
        column_norms(nn.Linear(3, 2), (0, 1))
    with pytest.raises(ShapeError, match="-1"):
        column_norms(nn.Linear(3, 2), (0, 1, -2))
    with pytest.raises(ModelError, match="Conv2d"):
        column_norms(nn.Conv2d(3, 2, 1))
