"""Adapter for pykan's ``MultKAN`` (``kan.KAN``): splines, symbolic edges, masks and the scales behind them.

Layer l is ``node_scale * (subnode_scale * (numeric + symbolic) + subnode_bias) + node_bias``; both scales go into the
edges, both biases into the bias. A symbolic edge is a function of its own, ``c f(a x + b) + d``: it gets a plane of
its own in the basis of its input. It counts as the learnt part of its edge, as a spline would, not as base branch.

Multiplication nodes multiply sums of edges; a node behind one is no sum of edges, so they are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.adapters.basis_layer import BasisLayer, base_kind, numbers
from kaninterp.adapters.pykan_layer import spline_weight
from kaninterp.adapters.splines import inner_knots, spline_and_base
from kaninterp.adapters.structure import attribute
from kaninterp.adapters.view import ModelView
from kaninterp.core.errors import ModelError
from kaninterp.core.frozen import Array

__all__ = ["is_pykan", "no_notes", "structural", "view_pykan"]

PARTS = ("act_fun", "symbolic_fun", "width", "node_scale", "node_bias", "subnode_scale", "subnode_bias", "input_id")
"""What a pykan of 0.2 has, under whatever name its class was copied."""
NOTES = (
    "acts", "acts_premult", "acts_scale", "acts_scale_spline", "cache_data", "edge_actscale", "spline_postacts",
    "spline_postsplines", "spline_preacts", "subnode_actscale",
)  # fmt: skip
"""What a forward pass notes; tensors with a history are among it, with which a model cannot be copied."""


def is_pykan(module: nn.Module) -> bool:
    """Whether a model is built like pykan's ``MultKAN``.

    Examples
    --------
    >>> is_pykan(nn.Linear(2, 1))
    False
    """
    return all(attribute(module, name) is not None for name in PARTS)


def view_pykan(module: nn.Module, path: str) -> ModelView:
    """View of a ``MultKAN`` that sits at ``path`` in a model.

    Raises
    ------
    ModelError
        It has multiplication nodes.
    """
    model: Any = module
    _refuse_products(model)
    layers = tuple(_layer(model, depth) for depth in range(len(model.act_fun)))
    columns = tuple(int(i) for i in model.input_id)
    widths = (layers[0].src, *(layer.dst for layer in layers))
    symbolic = sum(_symbolic(model, depth).sum() for depth in range(len(layers)))
    return ModelView(
        module=module,
        path=path,
        layers=layers,
        width=max(columns) + 1,
        columns=columns,  # also where it is all of them: pykan takes rows with more columns and reads these
        node_ids=(columns, *(tuple(range(width)) for width in widths[1:])),
        options=(
            ("library", "pykan"),
            ("grid intervals", ", ".join(str(layer.knots.shape[1] - 1) for layer in layers)),
            ("spline order", ", ".join(str(layer.order) for layer in layers)),
            ("outside the domain", "base"),
            ("base function", layers[0].base_name),
            ("symbolic edges", str(int(symbolic))),
        ),
    )


@contextmanager
def no_notes(model: nn.Module) -> Iterator[None]:
    """Keep every ``MultKAN`` in a model from noting what runs through it, and give its old notes back afterwards.

    Its own ``plot``, ``prune`` and scores read the activations of the last forward pass, whatever that was; measuring
    must not change what they say (law 9). It also takes standard deviations for its notes, which of a single row are
    NaN with a warning.

    Examples
    --------
    >>> with no_notes(nn.Linear(2, 1)):
    ...     pass
    """
    found: list[Any] = [module for module in model.modules() if is_pykan(module)]
    before = [{name: value for name, value in vars(module).items() if _is_note(name)} for module in found]
    try:
        for module in found:
            module.save_act = False
            vars(module).update((name, None) for name in NOTES if name in vars(module))
        yield
    finally:
        for module, notes in zip(found, before, strict=True):
            for name in [name for name in vars(module) if _is_note(name) and name not in notes]:
                delattr(module, name)
            vars(module).update(notes)


def structural(model: nn.Module) -> frozenset[int]:
    """Ids of parameters that are knots and masks of every ``MultKAN`` in a model: no numbers that were learnt.

    Examples
    --------
    >>> structural(nn.Linear(2, 1))
    frozenset()
    """
    found: list[Any] = [module for module in model.modules() if is_pykan(module)]
    numeric = [tensor for kan in found for layer in kan.act_fun for tensor in (layer.grid, layer.mask)]
    return frozenset(map(id, (*numeric, *(layer.mask for kan in found for layer in kan.symbolic_fun))))


def _is_note(name: str) -> bool:
    return not name.startswith("_") and name != "training"


def _refuse_products(model: Any) -> None:
    for depth, width in enumerate(model.width):
        products = int(width[1]) if isinstance(width, (list, tuple)) else 0
        if products:
            raise ModelError(
                f"layer {depth} of this {type(model).__name__} has {products} multiplication nodes; "
                "behind a product an output is no sum of functions of single nodes, so its edges have no share of it. "
                "Build it without them, width=[n0, n1, ...], or give the products to it as input columns"
            )


def _symbolic(model: Any, depth: int) -> Any:
    """Which edges of a layer have a symbolic function, bool (dst, src)."""
    mask = numbers(model.symbolic_fun[depth].mask)
    return (mask != 0) if model.symbolic_enabled else np.zeros_like(mask, dtype=bool)


def _layer(model: Any, depth: int) -> BasisLayer:
    spline, formulas = model.act_fun[depth], model.symbolic_fun[depth]
    order = int(spline.k)
    has_formula = _symbolic(model, depth)
    slots = _slots(has_formula)

    def basis(x: Tensor) -> Tensor:
        planes = [spline_and_base(x, spline.grid, order, spline.base_fun)]
        if slots:
            own = torch.zeros(x.shape[0], 1 + max(slots.values()), x.shape[1], dtype=x.dtype, device=x.device)
            for (j, i), slot in slots.items():
                own[:, slot, i] = _formula(formulas, j, i, x[:, i])
            planes.append(own)
        return torch.cat(planes, dim=1)

    def weight() -> Tensor:
        parts = [spline_weight(spline)]
        if slots:
            own = torch.zeros(parts[0].shape[0], 1 + max(slots.values()), parts[0].shape[2]).to(parts[0])
            for (j, i), slot in slots.items():
                own[j, slot, i] = formulas.mask[j, i]
            parts.append(own)
        scale = model.node_scale[depth] * model.subnode_scale[depth]
        scaled: Tensor = torch.cat(parts, dim=1) * scale[:, None, None]
        return scaled

    def bias() -> Tensor:
        shift: Tensor = model.node_scale[depth] * model.subnode_bias[depth] + model.node_bias[depth]
        return shift

    def call(x: Tensor) -> Tensor:
        y = spline(x)[0]
        if model.symbolic_enabled:
            y = y + formulas(x)[0]
        y = model.subnode_scale[depth] * y + model.subnode_bias[depth]
        result: Tensor = model.node_scale[depth] * y + model.node_bias[depth]
        return result

    made = BasisLayer(
        spline,
        knots=inner_knots(spline.grid, order),
        order=order,
        basis=basis,
        splines=not slots,
        weight=weight,
        base=int(spline.coef.shape[2]),
        base_name="zero" if getattr(model, "base_fun_name", "") == "zero" else base_kind(spline.base_fun),
        alive=(numbers(spline.mask).T != 0) | has_formula,
        bias=bias,
        call=call,
    )
    scale = numbers(model.node_scale[depth] * model.subnode_scale[depth])[:, None] * numbers(formulas.mask)
    alone = np.argwhere(has_formula & (numbers(spline.mask).T == 0)).tolist()  # a spline beside it makes it no formula
    made.slots = int(has_formula.sum())
    made.formulas = tuple((j, i, str(formulas.funs_name[j][i])) for j, i in alone)
    made.formula_numbers = tuple(_scaled(numbers(formulas.affine[j, i]), float(scale[j, i])) for j, i in alone)
    return made


def _scaled(affine: Array, scale: float) -> tuple[float, float, float, float]:
    """a, b, c and d of a formula, with the scale of its node."""
    a, b, c, d = affine.tolist()
    return a, b, scale * c, scale * d


def _slots(has_formula: Any) -> dict[tuple[int, int], int]:
    """Plane of every symbolic edge (dst, src): the first free one of its input."""
    used = [0] * has_formula.shape[1]
    slots = {}
    for j, i in np.argwhere(has_formula).tolist():
        slots[j, i] = used[i]
        used[i] += 1
    return slots


def _formula(formulas: Any, j: int, i: int, x: Tensor) -> Tensor:
    """``c f(a x + b) + d``; 0 where f is not defined, so that curves drawn beyond the data have numbers."""
    a, b, c, d = formulas.affine[j, i].to(x.dtype)
    # pykan's functions are written for columns (n, 1)
    values: Tensor = c * formulas.funs[j][i]((a * x + b).unsqueeze(1)).squeeze(1) + d
    return torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
