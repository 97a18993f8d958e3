"""A KAN of any library as a `KANHead`: exactly where a head can hold its functions, else with the error measured."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.adapters import LayerView, ModelView, RunOfLayers, as_view
from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import InputError, ModelError
from kaninterp.core.families import FAMILIES
from kaninterp.core.frozen import IntArray
from kaninterp.data import Batch
from kaninterp.measure.host import run, untouched
from kaninterp.nn import KANHead, KANLayer
from kaninterp.nn.bspline import MAX_ORDER
from kaninterp.nn.formulas import with_formulas
from kaninterp.nn.planes import BASES
from kaninterp.nn.projection import fit_operator

__all__ = ["conversion_error", "from_kan", "with_kan_head"]

TOLERANCE = 1e-3
"""Largest error accepted, in standard deviations of an output: a third digit that no figure shows."""
FINER = 4
"""Cells of the head per cell of functions that are no splines on their knots: cubic pieces of a quarter cell."""
DOUBLINGS = 2
"""How often that grid is doubled when the error is above the tolerance; a cubic's error falls 16-fold each time."""
REFIT_ORDER = 3
"""Order of the splines such functions are fitted with."""
ERROR_ROWS = 512
"""Rows on which the error is measured when none are given: over the domain of every input, columns out of step."""
KNOT_ROUNDING = 1e-5
"""Largest departure, in cells, of knots that count as equally spaced: float32 knots of an equal grid have 1e-6."""
NAMES = {"x^0.5": "sqrt", "1/x^0.5": "1/sqrt(x)"}
"""Other names of families, as pykan has them."""


class _Shape(NamedTuple):
    """What all layers of a head have in common."""

    grid: int
    order: int
    uniform: bool
    outside: str
    base: str


def from_kan(
    model: nn.Module,
    *,
    path: str | None = None,
    grid: int | None = None,
    rows: Tensor | None = None,
    tolerance: float = TOLERANCE,
) -> KANHead:
    """Convert a KAN of any known library to a `KANHead`, which can then be pruned, saved and trained here.

    B-spline layers (pykan, efficient-kan, inkan, flashkan) with a silu, identity or no base
    branch, and straight pieces (kanditioned), keep their knots and become the same functions, up to rounding. Any other
    function (Gaussians, Chebyshev polynomials, another base branch, symbolic edges of other
    functions than those of `kaninterp.core.families.FAMILIES`, which stay formulas) is fitted on a finer grid by least
    squares over its domain and fringe, edge by edge. Either way the error of the whole is measured and held against
    `tolerance`.

    Parameters
    ----------
    model : Module
        A KAN, or a model with one inside; left bit-identical.
    path : str, optional
        Where the KAN sits, if there are several.
    grid : int, optional
        Intervals of the head. None: those of the KAN; or, where functions are fitted, `FINER` times as many, doubled up
        to `DOUBLINGS` times while the error is above `tolerance`.
    rows : Tensor, shape (n, width), optional
        Inputs of the KAN on which the error is measured, with all columns that it is given: pykan takes more than it
        reads, and the head takes as many. None: `ERROR_ROWS` rows over the domain of its inputs.
    tolerance : float
        Largest error accepted, see `conversion_error`.

    Returns
    -------
    KANHead
        New, in evaluation mode, in the KAN's number type and on its device. It reads the same columns; masked edges are
        masked.

    Raises
    ------
    ModelError
        No KAN that can be read; or the error exceeds `tolerance`: the message has it, and what to do.
    InputError
        `grid` or `tolerance` out of range.

    Examples
    --------
    >>> kan = KANHead(3, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))  # one of ours: a copy
    >>> head = from_kan(kan)
    >>> conversion_error(kan, head) < 1e-6
    True
    """
    if grid is not None and (type(grid) is not int or grid < 1):
        raise InputError(f"grid={grid!r}; allowed: a whole number of intervals of at least 1, or None")
    if not tolerance > 0:
        raise InputError(f"tolerance={tolerance!r}; allowed: a positive number, in standard deviations of an output")
    view = as_view(model, path)
    if isinstance(view.module, KANHead):
        return copy.deepcopy(view.module).eval()
    exact = all(_holds(layer) for layer in view.layers) and len({_form(layer) for layer in view.layers}) == 1
    shape = _shape(view, exact=exact, grid=grid)
    for _ in range(1 if exact or grid is not None else 1 + DOUBLINGS):
        head = _converted(view, shape, exact=exact, width=view.width if rows is None else rows.shape[-1])
        error = _error(view, head, rows)
        if error <= tolerance:
            return head
        shape = shape._replace(grid=2 * shape.grid)
    raise ModelError(
        f"the {view.kind} at {view.path!r} as a KANHead with {shape.grid // 2} intervals is off by "
        f"{error:.3g} standard deviations of its output, tolerance={tolerance:g}. Use a finer grid, grid={shape.grid}, "
        "give the rows that matter (rows=...), or accept the error (tolerance=...)"
    )


