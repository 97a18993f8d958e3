"""Edges as formulas, c f(a x + b) + d, chosen by description length. No row of data, no model."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import SupportsIndex

import numpy as np

from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.core.families import FAMILIES, Family, families_of
from kaninterp.core.frozen import Array
from kaninterp.core.trace import LayerTrace, Trace

from .edge_curve import Curve
from .edge_points import EdgePoints, edge_points
from .family_fits import fit_families
from .family_starts import Symmetry, symmetry
from .straightness import OUTSIDE_PARTLY, STRAIGHT_R2

__all__ = ["GOOD_R2", "RESOLUTION", "EdgeFit", "fit_edges", "suggest", "suggest_all"]

GOOD_R2 = STRAIGHT_R2
"""R^2 from which on a formula may stand for an edge: what is left has a tenth of its standard deviation."""
RESOLUTION = 1e-3
"""How finely an edge is known, in its standard deviations: training and float32 leave no more, and no eye sees more."""
STILL = 5e-7
"""Deviation of a curve relative to its size that is rounding: four units of the last digit of float32."""
SMALLEST = 1e-290
"""Largest value of a curve below which float64 has no full digits any more."""
SAME_BITS = 3
"""Decimals of a description length; fits alike to here are one function (tanh, sigmoid): the first family wins."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeFit:
    """A formula for one edge, how well it fits, and whether it is good enough to stand for the edge.

    Attributes
    ----------
    dst, src : int
        The edge.
    formula : EdgeFormula
        c f(a x + b) + d in the units of the node.
    r2 : float
        1 - SSE / SST of this very formula on the curve, every point weighted by the share of rows there; 1 for a
        constant edge.
    bits : float
        Description length, see `fit_edges`; less is better. Comparable among the fits of one edge.
    numbers : int
        Numbers of the formula that were fitted.
    low, high : float
        The range of the data it was fitted on; beyond it nothing is known.
    good : bool
        Whether the formula may stand for the edge.
    why : str
        Why, or why not, in one line.
    """

    dst: int
    src: int
    formula: EdgeFormula
    r2: float
    bits: float
    numbers: int
    low: float
    high: float
    good: bool
    why: str

    @property
    def name(self) -> str:
        """Name of the family."""
        return self.formula.family.name

    def __repr__(self) -> str:
        return (
            f"EdgeFit({self.dst} <- {self.src}: {self.name}, R2={self.r2:.4f}, {self.bits:.1f} bits, good={self.good})"
        )


def fit_edges(
    layer: LayerTrace,
    edges: Iterable[tuple[int, int]] | None = None,
    families: Iterable[str | Family] | None = None,
    *,
    least_r2: float | None = GOOD_R2,
) -> tuple[EdgeFit, ...]:
    """The best formula of each edge of a layer.

    Parameters
    ----------
    layer : LayerTrace
        A layer of a trace.
    edges : iterable of (dst, src), optional
        Which; all that are not masked if not given.
    families : iterable of str or Family, optional
        What to try, see `kaninterp.core.families.families_of`; all of `FAMILIES` if not given.
    least_r2 : float or None
        Formulas that reach this R^2 go before all others, and among both the one with the fewest bits is chosen: a
        formula that can stand for the edge is worth more than a shorter one that cannot. None: by bits alone.

    Returns
    -------
    tuple of EdgeFit
        One per edge, in the order asked for ([dst, src] order if not given).

    Raises
    ------
    InputError
        An unknown family, an edge that is not there or is masked, an R^2 above 1 or below 0.
    InputTypeError
        Something that is not a family or not an edge.

    Notes
    -----
    The curve is fitted by weighted least squares at points over the range of the data, each with the share of rows
    near it as its weight (`kaninterp.analysis.edge_points`). The search knows only the range and the shape, so
    rescaling x or y changes no name and no R^2.

    The formula is chosen by its description length (Rissanen, "Modeling by shortest data description", 1978)::

        bits = m/2 log2(1 + s / r^2) + p/2 log2(m / (s + r^2)) + complexity of the family

    m are the numbers that a spline has over the range (knot intervals there plus order: neither rows nor drawn points
    are worth more), s = 1 - R^2 is what the formula leaves, r is `RESOLUTION` and p the numbers fitted. The first term
    sends the edge to within r given the formula, the second sends p numbers as finely as the rest deserves. The noise
    of an edge is not known beforehand: it is taken to be what the formula leaves, and r at least. A number that can be
    left out (b = 0) is left out where that saves bits; as that depends on where x is 0, a shift of x may turn sin into
    cos. The constant "0" is never chosen for an edge that varies.

    An edge is constant if its curve varies over the range by rounding only. An edge that varies only where nothing was
    drawn, beyond domain and fringe, gets the line through all rows, which follows from their moments.

    Examples
    --------
    >>> import torch
    >>> import kaninterp as ki
    >>> head = ki.KANHead(1, 1, grid=5)
    >>> trace = ki.trace(head, torch.linspace(-1, 1, 100)[:, None])
    >>> [fit] = fit_edges(trace.layers[0], families=["x", "x^3"])
    >>> fit.name in ("x", "x^3"), 0 <= fit.r2 <= 1
    (True, True)
    """
    tried, least = families_of(families), _least(least_r2)
    return tuple(fits[0] for fits in _ranked(layer, _pairs(layer, edges), tried, least))


