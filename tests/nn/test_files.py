"""Heads on disk: exact round trips, all-or-nothing writes, hostile files refused."""

import copy
import json
import os
import stat
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from kaninterp.core.errors import FileFormatError, InputError, InputTypeError, KanInterpError, NamesError
from kaninterp.nn.files import METADATA_KEY, load_head, save_head
from kaninterp.nn.head import KANHead
from kaninterp.nn.surgery import prune_head


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(**options):
    made = KANHead(4, 2, (3,), generator=torch.Generator().manual_seed(0), **options)
    made.train()(draw(50, 4) * 3)
    return made.eval()


def pruned():
    keep = [np.ones((3, 4), bool), np.ones((2, 3), bool)]
    keep[0][:, 1], keep[1][:, 0] = False, False
    return prune_head(trained(input_names=("a", "b", "c", "d")), keep)[0]


CASES = {
    "plain": trained,
    "options": lambda: trained(grid=7, order=2, uniform=False, outside="clamp", domain=(-1, 2)),
    "float64": lambda: trained().double(),
    "bfloat16": lambda: trained().bfloat16(),
    "pruned": pruned,
    "refined": lambda: pruned().refine(9),
}


@pytest.mark.parametrize("case", CASES)
def test_round_trip_is_exact(case, tmp_path):
    made = CASES[case]()
    save_head(made, tmp_path / "head.safetensors")
    state = torch.get_rng_state()
    again = load_head(tmp_path / "head.safetensors").eval()
    assert torch.equal(torch.get_rng_state(), state)
    assert again.config == made.config
    assert again.layers[0].weight.dtype == made.layers[0].weight.dtype
    for name, tensor in made.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    x = draw(20, 4, seed=1).to(made.layers[0].weight.dtype)
    assert torch.equal(again(x), made(x))
    before = again.layers[0].domain
    again.train()(x * 100)
    assert torch.equal(again.layers[0].domain, before)