def conversion_error(model: nn.Module, head: KANHead, *, path: str | None = None, rows: Tensor | None = None) -> float:
    """Largest difference between a KAN and a head made from it, in standard deviations of the output.

    Parameters
    ----------
    model : Module
        The KAN, or a model with it inside.
    head : KANHead
        From `from_kan`.
    path, rows
        As for `from_kan`.

    Returns
    -------
    float
        ``max |head(x) - kan(x)| / std(kan(x))``, largest over rows and outputs; an output that does not vary is
        compared in units of its size, or of 1 if that is 0.

    Raises
    ------
    ModelError
        No KAN that can be read.

    Examples
    --------
    >>> head = KANHead(2, 1, domain=(-1, 1))
    >>> conversion_error(head, head)
    0.0
    """
    return _error(as_view(model, path), head, rows)


def with_kan_head(
    model: nn.Module, *, path: str | None = None, batch: Batch | None = None, tolerance: float = TOLERANCE
) -> nn.Module:
    """Copy of a model with its KAN converted to a `KANHead`, for what only a `KANHead` can do.

    Parameters
    ----------
    model, path, tolerance
        As for `from_kan`.
    batch : Batch, optional
        Rows of the model's data: the error is measured on what the KAN is given of them.

    Returns
    -------
    Module
        A new model; of a bare KAN, the head. The KAN itself is not copied (some cannot be).

    Raises
    ------
    ModelError
        As for `from_kan`.

    Examples
    --------
    >>> with_kan_head(nn.Sequential(nn.Linear(2, 2), KANHead(2, 1, domain=(-1, 1))))[1].widths
    (2, 1)
    """
    view = as_view(model, path)
    rows = None
    if batch is not None:
        with untouched(model):
            rows = run(model, replace(view, columns=None), batch)[1]
    head = from_kan(model, path=path, rows=rows, tolerance=tolerance)
    # the memo of deepcopy says what stands in for a part, at every place that refers to it
    return copy.deepcopy(model, _in_place(view, head))


def _in_place(view: ModelView, head: KANHead) -> dict[int, nn.Module]:
    """What stands for the parts of the KAN: the head, and nothing for the later layers of a run."""
    if not isinstance(view.module, RunOfLayers):
        return {id(view.module): head}
    first, *later = (layer.module for layer in view.layers)
    return {id(first): head, **{id(layer): nn.Identity() for layer in later}}


@torch.no_grad()
def _error(view: ModelView, head: KANHead, rows: Tensor | None) -> float:
    parameter = next(view.module.parameters())
    x = _spread(view.layers[0]).to(parameter) if rows is None else view.read(rows.to(parameter.device))
    if not x.shape[0]:
        raise InputError("rows: there are none; give at least one, or leave it out")
    theirs = view.activations(x)[-1].double()
    ours = x if view.columns is None else x[:, np.argsort(view.columns)]
    for layer in head.kan_layers:
        ours = layer.eval()(ours)
    fine = torch.isfinite(theirs).all(1)  # a formula of the KAN may not be defined everywhere
    if bool(fine.any()):
        theirs, ours = theirs[fine], ours[fine]
    size = theirs.std(0, correction=0)
    level = theirs.abs().amax(0)
    # a constant output has a deviation of rounding only
    size = torch.where(size > 1e-6 * level, size, torch.where(level > 0, level, torch.ones_like(level)))
    return float(((ours.double() - theirs).abs() / size).max())


def _spread(layer: LayerView) -> Tensor:
    """Rows over the domain, columns out of step (a Kronecker sequence), (ERROR_ROWS, src)."""
    lo, hi = (torch.as_tensor(layer.knots[:, end]) for end in (0, -1))
    step = torch.arange(1, ERROR_ROWS + 1, dtype=torch.float64).unsqueeze(1)
    pace = torch.as_tensor([math.sqrt(_prime(i)) for i in range(layer.src)], dtype=torch.float64)
    return lo + (hi - lo) * ((step * pace) % 1.0)


def _prime(index: int) -> int:
    """A prime per column, so that no two columns keep step; in turn beyond the 168 below 1000."""
    small = [n for n in range(2, 1000) if all(n % d for d in range(2, math.isqrt(n) + 1))]
    return small[index % len(small)] + index // len(small)


def _form(layer: LayerView) -> tuple[int, int, str, str]:
    return layer.knots.shape[1] - 1, layer.order, _base(layer), _outside(layer)


def _base(layer: LayerView) -> str:
    return str(getattr(layer, "base_name", "other"))


