"""Edges to formulas, together: after each exchange everything is trained again, and held-out rows decide.

An edge snapped alone changes what every later edge sees; formulas that were each nearly right are wrong together. So
edges are exchanged in groups, the numbers of all edges are trained on, and the exchange stands only if the loss on
later rows stays within what it was. Training on can itself be what later rows refuse, where rows are few for the
numbers of the splines: the formulas as they were fitted to the curves are judged beside it. A group that fails is
halved; an edge that fails alone is tried with its next best families, and stays a spline if none of them holds. Before
all this the simplest families that come near are tried in place of all edges, and stand if the loss does not rise and
the nearest families, tried in the same way, are no better.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from tqdm import tqdm

from kaninterp.analysis import EdgeFit, suggest_all
from kaninterp.core.counts import check_whole
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.core.families import Family, families_of
from kaninterp.measure import trace
from kaninterp.measure.losses import Loss
from kaninterp.measure.tracing import PROGRESS_DELAY
from kaninterp.nn import KANHead
from kaninterp.nn.formulas import formulas_of, with_formulas
from kaninterp.symbolic.families_written import check_written
from kaninterp.symbolic.judging import Judge, Rows, defined
from kaninterp.symbolic.refit import refitted

__all__ = ["Snapped", "SnappedEdge", "snap"]

TOLERANCE = 0.02
"""Share by which the held-out loss may rise for a formula: what another seed changes in training."""
WORTH_TRYING = 0.9
"""R2 of a fit from which on it is tried: training the rest again may make up for what is missing, not for more."""
SIMPLE = (0.9, 0.98)
"""R2 from which on the simplest family is tried in place of every edge at once, before the nearest one: training on may
straighten what another layer has bent back."""
FAMILIES_TRIED = 3
"""Families an edge is tried with when it fails alone."""

Edge = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnappedEdge:
    """What became of an edge.

    Attributes
    ----------
    edge : (layer, dst, src)
        Which.
    family : str or None
        Its function; None: it stayed a spline.
    r2 : float
        Of the best formula on the curve, when it was last fitted; 1 for an edge that was a formula before.
    why : str
        Why it stayed a spline; "" for a formula.
    """

    edge: Edge
    family: str | None
    r2: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapped:
    """A head with formulas, and how it came about.

    Attributes
    ----------
    head : KANHead
        The new head; the given one is as it was.
    edges : tuple of SnappedEdge
        Every edge that was alive.
    loss_before, loss : float
        On the judging rows: of the given head, and of the new one.
    """

    head: KANHead
    edges: tuple[SnappedEdge, ...]
    loss_before: float
    loss: float


def snap(
    head: KANHead,
    learn: Rows,
    judge: Rows,
    *,
    loss: Loss = None,
    families: Iterable[str | Family] | None = None,
    tolerance: float = TOLERANCE,
    trials: int | None = None,
    progress: bool = True,
) -> Snapped:
    """Exchange as many edges for formulas as held-out rows allow.

    Parameters
    ----------
    head : KANHead
        Not changed.
    learn, judge : (Tensor (n, in), Tensor (n, ...))
        Inputs of the head and targets: rows to train on, and later rows that decide.
    loss
        As for `kaninterp.fit`.
    families : iterable of str or Family, optional
        What to try; all of `FAMILIES`.
    tolerance : float
        Share by which the loss on the judging rows may rise above that of the given head.
    trials : int, optional
        Exchanges that are tried at most, each of which trains the head anew; what is left then stays a spline, and its
        reason says so. As many as it takes if not given.
    progress : bool
        Show a bar when it takes longer than a second.

    Returns
    -------
    Snapped

    Raises
    ------
    InputError
        An unknown family, or one of your own whose expression sympy cannot compute; a tolerance below 0, less than one
        trial.
    InputTypeError
        A tolerance, families or trials of the wrong kind.
    """
    if not isinstance(tolerance, Real):
        raise InputTypeError(f"tolerance: expected a number from 0 on, got {tolerance!r}")
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"tolerance={tolerance}: a share from 0 on, such as 0.02 for two per cent of the loss")
    if trials is not None:
        check_whole("trials", trials)
    tried = families_of(families)
    check_written(tried)
    head = copy.deepcopy(head).eval()
    judged = Judge(head, judge, loss, tolerance)
    work = _Work(head, learn, judged, tried, loss, trials)
    total = work.left
    with tqdm(total=total, desc="formulas", delay=PROGRESS_DELAY, leave=False, disable=not progress) as bar:
        for left in work.steps():
            bar.update(total - left - bar.n)
    return work.result()


class _Work:
    """The head as far as it has been snapped, and the edges that are left."""

    def __init__(  # noqa: PLR0917 (internal)
        self, head: KANHead, learn: Rows, judge: Judge, families: Sequence[Family], loss: Loss, trials: int | None
    ) -> None:
        self._head, self._learn, self._judge, self._families, self._loss = head, learn, judge, families, loss
        self._trials = trials
        self._spent, self._undefined = 0, False
        self._done: set[Edge] = set(formulas_of(head))
        self._fits: dict[Edge, tuple[EdgeFit, ...]] = {}
        self._failed: dict[Edge, str] = {}
        self._refused: set[Edge] = set()  # edges that failed together
        self._look()

    @property
    def left(self) -> int:
        return len(self._open())

    def steps(self) -> Iterator[int]:
        """Exchange what can be exchanged; gives how many edges are left after each trial."""
        yield from self._at_once()
        progress = True
        while progress:
            before = len(self._done)
            promising = [edge for edge in self._open() if self._fits[edge][0].good]
            yield from self._group(sorted(promising, key=lambda edge: -self._fits[edge][0].r2))
            progress = len(self._done) > before
        for edge in sorted(self._open(), key=lambda edge: -self._fits[edge][0].r2):
            yield from self._alone(edge)

    def result(self) -> Snapped:
        found = formulas_of(self._head)
        edges = tuple(
            SnappedEdge(
                edge=edge,
                family=found[edge].family.name if edge in found else None,
                r2=self._fits[edge][0].r2 if edge in self._fits else 1.0,
                why="" if edge in found else self._failed.get(edge, self._fits[edge][0].why),
            )
            for edge in sorted({*self._fits, *found})
        )
        loss = float(self._judge.rows(self._head).mean())
        return Snapped(head=self._head, edges=edges, loss_before=self._judge.first, loss=loss)

    def _open(self) -> list[Edge]:
        return [edge for edge in self._fits if edge not in self._done and edge not in self._failed]

    def _at_once(self) -> Iterator[int]:
        """Exchange all edges at once for the simplest, for simple and for the nearest functions.

        The first of these that is as good as the best of them stays.
        """
        choices: list[Mapping[Edge, EdgeFit]] = [
            {edge: _simplest(self._fits[edge], r2) for edge in self._open()} for r2 in SIMPLE
        ]
        choices.append({edge: self._fits[edge][0] for edge in self._open() if self._fits[edge][0].good})
        made: list[tuple[float, KANHead, Mapping[Edge, EdgeFit]]] = []
        for k, fits in enumerate(choices):
            new = self._made(fits, strictly=k < len(SIMPLE))
            if new is not None:
                made.append((float(self._judge.rows(new).mean()), new, fits))
            elif k == len(SIMPLE):
                self._refused = set(fits)
            yield self.left
        best = min((loss for loss, *_ in made), default=0.0)
        for loss, new, fits in made:
            if self._judge.alike(loss, best):
                self._take(new, fits)
                break

    def _group(self, edges: list[Edge]) -> Iterator[int]:
        if not edges:
            return
        accepted = set(edges) != self._refused and self._try({edge: self._fits[edge][0] for edge in edges})
        yield self.left
        if not accepted and len(edges) > 1:
            half = (len(edges) + 1) // 2
            yield from self._group(edges[:half])
            yield from self._group([edge for edge in edges[half:] if self._fits[edge][0].good])

    def _alone(self, edge: Edge) -> Iterator[int]:
        self._undefined = False
        for fit in self._fits[edge][:FAMILIES_TRIED]:
            if fit.r2 >= WORTH_TRYING and self._try({edge: fit}):
                yield self.left
                return
        best = self._fits[edge][0]
        outcome = "the rows leave its domain" if self._undefined else "the held-out loss rises by more than is allowed"
        self._failed[edge] = (
            f"not tried to the end: no trial is left of {self._trials} (the best, {best.name}, has R2 {best.r2:.3f})"
            if self._over and best.r2 >= WORTH_TRYING
            else f"no function comes near it (the best, {best.name}, has R2 {best.r2:.3f})"
            if best.r2 < WORTH_TRYING
            else f"with {best.name} in its place (R2 {best.r2:.3f}) {outcome}"
        )
        yield self.left

    @property
    def _over(self) -> bool:
        return self._trials is not None and self._spent >= self._trials

    def _try(self, fits: Mapping[Edge, EdgeFit]) -> bool:
        new = self._made(fits)
        if new is None:
            return False
        self._take(new, fits)
        return True

    def _made(self, fits: Mapping[Edge, EdgeFit], *, strictly: bool = False) -> KANHead | None:
        """The head with these functions; None if the judge refuses it."""
        if self._over or not fits:
            return None
        self._spent += 1
        formulas = {edge: fit.formula for edge, fit in fits.items()}
        as_fitted = with_formulas(self._head, formulas)
        tried = (refitted(copy.deepcopy(as_fitted), self._learn, self._loss), as_fitted)
        possible = [new for new in tried if defined(new, self._learn[0])]
        self._undefined = not possible
        held = [new for new in possible if self._judge.holds(new, strictly=strictly)]
        return min(held, key=lambda new: float(self._judge.rows(new).mean()), default=None)

    def _take(self, new: KANHead, fits: Mapping[Edge, EdgeFit]) -> None:
        self._head = new
        self._done |= set(fits)
        self._look()

    def _look(self) -> None:
        """Fit what is still a spline, as it is now."""
        found = trace(self._head, self._learn[0], progress=False)
        for depth, layer in enumerate(found.layers):
            edges = [(d, s) for d, s in np.argwhere(layer.edges.alive).tolist() if (depth, d, s) not in self._done]
            fits = suggest_all(layer, edges, self._families, top=len(self._families))
            self._fits.update({(depth, *edge): each for edge, each in zip(edges, fits, strict=True)})


def _simplest(fits: Sequence[EdgeFit], r2: float) -> EdgeFit:
    """Of the fits that come near the one of the simplest family; the best if none does."""
    near = [fit for fit in fits if fit.r2 >= r2]
    return min(near, key=lambda fit: (fit.formula.family.complexity, fit.bits)) if near else fits[0]
