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
from kaninterp.core.frozen import Array, IntArray
from kaninterp.data import Batch
from kaninterp.measure.conversion_reach import Place, reached, worst_place
from kaninterp.measure.conversion_shapes import (
    MOST_CELLS,
    Attempt,
    Shape,
    covering,
    first_attempt,
    formulas_in,
    new_knots,
)
from kaninterp.measure.host import run, untouched
from kaninterp.nn import KANHead, KANLayer
from kaninterp.nn.formulas import with_formulas
from kaninterp.nn.projection import fit_operator

__all__ = ["conversion_error", "from_kan", "with_kan_head"]

TOLERANCE = 1e-3
"""Largest error accepted, in standard deviations of an output: a third digit that no figure shows."""
DOUBLINGS = 2
"""How often that grid is doubled when the error is above the tolerance; a cubic's error falls 16-fold each time."""
ERROR_ROWS = 512
"""Rows on which the error is measured when none are given: over the domain of every input, columns out of step."""


class _Tried(NamedTuple):
    """A head, its error, where that is largest, and how the head was made."""

    head: KANHead
    error: float
    place: Place
    attempt: Attempt


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
    squares, edge by edge: over its domain and fringe, or as far as the rows reach if the error is largest beyond these.
    Either way the error of the whole is measured and held against `tolerance`.

    Parameters
    ----------
    model : Module
        A KAN, or a model with one inside; left bit-identical.
    path : str, optional
        Where the KAN sits, if there are several.
    grid : int, optional
        Intervals of the head. None: those of the KAN; or, where functions are fitted, `FINER` times as many, doubled up
        to `DOUBLINGS` times while the error is above `tolerance`, and more where knots reach farther than the domain.
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
    x = _rows_of(view, rows)
    best = _best(view, x, view.width if rows is None else rows.shape[-1], grid, tolerance)
    if best.error <= tolerance:
        return best.head
    raise ModelError(
        f"the {view.kind} at {view.path!r} as a KANHead with {best.attempt.shape.grid} intervals is off by "
        f"{best.error:.3g} standard deviations of its output, tolerance={tolerance:g}; most at {best.place.text()}. "
        f"{_advice(view, best, spread=rows is None)}, or accept the error (tolerance=...)"
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
    view = as_view(model, path)
    return _error(view, head, _rows_of(view, rows))[0]


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


def _best(view: ModelView, x: Tensor, width: int, grid: int | None, tolerance: float) -> _Tried:
    """Try knots that reach to the rows where the error is largest beyond them, and finer ones where it is inside."""
    best = _tried(view, first_attempt(view, grid), x, width)
    doublings, cover = DOUBLINGS, None
    most = max(MOST_CELLS, best.attempt.shape.grid << DOUBLINGS)
    while best.error > tolerance:
        if best.place.outside and cover is None:
            cover = reached(view, x)
            wider = _tried(view, covering(view, best.attempt, cover, grid=grid), x, width)
            if wider.error < best.error:
                best, doublings = wider, DOUBLINGS
        elif grid is None and doublings and not best.attempt.exact and 2 * best.attempt.shape.grid <= most:
            best, doublings = _tried(view, best.attempt.finer(), x, width), doublings - 1
        else:
            break
    return best


def _tried(view: ModelView, attempt: Attempt, x: Tensor, width: int) -> _Tried:
    head = _converted(view, attempt, width=width)
    error, worst = _error(view, head, x)
    return _Tried(head, error, worst_place(view, head, worst, _columns(view)), attempt)


def _advice(view: ModelView, best: _Tried, *, spread: bool) -> str:
    """What lessens the error that is left."""
    cells = max(layer.knots.shape[1] - 1 for layer in view.layers)
    if best.attempt.exact and best.attempt.shape.grid == cells:
        return (
            "The functions are kept as they are; what differs is the rounding of the KAN's number type: convert "
            "model.double(), or leave out rows so far from the domain"
        )
    if best.place.outside:
        return "No grid mends that: leave out rows so far from the domain"
    finer = f"Use a finer grid, grid={2 * best.attempt.shape.grid}"
    return f"{finer}, give the rows that matter (rows=...)" if spread else finer


def _columns(view: ModelView) -> list[IntArray]:
    """Inputs of every layer in the head's order: a head reads its columns ascending."""
    first = np.arange(view.widths[0]) if view.columns is None else np.argsort(view.columns)
    return [first, *(np.arange(layer.src) for layer in view.layers[1:])]


def _in_place(view: ModelView, head: KANHead) -> dict[int, nn.Module]:
    """What stands for the parts of the KAN: the head, and nothing for the later layers of a run."""
    if not isinstance(view.module, RunOfLayers):
        return {id(view.module): head}
    first, *later = (layer.module for layer in view.layers)
    return {id(first): head, **{id(layer): nn.Identity() for layer in later}}


def _rows_of(view: ModelView, rows: Tensor | None) -> Tensor:
    """Inputs of the first layer, (n, src), on which the error is measured."""
    parameter = next(view.module.parameters())
    x = _spread(view.layers[0]).to(parameter) if rows is None else view.read(rows.to(parameter.device))
    if not x.shape[0]:
        raise InputError("rows: there are none; give at least one, or leave it out")
    return x


@torch.no_grad()
def _error(view: ModelView, head: KANHead, x: Tensor) -> tuple[float, Tensor]:
    """Largest error, and the row (1, src) it is on."""
    theirs = view.activations(x)[-1].double()
    ours = x if view.columns is None else x[:, np.argsort(view.columns)]
    for layer in head.kan_layers:
        ours = layer.eval()(ours)
    fine = torch.isfinite(theirs).all(1)  # a formula of the KAN may not be defined everywhere
    if bool(fine.any()):
        theirs, ours, x = theirs[fine], ours[fine], x[fine]
    size = theirs.std(0, correction=0)
    level = theirs.abs().amax(0)
    # a constant output has a deviation of rounding only
    size = torch.where(size > 1e-6 * level, size, torch.where(level > 0, level, torch.ones_like(level)))
    off = ((ours.double() - theirs).abs() / size).amax(1)
    return float(off.max()), x[off.argmax()][None]


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


@torch.no_grad()
def _converted(view: ModelView, attempt: Attempt, *, width: int) -> KANHead:
    shape, orders = attempt.shape, _columns(view)
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
        ends = None if attempt.cover is None else attempt.cover[depth]
        _fill(layer, source, shape, new_knots(source, attempt, ends), orders[depth])
        new = np.argsort(orders[depth])
        formulas |= {(depth, dst, int(new[src])): formula for (dst, src), formula in formulas_in(source).items()}
    return with_formulas(head, formulas).eval() if formulas else head.eval()


def _fill(layer: KANLayer, source: LayerView, shape: Shape, places: Array, columns: IntArray) -> None:
    back = np.argsort(columns)
    knots = torch.as_tensor(places[columns], device=layer.weight.device)
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
