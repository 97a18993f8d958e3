"""Networks for planted problems, trained on the first rows in time and judged on the last."""

from __future__ import annotations

import numpy as np
import torch

import kaninterp as ki

HELD_OUT = 0.2
EPOCHS = {"table": 60, "sequence": 40}


def in_time_order(X):
    """Rows to train on, and the last ones, a window further on."""
    first = int(len(X) * (1 - HELD_OUT))
    gap = X.shape[1] if X.ndim == 3 else 0
    return slice(0, first - gap), slice(first, len(X))


def standardized(problem, inputs, train):
    """Columns and target in units of their spread on the training rows, as tensors."""
    X = problem.X[..., inputs]
    axes = tuple(range(X.ndim - 1))
    centre, scale = X[train].mean(axes), X[train].std(axes)
    x = torch.from_numpy((X - centre) / np.where(scale > 0, scale, 1.0)).float()
    y = torch.from_numpy((problem.y - problem.y[train].mean()) / problem.y[train].std()).float()[:, None]
    return x, y


def trained(x, y, train, seed):
    """A KAN for a table, an LSTM with 32 units and a KANHead for sequences."""
    kind = "sequence" if x.ndim == 3 else "table"
    source = torch.Generator().manual_seed(seed)
    if kind == "table":
        model = ki.KANHead(x.shape[-1], 1, (8,), generator=source)
    else:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            backbone = torch.nn.LSTM(x.shape[-1], 32, batch_first=True)
        model = ki.Hybrid(backbone, ki.KANHead(32, 1, generator=source))
    ki.fit(model, (x[train], y[train]), epochs=EPOCHS[kind], seed=seed, progress=False)
    return model


def r2(model, x, y):
    """Share of the variance explained."""
    with torch.no_grad():
        left = y - model.eval()(x)
    return 1 - float(left.square().mean() / y.var(unbiased=False))
