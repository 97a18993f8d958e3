"""The pruning study on 8 x 8 digits, in seconds: every curve is there, dead pixels go, and chance does worst."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits

import kaninterp as ki

pytest.importorskip("matplotlib")

SCRIPT = Path(__file__).resolve().parents[2] / "case_studies" / "mnist_pruning.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("mnist_pruning", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def digits(script):
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    parts = [(x[rows], y[rows]) for rows in (slice(0, 1000), slice(1000, 1400), slice(1400, None))]
    return script.Digits(*parts, constant=(images[:1400] == images[0]).all(0))


@pytest.fixture(scope="module")
def benches(script, digits):
    with torch.random.fork_rng():
        found = []
        for name, model in script.models(side=8, nodes=16).items():
            ki.fit(model, digits.train, validation=None, epochs=25, seed=0, domain_updates=0.0, progress=False)
            found.append(script.Bench(name, model, digits))
        return found


@pytest.fixture(scope="module")
def points(script, benches):
    found = [point for bench in benches for point in script.one_shot_curves(bench, levels=(0.5, 0.7, 0.8), rows=200)]
    return pd.DataFrame(found)


def test_the_networks_have_learnt_something_to_lose(script, benches, digits):
    assert all(script.accuracy(bench.model, digits.test) > 0.8 for bench in benches)


def test_every_rule_has_a_point_at_every_level(script, points):
    for (_, panel), part in points.groupby(["network", "panel"]):
        rules = script.EDGES if panel == "edges" else script.INPUTS
        counts = part[part.rule != "random"].groupby("rule")["level"].nunique()
        assert set(counts.index) == set(rules)
        assert (counts == 3).all()
        if panel == "edges":
            assert (part.removed >= part.level - 0.01).all()  # closure only takes more


def test_constant_pixels_never_survive_an_informed_rule(digits, points):
    assert digits.constant.sum() == 3
    informed = points[(points.network == "KAN") & (points.rule != "random")]
    assert (informed.constant_pixels == 0).all()
    chance = points[(points.network == "KAN") & (points.rule == "random") & (points.level == 0.5)]
    assert chance.constant_pixels.max() > 0  # the control does not know


@pytest.mark.parametrize("level", [0.7, 0.8])
def test_informed_rules_beat_chance_on_average(points, level):
    part = points[(points.panel == "edges") & (points.level == level)]
    for _, of_network in part.groupby("network"):
        chance = of_network[of_network.rule == "random"].accuracy.mean()
        informed = of_network[of_network.rule != "random"].groupby("rule").accuracy.mean()
        assert informed.mean() > chance + 0.2
        assert (informed > chance).all()


def test_schedules_reach_their_sparsity_and_the_given_model_stays(script, benches):
    bench = benches[0]
    before = {name: value.clone() for name, value in bench.model.state_dict().items()}
    found = script.schedule_curves(bench, epochs=1, rounds=3, shares=(0.5, 0.6, 0.7))
    assert {point.rule.split(",")[0] for point in found} == set(script.WAYS)
    reached = max(point.removed for point in found if point.rule == "iterative, kan2")
    assert reached > 1 - 0.45**3 - 0.01
    for name, value in bench.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_compact_models_cost_less(script, benches):
    table = script.savings(benches[0], some=(0.7,))
    for name in ("parameters", "multiply_adds", "bytes_on_disk"):
        assert (table[name].iloc[1:] < table[name].iloc[0]).all()


def test_the_figure_is_drawn(script, points, tmp_path):
    extra = points.iloc[:6].assign(
        panel="schedules", rule=[f"{way}, kan2" for way in script.WAYS] + ["iterative, random"]
    )
    script.draw(pd.concat([points, extra]), {"KAN": 0.9, "CNN + KANHead": 0.95}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 50_000


def test_missing_data_are_named_with_the_way_to_them(script, tmp_path, monkeypatch):
    monkeypatch.setenv("KANINTERP_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match=r"No train-images.*it should hold.*t10k-images"):
        script.digits()


def test_downloads_are_held_against_their_checksums(script, tmp_path, monkeypatch):
    content = gzip.compress(bytes([0, 0, 8, 1]) + np.array([3], ">u4").tobytes() + bytes([7, 8, 9]))
    monkeypatch.delenv("KANINTERP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(script, "FILES", {"labels.gz": hashlib.sha256(content).hexdigest()})
    asked = []

    def delivers(what):
        def download(url, output, _):
            asked.append(url)
            Path(output).write_bytes(what)

        return lambda *_, **__: download

    monkeypatch.setattr("pooch.core.choose_downloader", delivers(content[:-1]))
    with pytest.raises(SystemExit, match=r"(?s)could not be downloaded.*KANINTERP_DATA"):
        script.read("labels*.gz")
    monkeypatch.setattr("pooch.core.choose_downloader", delivers(content))
    assert script.read("labels*.gz").tolist() == script.read("labels*.gz").tolist() == [7, 8, 9]
    assert asked == [script.SOURCE + "labels.gz"] * 2  # once in vain, once for good


def test_images_in_parts_are_joined_in_order(script, tmp_path, monkeypatch):
    monkeypatch.setenv("KANINTERP_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()

    for number in (1, 2):
        header = bytes([0, 0, 8, 3]) + np.array([2, 3, 3], ">u4").tobytes()
        body = np.full((2, 3, 3), number, np.uint8).tobytes()
        (tmp_path / "mnist" / f"images-part{number}.gz").write_bytes(gzip.compress(header + body))
    joined = script.read("images-*.gz")
    assert joined.shape == (4, 3, 3)
    assert joined[:, 0, 0].tolist() == [1, 1, 2, 2]