def suggest(
    trace: Trace,
    layer: int,
    dst: int,
    src: int,
    families: Iterable[str | Family] | None = None,
    *,
    top: int = 5,
    least_r2: float | None = GOOD_R2,
) -> tuple[EdgeFit, ...]:
    """The best formulas of one edge, the best first, see `fit_edges`.

    Parameters
    ----------
    trace : Trace
        Of the model.
    layer, dst, src : int
        The edge.
    families : iterable of str or Family, optional
        What to try; all of `FAMILIES` if not given.
    top : int
        How many at most.
    least_r2 : float or None
        Formulas that reach this R^2 go first, see `fit_edges`.

    Returns
    -------
    tuple of EdgeFit
        One per family at most; a single one for an edge that is constant on the data.

    Raises
    ------
    InputError
        No such layer or edge, a masked edge, an unknown family, fewer than one asked for, an R^2 above 1 or below 0.
    InputTypeError
        Something of the wrong kind.

    Examples
    --------
    >>> import torch
    >>> import kaninterp as ki
    >>> head = ki.KANHead(1, 1, grid=5)
    >>> trace = ki.trace(head, torch.linspace(-1, 1, 100)[:, None])
    >>> [fit.name for fit in suggest(trace, 0, 0, 0, families=["x"])]
    ['x']
    """
    at = _whole("layer", layer)
    if not 0 <= at < len(trace.layers):
        raise InputError(f"layer: there is no {layer}; this trace has {len(trace.layers)}, from 0")
    if _whole("top", top) < 1:
        raise InputError(f"top: got {top}; ask for 1 formula or more")
    tried, least = families_of(families), _least(least_r2)
    table = trace.layers[at]
    [fits] = _ranked(table, _pairs(table, [(dst, src)]), tried, least)
    return fits[:top]


def suggest_all(
    layer: LayerTrace,
    edges: Iterable[tuple[int, int]] | None = None,
    families: Iterable[str | Family] | None = None,
    *,
    top: int = 5,
    least_r2: float | None = GOOD_R2,
) -> tuple[tuple[EdgeFit, ...], ...]:
    """The best formulas of many edges of a layer at once, which takes a fraction of the time of one by one.

    Parameters
    ----------
    layer, edges, families, least_r2
        As for `fit_edges`.
    top : int
        How many of each edge at most.

    Returns
    -------
    tuple of tuple of EdgeFit
        One per edge, in the order asked for, the best first as `suggest` has them.

    Raises
    ------
    InputError, InputTypeError
        As for `suggest`.

    Examples
    --------
    >>> import torch
    >>> import kaninterp as ki
    >>> head = ki.KANHead(2, 1, grid=5)
    >>> trace = ki.trace(head, torch.linspace(-1, 1, 100)[:, None].repeat(1, 2))
    >>> [[fit.name for fit in fits] for fits in suggest_all(trace.layers[0], families=["x"])]
    [['x'], ['x']]
    """
    if _whole("top", top) < 1:
        raise InputError(f"top: got {top}; ask for 1 formula or more")
    tried, least = families_of(families), _least(least_r2)
    return tuple(fits[:top] for fits in _ranked(layer, _pairs(layer, edges), tried, least))


