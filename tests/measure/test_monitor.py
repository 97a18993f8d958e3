"""The monitor: it counts what a trace counts, costs nothing it should not, and never gets in the way."""

from __future__ import annotations

import copy
import gc
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kaninterp as ki
from kaninterp.core import InputError, InputTypeError, RangeCard, RangeWatch, ShapeError, WatchedLayer
from kaninterp.core.frozen import same
from kaninterp.measure import RangeMonitor
from kaninterp.measure.outside import OutsideCounts
from kaninterp.measure.waiting import BUFFER, WaitingCounts


def every_pass(model, card, **options):
    return RangeMonitor(model, card, every=1, **options)


def hybrid(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = torch.nn.GRU(3, 6, batch_first=True)
    return ki.Hybrid(
        backbone, ki.KANHead(6, 1, (4,), domain=(-0.5, 0.5), generator=torch.Generator().manual_seed(seed))
    )


def windows(n=300, scale=1.0, seed=0):
    return scale * torch.randn(n, 5, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def model():
    return hybrid().eval()


@pytest.fixture
def card(model):
    return RangeCard.of(ki.trace(model, windows(scale=0.1), progress=False))


def test_it_counts_what_a_trace_counts(model, card):
    x = windows(scale=3.0)
    traced = ki.trace(model, x, progress=False)
    with every_pass(model, card) as monitor:
        for batch in x.split(37):
            model(batch)
    for watched, layer in zip(monitor.seen.layers, traced.layers, strict=True):
        outside = layer.ranges.outside
        assert watched.rows == 300
        np.testing.assert_array_equal(watched.below, outside[:, :2].sum(1))
        np.testing.assert_array_equal(watched.above, outside[:, 2:].sum(1))
        np.testing.assert_allclose(watched.low, layer.inputs.low, rtol=1e-5)
        np.testing.assert_allclose(watched.high, layer.inputs.high, rtol=1e-5)


def test_exits_are_the_nodes_that_left(model, card):
    with every_pass(model, card) as monitor:
        model(windows(scale=0.1, seed=1))
        assert monitor.reset().exits(card) == ()
        model(windows(scale=20.0))
    exits = monitor.seen.exits(card)
    rises = [item.outside - item.before for item in exits]
    assert rises == sorted(rises, reverse=True)
    assert {item.layer for item in exits} == {0, 1}
    assert exits[0].name.startswith(("unit ", "node 1."))
    assert f"{exits[0].name}: {100 * exits[0].outside:.3g} % of rows outside −0.5 to 0.5" in str(exits[0])


def test_model_and_outputs_stay_bit_for_bit(model, card):
    x = windows()
    before, state = model(x), {key: value.clone() for key, value in model.state_dict().items()}
    monitor = every_pass(model, card)
    assert torch.equal(model(x), before)
    model(x).sum().backward()
    monitor.close()
    rows = monitor.seen.rows
    model(x)
    assert monitor.seen.rows == rows == 600
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_values_changed_in_place_afterwards_are_counted_as_they_were():
    head = ki.KANHead(2, 1, domain=(-1, 1))
    card = RangeCard.of(ki.trace(head, torch.zeros(4, 2)))
    x = torch.full((3, 2), 5.0)
    with RangeMonitor(head, card) as monitor:
        head(x)
        x.zero_()
    assert monitor.seen.layers[0].above.tolist() == [3, 3]


def test_missing_values_count_as_outside():
    head = ki.KANHead(2, 1, domain=(-1, 1))
    card = RangeCard.of(ki.trace(head, torch.zeros(4, 2), feature_names=["a", "b"]))
    with RangeMonitor(head, card) as monitor:
        head(torch.tensor([[0.0, float("nan")], [0.5, float("inf")], [2.0, 0.0], [0.0, 0.0]]))
    layer = monitor.seen.layers[0]
    assert (layer.missing.tolist(), layer.above.tolist()) == ([0, 2], [1, 0])
    assert layer.high.tolist() == [2.0, 0.0]
    assert [(item.name, item.outside, item.side) for item in monitor.seen.exits(card)] == [
        ("b", 0.5, "missing"), ("a", 0.25, "above"),
    ]  # fmt: skip


def test_windows_turn_and_call_back(model, card):
    called = []
    monitor = every_pass(model, card, window=100, callback=called.append)
    for batch in windows(350).split(50):
        model(batch)
    monitor.close()
    assert [watch.rows for watch in called] == [100, 100, 100]
    assert same(monitor.last, called[-1])
    assert monitor.seen.rows == 50
    whole = called[0].merge(called[1]).merge(called[2]).merge(monitor.seen)
    with every_pass(model, card) as other:
        model(windows(350))
    assert same(whole.layers[0], other.seen.layers[0])


def test_one_pass_of_so_many_is_counted(model, card):
    with RangeMonitor(model, card, every=3) as monitor, RangeMonitor(model, card) as usual:
        for n in (1, 2, 4, 8, 16, 32, 64, 0, 128):
            model(windows(n))
    assert [layer.rows for layer in monitor.seen.layers] == [1 + 8 + 64] * 2
    assert [layer.rows for layer in usual.seen.layers] == [1 + 128] * 2


def test_errors_never_reach_the_forward_pass(model, card, monkeypatch):
    def fails(_):
        raise RuntimeError("the pager is down")

    monitor = every_pass(model, card, window=10, callback=fails)
    model(windows(20))
    model(windows(20))
    assert monitor.last.rows == 20
    assert "the pager is down" in repr(monitor)
    expected = hybrid().eval()(windows(20))
    with monkeypatch.context() as broken:
        broken.setattr(WaitingCounts, "take", lambda *_: 1 / 0)
        torch.testing.assert_close(model(windows(20)), expected)
        assert isinstance(monitor.failure, ZeroDivisionError)
        broken.undo()
        broken.setattr(WaitingCounts, "layers", lambda *_: {}["no such thing"])
        torch.testing.assert_close(model(windows(20)), expected)
    assert isinstance(monitor.failure, KeyError)
    assert monitor.skipped == 2
    monitor.reset()
    model(windows(5))
    assert monitor.seen.rows == 5
    monitor.close()


def test_passes_without_numbers_are_skipped_and_the_next_is_counted(model, card):
    x = windows(12)
    with every_pass(model, card) as monitor:
        expected = model.head(x[:, 0, :].repeat(1, 2))
        rows = x[:, 0, :].repeat(1, 2)
        torch.testing.assert_close(torch.func.vmap(model.head)(rows[:, None])[:, 0], expected)
        torch.func.grad(lambda values: model.head(values).sum())(rows)
        model.head(rows)
        torch.func.vmap(model.head)(rows[:, None])
        assert monitor.skipped == 3
        assert "vmap" in str(monitor.failure)
        assert [layer.rows for layer in monitor.seen.layers] == [24, 24]


def test_threads_lose_no_row(model, card):
    monitor = every_pass(model, card)

    def serve():
        with torch.no_grad():
            for batch in windows(200).split(10):
                model(batch)

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monitor.close()
    assert [layer.rows for layer in monitor.seen.layers] == [800, 800]


def test_windows_of_several_threads_hold_whole_passes():
    head = ki.KANHead(3, 1, (4, 4), domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    card = ki.range_card(head, torch.zeros(5, 3), progress=False)
    called = []
    monitor = RangeMonitor(head, card, window=50, callback=called.append, every=2)

    def serve():
        with torch.no_grad():
            for _ in range(150):
                head(torch.zeros(7, 3))

    threads = [threading.Thread(target=serve) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monitor.close()
    assert all(len({layer.rows for layer in watch.layers}) == 1 for watch in [*called, monitor.seen])
    assert sum(watch.rows for watch in called) + monitor.seen.rows == 6 * 150 * 7 / 2


def test_a_callback_may_run_the_model(model, card):
    seen = []
    monitor = every_pass(model, card, window=10, callback=lambda watch: seen.append((watch.rows, model(windows(50)))))
    model(windows(20))
    assert [rows for rows, _ in seen] == [20]
    assert monitor.failure is None
    assert monitor.seen.rows == 0


def test_a_monitor_that_nobody_holds_is_gone(model, card):
    RangeMonitor(model, card)
    gc.collect()
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_pass_that_fails_on_the_way_is_forgotten(card, model):
    with every_pass(model, card) as monitor:
        layer = model.head.kan_layers[0]
        handle = layer.register_forward_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model(windows(4))
        handle.remove()
        model(windows(3))
        assert [layer.rows for layer in monitor.seen.layers] == [3, 3]


def test_a_copy_of_the_model_is_not_watched(model, card):
    with every_pass(model, card) as monitor:
        copy.deepcopy(model)(windows(10))
        assert monitor.seen.rows == 0
        model(windows(10))
        model(windows(0))
        assert monitor.seen.rows == 10


def test_batches_of_many_sizes_take_turns(model, card):
    sizes = [3, 5, 3, BUFFER + 1, 7, 11, 13, 3, BUFFER - 1, BUFFER - 1, 0, 5]
    x = windows(BUFFER + 1, scale=3.0)
    with every_pass(model, card) as monitor:
        for size in sizes:
            model(x[:size])
            assert {len(block) for block in monitor._counts._blocks} == {BUFFER}
    whole = OutsideCounts(torch.tensor([[-0.5] * 6, [0.5] * 6]))
    with torch.no_grad():
        for size in sizes:
            if size:
                whole.add(model.backbone(x[:size])[0][:, -1])
    found, layer = monitor.seen.layers[0], whole.layer()
    expected = layer.below, layer.above, layer.missing
    assert found.rows == monitor.seen.rows == sum(sizes)
    assert same((found.below, found.above, found.missing), expected)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 90),
    width=st.integers(1, 40),
    scale=st.sampled_from([0.1, 3.0]),
    holes=st.sampled_from([(), (np.nan,), (np.inf, -np.inf), (np.nan, np.inf)]),
    seed=st.integers(0, 99),
)
def test_counts_are_those_of_numpy(rows, width, scale, holes, seed):
    rng = np.random.default_rng(seed)
    x = (scale * rng.normal(size=(rows, width))).astype(np.float32)
    for hole in holes:
        x[rng.integers(rows), rng.integers(width)] = hole
    counts = OutsideCounts(torch.tensor([[-1.0] * width, [2.0] * width], dtype=torch.float64))
    for part in np.array_split(x, 3):
        if len(part):
            counts.add(torch.from_numpy(part))
    found, finite = counts.layer(), np.isfinite(x)
    np.testing.assert_array_equal(found.below, ((x < -1) & finite).sum(0))
    np.testing.assert_array_equal(found.above, ((x > 2) & finite).sum(0))
    np.testing.assert_array_equal(found.missing, (~finite).sum(0))
    np.testing.assert_array_equal(found.low, np.where(finite, x, np.inf).min(0))
    np.testing.assert_array_equal(found.high, np.where(finite, x, -np.inf).max(0))


def test_inference_mode_and_gradients_take_turns(model, card):
    x = windows(5)
    with every_pass(model, card) as monitor:
        with torch.inference_mode():
            model(x)
        model(x).sum().backward()
        with torch.no_grad():
            model(x)
        with torch.inference_mode():
            model(x)
            assert monitor.seen.rows == 20
    assert monitor.failure is None


def test_another_number_type_in_between():
    head = ki.KANHead(2, 1, domain=(-1, 1))
    card = RangeCard.of(ki.trace(head, torch.zeros(4, 2)))
    with every_pass(head, card) as monitor:
        head(torch.full((3, 2), 5.0))
        monitor._counts.take([torch.full((2, 2), -5.0, dtype=torch.float16)])
        head(torch.zeros(4, 2))
    layer = monitor.seen.layers[0]
    assert (layer.rows, layer.above.tolist(), layer.below.tolist()) == (9, [3, 3], [2, 2])


layers = st.builds(
    lambda rows, counts, values: WatchedLayer(
        rows=rows,
        below=counts[:2],
        above=counts[2:4],
        missing=counts[4:],
        low=sorted(values)[:2],
        high=sorted(values)[2:],
    ),
    st.integers(0, 10**9),
    st.lists(st.integers(0, 10**9), min_size=6, max_size=6),
    st.lists(st.floats(-1e9, 1e9), min_size=4, max_size=4),
)


@settings(deadline=None)
@given(layers, layers, layers)
def test_counts_merge_in_any_order(a, b, c):
    watches = [RangeWatch(fingerprint="f", layers=(layer,)) for layer in (a, b, c)]
    left = watches[0].merge(watches[1]).merge(watches[2])
    right = watches[2].merge(watches[0].merge(watches[1]))
    assert same(left, right)
    nothing = RangeWatch(fingerprint="f", layers=(OutsideCounts(torch.zeros(2, 2)).layer(),))
    assert same(left.merge(nothing), left)


def test_counts_travel_as_files(model, card, tmp_path):
    with every_pass(model, card) as monitor:
        model(windows())
    monitor.seen.save(tmp_path / "one.json")
    every_pass(model, card).seen.save(tmp_path / "none.json")
    assert same(RangeWatch.load(tmp_path / "one.json"), monitor.seen)
    assert same(RangeWatch.load(tmp_path / "none.json").merge(monitor.seen), monitor.seen)


def test_bad_input_is_refused_and_no_hook_is_left(model, card):
    other = hybrid(seed=1)
    with pytest.raises(ShapeError, match="another model"):
        RangeMonitor(other, card)
    with pytest.raises(InputTypeError, match="make one with"):
        RangeMonitor(model, ki.trace(model, windows(), progress=False))
    for number in (0, 1.5, True):
        with pytest.raises(InputError, match="window"):
            RangeMonitor(model, card, window=number)
        with pytest.raises(InputError, match="every"):
            RangeMonitor(model, card, every=number)
    with pytest.raises(InputError, match="window="):
        RangeMonitor(model, card, callback=print)
    watch = RangeMonitor(model, card).seen
    with pytest.raises(ShapeError, match="another model"):
        watch.exits(RangeCard.of(ki.trace(other, windows(), progress=False)))
    with pytest.raises(ShapeError, match="different models"):
        watch.merge(RangeWatch(fingerprint="x", layers=watch.layers))
    assert not any(module._forward_pre_hooks for module in other.modules())