def test_same_head_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_head(trained(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_names_travel(tmp_path):
    made = trained()
    path = str(tmp_path / "head.safetensors")
    save_head(made, path, input_names=["T °C", "wind", "x" * 300, "\n"], output_names=["y1", "y2"])
    again = load_head(path, device="cpu")
    assert again.input_names == ("T °C", "wind", "x" * 300, "\n")
    assert again.output_names == ("y1", "y2")
    assert made.input_names is None
    with pytest.raises(NamesError, match="4 different"):
        save_head(made, path, input_names=["a", "b"])
    made.input_names = ("a", "a", "b", "c")
    with pytest.raises(NamesError):
        save_head(made, path)
    assert load_head(path).input_names == again.input_names


def test_saving_changes_nothing_and_writes_only_the_path(tmp_path):
    made = trained()
    before = copy.deepcopy(made.state_dict())
    save_head(made, tmp_path / "head.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["head.safetensors"]
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())
    mode = stat.S_IMODE((tmp_path / "head.safetensors").stat().st_mode)
    (tmp_path / "plain").write_text("")
    assert mode == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_failed_write_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "head.safetensors"
    save_head(trained(), path)
    old = path.read_bytes()

    def full(_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_head(trained(grid=9), path)
    assert path.read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OSError, match="missing"):
        save_head(trained(), tmp_path / "missing" / "head.safetensors")


def test_only_heads_are_saved(tmp_path):
    with pytest.raises(InputTypeError, match="Linear"):
        save_head(nn.Linear(3, 1), tmp_path / "x")
    assert not list(tmp_path.iterdir())


# hostile files


def tampered(tmp_path, change, *, tensors=None):
    """A saved head with its structure and tensors changed."""
    path = tmp_path / "head.safetensors"
    save_head(trained(), path)
    content = {"format": 1, "kind": "KANHead", "config": trained().config}
    change(content)
    state = {**load_file(path), **(tensors or {})}
    save_file({k: v for k, v in state.items() if v is not None}, path, {METADATA_KEY: json.dumps(content)})
    return path


def set_config(**values):
    return lambda content: content["config"].update(values)


HOSTILE = {
    "newer": (lambda c: c.update(format=2), "update kaninterp"),
    "odd version": (lambda c: c.update(format="1"), "file format"),
    "other kind": (lambda c: c.update(kind="Pickle"), "does not hold a KANHead"),
    "no config": (lambda c: c.pop("config"), "structure"),
    "config list": (lambda c: c.update(config=[1]), "structure"),
    "extra key": (set_config(device="cuda"), "exactly"),
    "missing key": (lambda c: c["config"].pop("grid"), "exactly"),
    "huge width": (set_config(in_features=10**12), "widths"),
    "wide but not there": (set_config(in_features=2**24, hidden=[2**24]), "do not fit"),
    "many layers": (set_config(hidden=[1] * 5000), "widths"),
    "zero width": (set_config(hidden=[0]), "widths"),
    "bool width": (set_config(hidden=[True]), "widths"),
    "text width": (set_config(in_features="4"), "type str"),
    "huge grid": (set_config(grid=10**9), "grid"),
    "grid not there": (set_config(grid=100), "do not fit"),
    "order": (set_config(order=77), "not that of a KANHead"),
    "outside": (set_config(outside="__import__('os')"), "not that of a KANHead"),
    "noise": (set_config(noise=-1.0), "not that of a KANHead"),
    "domain": (set_config(domain=["a", "b"]), "domain"),
    "domain length": (set_config(domain=[0.0]), "domain"),
    "domain order": (set_config(domain=[1.0, 0.0]), "lo < hi"),
    "select": (set_config(select=[0, 9]), "not that of a KANHead"),
    "select types": (set_config(select=["a"]), "not that of a KANHead"),
    "ids": (set_config(node_ids=[[0]]), "not that of a KANHead"),
    "names": (set_config(input_names=["a"]), "not that of a KANHead"),
    "names types": (set_config(input_names=[1, 2, 3, 4]), "not that of a KANHead"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_contradictory_structures_are_refused(case, tmp_path):
    change, message = HOSTILE[case]
    with pytest.raises(FileFormatError, match=message):
        load_head(tampered(tmp_path, change))


def same(_):
    """Leave the structure alone."""


TENSORS = {
    "missing": ({"layers.0.bias": None}, "do not fit"),
    "extra": ({"evil": torch.zeros(1)}, "do not fit"),
    "shape": ({"layers.0.bias": torch.zeros(4)}, "do not fit"),
    "integers": ({"layers.0.weight": torch.zeros(3, 9, 4, dtype=torch.int32)}, "dtype"),
    "two dtypes": ({"layers.0.bias": torch.zeros(3, dtype=torch.float64)}, "dtype"),
    "knots back": ({"layers.0.knots": torch.zeros(4, 6)}, "not a valid knots"),
    "knots nan": ({"layers.0.knots": torch.full((4, 6), float("nan"))}, "not a valid knots"),
    "mask": ({"layers.0.mask": torch.full((3, 4), 0.5)}, "not a valid mask"),
    "flag": ({"layers.0.calibrated": torch.tensor(1.0)}, "not a valid calibrated"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_odd_tensors_are_refused(case, tmp_path):
    tensors, message = TENSORS[case]
    with pytest.raises(FileFormatError, match=message):
        load_head(tampered(tmp_path, same, tensors=tensors))


def test_files_that_are_no_heads_are_refused(tmp_path):
    path = tmp_path / "x"
    for data in (b"", b"hello", struct.pack("<Q", 2**60) + b"{}", os.urandom(100), b"\x80\x04." * 10):
        path.write_bytes(data)
        with pytest.raises(FileFormatError, match="safetensors"):
            load_head(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(FileFormatError, match="not written by kaninterp"):
        load_head(path)
    for text in ("{", "[" * 100_000, "null", '{"kind": "KANHead"}'):
        save_file({"a": torch.zeros(2)}, path, {METADATA_KEY: text})
        with pytest.raises(FileFormatError):
            load_head(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_head(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        load_head(tmp_path)


def test_every_cut_short_file_is_refused(tmp_path):
    path = tmp_path / "head.safetensors"
    save_head(trained(), path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            load_head(path)


def test_files_and_devices_that_are_not_there(tmp_path):
    made = KANHead(2, 1)
    for act in (
        lambda: save_head(made, tmp_path / "missing" / "head.safetensors"),
        lambda: load_head(tmp_path / "head.safetensors"),
        lambda: load_head(tmp_path),
    ):
        with pytest.raises(FileNotFoundError) as caught:
            act()
        assert isinstance(caught.value, KanInterpError)
    save_head(made, tmp_path / "head.safetensors")
    with pytest.raises(InputError, match="bogus"):
        load_head(tmp_path / "head.safetensors", device="bogus")
