"""The demo's promise, over five seeds: no noise column survives, and pruning costs at most .01 of R2."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "case_studies" / "nyc_weather.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("nyc_weather", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_parts_follow_each_other_without_overlap(script):
    table = script.weather(0)
    assert table.shape[1] == 28
    train, validation, test, now = script.parts(table)
    for earlier, later in ((train, validation), (validation, test)):
        hours = (later.times[0] - earlier.times[-1]).astype("timedelta64[h]").astype(int)
        assert hours >= script.HOURS  # no window of the later part looks into the earlier one
    assert script.r2(None, test, now) == pytest.approx(0.7825, abs=1e-4)  # persistence
    assert len(train.X) > 5000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_no_noise_survives_and_nothing_is_lost(script, seed):
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        result = script.study(seed)
    assert result.noise_dropped == 4
    assert result.r2["LSTM + KANHead, pruned"] > result.r2["LSTM + Linear, all inputs"] - 0.01
    assert result.r2["LSTM + KANHead, pruned"] > result.r2["LSTM + KANHead, before pruning"] - 0.01
