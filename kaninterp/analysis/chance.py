"""Random numbers that stay with an edge or node: the control every comparison of rules needs.

Each draw is a hash of the seed and the original numbers of the nodes, so relabelling, pruning in between and the
number of other edges change nothing: pruning at random in ten steps gives what pruning at once gives.
"""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from kaninterp.core.errors import InputError
from kaninterp.core.frozen import Array
from kaninterp.core.trace import Trace

__all__ = ["edge_draws", "node_draws"]

Words = NDArray[np.uint64]

STEP = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""Of SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014)."""

ORDER = np.uint64(0xD1342543DE82EF95)
"""Makes the order of keys count; a multiplier of Steele & Vigna, "Computationally easy, spectrally good multipliers
for congruential pseudorandom number generators" (2022)."""

EDGES, NODES = 1, 2
"""Keep the draws of edges and of nodes apart."""


def edge_draws(trace: Trace, seed: int) -> tuple[Array, ...]:
    """Uniform on [0, 1) for every edge, (dst, src) per layer; 0 for a masked edge."""
    start = _start(seed, EDGES)
    ids = [np.array(layer, dtype=np.uint64) for layer in trace.card.node_ids]
    layers = []
    for depth, (src, dst) in enumerate(pairwise(ids)):
        word = _mix(start, np.array(depth, dtype=np.uint64))
        draws = _uniform(_mix(_mix(word, dst[:, None]), src[None, :]))
        layers.append(np.where(trace.layers[depth].edges.alive, draws, 0.0))
    return tuple(layers)


def node_draws(trace: Trace, seed: int) -> tuple[Array, ...]:
    """Uniform on [0, 1) for every node of layers 0..L-1."""
    start = _start(seed, NODES)
    return tuple(
        _uniform(_mix(_mix(start, np.array(depth, dtype=np.uint64)), np.array(ids, dtype=np.uint64)))
        for depth, ids in enumerate(trace.card.node_ids[:-1])
    )


def _start(seed: int, kind: int) -> Words:
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**63:
        raise InputError(f"seed: expected a whole number >= 0, got {seed!r}")
    return _mix(np.array(seed, dtype=np.uint64), np.array(kind, dtype=np.uint64))


def _mix(word: Words, key: Words) -> Words:
    """One step of SplitMix64 from a word that a key was added to; wraps around by design."""
    with np.errstate(over="ignore"):
        z = np.asarray(word * ORDER + key + STEP)
        z = (z ^ (z >> np.uint64(30))) * FIRST
        z = (z ^ (z >> np.uint64(27))) * SECOND
        return np.asarray(z ^ (z >> np.uint64(31)))


def _uniform(words: Words) -> Array:
    return np.asarray((words >> np.uint64(11)).astype(np.float64) * 2.0**-53)
