"""Probes with chosen or random numbers, made to fit a trace."""

from __future__ import annotations

import numpy as np

from kaninterp.core import Trace
from kaninterp.core.probe import Probe


def random_probe(trace: Trace, seed: int = 0, **fields) -> Probe:
    """Every kind measured, masked edges 0; ``fields`` replace any of it."""
    rng = np.random.default_rng(seed)
    alive = [layer.edges.alive for layer in trace.layers]
    widths = trace.card.widths[:-1]

    def edges(sign: bool = True):
        draws = [rng.normal(size=a.shape) * a for a in alive]
        return tuple(d if sign else d**2 for d in draws)

    taylor = edges()
    parts = {
        "loss": "mse",
        "rows": 100,
        "base": 1.0,
        "fingerprint": trace.card.fingerprint,
        "means": tuple(layer.edges.mean * a for layer, a in zip(trace.layers, alive, strict=True)),
        "gradient": tuple(rng.uniform(size=(trace.card.widths[-1], *a.shape)) * a for a in alive),
        "taylor": taylor,
        "fisher": edges(sign=False),
        "ablation": edges(),
        "ablation_error": edges(sign=False),
        "shapley": tuple(rng.normal(size=n) for n in widths),
        "shapley_error": tuple(rng.uniform(size=n) for n in widths),
        "node_taylor": tuple(t.sum(0) for t in taylor),
    }
    return Probe(**{**parts, **fields})
