"""How straight each edge is on the data, and why: most "y = x" edges of a hybrid are no discovery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.trace import LayerTrace, Trace

from .attribution import strength
from .bundle import LayerStraightness
from .over_domain import over_domain

__all__ = [
    "CAUSES",
    "NOTHING_TO_MEND",
    "OURS",
    "OUTSIDE_MOSTLY",
    "OUTSIDE_PARTLY",
    "STRAIGHT_R2",
    "Cause",
    "count_causes",
    "layer_straightness",
]

STRAIGHT_R2 = 0.99
"""Straight from here on: what is left over has a tenth of the edge's standard deviation, which no eye tells from a
line. For scale: silu on [-1, 1] has 0.94, tanh on [-1, 1] 0.99, x^3 0.84, sin(pi x) 0.61 (uniform data)."""

OUTSIDE_MOSTLY = 0.5
"""Share of rows outside the trained zone above which a straight edge is blamed on the domain."""

OUTSIDE_PARTLY = 0.05
"""Share of rows outside above which both are to blame ("mixed"): 5 % of rows at the ends can hold half the variance."""

SHRUNK = 0.1
"""Size of a spline (standard deviation over its domain) relative to that of its initial coefficients (root mean square)
below which it was pressed flat. Fresh from initialisation the ratio is about 0.5."""

BENT_R2 = 0.9
"""A spline part whose own linear R^2 on the data is below this bends: a third of its deviation or more is no line."""

CANCELLED = 0.5
"""Largest bend of an edge, as a share of the bend of its base branch alone, at which the spline has straightened it."""


class Cause(NamedTuple):
    """Why an edge is straight, and what to do about it, each in one line; ``elsewhere`` is for KANs of other makes."""

    why: str
    fix: str
    elsewhere: str = ""

    def cure(self, head: str) -> str:
        """What to do about it in a KAN of this class, which is "KANHead" for ours.

        Examples
        --------
        >>> CAUSES["drowned"].cure("MultKAN")
        'read the spline without its base branch, or train without a base function to have one curve'
        """
        return self.fix if head == OURS or not self.elsewhere else self.elsewhere


OURS = "KANHead"
"""The class whose methods and options the advice may name."""
RETURN = "update the domains to these data and train on (head.update), or check the scaling of the inputs"
RETURN_ELSEWHERE = (
    "move its grid to these data (update_grid, where the library has it) or scale the inputs into it, and train on"
)

CAUSES = {
    "out-of-domain": Cause(
        "most of the data lie outside the domain, where no spline was fitted", RETURN, RETURN_ELSEWHERE
    ),
    "mixed": Cause("part of the data lies outside the domain, where no spline was fitted", RETURN, RETURN_ELSEWHERE),
    "untrained": Cause(
        "the spline still is what it was initialised with",
        "train it: unfreeze the weights, give them to the optimizer, and see that the training data reach the grid",
    ),
    "shrunk": Cause(
        "a penalty or weight decay pressed the spline flat",
        "weaken the penalty or weight decay on the splines and train on",
    ),
    "under-used": Cause(
        "the data use a straight part of the curve only",
        "move the domains to where the data lie (head.update) and train on: a smaller grid shows finer shapes",
        "move its grid to where the data lie (update_grid, where the library has it) or spread the inputs over it, and "
        "train on: finer shapes show",
    ),
    "drowned": Cause(
        "the base branch outweighs the spline",
        "read the spline without its base branch, or train with base='zero' to have one curve",
        "read the spline without its base branch, or train without a base function to have one curve",
    ),
    "formula": Cause("it is a formula, which is a line on these data", "nothing to mend: no grid bounds a formula"),
    "linear": Cause("a line is what was learnt over the whole domain", "nothing to mend"),
}
"""Causes of straightness, the first of these that holds; of a formula that is the cause, whatever else holds."""
NOTHING_TO_MEND = frozenset({"formula", "linear"})
"""Causes that are no fault."""


def layer_straightness(trace: Trace) -> tuple[LayerStraightness, ...]:
    """Linear R^2, bend, shares of base and spline, and the cause of straightness for every edge.

    ``linear_r2`` is the squared correlation of phi_ji(x_i) with x_i over the data. It and all that is said of the two
    parts of an edge come from co-moments, so they are exact and need no row.

    Notes
    -----
    A spline pressed to a line by a penalty on its roughness cannot be told from a line that was learnt without
    training again (`kaninterp.would_bend`): both are "linear". Nor can a spline be called "untrained" or "shrunk" where
    its adapter does not know how it started.
    """
    return tuple(
        _straightness(layer, weights, nodes.m2)
        for layer, weights, nodes in zip(trace.layers, strength(trace), trace.nodes, strict=False)
    )


def count_causes(layers: Iterable[LayerStraightness]) -> Counter[str]:
    """How many edges that vary are curved ("") or straight for each cause."""
    return Counter(
        cause for layer in layers for row in layer.cause for cause in row if cause not in {"masked", "constant"}
    )


def _straightness(layer: LayerTrace, weights: Array, input_m2: Array) -> LayerStraightness:
    edges, parts = layer.edges, layer.parts
    varies = weights > 0
    r2 = _linear_r2(edges.m2, edges.with_input, input_m2) * varies
    rest = _left_over(edges.m2, edges.with_input, input_m2)
    whole, size = _over_domain(layer)
    base_share = np.divide(parts.with_edge, edges.m2, out=np.zeros(r2.shape), where=edges.m2 > 0) * varies
    slope = np.divide(edges.with_input, input_m2, out=np.zeros(r2.shape), where=varies & (input_m2 > 0))
    outside = np.broadcast_to(1.0 - layer.ranges.zones[:, 0], r2.shape)
    holds = {
        "masked": ~edges.alive,
        "constant": ~varies,
        "": r2 < STRAIGHT_R2,
        "formula": ~parts.spline,
        "out-of-domain": outside > OUTSIDE_MOSTLY,
        "mixed": outside > OUTSIDE_PARTLY,
        "untrained": parts.untouched,
        "shrunk": size < SHRUNK * parts.start,
        "under-used": whole < STRAIGHT_R2,
        "drowned": _drowned(layer, rest, input_m2),
    }
    names = np.select(list(holds.values()), [np.full(r2.shape, name, dtype=object) for name in holds], "linear")
    return LayerStraightness(
        linear_r2=r2,
        domain_r2=whole,
        slope=slope,
        bend=np.sqrt(rest / max(edges.count, 1)) * varies,
        base_share=base_share,
        spline_share=(1.0 - base_share) * varies,
        cause=tuple(tuple(map(str, row)) for row in names),
        straight=varies & (r2 >= STRAIGHT_R2),
    )


def _drowned(layer: LayerTrace, rest: Array, input_m2: Array) -> BoolArray:
    """Edges with a spline that bends (or is nothing), and does not do so to straighten their base branch."""
    parts = layer.parts
    spline = _linear_r2(parts.spline_m2(layer.edges), parts.spline_with_input(layer.edges), input_m2)
    straightened = rest <= CANCELLED**2 * _left_over(parts.m2, parts.with_input, input_m2)
    return np.asarray((spline < BENT_R2) & ~straightened & (parts.m2 > 0))


def _linear_r2(m2: Array, with_input: Array, input_m2: Array) -> Array:
    """Squared correlation with the input; 0 where one of the two is constant."""
    scale = m2 * input_m2[None, :]
    # products of tiny moments may underflow to 0 although both vary; then nothing can be said
    return np.clip(np.divide(with_input**2, scale, out=np.zeros(m2.shape), where=scale > 0), 0.0, 1.0)


def _left_over(m2: Array, with_input: Array, input_m2: Array) -> Array:
    """Sum of squares that the best line leaves over."""
    line = np.divide(with_input**2, input_m2[None, :], out=np.zeros(m2.shape), where=input_m2[None, :] > 0)
    return np.maximum(m2 - line, 0.0)


def _over_domain(layer: LayerTrace) -> tuple[Array, Array]:
    """Squared correlation of phi_ji with its argument over the domain, and the standard deviation of its spline there.

    Every value of the domain counts alike, whatever the data look like.
    """
    r2, size = [], []
    for (points, values, weights), (_, base, _) in zip(
        over_domain(layer, layer.edges.curves), over_domain(layer, layer.edges.base_curves), strict=True
    ):
        dx, dy = points - points @ weights, values - (values @ weights)[:, None]
        scale = (dy**2 @ weights) * (dx**2 @ weights)
        r2.append(np.divide((dy * dx @ weights) ** 2, scale, out=np.zeros(len(dy)), where=scale > 0))
        spline = values - base
        size.append(np.sqrt((spline - (spline @ weights)[:, None]) ** 2 @ weights))
    return np.clip(np.stack(r2, axis=1), 0.0, 1.0), np.stack(size, axis=1)
