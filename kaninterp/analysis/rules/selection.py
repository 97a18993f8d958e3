"""Which candidates stay: an order within each group, and a cut through it that an amount decides.

A group is everything (scope "global"), a layer, or what one output needs. Within it the most important comes first;
equals keep the order of their places, so that of exact twins a count keeps the first. Every amount keeps a prefix of
an order that does not depend on it: that is why a larger share, a smaller count or budget removes a superset.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kaninterp.analysis.wording import number
from kaninterp.core.errors import InputError, NothingLeftError, PlanError
from kaninterp.core.frozen import Array, BoolArray, IntArray
from kaninterp.core.trace import Trace

from .amounts import Amount, Budget, Count, Threshold, priced
from .candidates import Candidates

__all__ = ["SCOPES", "Order", "chosen", "held_against", "order_of"]

SCOPES = ("global", "layer", "output")

EXACT = 1e-9
"""A share of so many candidates is counted without the rounding of 1 - share."""

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Order:
    """Where each candidate stands in its group, n of them.

    Attributes
    ----------
    position : ndarray of int, shape (n,)
        1 = the most important; the best of its positions where each output has an order of its own. A candidate
        that no output needs stands nowhere (`NEVER`).
    ahead : ndarray, shape (n,)
        Share of its group that stands before it, 0 <= ahead < 1; infinite where it stands nowhere.
    sequence : ndarray of int
        Candidates that stand somewhere, in the order in which a budget takes them in.
    """

    position: IntArray
    ahead: Array
    sequence: IntArray


def order_of(items: Candidates, scope: str) -> Order:
    """Order the candidates in their groups."""
    n = len(items.values)
    position, ahead = np.full(n, NEVER), np.full(n, np.inf)
    for values, members in _groups(items, scope):
        ranked = _ranked(items, values, members)
        places = np.arange(1, len(ranked) + 1)
        position[ranked] = np.minimum(position[ranked], places)
        ahead[ranked] = np.minimum(ahead[ranked], (places - 1) / max(len(ranked), 1))
    sequence = np.lexsort((np.arange(n), -items.spread, -items.values, ahead))
    return Order(position=position, ahead=ahead, sequence=sequence[np.isfinite(ahead[sequence])])


def chosen(items: Candidates, amount: Amount, scope: str, trace: Trace) -> BoolArray:
    """Candidates that stay, shape (n,).

    Raises
    ------
    PlanError
        Nothing would be left, or a budget cannot be met; says how far one can go.
    """
    if isinstance(amount, Threshold):
        return _above(items, amount, trace)
    order = order_of(items, scope)
    if not _leaves_a_path(items, np.isfinite(order.ahead), trace):
        raise PlanError(f"no output depends on any of the {items.level}s: each is constant on this data")
    if isinstance(amount, Budget):
        return _within(items, order, amount, trace)
    if isinstance(amount, Count):
        kept = order.position <= amount.keep
        if not _leaves_a_path(items, kept, trace):
            least = _first(lambda k: _leaves_a_path(items, order.position <= k, trace), len(items.values))
            raise NothingLeftError(f"Count({amount.keep}) {_NO_PATH}; the smallest count that leaves one is {least}")
        return kept
    kept = order.ahead < 1 - amount.remove - EXACT
    if not _leaves_a_path(items, kept, trace):
        steps = np.unique(order.ahead[np.isfinite(order.ahead)])
        least = _first(lambda k: _leaves_a_path(items, order.ahead <= steps[k - 1], trace), len(steps))
        raise NothingLeftError(
            f"Fraction({amount.remove}) {_NO_PATH}; remove a share below {number(1 - steps[least - 1])} of them"
        )
    return kept


def held_against(items: Candidates, amount: Amount, scope: str, kept: BoolArray) -> Array:
    """What each candidate was held against: the threshold, or the least that stays before it in its group.

    Where a candidate stands in several groups it is the largest of these; 0 where it stands in none.
    """
    if isinstance(amount, Threshold):
        return np.full(len(kept), amount.value)
    bars = np.full(len(kept), -np.inf)
    for values, members in _groups(items, scope):
        ranked = _ranked(items, values, members)
        if not kept[ranked].all():
            last = ranked[max(int(np.argmin(kept[ranked])) - 1, 0)]  # of those that stay before the first that goes
            bars[members] = np.maximum(bars[members], values[last])
    return np.where(np.isfinite(bars), bars, 0.0)


def _ranked(items: Candidates, values: Array, members: IntArray) -> IntArray:
    """Members of a group, the most important first."""
    order: IntArray = np.lexsort((members, -items.spread[members], -values[members]))
    return members[order]


_NO_PATH = "leaves no path from an input to an output, so the head would be a constant"


def _groups(items: Candidates, scope: str) -> list[tuple[Array, IntArray]]:
    """Values to order by, and the members of each group."""
    everything = np.arange(len(items.values))
    if scope == "layer":
        return [(items.values, everything[items.places[:, 0] == layer]) for layer in np.unique(items.places[:, 0])]
    if scope == "output":
        if items.outputs is None:
            raise InputError("scope='output' needs a measure that each output has of its own: kan2 or path")
        return [(values, everything[values > 0]) for values in items.outputs]
    return [(items.values, everything)]


def _above(items: Candidates, amount: Threshold, trace: Trace) -> BoolArray:
    kept = np.asarray(items.values > amount.value)
    if not _leaves_a_path(items, kept, trace):
        steps = np.unique(items.values)[::-1]
        least = _first(lambda k: _leaves_a_path(items, items.values >= steps[k - 1], trace), len(steps))
        best = steps[least - 1]
        advice = f"lower the threshold below {number(best)}" if best > 0 else "by this measure nothing counts"
        raise NothingLeftError(
            f"no path from an input to an output exceeds {number(amount.value)}, so the plan would remove all edges "
            f"of the head, which is then a constant; {advice}"
        )
    return kept


def _within(items: Candidates, order: Order, amount: Budget, trace: Trace) -> BoolArray:
    def first(count: int) -> BoolArray:
        kept = np.zeros(len(items.values), bool)
        kept[order.sequence[:count]] = True
        return kept

    def price(count: int) -> dict[str, float]:
        return amount.price(items.closed(trace, first(count)), trace)

    size = len(order.sequence)
    least = _first(lambda k: _leaves_a_path(items, first(k), trace), size)
    fits = bisect_right(range(least, size + 1), False, key=lambda k: not amount.met(price(k)))
    if not fits:
        raise PlanError(
            f"a budget of {priced(amount.limits)} cannot be met: the smallest head with a path from an input to an "
            f"output that removing {items.level}s in this order reaches costs {priced(price(least))}"
        )
    return first(least + fits - 1)


def _leaves_a_path(items: Candidates, kept: BoolArray, trace: Trace) -> bool:
    return not len(kept) or bool(items.closed(trace, kept).count)


def _first(holds: Callable[[int], bool], size: int) -> int:
    """Smallest k in 1..size for which a condition that stays true holds; 0 if there is nothing to choose from."""
    return 1 + bisect_left(range(1, size + 1), True, key=holds) if size else 0