def _least(least_r2: float | None) -> float:
    if least_r2 is None:
        return -math.inf
    if not isinstance(least_r2, Real):
        raise InputTypeError(f"least_r2: expected a number from 0 to 1, got {least_r2!r}")
    if not 0 <= least_r2 <= 1:
        raise InputError(f"least_r2: expected a number from 0 to 1, got {least_r2!r}")
    return float(least_r2)


def _whole(what: str, value: SupportsIndex) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise InputTypeError(f"{what}: expected a whole number, got {value!r}") from None


def _pairs(layer: LayerTrace, edges: Iterable[tuple[int, int]] | None) -> list[tuple[int, int]]:
    alive = layer.edges.alive
    if edges is None:
        return [(int(dst), int(src)) for dst, src in np.argwhere(alive)]
    if not isinstance(edges, Iterable):
        raise InputTypeError(f"edges: {edges!r} is not a list of edges; give pairs (dst, src)")
    found = []
    for edge in edges:
        try:
            dst, src = edge
        except (TypeError, ValueError):
            raise InputTypeError(f"edges: {edge!r} is not an edge; give pairs (dst, src)") from None
        pair = _whole("dst", dst), _whole("src", src)
        if not all(0 <= one < size for one, size in zip(pair, alive.shape, strict=True)):
            raise InputError(
                f"edges: there is no edge {pair} (dst, src); this layer has dst 0 to {alive.shape[0] - 1} and "
                f"src 0 to {alive.shape[1] - 1}"
            )
        if not alive[pair]:
            raise InputError(f"edges: {pair} (dst, src) is masked in the model and has no curve; ask for others")
        found.append(pair)
    return found


def _ranked(
    layer: LayerTrace, pairs: Sequence[tuple[int, int]], families: Sequence[Family], least: float
) -> list[tuple[EdgeFit, ...]]:
    """All fits of each edge, the best first: those with an R^2 of ``least`` or more, and among these by bits."""
    points = edge_points(layer)
    live = [pair for pair in pairs if not _still(points, *pair)]
    found = dict(zip(live, _fits(points, live, families, least), strict=True))
    return [found[pair] if pair in found else (_without_curve(layer, points, *pair),) for pair in pairs]


def _still(points: EdgePoints, dst: int, src: int) -> bool:
    curve = points.curves[dst, src][points.weights[src] > 0]
    size = float(np.abs(curve).max())
    return bool(points.constant[src]) or size < SMALLEST or not np.ptp(curve) > STILL * size


def _without_curve(layer: LayerTrace, points: EdgePoints, dst: int, src: int) -> EdgeFit:
    """An edge that is constant on the data, or none of whose data lie where it was drawn."""
    edges, inputs = layer.edges, layer.inputs
    family, slope, r2, good = FAMILIES["0"], 0.0, 1.0, True
    why = "constant on these data"
    if points.seen[src] < 1 - OUTSIDE_PARTLY and not inputs.constant[src] and edges.m2[dst, src] > 0:
        family = FAMILIES["x"]
        slope = float(edges.with_input[dst, src] / inputs.m2[src])
        r2 = float(min(slope * edges.with_input[dst, src] / edges.m2[dst, src], 1.0))
        good = r2 >= GOOD_R2
        why = f"{1 - points.seen[src]:.0%} of the rows lie beyond the drawn curve; the line through all has R2 {r2:.3f}"
    formula = EdgeFormula(
        family=family, a=1.0, b=0.0, c=slope, d=float(edges.mean[dst, src] - slope * inputs.mean[src])
    )
    count = 2 if slope else 1
    return EdgeFit(
        dst=dst, src=src, formula=formula, r2=r2, numbers=count, good=good, why=why,
        bits=_bits(family, 1 - r2, count, float(points.numbers[src])),
        low=float(inputs.low[src]), high=float(inputs.high[src]),
    )  # fmt: skip