def _outside(layer: LayerView) -> str:
    return str(getattr(layer, "outside", "base"))


def _holds(layer: LayerView) -> bool:
    """Whether a head can hold the functions: splines on these knots or formulas, and a base branch it has."""
    splines = getattr(layer, "splines", False) or 0 < getattr(layer, "slots", 0) == len(_formulas(layer))
    return bool(splines) and _base(layer) in BASES and 1 <= layer.order <= MAX_ORDER


def _shape(view: ModelView, *, exact: bool, grid: int | None) -> _Shape:
    cells = max(layer.knots.shape[1] - 1 for layer in view.layers)
    bases = {_base(layer) for layer in view.layers}
    base = bases.pop() if len(bases) == 1 else "other"
    outsides = {_outside(layer) for layer in view.layers}
    first = view.layers[0]
    if exact:
        kept = grid is None or grid == cells
        uniform = not kept or all(_equal_cells(layer) for layer in view.layers)
        return _Shape(cells if grid is None else grid, first.order, uniform, _outside(first), base)
    reach = max(_reach(layer) for layer in view.layers)
    return _Shape(
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


@torch.no_grad()
def _converted(view: ModelView, shape: _Shape, *, exact: bool, width: int) -> KANHead:
    # a head reads its columns in ascending order
    order = np.arange(view.widths[0]) if view.columns is None else np.argsort(view.columns)
    every = view.columns is None or list(view.columns) == list(range(width))
    parameter = next(view.module.parameters())
    head = KANHead(
        width,
        view.widths[-1],
        view.widths[1:-1],
        grid=shape.grid,
        order=shape.order,
        uniform=shape.uniform,
        outside=shape.outside,
        base=shape.base,
        domain=(-1.0, 1.0),
        noise=0.0,
        select=None if every or view.columns is None else sorted(view.columns),
        input_names=view.input_names,
        output_names=view.output_names,
        dtype=parameter.dtype,
        device=parameter.device,
        generator=torch.Generator(device=parameter.device).manual_seed(0),  # every number is overwritten below
    )
    formulas: dict[tuple[int, int, int], EdgeFormula] = {}
    for depth, (layer, source) in enumerate(zip(head.kan_layers, view.layers, strict=True)):
        columns = order if depth == 0 else np.arange(source.src)
        _fill(layer, source, shape, exact=exact, columns=columns)
        new = np.argsort(columns)
        formulas |= {(depth, dst, int(new[src])): formula for (dst, src), formula in _formulas(source).items()}
    return with_formulas(head, formulas).eval() if formulas else head.eval()


def _formulas(source: LayerView) -> dict[tuple[int, int], EdgeFormula]:
    """Edges (dst, src) of a layer that are formulas a head has."""
    found = {}
    for (dst, src, name), numbers in zip(source.formulas, source.formula_numbers, strict=False):
        family = FAMILIES.get(NAMES.get(name, name))
        if family is not None and np.isfinite(numbers).all():
            found[dst, src] = EdgeFormula(family=family, **dict(zip("abcd", numbers, strict=True)))
    return found


def _fill(layer: KANLayer, source: LayerView, shape: _Shape, *, exact: bool, columns: IntArray) -> None:
    back = np.argsort(columns)
    knots = torch.as_tensor(_new_knots(source, shape, exact=exact)[columns], device=layer.weight.device)
    points, operator = fit_operator(knots, shape.order)
    edges = source.edges(points[:, back])[..., columns]
    base = source.base_coefficients()
    if shape.base != "zero" and base is not None:
        edges = edges - source.base_edges(points[:, back])[..., columns]
        layer.weight[:, -1] = base.sum(1)[:, columns].to(layer.weight)
    else:
        layer.weight[:, -1] = 0.0
    layer.weight[:, :-1] = torch.einsum("ikq,qoi->oki", operator, edges.double()).to(layer.weight)
    layer.bias.copy_(torch.as_tensor(source.bias))
    layer.set_mask(torch.as_tensor(source.alive[:, columns], dtype=layer.mask.dtype, device=layer.mask.device))
    layer.knots.copy_(knots)  # the cells; set_domain below keeps them and derives the rest
    layer.set_domain(layer.knots[:, 0].clone(), layer.knots[:, -1].clone())


def _new_knots(source: LayerView, shape: _Shape, *, exact: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    knots = source.knots
    if exact and shape.grid == knots.shape[1] - 1:
        return knots if not shape.uniform else np.linspace(knots[:, 0], knots[:, -1], shape.grid + 1, axis=1)
    lo, hi = knots[:, 0], knots[:, -1]
    more = 0.0 if exact else _reach(source) * (hi - lo) / (knots.shape[1] - 1)
    return np.linspace(lo - more, hi + more, shape.grid + 1, axis=1)
