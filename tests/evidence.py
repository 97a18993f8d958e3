"""Evidence on raw inputs with chosen numbers, and analyses made of it."""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np

from kaninterp.core import Estimate, InputAblation, InputAttribution, SurvivalCurve
from tests.traces import Net, random_net

Z95 = 1.959964


def ablation(
    change, *, error=0.01, names=None, reads=None, norms=None, base=1.0, loss="mse", rows=2000, shares=()
) -> InputAblation:
    """Rises of the loss with a common (or given) standard error; p-values are those of the normal law."""
    change = np.asarray(change, dtype=float)
    n = len(change)
    error = np.broadcast_to(np.asarray(error, dtype=float), (n,))
    reads = np.ones(n, bool) if reads is None else np.asarray(reads)
    p = [max(0.5 * erfc(c / e / sqrt(2)), 1e-4) for c, e in zip(change, error, strict=True)]
    return InputAblation(
        names=tuple(names or (f"x{i}" for i in range(n))),
        loss=loss,
        rows=rows,
        block=1,
        repeats=2,
        base=Estimate(value=base, low=base - 0.02, high=base + 0.02),
        change=np.where(reads, change, 0.0),
        low=np.where(reads, change - Z95 * error, 0.0),
        high=np.where(reads, change + Z95 * error, 0.0),
        p_value=np.where(reads, p, 1.0),
        reads=reads,
        norms=np.ones(n) if norms is None else np.asarray(norms, dtype=float),
        node_shares=shares,
    )


def curve(change, chosen, base=1.0) -> SurvivalCurve:
    """Loss falls by each rise in turn."""
    change = np.asarray(change, dtype=float)
    order = np.argsort(-change, kind="stable")
    loss = base + np.concatenate([np.cumsum(change[order][::-1])[::-1], [0.0]])
    return SurvivalCurve(order=order, loss=loss, low=loss - 0.02, high=loss + 0.02, chosen=chosen)


def hybrid(columns=4, units=3, rows=400, seed=0, raw=None, names=None):
    """Trace of a two-layer head on units that mix raw columns."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(rows, columns)) if raw is None else raw
    mix = rng.normal(size=(raw.shape[1], units)) * (raw.std(0) > 0)[:, None]
    net = random_net((units, 2, 1), seed)
    return net.trace(np.tanh(raw @ mix), raw=raw, raw_names=names, lags=6)


def attribution(names, units, lags=6, residual=0.01, seed=0) -> InputAttribution:
    """Effects that fade with the lag; lag 2 of column 0 stands out."""
    rng = np.random.default_rng(seed)
    profile = 0.5 ** np.arange(lags)[:, None] * rng.uniform(0.5, 1, (lags, len(names)))
    profile[2, 0] = 3.0
    nodes = tuple(np.tile(profile, (n, 1, 1)) for n in (units, 2, 1))
    return InputAttribution(
        names=tuple(names),
        rows=100,
        baselines=("mean", "zero"),
        signed=np.tile(profile, (2, 1, 1, 1)),
        magnitude=np.tile(profile, (2, 1, 1, 1)),
        residual=np.array([[0.001], [residual]]),
        perturbation=np.ones((1, len(names))),
        node_lags=nodes,
    )


def ladder() -> Net:
    """x0^2 + .3 x1 + .1 x2^3 + 0 x3, pykan's fourth tutorial."""
    return Net.of([[[lambda x: x**2, lambda x: 0.3 * x, lambda x: 0.1 * x**3, lambda x: 0 * x]]])
