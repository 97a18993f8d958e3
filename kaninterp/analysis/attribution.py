"""Scores of edges that follow from a trace: pure functions Trace -> one array per layer, and their sum over outputs.

They are listed in `kaninterp.analysis.scores`. No score has an absolute epsilon: what counts as zero is
held against the float32 resolution of the very numbers that were added up (`ROUNDING`).
"""

from __future__ import annotations

import numpy as np

from kaninterp.core.errors import InputError
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.trace import LayerTrace, Trace

from .bundle import LayerScores
from .over_domain import over_domain

__all__ = [
    "NORMS",
    "aggregate",
    "carried_back",
    "function_norm",
    "kan2",
    "live_std",
    "path_share",
    "remainders",
    "strength",
    "variance_share",
]

ROUNDING = 8 * float(np.finfo(np.float32).eps)
"""Spread relative to size below which a value is constant: models compute in float32, and a sum of ~8 basis
functions carries up to about one unit in the last place for each."""

EXACT = 2.0**-40
"""The same for float64 sums alone: over millions of rows the mean of equal numbers may differ from them so."""

NORMS = ("max", "l2", "sum")


def function_norm(trace: Trace) -> tuple[Array, ...]:
    """Root mean square of each centred edge function, uniform on its domain; shape (dst, src) per layer.

    The data play no part: this is the L2 norm the training penalty shrinks. Trapezoid rule on the traced curve,
    cut at the ends of the domain (the curve goes on into the fringe).
    """
    return tuple(_function_norm(layer) for layer in trace.layers)


def strength(trace: Trace) -> tuple[Array, ...]:
    """Standard deviation of each edge's output over the data, shape (dst, src) per layer; 0 if constant."""
    return tuple(_strength(layer) for layer in trace.layers)


def variance_share(trace: Trace) -> tuple[Array, ...]:
    """Cov(phi_ji, y_j) / Var(y_j), shape (dst, src) per layer.

    Sums to 1 over src (law 7), whatever the correlation of the sources; negative for an edge that cancels others;
    0 for a constant edge and for every edge of a constant node.
    """
    return tuple(
        # finer than `ROUNDING`, or a node whose own spread is near it would lose part of its sum
        np.where(
            _varies(layer, EXACT), _ratio(layer.edges.with_output, np.where(spread > 0, nodes.m2, 0.0)[:, None]), 0.0
        )
        for layer, nodes, spread in zip(trace.layers, trace.nodes[1:], live_std(trace), strict=True)
    )


def kan2(trace: Trace) -> tuple[Array, ...]:
    """KAN 2.0 edge score per output, shape (outputs, dst, src) per layer (Liu et al., arXiv 2408.10205).

    From the outputs back: A = identity; B = E A / N with E the strength of an edge and N the standard deviation of
    its node; A of the layer below = sum of B over dst. For independent inputs of an additive model this is the
    square root of the variance share. Unlike pykan's it is kept per output and has no absolute epsilon; a constant
    edge scores 0.
    """
    gains = tuple(
        _ratio(weights, spread[:, None]) for weights, spread in zip(strength(trace), live_std(trace), strict=True)
    )
    return carried_back(gains, len(trace.output_names))


def path_share(trace: Trace) -> tuple[Array, ...]:
    """Product of variance shares along all paths from an edge to an output, shape (outputs, dst, src) per layer.

    Sums to 1 over the edges of each layer, for every output that varies (see `remainders`).
    """
    return carried_back(variance_share(trace), len(trace.output_names))


def live_std(trace: Trace) -> tuple[Array, ...]:
    """Standard deviation of the target nodes of each layer, shape (dst,); 0 where it is only rounding noise.

    A node whose spread is below `ROUNDING` of the numbers it is the sum of (cancelling twins, a
    constant plus noise of the last digit) is constant for every purpose here.
    """
    return tuple(_live_std(layer, nodes.std) for layer, nodes in zip(trace.layers, trace.nodes[1:], strict=True))


def aggregate(values: Array, norm: str = "max") -> Array:
    """One number from the scores for several outputs (law 8).

    Parameters
    ----------
    values : ndarray, shape (outputs, ...)
        Scores per output.
    norm : {"max", "l2", "sum"}
        Over the absolute values. The default keeps what a single output needs, however many outputs there are. The
        mean is refused: it shrinks like 1 / outputs, so that a fixed threshold cuts every edge of a wide head.

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    InputError
        Another norm.

    Examples
    --------
    >>> aggregate(np.eye(100)[:, :2])
    array([1., 1.])
    """
    size = np.abs(values)
    if norm == "max":
        return np.asarray(size.max(0))
    if norm == "l2":
        return np.asarray(np.sqrt((size**2).sum(0)))
    if norm == "sum":
        return np.asarray(size.sum(0))
    raise InputError(f"aggregate: norm must be one of {NORMS}, got {norm!r} (the mean shrinks with every output added)")


def remainders(scores: tuple[LayerScores, ...]) -> tuple[Array, ...]:
    """What the path shares of each layer leave unexplained, shape (outputs,) per layer.

    0 up to rounding for an output that varies, 1 for a constant one (which has no variance to share). Any other
    value says that edges and nodes of the trace do not belong together.
    """
    return tuple(np.asarray(1.0 - layer.nodes_path.sum(1)) for layer in scores)


def _function_norm(layer: LayerTrace) -> Array:
    norms = [_rms(values, weights) for _, values, weights in over_domain(layer, layer.edges.curves)]
    return np.where(layer.edges.alive, np.stack(norms, axis=1), 0.0)


def _rms(values: Array, weights: Array) -> Array:
    """RMS of centred curves (dst, P), shape (dst,)."""
    rms = np.sqrt((values - (values @ weights)[:, None]) ** 2 @ weights)
    return np.where(rms > ROUNDING * np.abs(values).max(1), rms, 0.0)


def _strength(layer: LayerTrace) -> Array:
    return np.where(_varies(layer, ROUNDING), layer.edges.strength, 0.0)


def _varies(layer: LayerTrace, resolution: float) -> BoolArray:
    edges = layer.edges
    moves = edges.strength > resolution * np.abs(edges.mean)
    return np.asarray(moves & edges.alive & ~layer.inputs.constant[None, :])


def _live_std(layer: LayerTrace, spread: Array) -> Array:
    size = np.hypot(layer.edges.mean, layer.edges.strength).max(1, initial=0.0)
    return np.where(spread > ROUNDING * size, spread, 0.0)


def _ratio(above: Array, below: Array) -> Array:
    below = np.broadcast_to(below, above.shape)
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)


def carried_back(gains: tuple[Array, ...], outputs: int) -> tuple[Array, ...]:
    """Carry a gain per edge (dst, src) back from each output: (outputs, dst, src) per layer."""
    node = np.eye(outputs)
    layers = []
    for gain in reversed(gains):
        layers.append(node[:, :, None] * gain[None])
        node = layers[-1].sum(1)
    return tuple(reversed(layers))
