"""How an input of the KAN reaches an output: path by path, in shares of the output's variance that sum to 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaninterp.core.errors import InputError
from kaninterp.core.frozen import Array
from kaninterp.core.trace import Trace

from .attribution import carried_back, variance_share
from .wording import number

__all__ = ["Flow", "Path", "flow", "flows"]

MOST = 5
"""Paths listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One way through the KAN.

    Attributes
    ----------
    nodes : tuple of int
        Index of the node in every layer, from the input to the output.
    names : tuple of str
        Their names.
    share : float
        Product of the variance shares of its edges; below 0 it works against the others.
    """

    nodes: tuple[int, ...]
    names: tuple[str, ...]
    share: float

    def __str__(self) -> str:
        return f"{' → '.join(self.names)}: {number(self.share)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What reaches an output from one input of the KAN.

    Attributes
    ----------
    input, output : str
        Names.
    paths : tuple of Path
        The largest ones, whatever their sign.
    rest : float
        Share of all other paths together.
    total : float
        Sum over all paths. Over all inputs of an output that varies these sum to 1; see `flows`.
    gross : float
        Sum of the absolute shares.
    """

    input: str
    output: str
    paths: tuple[Path, ...]
    rest: float
    total: float
    gross: float

    @property
    def cancelled(self) -> float:
        """What its own paths undo of one another, in shares of the output's variance: 0 if all work one way."""
        return self.gross - abs(self.total)


def flow(trace: Trace, source: int | str, output: int | str = 0, *, most: int = MOST) -> Flow:
    """Follow one input of the KAN to an output.

    Parameters
    ----------
    trace : Trace
    source, output : int or str
        Input of the KAN and output, by index or name.
    most : int
        Paths listed, at most.

    Returns
    -------
    Flow

    Raises
    ------
    InputError
        No such input or output, or ``most`` below 1.
    """
    if most < 1:
        raise InputError(f"most={most}; allowed: at least 1 path")
    names = [trace.node_name(0, i) for i in range(trace.card.widths[0])]
    start, end = _index(source, names, "input"), _index(output, list(trace.output_names), "output")
    shares = variance_share(trace)
    total = _from_inputs(shares)[end, start]
    paths = tuple(_path(trace, nodes, share) for nodes, share in _largest(shares, start, end, most))
    return Flow(
        input=names[start],
        output=trace.output_names[end],
        paths=paths,
        rest=float(total - sum(path.share for path in paths)),
        total=float(total),
        gross=float(_from_inputs(tuple(np.abs(share) for share in shares))[end, start]),
    )


def flows(trace: Trace) -> tuple[Array, Array]:
    """Total flow of every input to every output, and what it leaves unexplained.

    Returns
    -------
    total : ndarray, shape (outputs, inputs)
        Sum over all paths.
    remainder : ndarray, shape (outputs,)
        1 minus their sum: 0 up to rounding for an output that varies and whose hidden nodes do (law 7). What flows
        through a hidden node that is constant although its edges are not (they cancel exactly) has no shares: it is
        0 on both sides.
    """
    total = _from_inputs(variance_share(trace))
    return total, np.asarray(1.0 - total.sum(1))


def _from_inputs(shares: tuple[Array, ...]) -> Array:
    """Sum over all paths, (outputs, inputs)."""
    return np.asarray(carried_back(shares, len(shares[-1]))[0].sum(1))


def _largest(shares: tuple[Array, ...], start: int, end: int, most: int) -> list[tuple[tuple[int, ...], float]]:
    """The largest paths by |share|: the best ``most`` ways to each node, layer by layer, contain them."""
    ways: dict[int, list[tuple[tuple[int, ...], float]]] = {start: [((start,), 1.0)]}
    for share in shares:
        reached: dict[int, list[tuple[tuple[int, ...], float]]] = {}
        for dst in range(share.shape[0]):
            every = [((*nodes, dst), so_far * share[dst, src]) for src, some in ways.items() for nodes, so_far in some]
            alive = [way for way in every if way[1] != 0]
            if alive:
                reached[dst] = sorted(alive, key=lambda way: (-abs(way[1]), way[0]))[:most]
        ways = reached
    return [(nodes, float(share)) for nodes, share in ways.get(end, [])]


def _path(trace: Trace, nodes: tuple[int, ...], share: float) -> Path:
    names = tuple(trace.node_name(layer, index) for layer, index in enumerate(nodes))
    return Path(nodes=nodes, names=names, share=share)


def _index(wanted: int | str, names: list[str], what: str) -> int:
    if isinstance(wanted, str) and names.count(wanted) == 1:
        return names.index(wanted)
    if not isinstance(wanted, str) and 0 <= int(wanted) < len(names):
        return int(wanted)
    shown = ", ".join(map(repr, names[:12])) + (", ..." if len(names) > 12 else "")
    raise InputError(f"{what}={wanted!r}; allowed: 0 to {len(names) - 1}, or one of {shown}")
