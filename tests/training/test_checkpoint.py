"""Killed at any moment, a run goes on as if nothing had happened."""

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from kaninterp.core.errors import FileFormatError, InputError, StateError
from kaninterp.nn.head import KANHead
from kaninterp.training import Sparsity, fit
from kaninterp.training.checkpoint import Checkpoint
from kaninterp.training.tree import packed, unpacked

RNG = np.random.default_rng(2)
X = RNG.normal(size=(300, 4)).astype(np.float32)
Y = (X[:, 0] * 2 + 0.1 * RNG.normal(size=300)).astype(np.float32)
OPTIONS = {"epochs": 12, "seed": 3, "progress": False, "lr": 0.01, "patience": 50}


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.3), nn.Tanh(), KANHead(6, 1, grid=3))


class KilledError(Exception):
    pass


def dying(after):
    """A loss that ends the run in the middle of an epoch."""
    calls = []

    def loss(output, target):
        calls.append(0)
        if len(calls) > after:
            raise KilledError
        return (output.flatten() - target.flatten()) ** 2

    loss.__name__ = "squares"
    return loss


def same(a, b):
    return all(torch.equal(a.state_dict()[key], b.state_dict()[key]) for key in a.state_dict())


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("sparsity", [None, Sparsity()])
@pytest.mark.parametrize("after", [3, 70, 130])
def test_resumed_is_bit_identical(tmp_path, optimizer, sparsity, after):
    options = {**OPTIONS, "optimizer": optimizer, "sparsity": sparsity, "batch_size": 16, "lbfgs_steps": 4}
    options["lr"] = 0.01 if optimizer == "adam" else 1.0
    whole = model()
    expected = fit(whole, (X, Y), loss=dying(10**9), **options)
    path = tmp_path / "run.safetensors"
    with pytest.raises(KilledError):
        fit(model(), (X, Y), loss=dying(after), checkpoint=path, **options)
    resumed = model()
    torch.manual_seed(99)  # where the caller's generators stand makes no difference
    result = fit(resumed, (X, Y), loss=dying(10**9), checkpoint=path, **options)
    assert same(whole, resumed)
    columns = [c for c in expected.history.columns if c != "seconds"]
    assert result.history[columns].equals(expected.history[columns])
    assert (result.best_epoch, result.best_loss) == (expected.best_epoch, expected.best_loss)
    assert os.listdir(tmp_path) == ["run.safetensors"]


@pytest.mark.parametrize("sparsity", [None, Sparsity(inputs=0.0)])
def test_resumed_is_bit_identical_where_every_rounding_counts(tmp_path, sparsity):
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    data = (x, torch.sin(2 * x[:, :1]) + x[:, 1:2] ** 2)
    options = {"epochs": 12, "optimizer": "lbfgs", "domain_updates": 0, "seed": 0, "progress": False}
    options["sparsity"] = sparsity

    def head():
        return KANHead(6, 1, hidden=(3,), generator=torch.Generator().manual_seed(1))

    def stop(row):
        if row["epoch"] == 5:
            raise KilledError

    whole, resumed, path = head(), head(), tmp_path / "run.safetensors"
    fit(whole, data, **options)
    with pytest.raises(KilledError):
        fit(head(), data, checkpoint=path, on_epoch=stop, **options)
    fit(resumed, data, checkpoint=path, **options)
    assert same(whole, resumed)


def test_tensors_are_read_where_new_ones_are_put(tmp_path):
    path, *_ = finished(tmp_path)
    state = Checkpoint(path, {})._read()[1]
    assert {value.data_ptr() % 64 for value in state.values() if value.numel()} == {0}


SCRIPT = """
import sys, time, numpy as np, torch
from torch import nn
from kaninterp.training import fit
torch.set_num_threads(1)
rng = np.random.default_rng(2)
X = rng.normal(size=(400, 4)).astype(np.float32)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.3), nn.Linear(6, 1))
slow = float(sys.argv[2])
def squares(output, target):
    time.sleep(slow)
    return (output.flatten() - target.flatten()) ** 2
fit(model, (X, X[:, 0]), loss=squares, epochs=6, batch_size=32, seed=1, progress=False, checkpoint=sys.argv[1])
torch.save(model.state_dict(), sys.argv[3])
"""


def test_killed_for_real(tmp_path):
    path, script = tmp_path / "run.safetensors", tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))

    def command(name, slow, out):
        return [sys.executable, str(script), str(tmp_path / name), str(slow), str(tmp_path / out)]

    subprocess.run(command("whole.safetensors", 0, "whole.pt"), check=True)
    victim = subprocess.Popen(command("run.safetensors", 0.01, "never.pt"))
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)  # into the next epoch
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert not (tmp_path / "never.pt").exists()
    subprocess.run(command("run.safetensors", 0, "resumed.pt"), check=True)
    whole, resumed = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "resumed.pt"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def finished(tmp_path, **options):
    path = tmp_path / "run.safetensors"
    trained = model()
    result = fit(trained, (X, Y), checkpoint=path, **{**OPTIONS, "epochs": 3, **options})
    return path, trained, result


