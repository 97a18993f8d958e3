"""Edges of a head made formulas, and splines again; a new head comes back."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import InputError, InputTypeError, StateError
from kaninterp.nn.head import KANHead, rebuilt
from kaninterp.nn.head_checks import checked_edge
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.projection import fit_operator
from kaninterp.nn.symbolic import SymbolicEdges

__all__ = ["Edge", "formulas_of", "splines_again_", "with_formulas", "without_formulas"]

Edge = tuple[int, int, int]
"""layer, dst, src: places in the head, as in its trace."""


def with_formulas(head: KANHead, formulas: Mapping[Edge, EdgeFormula], *, revive: bool = False) -> KANHead:
    """Make a head in which some edges are formulas ``c f(a x + b) + d`` in place of splines.

    Parameters
    ----------
    head
        Not changed.
    formulas
        By edge (layer, dst, src). A formula that an edge has already is replaced.
    revive
        Whether edges that were pruned may come back as formulas.

    Returns
    -------
    KANHead
        All four numbers of every formula are trainable (``layer.formulas.numbers``), also in a frozen head; the
        coefficients of the splines that they replace are set to 0. It is traced, pruned, saved and trained as any head.

    Raises
    ------
    InputError
        An edge that does not exist, or was pruned and `revive` is not set; numbers that the number type of the head
        cannot hold; a family of your own with the name of another. Nothing is changed.
    InputTypeError
        Something that is no EdgeFormula.

    Notes
    -----
    Penalties on edges do not count formulas, domains do not move them; see `kaninterp.nn.SymbolicEdges`. Outside the
    domain of f an edge goes on as a constant, see `kaninterp.nn.native`. pykan calls this fixing an edge (arXiv
    2404.19756, section 2.5.1).

    Examples
    --------
    >>> from kaninterp.core.families import FAMILIES
    >>> head = KANHead(2, 1, generator=torch.Generator().manual_seed(0))
    >>> sine = EdgeFormula(family=FAMILIES["sin"], a=2.0, b=0.0, c=1.0, d=0.0)
    >>> new = with_formulas(head, {(0, 0, 1): sine})
    >>> zero, there = torch.zeros(1, 2), torch.tensor([[0.0, 0.25]])
    >>> round((new.eval()(there) - new(zero)).item(), 4)  # sin(0.5)
    0.4794
    """
    _check_head(head)
    if not isinstance(formulas, Mapping):
        got = type(formulas).__name__
        raise InputTypeError(f"formulas: expected a dict (layer, dst, src) -> EdgeFormula, got {got}")
    checked = {checked_edge(edge, head.widths): _checked(edge, formula) for edge, formula in formulas.items()}
    pruned = [edge for edge in checked if not _alive(head, edge)]
    if pruned and not revive:
        raise InputError(
            f"edge {pruned[0]} (layer, dst, src) was pruned; a formula would bring it back. Give revive=True if that "
            "is what you want"
        )
    layers = []
    for depth, layer in enumerate(head.kan_layers):
        mine = {(dst, src): formula for (at, dst, src), formula in checked.items() if at == depth}
        layers.append(_with(copy.deepcopy(layer), mine, depth))
    return rebuilt(head, layers)


def formulas_of(head: KANHead) -> dict[Edge, EdgeFormula]:
    """Give the formulas of a head with their numbers of now, by edge (layer, dst, src); not those that were pruned.

    Examples
    --------
    >>> formulas_of(KANHead(2, 1))
    {}
    """
    _check_head(head)
    found = {}
    for depth, layer in enumerate(head.kan_layers):
        for (dst, src), formula in ({} if layer.formulas is None else layer.formulas.formulas()).items():
            if layer.mask[dst, src] != 0:
                found[depth, dst, src] = formula
    return dict(sorted(found.items()))


def without_formulas(head: KANHead, edges: Iterable[Edge] | None = None) -> KANHead:
    """Make a head in which formulas are splines again, fitted to them.

    Parameters
    ----------
    head
        Not changed.
    edges
        Which formulas, by (layer, dst, src); None: all. Those of pruned edges go, and their edges stay pruned.

    Returns
    -------
    KANHead
        Each spline is the least-squares best on the domain of its input, by the knots there are (`KANHead.refine` first
        makes a closer fit); outside it goes on as the other splines of the head.

    Raises
    ------
    InputError
        An edge that does not exist or is no formula. StateError: a domain that has not been set yet.

    Examples
    --------
    >>> from kaninterp.core.families import FAMILIES
    >>> head = KANHead(1, 1, domain=(-1.0, 1.0), generator=torch.Generator().manual_seed(0))
    >>> cube = EdgeFormula(family=FAMILIES["x^3"], a=1.0, b=0.0, c=1.0, d=0.0)
    >>> new = without_formulas(with_formulas(head, {(0, 0, 0): cube}))
    >>> formulas_of(new), round(new.eval()(torch.tensor([[0.5]])).item(), 4)  # cubic splines hold a cube
    ({}, 0.125)
    """
    _check_head(head)
    present = formulas_of(head)
    if edges is None:
        wanted = set(present)
    else:
        wanted = {checked_edge(edge, head.widths) for edge in edges}
        odd = sorted(wanted - set(present))
        if odd:
            raise InputError(f"edge {odd[0]} is no formula; those of this head are {sorted(present)[:10]}")
    layers = [copy.deepcopy(layer) for layer in head.kan_layers]
    for depth, layer in enumerate(layers):
        mine = torch.zeros_like(layer.mask, dtype=torch.bool)
        for _, dst, src in (edge for edge in wanted if edge[0] == depth):
            mine[dst, src] = True
        if edges is None:
            mine |= layer.mask == 0
        splines_again_(layer, mine)
    return rebuilt(head, layers)


@torch.no_grad()
def splines_again_(layer: KANLayer, edges: Tensor) -> None:
    """Turn formulas of a layer into splines, in place; `edges` (dst, src), bool, says which, where there are any."""
    held = layer.formulas
    if held is None:
        return
    turned = held.cut(layer.mask * edges)
    if turned is not None:
        if not bool(layer.calibrated):
            raise StateError("the domain of the layer is not set yet; call head.calibrate(batches) or train first")
        points, operator = fit_operator(layer.knots, layer.order)
        values = turned.double().edges(points).to(points)
        for e, (dst, src) in enumerate(turned.pairs.tolist()):
            layer.weight[dst, :-1, src] = (operator[src] @ values[:, e]).to(layer.weight.dtype)
            layer.weight[dst, -1, src] = 0.0
    layer.formulas = held.cut((~edges).to(layer.mask))


@torch.no_grad()
def _with(layer: KANLayer, formulas: Mapping[tuple[int, int], EdgeFormula], depth: int) -> KANLayer:
    """Give a layer formulas, in place; returns it."""
    if not formulas:
        return layer
    given = list(formulas)
    rows = [[f.a, f.b, f.c, f.d] for f in formulas.values()]
    numbers = torch.tensor(rows, dtype=torch.float64).to(layer.weight)
    if not bool(numbers.isfinite().all()):
        dst, src = given[int((~numbers.isfinite()).any(1).nonzero()[0])]
        raise InputError(
            f"the formula of edge {(depth, dst, src)} has numbers beyond {layer.weight.dtype}; use head.double()"
        )
    others = torch.ones_like(layer.mask)
    for dst, src in given:
        others[dst, src] = 0.0
        layer.weight[dst, :, src] = 0.0
        layer.start[0, dst, src], layer.start[1, dst, src] = torch.inf, 0.0
    mask = layer.mask.clone()
    mask[others == 0] = 1.0
    layer.set_mask(mask)
    new = SymbolicEdges(
        [f.family for f in formulas.values()], given, out_features=layer.out_features, numbers=numbers,
        device=layer.weight.device, dtype=layer.weight.dtype,
    )  # fmt: skip
    rest = None if layer.formulas is None else layer.formulas.cut(others)
    layer.formulas = (new if rest is None else new.joined(rest)).train(layer.training)
    return layer


def _check_head(head: Any) -> None:
    if not isinstance(head, KANHead):
        raise InputTypeError(f"formulas go into a KANHead, got {type(head).__name__}; give the head of the model")


def _checked(edge: Any, formula: Any) -> EdgeFormula:
    if not isinstance(formula, EdgeFormula):
        raise InputTypeError(f"formula of edge {edge}: expected an EdgeFormula, got {type(formula).__name__}")
    return formula


def _alive(head: KANHead, edge: Edge) -> bool:
    return bool(head.kan_layers[edge[0]].mask[edge[1], edge[2]] != 0)
