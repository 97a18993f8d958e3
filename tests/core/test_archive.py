"""Saved nouns: what comes back is what went in, equal nouns are equal bytes, and hostile files only fail."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest

from kaninterp.analysis import BudgetRule
from kaninterp.core import (
    EdgeAblation,
    Estimate,
    FileFormatError,
    InputAblation,
    InputAttribution,
    PrunePlan,
    Trace,
)
from kaninterp.core import archive as files
from kaninterp.core.frozen import same
from tests.traces import random_inputs, random_net


@pytest.fixture
def trace():
    return random_net((3, 2, 2), 5, dead=0.3).trace(random_inputs(3))


def evidence(seed=0):
    rng = np.random.default_rng(seed)
    ablation = InputAblation(
        names=("a", "b"),
        loss="mse",
        rows=9,
        block=2,
        repeats=3,
        base=Estimate(value=1.0, low=0.5, high=1.5),
        change=rng.normal(size=2),
        low=rng.normal(size=2),
        high=rng.normal(size=2),
        p_value=rng.uniform(size=2),
        reads=np.array([True, False]),
        norms=np.array([1.0, np.nan]),
        node_shares=(rng.uniform(size=(3, 2)), rng.uniform(size=(1, 2))),
    )
    attribution = InputAttribution(
        names=("a", "b"),
        rows=9,
        baselines=("mean",),
        signed=rng.normal(size=(1, 1, 4, 2)),
        magnitude=rng.uniform(size=(1, 1, 4, 2)),
        residual=rng.uniform(size=(1, 1)),
        perturbation=rng.uniform(size=(1, 2)),
        node_lags=(rng.uniform(size=(3, 4, 2)),),
    )
    return ablation, attribution


def test_everything_saved_comes_back_bit_for_bit(trace, tmp_path):
    ablation, attribution = evidence()
    plan = BudgetRule()(trace)
    for noun in (trace, plan, ablation, attribution):
        noun.save(tmp_path / "noun.npz")
        back = type(noun).load(tmp_path / "noun.npz")
        assert same(noun, back)
        for field in fields(back):
            value = getattr(back, field.name)
            assert not isinstance(value, np.ndarray) or not value.flags.writeable


def test_equal_nouns_give_equal_bytes(trace):
    again = random_net((3, 2, 2), 5, dead=0.3).trace(random_inputs(3))
    assert files.dump_bytes(trace) == files.dump_bytes(again)


def test_another_noun_is_refused_by_name(trace, tmp_path):
    trace.save(tmp_path / "trace.npz")
    with pytest.raises(FileFormatError):
        PrunePlan.load(tmp_path / "trace.npz")
    files.save(Estimate(value=1.0, low=0.0, high=2.0), tmp_path / "e.npz")
    with pytest.raises(FileFormatError, match="holds a Estimate"):
        files.load(tmp_path / "e.npz", Trace, (Estimate,))


def test_every_damaged_byte_fails_cleanly_or_changes_nothing(trace, tmp_path):
    content = files.dump_bytes(trace)
    path = tmp_path / "damaged.npz"
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(content), 150):
        broken = bytearray(content)
        broken[at] ^= 0xFF
        path.write_bytes(broken)
        with contextlib.suppress(FileFormatError):
            assert isinstance(Trace.load(path), Trace)  # a byte nobody reads
    for length in (0, 1, 50, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError):
            Trace.load(path)


class Bomb:
    """Would write a file if it were ever unpickled."""

    def __reduce__(self):
        return (open, ("pwned", "w"))


def archived(members: dict[str, object], path, allow_pickle=False):
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in members.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=allow_pickle)
            archive.writestr(f"{name}.npy", buffer.getvalue())


def header(noun, **changes):
    skeleton = {"format": files.FORMAT, "version": files.VERSION, "noun": noun} | changes
    return np.frombuffer(json.dumps(skeleton).encode(), dtype=np.uint8)


def nested(depth):
    text = '{"tuple": [' * depth + "]}" * depth
    return np.frombuffer(
        f'{{"format": "{files.FORMAT}", "version": {files.VERSION}, "noun": {text}}}'.encode(), dtype=np.uint8
    )


HOSTILE = {
    "class that was not offered": {"header": header({"noun": "PosixPath", "fields": {}})},
    "field that does not exist": {"header": header({"noun": "Estimate", "fields": {"evil": {"value": 1}}})},
    "missing fields": {"header": header({"noun": "Estimate", "fields": {}})},
    "text for a number": {
        "header": header({"noun": "Estimate", "fields": {k: {"value": "1"} for k in ("value", "low", "high")}})
    },
    "not a noun": {"header": header({"value": 3})},
    "a list": {"header": header([1, 2])},
    "no header": {"x": np.zeros(1)},
    "header that is no json": {"header": np.frombuffer(b"{", dtype=np.uint8)},
    "another version": {"header": header({}, version=99)},
    "another format": {"header": header({}, format="zip")},
    "missing array": {"header": header({"array": "a0"})},
    "endless nesting": {"header": nested(100_000)},
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_can_do_no_more_than_fail(members, tmp_path):
    archived(members, tmp_path / "x.npz")
    with pytest.raises(FileFormatError):
        files.load(tmp_path / "x.npz", Estimate, ())


def test_a_pickle_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = np.array([Bomb()], dtype=object)
    archived({"header": evil}, tmp_path / "x.npz", allow_pickle=True)
    with pytest.raises(FileFormatError):
        files.load(tmp_path / "x.npz", Estimate, ())
    np.save(tmp_path / "y.npy", evil, allow_pickle=True)
    with pytest.raises(FileFormatError):
        files.load(tmp_path / "y.npy", Estimate, ())
    assert not (tmp_path / "pwned").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, trace):
    monkeypatch.setattr(files, "MAX_BYTES", 100_000)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.npy", b"\0" * 1_000_000)
    assert (tmp_path / "x.npz").stat().st_size < 100_000
    with pytest.raises(FileFormatError, match="unpacks"):
        Trace.load(tmp_path / "x.npz")


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Trace.load(tmp_path / "nowhere.npz")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, trace):
    path = tmp_path / "trace.npz"
    trace.save(path)
    old = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        replace(trace, data="other").save(path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_noun_is_refused():
    @dataclass(frozen=True)
    class Odd:
        values: object

    with pytest.raises(TypeError, match="dict"):
        files.dump_bytes(Odd(values={}))


def test_edge_ablation_keeps_its_gaps():
    ablation = EdgeAblation(loss="mse", rows=3, base=1.0, change=(np.array([[0.1, np.nan]]),))
    assert np.isnan(ablation.change[0][0, 1])
