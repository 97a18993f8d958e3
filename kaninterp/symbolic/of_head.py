"""The formula of a head as it is, in the user's units."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kaninterp.adapters import LayerView, as_view
from kaninterp.core.errors import InputError, InputTypeError, ShapeError
from kaninterp.core.frozen import Array
from kaninterp.data import Standardizer
from kaninterp.nn import KANHead
from kaninterp.nn.formulas import formulas_of
from kaninterp.symbolic.compose import Edge, LayerFormula, NumericEdge, composed, in_units, shifted
from kaninterp.symbolic.expressions import Formula

__all__ = ["Units", "head_formula"]

CENTRING_POINTS = 101
"""Points over its domain by which a spline is centred; its constant stands in the formula as a number."""

Pair = tuple[Array, Array] | None


class Units:
    """Between what the head reads and gives, and the user's units."""

    def __init__(self, select: list[int], inputs: Pair, outputs: Pair) -> None:
        self._select, self.inputs, self.outputs = select, inputs, outputs

    @classmethod
    def of(cls, head: KANHead, path: str, inputs: Standardizer | None, outputs: Standardizer | None) -> Units:
        """Check that there is a centre and a size for every input and output."""
        select = list(range(head.in_features)) if head.select is None else list(head.select)
        if inputs is not None and path:
            raise InputError(
                "inputs=: the head reads the units of a backbone, not columns; a formula of these has no measures to "
                "go back to. Leave it out"
            )
        for what, each, n in (("inputs", inputs, head.in_features), ("outputs", outputs, head.out_features)):
            if each is not None and not isinstance(each, Standardizer):
                raise InputTypeError(f"{what}=: expected a Standardizer, got {type(each).__name__}")
            if each is not None and each.mean.shape != (n,):
                raise ShapeError(f"{what}=: a Standardizer of {len(each.mean)} columns; the head has {n}")
        before = None if inputs is None else (inputs.mean[select], inputs.scale[select])
        return cls(select, before, None if outputs is None else (outputs.mean, outputs.scale))

    def given(self, x: Tensor) -> Array:
        """Inputs of the head, in the user's units, as far as it reads them; time steps are rows of their own."""
        read: Array = x[..., self._select].reshape(-1, len(self._select)).detach().double().cpu().numpy()
        return read if self.inputs is None else read * self.inputs[1] + self.inputs[0]

    def modelled(self, y: Array) -> Array:
        """Outputs in the user's units, as the head gives them."""
        return y if self.outputs is None else (y - self.outputs[0]) / self.outputs[1]


def head_formula(
    head: KANHead,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    units: Units | None = None,
) -> Formula:
    """The formula of a head as it is, edges that are splines as named functions, each centred on its domain.

    Parameters
    ----------
    head : KANHead
        With formulas, or not.
    names : (tuple of str, tuple of str)
        Of the inputs that it reads, and of its outputs.
    units : optional
        What inputs and targets went through before the head.
    """
    view = as_view(head)
    found = formulas_of(head)
    layers = []
    for depth, layer in enumerate(view.layers):
        mine = {(dst, src): each for (at, dst, src), each in found.items() if at == depth}
        splines: dict[Edge, NumericEdge] = {
            (dst, src): _curve(layer, dst, src)
            for dst, src in np.argwhere(layer.alive).tolist()
            if (dst, src) not in mine
        }
        constants = layer.bias.copy()
        for (dst, src), spline in splines.items():
            middle = float(spline(np.linspace(layer.knots[src, 0], layer.knots[src, -1], CENTRING_POINTS)).mean())
            splines[dst, src] = shifted(spline, -middle)
            constants[dst] += middle
        layers.append(LayerFormula(bias=constants, src=layer.src, formulas=mine, numeric=splines))
    expressions, numeric = composed(layers if units is None else in_units(layers, units.inputs, units.outputs))
    return Formula(expressions=tuple(expressions), input_names=names[0], output_names=names[1], numeric=numeric)


def _curve(layer: LayerView, dst: int, src: int) -> NumericEdge:
    """One edge as a function of an array."""

    def values(x: Array) -> Array:
        at = np.asarray(x, dtype=np.float64).reshape(-1)
        rows = torch.zeros(len(at), layer.src, dtype=torch.float64)
        rows[:, src] = torch.from_numpy(at.copy())
        with torch.no_grad():
            found: Array = layer.edges(rows)[:, dst, src].double().numpy()
        return found.reshape(np.shape(x))

    return NumericEdge(values, layer.knots.shape[1] + layer.order)
