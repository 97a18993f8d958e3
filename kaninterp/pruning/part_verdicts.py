"""Keep, tentative or drop for each edge and node of the KAN, from how often bootstrap draws keep them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kaninterp.analysis.places import raw_columns
from kaninterp.analysis.plans import alive_mask
from kaninterp.core import EdgeMask, PrunePlan, Trace
from kaninterp.core.findings import Survival
from kaninterp.core.frozen import Array
from kaninterp.core.survival import PartVerdict, SurvivalPath

__all__ = ["judge_parts"]

SURE = 0.95
"""Share of the bootstrap draws from which on what stays is kept for sure."""


def judge_parts(found: Trace, plan: PrunePlan, path: SurvivalPath, *, enough: bool) -> tuple[PartVerdict, ...]:
    """One verdict per live edge and node of the given KAN, in the original numbers.

    Every draw cuts the path at one place, so what it keeps are the edges behind that place which still lie on a way
    from an input to an output. An edge or node therefore stays as often as its best way, and a way as often as its
    weakest edge. Outputs are not up for choice; head inputs that are raw columns have verdicts of their own.

    Parameters
    ----------
    found
        Trace of the given model.
    plan
        The choice.
    path
        Along which edges went; edges that are not on it went with their columns.
    enough
        Whether there are rows enough to be sure of anything.
    """
    before = alive_mask(found)
    drawn = tuple(np.full(layer.shape, -1.0) for layer in before.layers)
    for (layer, dst, src), share in zip(path.places.tolist(), path.survival.tolist(), strict=True):
        drawn[layer][dst, src] = share
    nodes, edges = _best_ways(drawn)
    return (
        *_edges(found, plan, before, edges, enough),
        *_nodes(found, plan, before, nodes, enough),
    )


def _best_ways(shares: tuple[Array, ...]) -> tuple[list[Array], list[Array]]:
    """Share of the best way through every node and edge: largest over the ways of the smallest over their edges."""
    up = [np.ones(shares[0].shape[1])]
    for layer in shares:
        up.append(np.minimum(layer, up[-1][None, :]).max(1, initial=-1.0))
    down = [np.ones(shares[-1].shape[0])]
    for layer in reversed(shares):
        down.insert(0, np.minimum(layer, down[0][:, None]).max(0, initial=-1.0))
    nodes = [np.minimum(a, b) for a, b in zip(up, down, strict=True)]
    edges = [np.minimum(layer, np.minimum(up[i][None, :], down[i + 1][:, None])) for i, layer in enumerate(shares)]
    return nodes, edges


def _edges(found: Trace, plan: PrunePlan, before: EdgeMask, shares: list[Array], enough: bool) -> Iterator[PartVerdict]:
    ids = found.card.node_ids
    for layer, (alive, kept, share) in enumerate(zip(before.layers, plan.mask.layers, shares, strict=True)):
        for dst, src in np.argwhere(alive).tolist():
            survives, cause = _judged(bool(kept[dst, src]), float(share[dst, src]), enough)
            yield PartVerdict(
                kind="edge",
                place=(layer, ids[layer + 1][dst], ids[layer][src]),
                name=f"{_name(found, layer, src)} → {_name(found, layer + 1, dst)}",
                survives=survives,
                cause=cause,
                share=_share(share[dst, src]),
            )


def _nodes(found: Trace, plan: PrunePlan, before: EdgeMask, shares: list[Array], enough: bool) -> Iterator[PartVerdict]:
    ids = found.card.node_ids
    live, stays = before.nodes(), plan.mask.nodes()
    for layer in range(0 if raw_columns(found) is None else 1, len(before.layers)):
        for index in np.flatnonzero(live[layer]).tolist():
            survives, cause = _judged(bool(stays[layer][index]), float(shares[layer][index]), enough)
            yield PartVerdict(
                kind="node",
                place=(layer, ids[layer][index]),
                name=_name(found, layer, index),
                survives=survives,
                cause=cause,
                share=_share(shares[layer][index]),
            )


def _judged(kept: bool, share: float, enough: bool) -> tuple[Survival, str]:
    if not kept:
        return "drop", "with-column" if share < 0 else "noise"
    if not enough:
        return "tentative", "not-measured"
    return ("keep", "needed") if share >= SURE else ("tentative", "weak")


def _share(share: float) -> float | None:
    return None if share < 0 else float(share)


def _name(found: Trace, layer: int, index: int) -> str:
    number = found.card.node_ids[layer][index]
    columns = raw_columns(found)
    if layer == 0:
        return found.raw.names[number] if columns is not None and found.raw is not None else f"unit {number}"
    return found.output_names[index] if layer == len(found.layers) else f"node {layer}.{number}"