def _fits(
    points: EdgePoints, pairs: Sequence[tuple[int, int]], families: Sequence[Family], least: float
) -> list[tuple[EdgeFit, ...]]:
    if not pairs:
        return []
    dst, src = np.array(pairs).T
    low, high = points.x[src, 0], points.x[src, -1]
    half = (high - low) / 2
    all_found = fit_families(
        points.curves[dst, src], points.weights[src], families,
        fastest=math.pi / 2 * float(points.numbers.max()), origins=-(low + half) / half,
    )  # fmt: skip
    kinds = [symmetry(family) for family in families]
    ranked = []
    for edge, pair in enumerate(pairs):
        curve = Curve(points, *pair)
        found = zip(*(part[:, edge].T for part in (all_found.a, all_found.b, all_found.rest)), strict=True)
        fits = [
            _best_of_both(curve, family, kind, both, least)
            for family, kind, both in zip(families, kinds, found, strict=True)
        ]
        ordered = sorted((fit for fit in fits if fit), key=lambda fit: _rank(fit, least))
        ranked.append(tuple(ordered) or (_without_formula(curve),))
    return ranked


def _rank(fit: EdgeFit, least: float) -> tuple[bool, bool, float]:
    return fit.numbers == 1, fit.r2 < least, round(fit.bits, SAME_BITS)


def _best_of_both(
    curve: Curve, family: Family, kind: Symmetry, found: tuple[Array, Array, Array], least: float
) -> EdgeFit | None:
    """The free fit or the one without b, whichever ranks first."""
    fits = []
    for tied, (a, b, rest) in enumerate(zip(*found, strict=True)):
        if not math.isfinite(rest):
            continue
        written = curve.written(family, kind, (float(a), float(b)), 1 - float(rest), tied=bool(tied))
        if written is not None:
            numbers = min(family.parameters, 2 + sum(kind.free)) - tied
            fits.append(_judged(curve, *written, 1 if kind.constant else numbers))
    return min(fits, key=lambda fit: _rank(fit, least), default=None)


def _judged(curve: Curve, formula: EdgeFormula, r2: float, numbers: int) -> EdgeFit:
    bits = _bits(formula.family, 1 - r2, numbers, curve.numbers)
    spline = curve.numbers / 2 * math.log2(curve.numbers / RESOLUTION**2)
    beyond = 1 - curve.seen
    if r2 < GOOD_R2:
        good, why = False, f"keep the spline: R2 {r2:.3f} is below {GOOD_R2}"
    elif beyond > OUTSIDE_PARTLY:
        good, why = False, f"keep the spline: {beyond:.0%} of the rows lie beyond where the curve was drawn"
    elif bits >= spline:
        good, why = False, f"keep the spline: it takes {spline:.0f} bits, the formula {bits:.0f}"
    else:
        good, why = True, f"R2 {r2:.3f}, {bits:.0f} bits where the spline takes {spline:.0f}"
    return EdgeFit(
        dst=curve.dst, src=curve.src, formula=formula, r2=r2, bits=bits, numbers=numbers, low=curve.low,
        high=curve.high, good=good, why=why,
    )  # fmt: skip


def _without_formula(curve: Curve) -> EdgeFit:
    """None of the families is defined over the range: the mean, and the advice to keep the spline."""
    level = float(curve.weights @ curve.y)
    formula = EdgeFormula(family=FAMILIES["0"], a=1.0, b=0.0, c=0.0, d=level)
    return _judged(curve, formula, 0.0, 1)


def _bits(family: Family, rest: float, numbers: int, spline_numbers: float) -> float:
    rest = max(rest, 0.0) + RESOLUTION**2
    return (
        spline_numbers / 2 * math.log2(rest / RESOLUTION**2)
        + numbers / 2 * math.log2(spline_numbers / rest)
        + family.complexity
    )
