"""The shapes of a head that is made from another KAN: its grid and where its knots lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kaninterp.adapters import LayerView, ModelView
from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.families import ALIASES, FAMILIES
from kaninterp.core.frozen import Array
from kaninterp.measure.conversion_reach import Ends, cells_over, covered, graded, graded_cells
from kaninterp.nn.bspline import MAX_ORDER
from kaninterp.nn.planes import BASES

__all__ = ["FINER", "MOST_CELLS", "Attempt", "Shape", "covering", "first_attempt", "formulas_in", "new_knots"]

FINER = 4
"""Cells of the head per cell of functions that are no splines on their knots: cubic pieces of a quarter cell."""
MOST_CELLS = 512
"""Most intervals that reaching to the rows chooses by itself: a fit takes .15 s per input then, at 1024 a second."""
REFIT_ORDER = 3
"""Order of the splines such functions are fitted with."""
KNOT_ROUNDING = 1e-5
"""Largest departure, in cells, of knots that count as equally spaced: float32 knots of an equal grid have 1e-6."""
MOST_EVEN = 4
"""Times the cells of the domain and its fringe up to which equal cells reach over the rows; farther, they widen."""


class Shape(NamedTuple):
    """What all layers of a head have in common: its options."""

    grid: int
    order: int
    uniform: bool
    outside: str
    base: str


class Attempt(NamedTuple):
    """One way to convert: the head's shape, whether it holds the functions as they are, what its knots reach to."""

    shape: Shape
    exact: bool
    cover: tuple[Ends, ...] | None

    def finer(self) -> Attempt:
        """The same with twice as many intervals."""
        return self._replace(shape=self.shape._replace(grid=2 * self.shape.grid))


def first_attempt(view: ModelView, grid: int | None) -> Attempt:
    """The functions as they are where a head can hold them, else their fits over domain and fringe."""
    exact = all(_holds(layer) for layer in view.layers) and len({_form(layer) for layer in view.layers}) == 1
    return Attempt(_shape(view, exact=exact, grid=grid), exact, None)


def covering(view: ModelView, before: Attempt, cover: Sequence[Ends], *, grid: int | None) -> Attempt:
    """The same with knots that reach as far as the rows: in the domain and its fringe as close as before.

    Cells are equal as long as `MOST_EVEN` times as many are enough; else they widen with the distance.

    Parameters
    ----------
    view, before
        The KAN, and the attempt without.
    cover
        For every layer the range of its inputs.
    grid : int, optional
        Intervals if they are given; then cells are wider, and none are added.
    """
    cells = max(layer.knots.shape[1] - 1 for layer in view.layers)
    exact = before.exact and before.shape.grid != cells  # on the KAN's own knots nothing can be moved
    shape = _shape(view, exact=exact, grid=grid)
    finer = 1 if before.exact else max(1, before.shape.grid // shape.grid)
    inner = [_ends(layer, exact=exact) for layer in view.layers]
    outer = [covered(each, ends) for each, ends in zip(inner, cover, strict=True)]
    widths = [np.ptp(layer.knots, axis=1) / (layer.knots.shape[1] - 1) for layer in view.layers]
    even = FINER * finer * cells_over(outer, widths)
    uniform = even <= MOST_EVEN * finer * shape.grid
    wanted = even if uniform else FINER * finer * graded_cells(inner, outer, widths)
    chosen = grid if grid is not None else max(shape.grid, min(wanted, MOST_CELLS))
    return Attempt(shape._replace(grid=chosen, uniform=uniform), exact, tuple(cover))


def formulas_in(source: LayerView) -> dict[tuple[int, int], EdgeFormula]:
    """Edges (dst, src) of a layer that are formulas a head has."""
    found = {}
    for (dst, src, name), numbers in zip(source.formulas, source.formula_numbers, strict=False):
        family = FAMILIES.get(ALIASES.get(name, name))
        if family is not None and np.isfinite(numbers).all():
            found[dst, src] = EdgeFormula(family=family, **dict(zip("abcd", numbers, strict=True)))
    return found


def _form(layer: LayerView) -> tuple[int, int, str, str]:
    return layer.knots.shape[1] - 1, layer.order, _base(layer), _outside(layer)


def _base(layer: LayerView) -> str:
    return str(getattr(layer, "base_name", "other"))


def _outside(layer: LayerView) -> str:
    return str(getattr(layer, "outside", "base"))


def _holds(layer: LayerView) -> bool:
    """Whether a head can hold the functions: splines on these knots or formulas, and a base branch it has."""
    splines = getattr(layer, "splines", False) or 0 < getattr(layer, "slots", 0) == len(formulas_in(layer))
    return bool(splines) and _base(layer) in BASES and 1 <= layer.order <= MAX_ORDER


def _shape(view: ModelView, *, exact: bool, grid: int | None) -> Shape:
    cells = max(layer.knots.shape[1] - 1 for layer in view.layers)
    bases = {_base(layer) for layer in view.layers}
    base = bases.pop() if len(bases) == 1 else "other"
    outsides = {_outside(layer) for layer in view.layers}
    if exact:
        kept = grid is None or grid == cells
        uniform = not kept or all(_equal_cells(layer) for layer in view.layers)
        return Shape(cells if grid is None else grid, view.layers[0].order, uniform, _outside(view.layers[0]), base)
    reach = max(_reach(layer) for layer in view.layers)
    return Shape(
        grid=(cells + 2 * reach) * FINER if grid is None else grid,
        order=REFIT_ORDER,
        uniform=True,
        outside="linear" if outsides == {"linear"} else "clamp",
        base=base if base in BASES else "zero",
    )


def _reach(layer: LayerView) -> int:
    """Cells beyond the domain that a fit covers: the fringe, where functions still move."""
    return 0 if _outside(layer) == "linear" else layer.order


def _equal_cells(layer: LayerView) -> bool:
    widths = np.diff(layer.knots, axis=1)
    return bool((np.abs(widths / widths.mean(1, keepdims=True) - 1) <= KNOT_ROUNDING).all())


def new_knots(source: LayerView, attempt: Attempt, ends: Ends | None) -> Array:
    """Knots (src, grid + 1) of the head's layer, in the KAN's order of inputs."""
    knots, shape = source.knots, attempt.shape
    if attempt.exact and ends is None and shape.grid == knots.shape[1] - 1:
        return knots if not shape.uniform else np.linspace(knots[:, 0], knots[:, -1], shape.grid + 1, axis=1)
    inner = _ends(source, exact=attempt.exact)
    outer = inner if ends is None else covered(inner, ends)
    return np.linspace(*outer, shape.grid + 1, axis=1) if shape.uniform else graded(inner, outer, shape.grid)


def _ends(source: LayerView, *, exact: bool) -> Ends:
    """Where a fit lies whatever the rows: over the domain and, where functions are no splines on it, its fringe."""
    low, high = source.knots[:, 0], source.knots[:, -1]
    more = 0.0 if exact else _reach(source) * (high - low) / (source.knots.shape[1] - 1)
    return low - more, high + more
