"""Whether attributions find the time lags that planted sequences rest on, through trained backbones.

    python -m pytest tests/benchmarks/test_lags.py -q -s -p no:xdist

T01: y follows u0 at lag 1 (or its copy u3), u1 at lag 3 and u2 at lag 7, among nine distractors. T04: y is a leaky sum
of u0, whose variance at lag l falls as .64^l. Seeds 0 to 9; rows explained are the last fifth, which training does not
see. Printed: in how many runs the lag of the largest magnitude is the planted one, by baseline, over all runs and over
those in which the verdict on the column is "keep" (no attribution finds what a model has not learnt); the slope of the
log profile over the slope planted; R2 of the model on the same rows.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.measure import ablate
from tests.benchmarks.problems import SEQUENCES
from tests.benchmarks.trained import in_time_order, r2, standardized, trained

SEEDS = range(10)
PLANTED = {0: 1, 3: 1, 1: 3, 2: 7}
LAGS = 12

pytestmark = pytest.mark.usefixtures("one_thread")


class Window(nn.Module):
    """A convolution over the whole window, and a KANHead on its eight channels."""

    def __init__(self, columns, length, seed):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv = nn.Conv1d(columns, 8, length)
        self.head = ki.KANHead(8, 1, generator=torch.Generator().manual_seed(seed))

    def forward(self, x):
        return self.head(self.conv(x.transpose(1, 2))[:, :, 0])


def explained(name, seed, *, window):
    problem = SEQUENCES[name](seed)
    train, test = in_time_order(problem.X)
    x, y = standardized(problem, slice(None), train)
    if window:
        model = Window(x.shape[2], x.shape[1], seed)
        ki.fit(model, (x[train], y[train]), epochs=60, seed=seed, progress=False)
    else:
        model = trained(x, y, train, seed)
    data = (x[test], y[test])
    found = ki.attribute(model, data, progress=False)
    return found, r2(model, *data), kept_by(model, data)


def kept_by(model, data):
    ablation, curve = ablate(model, data, progress=False)
    analysis = ki.analyze(ki.trace(model, data, progress=False), ablation=ablation, curve=curve)
    return {verdict.index for verdict in analysis.verdicts if verdict.survives == "keep"}


@pytest.mark.parametrize("window", [True, False], ids=["Conv1d", "LSTM"])
def test_planted_lags(window):
    hits, kept, fits, residual = [], [], [], []
    for seed in SEEDS:
        found, fit, keep = explained("T01", seed, window=window)
        places = found.magnitude[:, 0].argmax(1)  # (baselines, columns)
        hits.append([[places[b, column] == lag for column, lag in PLANTED.items()] for b in range(2)])
        kept.append([column in keep for column in PLANTED])
        fits.append(fit)
        residual.append(found.residual.max())
    rate, chosen = np.mean(hits, axis=0), np.array(kept)
    for b, baseline in enumerate(found.baselines):
        told = ", ".join(f"u{column} {rate[b, k]:.0%}" for k, column in enumerate(PLANTED))
        right = sum(hit[b][k] for hit, row in zip(hits, kept, strict=True) for k, keep in enumerate(row) if keep)
        print(f"\nT01, {'Conv1d' if window else 'LSTM'}, baseline {baseline}: lag right for {told}; ", end="")
        print(f"of those to keep {right} of {chosen.sum()} ({chosen.sum(0)} of {len(kept)} runs kept)", end="")
    print(f"; R2 {np.median(fits):.2f}, completeness residual at most {max(residual):.1e}")


def test_planted_decay():
    slopes, fits = [], []
    for seed in SEEDS:
        found, fit, _ = explained("T04", seed, window=False)
        profile = np.log(found.magnitude[:, 0, :LAGS, 0] ** 2)
        slopes.append([np.polyfit(np.arange(LAGS), each, 1)[0] / np.log(0.64) for each in profile])
        fits.append(fit)
    for b, baseline in enumerate(found.baselines):
        values = np.array(slopes)[:, b]
        print(
            f"\nT04, LSTM, baseline {baseline}: slope of the log profile over {LAGS} lags, planted = 1: "
            f"median {np.median(values):.3f}, from {values.min():.3f} to {values.max():.3f}",
            end="",
        )
    print(f"; R2 {np.median(fits):.2f}")
