"""How large a head is once a mask has been carried out and the rest cut away: counted, without building it.

A compact layer from s nodes to d nodes holds ``d s w`` weights and d biases, w weights per edge: ``grid + order``
spline coefficients and a base weight for a `KANHead`. Its matrix product takes one multiplication with an addition
per weight and row. Evaluating the basis of each node costs a further ``O(s w)`` per row, which shrinks along with the
nodes and is not counted; `kaninterp.pruning.measure_efficiency` counts a whole model in the same way, by running it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from kaninterp.core.errors import InputError, ShapeError
from kaninterp.core.mask import EdgeMask
from kaninterp.core.trace import Trace

__all__ = ["compact_widths", "multiply_adds", "parameters", "weights_per_edge"]


def compact_widths(mask: EdgeMask) -> tuple[int, ...]:
    """Nodes per layer of the compact head: those on a path from an input to an output, and every output.

    Where nothing is left a layer keeps one silent node, as `kaninterp.nn.prune_head` does.

    Examples
    --------
    >>> compact_widths(EdgeMask.full((3, 2, 1)).without_edges([(1, 0, 1), (0, 0, 2)]))
    (2, 1, 1)
    """
    closed = mask.closed()
    read = (int(np.count_nonzero(layer.any(0))) for layer in closed.layers)
    return (*(max(count, 1) for count in read), mask.widths[-1])


def parameters(mask: EdgeMask, source: Trace | Sequence[int]) -> int:
    """Trainable numbers of the compact head.

    Parameters
    ----------
    mask : EdgeMask
        Kept edges; closed or not.
    source : Trace or sequence of int
        A trace of the `KANHead`; or, for a head of another family, weights per edge of each layer.

    Raises
    ------
    InputError
        A trace of a head whose weights per edge are not known.
    ShapeError
        A mask for other widths, or another number of layers.

    Examples
    --------
    >>> parameters(EdgeMask.full((3, 2, 1)), (9, 9))  # (6 + 2) edges of 9 weights, 3 biases
    75
    """
    return multiply_adds(mask, source) + sum(compact_widths(mask)[1:])


def multiply_adds(mask: EdgeMask, source: Trace | Sequence[int]) -> int:
    """Multiplications with an addition in the matrix products of the compact head, for one row.

    Parameters and errors are those of `parameters`.

    Examples
    --------
    >>> multiply_adds(EdgeMask.full((3, 2, 1)), (9, 9))
    72
    """
    weights = _checked(mask, source)
    return sum(dst * src * w for (src, dst), w in zip(pairwise(compact_widths(mask)), weights, strict=True))


def weights_per_edge(trace: Trace) -> tuple[int, ...]:
    """Weights of an edge of each layer of a traced `KANHead`: spline coefficients and the base weight.

    Raises
    ------
    InputError
        The head is of another family.
    """
    if trace.card.head != "KANHead":
        raise InputError(
            f"the weights per edge of a {trace.card.head} are not known, only those of a KANHead; "
            "give their number for each layer instead of the trace"
        )
    return tuple(layer.ranges.knots.shape[1] - 1 + layer.ranges.order + 1 for layer in trace.layers)


def _checked(mask: EdgeMask, source: Trace | Sequence[int]) -> tuple[int, ...]:
    if isinstance(source, Trace):
        if mask.widths != source.card.widths:
            raise ShapeError(f"the mask is for widths {mask.widths}, the traced head has {source.card.widths}")
        return weights_per_edge(source)
    weights = tuple(source)
    if len(weights) != len(mask.layers):
        raise ShapeError(f"the mask has {len(mask.layers)} layers, got weights per edge of {len(weights)}")
    return weights