def test_a_finished_run_is_only_read(tmp_path):
    path, trained, result = finished(tmp_path)
    before = path.read_bytes()
    again = model()
    repeated = fit(again, (X, Y), checkpoint=path, **{**OPTIONS, "epochs": 3})
    assert same(trained, again)
    assert repeated.history.equals(result.history)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 4}, "options epochs is 3 in the file and 4 now"),
        ({"lr": 0.5}, "options lr"),
        ({"sparsity": Sparsity()}, "options sparsity"),
        ({"seed": 4}, "options seed"),
        ({"loss": "mae"}, "loss is null"),
        ({"data": (X[:200], Y[:200])}, "training rows"),
        ({"data": (X + 1, Y)}, "data content"),
        ({"model": "wider"}, "model 0.weight"),
    ],
)
def test_another_run_is_refused(tmp_path, change, message):
    path, *_ = finished(tmp_path)
    data, name = change.pop("data", (X, Y)), change.pop("model", None)
    fresh = model() if name is None else nn.Sequential(nn.Linear(4, 7), nn.Linear(7, 1))
    before = [value.clone() for value in fresh.state_dict().values()]
    with pytest.raises(StateError, match="belongs to another run") as caught:
        fit(fresh, data, checkpoint=path, **{**OPTIONS, "epochs": 3, **change})
    assert message in str(caught.value)
    assert all(torch.equal(a, b) for a, b in zip(before, fresh.state_dict().values(), strict=True))
    fit(fresh, data, checkpoint=path, resume=False, **{**OPTIONS, "epochs": 3, **change})


def rewritten(path, tensors=None, **metadata):
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        old = file.metadata()
    save_file(load_file(path) if tensors is None else tensors, path, {**old, **metadata})


def damages(path):
    whole = path.read_bytes()
    cut = {"empty": b"", "half": whole[: len(whole) // 2], "noise": os.urandom(2000), "text": b"hello"}
    cut["pickle"] = pickle.dumps({"model": 1})
    for name, content in cut.items():
        path.write_bytes(content)
        yield name
    for name, metadata in {
        "foreign": {"format": "other"},
        "future": {"version": "99"},
        "no JSON": {"structure": "{"},
        "no state": {"structure": "3"},
        "deep": {"structure": "[" * 100_000 + "]" * 100_000},
        "missing tensor": {"structure": json.dumps(["dict", [["model", ["tensor", "nope"]]]])},
        "bad node": {"structure": json.dumps(["exec", "print()"])},
        "incomplete": {"structure": json.dumps(["dict", [["epoch", 1]]])},
        "no fingerprint": {"fingerprint": "[]"},
    }.items():
        path.write_bytes(whole)
        rewritten(path, **metadata)
        yield name
    path.write_bytes(whole)
    rewritten(path, {key: torch.zeros(2) for key in load_file(path)})
    yield "other tensors"


def test_damaged_and_hostile_files_are_refused(tmp_path):
    path, *_ = finished(tmp_path)
    count = 0
    for name in damages(path):
        fresh = model()
        before, state = [v.clone() for v in fresh.state_dict().values()], torch.get_rng_state()
        with pytest.raises(FileFormatError):
            fit(fresh, (X, Y), checkpoint=path, **{**OPTIONS, "epochs": 3})
        assert all(torch.equal(a, b) for a, b in zip(before, fresh.state_dict().values(), strict=True)), name
        assert torch.equal(state, torch.get_rng_state()), name
        count += 1
    assert count == 15


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match="existing folder"):
        fit(model(), (X, Y), checkpoint=tmp_path, **OPTIONS)


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
    | st.lists(st.integers(-5, 5), max_size=3).map(torch.tensor),
    lambda children: st.lists(children, max_size=3) | st.lists(children, max_size=3).map(tuple)
    | st.dictionaries(st.text() | st.integers(), children, max_size=3),
    max_leaves=10,
)  # fmt: skip


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


@given(trees)
def test_trees_survive_json(tree):
    structure, tensors = packed(tree)
    assert equal(unpacked(json.loads(json.dumps(structure)), tensors), tree)


@pytest.mark.parametrize("tree", [{"a": object()}, {(1, 2): 3}, [lambda: 0], {"x": {1, 2}}])
def test_what_a_file_cannot_hold_is_named(tree):
    with pytest.raises(StateError, match="state"):
        packed(tree)
