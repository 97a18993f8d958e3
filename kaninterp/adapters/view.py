"""What the library asks of a KAN, whoever wrote it: `LayerView` per layer, `ModelView` for the whole.

An adapter turns one family of modules into views. It needs the inner knots per input, which edges are alive,
the bias, and ``edges(x)``; everything else has a default that follows from these. `contract.check_view` says on data
whether a view keeps what it promises.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.core import EdgeMask
from kaninterp.core.digest import Digest
from kaninterp.core.frozen import Array, BoolArray

__all__ = ["LayerView", "ModelView"]


class LayerView(ABC):
    """One layer y_j = b_j + sum_i phi_ji(x_i), read-only.

    Attributes
    ----------
    knots : ndarray, shape (src, G + 1)
        Inner knots per input; the domain is from the first to the last.
    order : int
        Spline order k.
    alive : ndarray of bool, shape (dst, src)
        False where the edge is masked.
    bias : ndarray, shape (dst,)
        Constant of each node.
    formulas : tuple of (int, int, str)
        dst, src and family of every edge that is a formula; none unless a family of models has such edges.
    formula_numbers : tuple of (float, float, float, float)
        a, b, c and d of each of `formulas`, which is ``c f(a x + b) + d``; empty for a family that does not tell.
    facts : tuple of (str, str)
        What a report prints of the layer: ("spline order", "3"); ("library", name) first, if it is of another library.
    """

    knots: Array
    order: int
    alive: BoolArray
    bias: Array
    formulas: tuple[tuple[int, int, str], ...] = ()
    formula_numbers: tuple[tuple[float, float, float, float], ...] = ()
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def start(self) -> Array:
        """Initial size of the spline coefficients; 0 for a family that does not keep it."""
        return np.zeros(self.alive.shape)

    @property
    def untouched(self) -> BoolArray:
        """Whether splines are as initialised; False for a family that cannot know."""
        return np.zeros(self.alive.shape, bool)

    @abstractmethod
    def edges(self, x: Tensor) -> Tensor:
        """Every edge at ``x`` (n, src): (n, dst, src); masked edges give 0."""

    def base_edges(self, x: Tensor) -> Tensor:
        """The part of every edge that is not its spline, (n, dst, src); 0 where a family has none."""
        return torch.zeros_like(self.edges(x))

    def __call__(self, x: Tensor) -> Tensor:
        """The layer's own output, ``(n, src) -> (n, dst)``."""
        bias = torch.as_tensor(self.bias, dtype=x.dtype, device=x.device)
        return self.edges(x).sum(-1) + bias

    def planes(self, x: Tensor) -> Tensor | None:
        """Shared basis of all edges of an input at ``x``, (n, K, src); None if there is none."""
        del x
        return None

    def planes_into(self, out: Tensor, x: Tensor) -> None:
        """Write `planes`, where a family has them, over ``out``, (n, K, src) of any float type and memory layout."""
        planes = self.planes(x)
        if planes is None:
            raise NotImplementedError(f"{type(self).__name__} has no shared basis; ask `planes` first")
        out.copy_(planes)

    def coefficients(self) -> Tensor | None:
        """Weights of the planes, (dst, K, src), masked edges 0; None if there is no shared basis."""
        return None

    def base_coefficients(self) -> Tensor | None:
        """The same for the base branch alone: 0 at the planes of the spline."""
        return None

    @property
    def module(self) -> nn.Module | None:
        """The module that is called with the layer's input, for hooks; None where a family has none."""
        return None

    @property
    def src(self) -> int:
        """Number of source nodes."""
        return int(self.alive.shape[1])

    @property
    def dst(self) -> int:
        """Number of target nodes."""
        return int(self.alive.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelView:
    """A KAN found in a model.

    Attributes
    ----------
    module : nn.Module
        The KAN itself.
    path : str
        Where it sits in the model ("" if it is the model).
    layers : tuple of LayerView
        From its inputs to its outputs.
    width : int
        Columns its forward takes.
    columns : tuple of int or None
        Which of these it reads (a pruned head selects); None means all.
    node_ids : tuple of tuple of int
        Original index of each node of layers 0..L.
    input_names, output_names : tuple of str or None
        Names it was given, if any.
    options : tuple of (str, str)
        Facts to print.
    wrapped : bool
        Whether the class that has the model's ``forward`` says (``only_kan = "head"``) that its inputs go to this KAN
        as they are.
    title : str
        What to call a KAN that is no module of the model; "": as its class.
    """

    module: nn.Module
    path: str
    layers: tuple[LayerView, ...]
    width: int
    columns: tuple[int, ...] | None
    node_ids: tuple[tuple[int, ...], ...]
    input_names: tuple[str, ...] | None = None
    output_names: tuple[str, ...] | None = None
    options: tuple[tuple[str, str], ...] = ()
    wrapped: bool = False
    title: str = ""

    @property
    def kind(self) -> str:
        """What to call it: the name of its class, as a rule."""
        return self.title or type(self.module).__name__

    @property
    def whole(self) -> bool:
        """Whether the KAN is all of the model, so that its inputs are the raw columns."""
        return self.path == "" or self.wrapped

    @property
    def widths(self) -> tuple[int, ...]:
        """Nodes per layer 0..L."""
        return (self.layers[0].src, *(layer.dst for layer in self.layers))

    @property
    def mask(self) -> EdgeMask:
        """Edges that are alive; not closed."""
        return EdgeMask.of(layer.alive for layer in self.layers)

    def fingerprint(self) -> str:
        """SHA-256 of the structure, the knots, the masks and the trainable numbers."""
        digest = Digest(f"{type(self.module).__qualname__}{self.widths}{self.columns}")
        for layer in self.layers:
            digest.add(layer.knots, layer.alive, layer.bias)
            for formula in layer.formulas:
                digest.add(*map(str, formula))
        for name, parameter in sorted(self.module.named_parameters()):
            digest.add(name, parameter)
        return digest.text

    def read(self, x: Tensor) -> Tensor:
        """Rows and columns that the first layer sees, in its number type: ``(..., width) -> (n, src)``."""
        # autocast hands over coarser numbers than the weights hold
        rows = x.reshape(-1, x.shape[-1]).to(next(self.module.parameters()).dtype)
        return rows if self.columns is None else rows[:, list(self.columns)]

    def activations(self, x: Tensor) -> tuple[Tensor, ...]:
        """Values of the nodes of layers 0..L for rows of layer 0, shape (n, src): each (n, width of the layer)."""
        values = [x]
        for layer in self.layers:
            values.append(layer(values[-1]))
        return tuple(values)


def names_or_none(names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Names as a tuple, or None."""
    return None if names is None else tuple(names)
