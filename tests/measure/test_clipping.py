"""Clipping: what values outside a card do, on models whose answer can be computed by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.core import Clipping, DataError, ModelError, NamesError, ShapeError
from kaninterp.core.frozen import same
from kaninterp.measure import clip, range_card
from tests.tiny import hybrid, known_layer

NAMES = ["wind", "rain"]


def uniform(n, columns=2, seed=0, dtype=torch.float64):
    return torch.rand(n, columns, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def line(outside="base"):
    """y = wind + rain on [-1, 1]; far outside a column counts 0, for there is only a base branch, and it is 0."""
    head = ki.KANHead(2, 1, domain=(-1, 1), outside=outside, grid=20, dtype=torch.float64, noise=0.0)
    with torch.no_grad():
        known = known_layer([[lambda x: x, lambda x: x]])
        head.kan_layers[0].weight.copy_(known.weight)
    return head.eval()


def past(n=400):
    x = uniform(n)
    x[0], x[1] = -1.0, 1.0  # the card knows the whole domain
    return x


def now(n=400, share=0.25):
    x = uniform(n, seed=1)
    x[: int(share * n), 1] = 9.0
    return x


def rms(difference, output):
    return (difference.square().mean(0).sqrt() / output.std(0, unbiased=False)).numpy()


@pytest.fixture
def head():
    return line()


@pytest.fixture
def card(head):
    return range_card(head, past(), feature_names=NAMES, progress=False)


def test_the_change_of_the_output_is_what_is_lost_beyond_the_domain(head, card):
    x = now()
    found = clip(head, x, card, feature_names=NAMES, progress=False)
    change = torch.zeros(400, 1, dtype=torch.float64)
    change[:100] = 1.0  # as it is: rain counts 0; clipped to 1: it counts 1
    expected = rms(change, head(x).detach())
    for kind, index in (("columns", -1), ("column", 1), ("seen", 0), ("domain", 0)):
        part = found.part(kind, index)
        assert part.exits == 0.25
        np.testing.assert_allclose(part.moved, expected, rtol=1e-6)
    assert found.loss == "output change"
    assert found.base is found.rise is part.loss is part.cost is None
    assert found.explanation(part) == ""


def test_parts_are_named_as_findings_name_them(head, card):
    found = clip(head, now(), card, feature_names=NAMES, progress=False)
    assert [part.name for part in found.parts] == ["all columns", "rain", "KAN layer 1", "KAN layer 1"]
    assert found.part("domain", 0).index == 0  # counted from 0, like every layer= of the library


def test_a_column_that_never_leaves_changes_not_one_bit(head, card):
    assert clip(head, now(), card, feature_names=NAMES, progress=False).part("column", 0) is None
    found = clip(head, (past(), past().sum(1)), card, feature_names=NAMES, progress=False)
    assert [part.kind for part in found.parts] == ["columns", "seen", "domain"]
    for part in found.parts:
        assert (part.exits, part.most, part.cost.value, part.cost.high) == (0.0, 0.0, 0.0, 0.0)
        assert part.with_exit is None
        assert part.without_exit.value == found.base.value


def test_exits_explain_a_rise_that_comes_from_them(head, card):
    x = now()
    target = x.clamp(-1, 1).sum(1, keepdim=True)
    noise = 0.1 * torch.randn(400, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = uniform(400, seed=2)
    reference = before, before.sum(1, keepdim=True) + noise
    found = clip(head, (x, target + noise), card, reference=reference, feature_names=NAMES, progress=False)
    part = found.part("column", 1)
    exits, extra = torch.arange(400) < 100, noise.squeeze(1)
    as_it_is = torch.where(exits, (1 + extra).square(), extra.square()).numpy()
    clipped = extra.square().numpy()
    assert found.base.value == pytest.approx(as_it_is.mean(), rel=1e-6)
    assert part.loss.value == pytest.approx(clipped.mean(), rel=1e-4)
    assert part.cost.value == pytest.approx((as_it_is - clipped).mean(), rel=1e-6)
    assert part.cost.low < part.cost.value < part.cost.high
    assert part.with_exit.value == pytest.approx(as_it_is[:100].mean(), rel=1e-6)
    assert part.without_exit.value == pytest.approx(as_it_is[100:].mean(), rel=1e-4)
    rise = as_it_is.mean() - clipped.mean()  # the reference has the same noise
    assert found.rise.value == pytest.approx(rise, rel=1e-4)
    assert part.taken_back.value == pytest.approx(1.0, rel=1e-3)
    assert part.carried.value == pytest.approx((as_it_is.mean() - as_it_is[100:].mean()) / rise, rel=1e-3)
    assert found.explanation(part).startswith("exits explain up to 1")


def drifted(every=None):
    x = now(share=0)
    if every is not None:
        x[::every, 1] = 9.0
    return x, -x.clamp(-1, 1).sum(1, keepdim=True)  # the relation has turned round, everywhere


def reference():
    return uniform(400, seed=2), uniform(400, seed=2).sum(1, keepdim=True)


def test_a_changed_relation_without_exits_is_not_explained(head, card):
    found = clip(head, drifted(), card, reference=reference(), feature_names=NAMES, progress=False)
    part = found.part("columns")
    assert found.rise.low > 0
    assert (part.taken_back.value, part.carried) == (0.0, None)
    assert found.explanation(part) == "no row leaves, so exits explain nothing of the rise of the loss"


def test_a_changed_relation_is_not_blamed_on_the_exits_beside_it(head, card):
    found = clip(head, drifted(every=20), card, reference=reference(), feature_names=NAMES, progress=False)
    part = found.part("columns")
    assert part.exits == 0.05
    assert part.carried.low < 0
    assert "exits do not explain the rise" in found.explanation(part)
    assert "clipping makes it worse" in found.explanation(part)


def test_no_rise_is_nothing_to_explain(head, card):
    found = clip(head, reference(), card, reference=reference(), feature_names=NAMES, progress=False)
    assert found.rise.value == 0.0
    assert "nothing to explain" in found.explanation(found.parts[0])


def test_too_few_rows_without_an_exit_are_not_compared(head, card):
    x = now(share=0.99)
    data = x, x.clamp(-1, 1).sum(1, keepdim=True)
    found = clip(head, data, card, reference=reference(), feature_names=NAMES, progress=False)
    part = found.part("columns")
    assert part.without_exit is part.carried is None
    assert found.explanation(part).startswith("too few rows are without an exit")
    assert part.taken_back.value == pytest.approx(1.0, abs=1e-6)


def windows(n=120, seed=0):
    return torch.randn(n, 5, 4, generator=torch.Generator().manual_seed(seed))


def test_windows_are_clipped_at_every_lag():
    model = hybrid().eval()
    card = range_card(model, windows(), progress=False)
    x = windows(seed=1).clamp(-1, 1)
    x[:30, 2, 3] = 40.0  # a single lag of a single column
    y = torch.randn(120, generator=torch.Generator().manual_seed(2))
    found = clip(model, (x, y), card, progress=False)
    held = x.clone()
    held[:30, 2, 3] = windows()[..., 3].max()
    with torch.no_grad():
        as_it_is, clipped = model(x), model(held)
    assert [(part.kind, part.index) for part in found.parts[:2]] == [("columns", -1), ("column", 3)]
    part = found.part("column", 3)
    assert part.exits == 0.25
    np.testing.assert_allclose(part.moved, rms(clipped - as_it_is, as_it_is), rtol=1e-4)
    cost = (as_it_is.squeeze(1) - y).square() - (clipped.squeeze(1) - y).square()
    assert part.cost.value == pytest.approx(float(cost.mean()), rel=1e-4, abs=1e-6)


class Two(nn.Module):
    """Series and table by name, two classes out of three inputs of the head, something behind the head."""

    def __init__(self, per_step=False):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.per_step = per_step
        self.head = ki.KANHead(3, 2, (4,), domain=(-1, 1), generator=generator)
        self.register_buffer("scale", torch.tensor([2.0, -3.0]))

    def forward(self, series, table):
        joined = torch.cat([series, table[:, None].expand(-1, series.shape[1], -1)], dim=2)
        if self.per_step:
            return torch.stack([self.head(step) for step in joined.unbind(1)], 1).mean(1) * self.scale
        return self.head(joined).mean(1) * self.scale


def named(seed=0, n=90):
    generator = torch.Generator().manual_seed(seed)
    return {"series": torch.rand(n, 4, 2, generator=generator), "table": torch.rand(n, 1, generator=generator)}


@pytest.mark.parametrize("per_step", [False, True])
def test_named_inputs_classes_and_a_head_that_reads_every_step(per_step):
    model = Two(per_step).eval()
    card = range_card(model, named(), progress=False)
    data = named(seed=1)
    data["series"][:9, 1, 0], data["table"][80:] = 3.0, -2.0
    labels = torch.arange(90) % 2
    found = clip(model, (data, labels), card, progress=False)
    series, table = named()["series"], named()["table"]
    low, high = series.amin((0, 1)), series.amax((0, 1))
    held = {"series": data["series"].clamp(low, high), "table": data["table"].clamp(table.min(), table.max())}
    with torch.no_grad():
        as_it_is, clipped = model(**data), model(**held)
    part = found.part("columns")
    np.testing.assert_allclose(part.moved, rms(clipped - as_it_is, as_it_is), rtol=1e-4)
    losses = [nn.functional.cross_entropy(output, labels, reduction="none") for output in (as_it_is, clipped)]
    assert found.loss == "cross_entropy"
    assert part.cost.value == pytest.approx(float((losses[0] - losses[1]).mean()), rel=1e-3)
    # nothing stands before the head, so clipping its inputs is clipping the columns
    np.testing.assert_allclose(found.part("seen", 0).moved, part.moved, rtol=1e-4)
    assert found.part("seen", 0).exits == part.exits >= 19 / 90
    outside = ((data["series"] < -1) | (data["series"] > 1)).any(2).any(1) | (data["table"][:, 0].abs() > 1)
    assert found.part("domain", 0).exits == pytest.approx(float(outside.float().mean()))
    assert found.left_out == ()


def test_a_head_that_is_fed_its_own_output_is_refused():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = ki.KANHead(2, 2, domain=(-1, 1), generator=torch.Generator().manual_seed(0))

        def forward(self, x):
            return self.head(self.head(x))

    model = Twice().eval()
    x = uniform(60, dtype=torch.float32)
    card = range_card(model, x, progress=False)
    with pytest.raises(ModelError, match="fed its own outputs"):
        clip(model, 3 * x, card, progress=False)
    assert not any(module._forward_hooks for module in model.modules())


def test_the_model_and_the_random_numbers_stay(head, card):
    head.train()
    state = {key: value.clone() for key, value in head.state_dict().items()}
    torch.manual_seed(3)
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 (it must not move)
    first = clip(head, (now(), now().sum(1)), card, feature_names=NAMES, progress=False)
    assert head.training
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002
    assert all(torch.equal(value, state[key]) for key, value in head.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in head.modules())
    assert same(first, clip(head, (now(), now().sum(1)), card, feature_names=NAMES, progress=False))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_row_and_one_column(dtype, tmp_path):
    head = ki.KANHead(1, 1, domain=(-1, 1), dtype=dtype, generator=torch.Generator().manual_seed(0))
    card = range_card(head, torch.zeros(5, 1, dtype=dtype), progress=False)
    x = torch.ones(1, 1, dtype=dtype)
    found = clip(head, (x, x), card, reference=(x, x), progress=False)
    with torch.no_grad():
        change = abs(float(head(x) - head(0 * x)))
    assert found.part("columns").exits == 1.0
    assert found.part("columns").most == pytest.approx(change, rel=1e-5)  # a constant output: in its own units
    found.save(tmp_path / "found.json")
    assert same(Clipping.load(tmp_path / "found.json"), found)


def test_a_target_by_name_is_found_in_the_reference_too(head, card):
    before, after = (pd.DataFrame(x.numpy(), columns=NAMES).assign(y=x.sum(1).numpy()) for x in (past(), now()))
    found = clip(head, after, card, target="y", reference=before, progress=False)
    pairs = clip(
        head, (now(), now().sum(1)), card, reference=(past(), past().sum(1)), feature_names=NAMES, progress=False
    )
    assert same(found, pairs)
    values = clip(head, after[NAMES], card, target=after["y"], reference=(before[NAMES], before["y"]))
    assert same(values, pairs)


def test_what_does_not_fit_is_refused(head, card):
    with pytest.raises(ShapeError, match="another model"):
        clip(line("linear"), now(), card, progress=False)
    with pytest.raises(NamesError, match="not those of the card"):
        clip(head, now(), card, feature_names=["a", "b"], progress=False)
    with pytest.raises(DataError, match="needs its target"):
        clip(head, reference(), card, reference=uniform(9), feature_names=NAMES, progress=False)
