"""The probe noun: shapes are checked against each other, files come back bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kaninterp.core import PROBE_KINDS, DataError, FileFormatError, Probe, ShapeError, Trace
from kaninterp.core import archive as files


def probe(seed=0) -> Probe:
    rng = np.random.default_rng(seed)
    edges = [tuple(rng.normal(size=shape) for shape in ((2, 3), (1, 2))) for _ in range(5)]
    nodes = [tuple(rng.normal(size=width) for width in (3, 2)) for _ in range(3)]
    return Probe(
        loss="mse",
        rows=9,
        base=0.5,
        fingerprint="ab12",
        means=edges[0],
        gradient=tuple(values[None] ** 2 for values in edges[4]),
        taylor=edges[1],
        fisher=edges[2],
        ablation=edges[3],
        ablation_error=edges[4],
        shapley=nodes[0],
        shapley_error=nodes[1],
        node_taylor=nodes[2],
    )


@pytest.mark.parametrize("missing", [(), ("taylor", "node_taylor"), ("shapley", "shapley_error")])
def test_it_comes_back_bit_for_bit(tmp_path, missing):
    noun = replace(probe(), **dict.fromkeys(missing))
    noun.save(tmp_path / "probe.npz")
    back = Probe.load(tmp_path / "probe.npz")
    assert noun.equals(back)
    assert not noun.equals(probe(1))
    assert files.dump_bytes(noun) == files.dump_bytes(back)
    assert not back.means[0].flags.writeable


def test_it_says_what_it_holds():
    assert probe().kinds == PROBE_KINDS
    assert probe().widths == (3, 2, 1)
    assert replace(probe(), fisher=None).kinds == ("gradient", "taylor", "ablation", "shapley")
    assert repr(probe()) == "Probe(mse=0.5, widths=[3, 2, 1], rows=9, gradient, taylor, fisher, ablation, shapley)"


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("taylor", (np.zeros((2, 3)),), ShapeError),
        ("fisher", (np.zeros((3, 2)), np.zeros((1, 2))), ShapeError),
        ("shapley", (np.zeros(3), np.zeros(3)), ShapeError),
        ("ablation", (np.full((2, 3), np.nan), np.zeros((1, 2))), DataError),
        ("means", (np.zeros(3),), ShapeError),
    ],
)
def test_what_does_not_fit_is_refused(field, value, error):
    with pytest.raises(error, match=f"Probe.{field}"):
        replace(probe(), **{field: value})


def test_another_noun_is_refused(tmp_path):
    probe().save(tmp_path / "probe.npz")
    with pytest.raises(FileFormatError):
        Trace.load(tmp_path / "probe.npz")
