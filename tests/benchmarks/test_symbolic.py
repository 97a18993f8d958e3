"""Formulas for one edge: `suggest` against pykan's ``suggest_symbolic`` on the very same curve, and the R^2 of both.

``make bench`` prints the ratio of processor times on one thread (pykan needs all rows, `suggest` the trace) and R^2 per
family on the rows.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
import torch

from kaninterp.analysis import suggest
from tests.benchmarks.conftest import interleaved
from tests.traces import Net

ROWS = {"sin(pi x)": 4000}
"""Rows, 1000 if not said: pykan's work grows with them."""
EDGES = {
    "sin(pi x)": lambda x: torch.sin(torch.pi * x),
    "exp(x)": torch.exp,
    "x^2": lambda x: x**2,
    "tanh(3 x - 1)": lambda x: torch.tanh(3 * x - 1),
    "J0(20 x)": lambda x: torch.special.bessel_j0(20 * x),
}
FAMILIES = ["x", "x^2", "x^3", "x^4", "1/x", "sqrt", "exp", "log", "abs", "sin", "tanh", "arctan", "gaussian"]
"""Families whose R^2 is compared one by one; both libraries have them."""


def trained(function, grid, rows):
    """A pykan edge trained on a function, and the rows."""
    kan = pytest.importorskip("kan", reason="compares with pykan")
    x = torch.linspace(-1, 1, rows)[:, None]
    data = {"train_input": x, "train_label": function(x), "test_input": x, "test_label": function(x)}
    model = kan.KAN(width=[1, 1], grid=grid, k=3, seed=0, auto_save=False)
    model.fit(data, opt="LBFGS", steps=30, update_grid=True, log=100)
    model(x)
    return model, x


def edge_of(model):
    def edge(values):
        at = torch.as_tensor(np.asarray(values), dtype=torch.float32)[:, None]
        with torch.no_grad():
            return model(at)[:, 0].double().numpy()

    return edge


def squared_correlation(one, two):
    return float(np.corrcoef(one, two)[0, 1] ** 2) if np.ptp(one) > 0 else 0.0


@pytest.mark.parametrize("name", EDGES)
def test_one_edge(name, one_thread, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pykan's own
        model, x = trained(EDGES[name], 40 if name.startswith("J0") else 10, ROWS.get(name, 1000))
        edge = edge_of(model)
        rows = x.double().numpy()
        trace = Net.of([[[edge]]]).trace(rows)
        jobs = {
            "suggest": lambda: suggest(trace, 0, 0, 0),
            "pykan": lambda: model.suggest_symbolic(0, 0, 0, verbose=False),
        }
        times = interleaved(jobs, unit="suggest", rounds=5, budget=1.0, clock=time.process_time)
        chosen, _, pykan_r2, _ = model.suggest_symbolic(0, 0, 0, verbose=False)
        model(x)
        theirs = {}
        for family in FAMILIES:
            theirs[family] = float(model.fix_symbolic(0, 0, 0, family, verbose=False, log_history=False))
            model.unfix_symbolic(0, 0, 0, log_history=False)
    y = edge(rows[:, 0])
    best = suggest(trace, 0, 0, 0)[0]
    r2 = squared_correlation(best.formula(rows[:, 0]), y)
    worse = {}
    for family, least in theirs.items():
        [fit] = suggest(trace, 0, 0, 0, families=[family], least_r2=min(max(least - 0.002, 0.0), 1.0))
        ours = squared_correlation(fit.formula(rows[:, 0]), y)
        if ours < least - 1e-3:
            worse[family] = round(ours, 4), round(least, 4)
    with capsys.disabled():
        print(
            f"\n{name}, {len(x)} rows: pykan/suggest {times['pykan'][0]:.0f}x ({times['pykan'][1]:.2f} s, "
            f"{1e3 * times['suggest'][1]:.0f} ms); chosen {best.name} R2 {r2:.5f}, "
            f"pykan {chosen} R2 {pykan_r2:.5f}; families where pykan's R2 is higher by .001: {worse or 'none'}"
        )
    assert r2 > 0.99
