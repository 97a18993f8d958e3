"""Raw columns go one after the other, the least needed first; what is left stands in for what it can."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from kaninterp.core.frozen import BoolArray, IntArray
from kaninterp.core.tables import RawTable
from kaninterp.measure.tracing import PROGRESS_DELAY
from kaninterp.pruning.subject import Subject
from kaninterp.pruning.substitutes import Gone, Substitute, find_substitute

__all__ = ["Elimination", "eliminate"]

ONE_BY_ONE = 32
"""Up to so many columns go one at a time; of more, a share goes together."""
SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Elimination:
    """The order in which columns go.

    Attributes
    ----------
    points : tuple of dict
        What is gone, and what stands in for it, after 0, 1, ... rounds; the first is empty, the last holds all.
    rises : tuple of float
        Rise of the mean loss on the training rows when the last column of each round went.
    order : tuple of int
        Columns, the first to go first.
    reads : ndarray of bool, shape (F,)
        False: replacing the column changes no output by a bit.
    """

    points: tuple[Gone, ...]
    rises: tuple[float, ...]
    order: tuple[int, ...]
    reads: BoolArray


def eliminate(subject: Subject, raw: RawTable, groups: IntArray, *, progress: bool) -> Elimination:
    """Backward elimination on training rows, which also fixes who stands in for whom.

    Parameters
    ----------
    subject
        The model on training rows.
    raw
        Moments of the columns, for means and stand-ins.
    groups : ndarray of int, shape (F,)
        Columns may stand in for others of their group (input tensor); -1: neither they nor others can.
    progress
        Show a bar.
    """
    count = len(raw.names)
    means = {i: Substitute(intercept=float(raw.nodes.mean[i])) for i in range(count)}
    reads = np.array([subject.reads({i: means[i]}) for i in range(count)], bool)
    unread = [i for i in range(count) if not reads[i]]
    search = _Search(raw, groups)
    gone: Gone = {i: means[i] for i in unread}
    kept = [i for i in range(count) if reads[i]]
    points, rises, order = [dict[int, Substitute]()], [0.0], list(unread)
    if unread:
        points.append(dict(gone))
        rises.append(0.0)
    with tqdm(total=len(kept), desc="inputs", delay=PROGRESS_DELAY, leave=False, disable=not progress) as bar:
        while kept:
            losses = [float(subject.without(search.stand_ins({*gone, i}, kept, gone)).mean()) for i in kept]
            leaving = search.apart(sorted(zip(losses, kept, strict=True)), kept)
            for _, index in leaving:
                kept.remove(index)
                order.append(index)
            gone = search.stand_ins({*gone, *(i for _, i in leaving)}, kept, gone)
            points.append(gone)
            rises.append(leaving[-1][0] - float(subject.base.mean()))
            bar.update(len(leaving))
    return Elimination(points=tuple(points), rises=tuple(rises), order=tuple(order), reads=reads)


class _Search:
    """Who stands in for whom."""

    def __init__(self, raw: RawTable, groups: IntArray) -> None:
        self._raw, self._groups = raw, groups

    def stand_ins(self, leaving: set[int], kept: list[int], before: Gone) -> Gone:
        """Stand-ins for all that is gone; only those whose own stand-in has gone as well are looked for anew."""
        left = set(kept) - leaving
        found: Gone = {}
        for index in sorted(leaving):
            old = before.get(index)
            found[index] = old if old is not None and left.issuperset(old.others) else self.one(index, left)
        return found

    def one(self, index: int, kept: set[int]) -> Substitute:
        """Stand-in for one column."""
        groups = self._groups
        return find_substitute(self._raw, index, [i for i in kept if groups[i] == groups[index] >= 0])

    def apart(self, ranked: list[tuple[float, int]], kept: list[int]) -> list[tuple[float, int]]:
        """The weakest that may go together: none of them stands in for another."""
        if len(kept) <= ONE_BY_ONE:
            return ranked[:1]
        leaving: list[tuple[float, int]] = []
        needed: set[int] = set()
        for loss, index in ranked:
            others = set(self.one(index, set(kept)).others)
            if index in needed or others & {i for _, i in leaving}:
                continue
            needed |= others
            leaving.append((loss, index))
            if len(leaving) == int(SHARE * len(kept)):
                break
        return leaving
