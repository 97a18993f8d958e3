"""Shapley values of nodes for the loss: the rise when a node is removed, averaged over all orders of removal.

The nodes of one layer are the players of one game (as in ShapKAN, Fan et al. 2025, arXiv 2510.01663); removing a node
replaces its outgoing edges by their means, which is what pruning it does. Where there are few nodes every subset is
evaluated and the value is exact; otherwise orders are drawn in pairs, each with its reverse (antithetic: Mitchell et
al. 2022), which makes the value of a loss that is quadratic in what is removed exact, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import numpy as np
import torch

from kaninterp.core.frozen import Array, BoolArray, IntArray
from kaninterp.measure.probe_ablation import groups, outputs_above
from kaninterp.measure.probe_means import EdgeMeans
from kaninterp.measure.probe_replay import Chunk, Replay

__all__ = ["Game", "drawn_orders", "from_orders", "from_subsets"]

MOST_SUBSETS = 2**16
"""Subsets evaluated at most, however many orders were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Game:
    """The nodes of one layer, and which of them are removed together.

    Attributes
    ----------
    depth : int
        The layer whose inputs the nodes are.
    players : ndarray of bool, shape (src,)
        Nodes that play; the others change nothing when removed.
    orders : ndarray of int, shape (permutations, k), or None
        Orders of removal; None: every subset is evaluated.
    coalitions : ndarray of bool, shape (c, k)
        Which of the k players are removed, each set once.
    """

    depth: int
    players: BoolArray
    orders: IntArray | None
    coalitions: BoolArray

    @classmethod
    def of(cls, depth: int, players: BoolArray, permutations: int, rng: np.random.Generator) -> Game:
        """Choose the cheaper of all subsets and the drawn orders."""
        count = int(players.sum())
        if 2**count <= min(permutations * (count + 1), MOST_SUBSETS):
            return cls(depth=depth, players=players, orders=None, coalitions=_subsets(count))
        orders = drawn_orders(count, permutations, rng)
        unique = np.unique(_prefixes(orders).reshape(-1, count), axis=0)
        return cls(depth=depth, players=players, orders=orders, coalitions=unique)

    def play(self, replay: Replay, chunk: Chunk, edges: EdgeMeans, tick: Callable[[int], object]) -> Array:
        """Sum over the rows of a chunk of the loss with each coalition removed, shape (c,)."""
        values = chunk.nodes[self.depth + 1]
        moved = edges.moved(chunk, self.depth)[:, :, torch.from_numpy(self.players).to(values.device)]
        steps = moved.permute(2, 0, 1).flatten(1)  # (k, m dst)
        totals = np.zeros(len(self.coalitions))
        for part in groups(len(self.coalitions), max(values.numel(), chunk.nodes[-1].numel())):
            removed = torch.from_numpy(self.coalitions[part]).to(steps)
            variants = values + (removed @ steps).reshape(-1, *values.shape)
            totals[part] = replay.losses(chunk, outputs_above(replay.view, self.depth + 1, variants)).sum(1)
            tick(len(removed))
        return totals

    def values(self, losses: Array) -> tuple[Array, Array]:
        """Shapley value of every node and its standard error, each (src,), from the coalitions' mean losses (c,)."""
        value, error = np.zeros(len(self.players)), np.zeros(len(self.players))
        if self.orders is None:
            value[self.players] = from_subsets(losses)
            return value, error
        known = {row.tobytes(): loss for row, loss in zip(self.coalitions, losses, strict=True)}
        along = np.array([[known[row.tobytes()] for row in order] for order in _prefixes(self.orders)])
        value[self.players], error[self.players] = from_orders(self.orders, along)
        return value, error


def drawn_orders(count: int, permutations: int, rng: np.random.Generator) -> IntArray:
    """Random orders of ``count`` players, each followed by its reverse: (permutations, count), an even number."""
    orders = [rng.permutation(count) for _ in range(permutations // 2)]
    return np.array([order for drawn in orders for order in (drawn, drawn[::-1])], dtype=np.int64)


def from_orders(orders: IntArray, losses: Array) -> tuple[Array, Array]:
    """Shapley values and their standard errors from losses along orders of removal.

    Parameters
    ----------
    orders : ndarray of int, shape (p, k)
        Pairs of an order and its reverse, one after the other.
    losses : ndarray, shape (p, k + 1)
        Loss when the first 0..k players of the order are removed.

    Examples
    --------
    >>> from_orders(np.array([[0, 1], [1, 0]] * 2), np.array([[0.0, 1.0, 4.0], [0.0, 2.0, 4.0]] * 2))
    (array([1.5, 2.5]), array([0., 0.]))
    """
    rises = np.empty(orders.shape)
    np.put_along_axis(rises, orders, np.diff(losses, axis=1), axis=1)
    pairs = rises.reshape(-1, 2, orders.shape[1]).mean(1)
    return pairs.mean(0), pairs.std(0, ddof=1) / np.sqrt(len(pairs))


def from_subsets(losses: Array) -> Array:
    """Exact Shapley values from the losses of all subsets removed; player i is bit i of a subset's number.

    Examples
    --------
    >>> from_subsets(np.array([0.0, 1.0, 2.0, 4.0]))
    array([1.5, 2.5])
    """
    count = len(losses).bit_length() - 1
    numbers = np.arange(len(losses))
    sizes = _subsets(count).sum(1)
    weights = np.array([1 / (count * comb(count - 1, size)) if size < count else 0.0 for size in sizes])
    value = np.zeros(count)
    for player in range(count):
        without = numbers[numbers >> player & 1 == 0]
        value[player] = (weights[without] * (losses[without | 1 << player] - losses[without])).sum()
    return value


def _subsets(count: int) -> BoolArray:
    """All subsets of ``count`` players, (2^count, count)."""
    return np.asarray(np.arange(2**count)[:, None] >> np.arange(count) & 1 == 1)


def _prefixes(orders: IntArray) -> BoolArray:
    """Who is removed after 0..k steps of each order, (p, k + 1, k)."""
    place = np.argsort(orders, axis=1)  # when each player goes
    steps = np.arange(orders.shape[1] + 1)
    return np.asarray(place[:, None, :] < steps[None, :, None])
