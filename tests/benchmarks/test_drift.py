"""How often a check raises an alarm without drift, how often it sees one, and what it says of real series.

    KANINTERP_DATA=... python -m pytest tests/benchmarks/test_drift.py -q -s -p no:xdist

A card of 1000 rows against n new ones, 40 columns; white noise and first-order autoregressions (phi = .95). Printed:
the share of columns named. Then Appliances Energy and ETTh1 in the order of time: the first three quarters are known,
the last one is new.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import kaninterp as ki
from tests.benchmarks.trained import r2

ROWS = (50, 200, 1000, 4000, 20_000, 50_000)
COLUMNS = 40


def series(rng, rows, phi):
    noise = rng.normal(size=(rows + 200, COLUMNS)) * (1 - phi**2) ** 0.5
    x = np.zeros_like(noise)
    for t in range(1, len(x)):
        x[t] = phi * x[t - 1] + noise[t]
    return x[200:]


def named(found):
    """Columns that a check names."""
    sure = [one for one in found.findings if one.section == "columns" and one.severity != "note"]
    return sum(int(one.claim.split()[0]) for one in sure)


@pytest.mark.parametrize("phi", [0.0, 0.95])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_alarms(phi, shift):
    model = ki.KANHead(COLUMNS, 1, domain=(-8, 8), generator=torch.Generator().manual_seed(0))
    print(f"\nphi {phi}, shifted by {shift} sd:", end=" ")
    for n in ROWS:
        rng, rounds = np.random.default_rng(n), 10 if n < 4000 else 3
        alarms = 0
        for _ in range(rounds):
            card = ki.range_card(model, series(rng, 1000, phi), progress=False)
            alarms += named(ki.check(model, series(rng, n, phi) + shift, card=card, progress=False))
        share = alarms / (COLUMNS * rounds)
        print(f"n = {n}: {share:.1%}", end="; ", flush=True)
        if not shift:
            assert share <= 0.01


def real(name):
    """Columns and target of a series in the order of time."""
    place = os.environ.get("KANINTERP_DATA")
    if not place:
        pytest.skip("KANINTERP_DATA is not set")
    folder = Path(place) / "timeseries"
    if name == "ETTh1":
        table, target = pd.read_csv(folder / "ETTh1.csv"), "OT"
    else:
        table, target = pd.read_csv(folder / "appliances_energydata_complete.csv.zip"), "Appliances"
    table = table.select_dtypes("number").drop(columns=["rv1", "rv2"], errors="ignore")
    return table.drop(columns=target), np.log(table[target]) if name != "ETTh1" else table[target]


@pytest.mark.parametrize("name", ["Appliances", "ETTh1"])
def test_real_series_in_the_order_of_time(name):
    x, y = real(name)
    known = int(0.75 * len(x))
    fit = int(0.8 * known)  # the known part in time order: to learn from, and to see what is lost without drift
    x, y = (x - x[:known].mean()) / x[:known].std(), (y - y[:known].mean()) / y[:known].std()
    inputs, target = torch.tensor(x.to_numpy()).float(), torch.tensor(y.to_numpy()).float()[:, None]
    model = ki.KANHead(x.shape[1], 1, (6,), generator=torch.Generator().manual_seed(0))
    ki.fit(model, (inputs[:fit], target[:fit]), epochs=30, seed=0, progress=False)
    card = ki.range_card(model, x[:known], progress=False)
    found = ki.check(model, x[known:], card=card, progress=False)
    scores = [r2(model, inputs[rows], target[rows]) for rows in (slice(fit), slice(fit, known), slice(known, None))]
    print(f"\n{name}: R2 {scores[0]:.3f} learnt, {scores[1]:.3f} next, {scores[2]:.3f} on the last quarter\n{found}")
    outside = ((x[known:] < x[:known].min()) | (x[known:] > x[:known].max())).any(axis=1).to_numpy().copy()
    parts = [r2(model, inputs[known:][rows], target[known:][rows]) for rows in (outside, ~outside) if rows.sum() > 50]
    print(
        f"rows with a column outside: {outside.mean():.1%}; R2 on them and on the others:", [f"{p:.3f}" for p in parts]
    )
