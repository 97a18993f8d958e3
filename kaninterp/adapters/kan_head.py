"""Adapter for kaninterp's own `KANHead`, by what it offers rather than by import: rooms of one floor stay apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.adapters.structure import attribute, has_tensors
from kaninterp.adapters.view import LayerView, ModelView, names_or_none
from kaninterp.core.frozen import Array, BoolArray

__all__ = ["is_kan_layer", "view_kan_head", "view_kan_layer"]


class _KanHeadLayer(LayerView):
    """A `KANLayer`: every edge is linear in a basis shared by all edges of its input."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self.knots = layer.knots.detach().cpu().double().numpy().copy()
        self.order = int(layer.order)
        self.alive = (layer.mask.detach() != 0).cpu().numpy()
        self.bias = layer.bias.detach().cpu().double().numpy().copy()
        spec = layer.spec
        self.base_name, self.outside, self.splines = str(spec.base), str(spec.outside), layer.formulas is None
        self.facts = (
            ("grid intervals", str(spec.grid)),
            ("spline order", str(spec.order)),
            ("knots", "uniform" if spec.uniform else "free"),
            ("outside the domain", str(spec.outside)),
            ("base function", str(spec.base)),
        )
        named = () if layer.formulas is None else layer.formulas.named()
        self.formulas = tuple((dst, src, family.name) for dst, src, family in named if self.alive[dst, src])

    @property
    def module(self) -> nn.Module:
        layer: nn.Module = self._layer
        return layer

    @property
    def start(self) -> Array:
        size: Array = self._layer.start[1].detach().cpu().double().numpy()
        return size

    @property
    def untouched(self) -> BoolArray:
        same: BoolArray = self._layer.untouched.detach().cpu().numpy()
        return same

    def edges(self, x: Tensor) -> Tensor:
        result: Tensor = self._layer.edges(x)
        return result

    def base_edges(self, x: Tensor) -> Tensor:
        result: Tensor = self._layer.edges(x, part="base")
        return result

    def __call__(self, x: Tensor) -> Tensor:
        result: Tensor = self._layer(x)
        return result

    def planes(self, x: Tensor) -> Tensor | None:
        result: Tensor | None = None if self.formulas else self._layer.basis(x)
        return result

    def planes_into(self, out: Tensor, x: Tensor) -> None:
        self._layer.basis_into(out, x)

    def coefficients(self) -> Tensor | None:
        result: Tensor | None = None if self.formulas else self._layer.masked_weight().detach()
        return result

    def base_coefficients(self) -> Tensor | None:
        weight = self.coefficients()
        return None if weight is None else torch.cat((torch.zeros_like(weight[:, :-1]), weight[:, -1:]), dim=1)


def is_kan_layer(module: nn.Module) -> bool:
    """Whether a module is built like a `KANLayer`.

    Examples
    --------
    >>> import kaninterp as ki
    >>> is_kan_layer(nn.Linear(2, 1)), is_kan_layer(ki.KANLayer(2, 1))
    (False, True)
    """
    known = all(attribute(module, name) is not None for name in ("spec", "basis_into"))
    return known and has_tensors(module, weight=3, mask=2, knots=2)


def view_kan_layer(module: nn.Module) -> LayerView:
    """View of a `KANLayer` that is in no `KANHead`."""
    return _KanHeadLayer(module)


def view_kan_head(module: nn.Module, path: str) -> ModelView:
    """View of a `KANHead` that sits at ``path`` in a model."""
    head: Any = module
    layers = tuple(_KanHeadLayer(layer) for layer in head.layers)
    widths = (layers[0].src, *(layer.dst for layer in layers))
    first = tuple(range(widths[0])) if head.select is None else tuple(head.select)
    ids = head.node_ids or (first, *(tuple(range(width)) for width in widths[1:]))
    weight = head.layers[0].weight
    formulas = sum(len(layer.formulas) for layer in layers)
    return ModelView(
        module=module,
        path=path,
        layers=layers,
        width=int(head.in_features),
        columns=None if head.select is None else tuple(head.select),
        node_ids=tuple(tuple(int(i) for i in layer) for layer in ids),
        input_names=names_or_none(head.input_names),
        output_names=names_or_none(head.output_names),
        options=(
            ("grid intervals", str(head.options["grid"])),
            ("spline order", str(head.options["order"])),
            ("knots", "uniform" if head.options["uniform"] else "free"),
            ("outside the domain", str(head.options["outside"])),
            ("base function", str(head.options["base"])),
            ("number type", str(weight.dtype).removeprefix("torch.")),
            ("device", str(torch.device(weight.device).type)),
            ("spline coefficients", str(sum(int(np.prod(layer.coef.shape)) for layer in head.layers))),
            *([("formulas", f"{formulas} edge{'s' if formulas > 1 else ''}")] if formulas else []),
        ),
    )
