"""A head in float64 with the derivative of its outputs by every trainable number, written out layer by layer.

A layer is a sum of `Part` objects. The derivative of an output by a number of a part is the derivative of that output
by the node the part feeds (which comes from the layers above) times what the part itself says about its numbers. So a
new kind of edge needs one more part, and nothing else here changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from kaninterp.nn.chunked import backward_chunks
from kaninterp.nn.head import KANHead
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.planes import place, planes, slope_planes
from kaninterp.training.formula_part import FormulaPart

__all__ = ["HeadTwin", "LayerTwin", "Part", "Passed"]


class Part(Protocol):
    """Something a layer adds to its nodes; `size` trainable numbers.

    `see` is called once per forward pass; what it returns is handed to `values` and `columns`. Everywhere `by_node`
    (n, outputs, out) holds the derivatives of the head's outputs by the nodes of the layer.
    """

    size: int

    def read(self) -> Tensor:
        """Give its trainable numbers, (size,)."""

    def write(self, numbers: Tensor) -> None:
        """Take other numbers."""

    def see(self, x: Tensor) -> Any:
        """Evaluate whatever depends on the inputs (n, in) but not on the numbers."""

    def values(self, seen: Any) -> Tensor:
        """Give what it adds to the nodes, (n, out)."""

    def back(self, x: Tensor, by_node: Tensor) -> Tensor | None:
        """Give the derivatives of the outputs by the inputs, (n, outputs, in); None: it does not depend on them."""

    def columns(self, seen: Any, by_node: Tensor, out: Tensor) -> None:
        """Write the derivatives of the outputs by its numbers over `out` (n, outputs, size)."""

    def largest(self, of: Tensor) -> Tensor:
        """Give the largest value among the numbers of the same edge, for every number, (size,)."""

    def store(self) -> None:
        """Write its numbers back into the layer it was made from."""


class SplinePart:
    """The spline coefficients and base weights of all live edges.

    Parameters
    ----------
    layer : KANLayer
        Read, and written by `store` only.
    """

    def __init__(self, layer: KANLayer) -> None:
        self._layer, self._spec = layer, layer.spec
        self._where = place(layer.knots.detach().double(), layer.spec)
        self._weight = layer.masked_weight().detach().double().clone()
        free = (layer.spline_mask != 0).unsqueeze(1).expand_as(self._weight).clone()
        if layer.spec.base == "zero":
            free[:, -1] = False
        if not layer.weight.requires_grad:
            free[:] = False
        self.size = int(free.sum())
        self._free = None if self.size == free.numel() else free.flatten().nonzero().squeeze(1)

    @property
    def weight(self) -> Tensor:
        """All coefficients with those of masked edges at 0, (out, K + 1, in)."""
        return self._weight

    def spread(self, numbers: Tensor) -> Tensor:
        """Put one number per trainable one where it belongs in the weight, (out, K + 1, in); the others are 0."""
        if self._free is None:
            return numbers.view_as(self._weight)
        whole = torch.zeros(self._weight.numel(), dtype=numbers.dtype, device=numbers.device)
        return whole.index_copy_(0, self._free, numbers).view_as(self._weight)

    def chosen(self, whole: Tensor) -> Tensor:
        """Take the trainable ones of numbers in the order of the flat weight, (..., out (K + 1) in)."""
        return whole if self._free is None else whole.index_select(-1, self._free)

    def read(self) -> Tensor:
        """Give the coefficients of live edges."""
        return self.chosen(self._weight.flatten())

    def write(self, numbers: Tensor) -> None:
        """Take other coefficients."""
        if self._free is None:
            self._weight = numbers.view_as(self._weight).clone()
        else:
            self._weight.view(-1)[self._free] = numbers

    def see(self, x: Tensor) -> Tensor:
        """Evaluate the planes, (n, K + 1, in)."""
        return planes(x, self._spec, self._where)

    def values(self, seen: Tensor) -> Tensor:
        """Sum the edges per node."""
        return seen.flatten(1) @ self._weight.flatten(1).t()

    def back(self, x: Tensor, by_node: Tensor) -> Tensor:
        """Go back through the slopes of all edges."""
        if by_node.shape[1] > 1 or x.device.type != "cpu":
            return by_node @ torch.einsum("nmi,omi->noi", slope_planes(x, self._spec, self._where), self._weight)
        found, _ = backward_chunks(
            by_node[:, 0].contiguous(), x, self._weight, self._spec, self._where, of_x=True, of_weight=False
        )
        assert found is not None  # noqa: S101 - it was asked for
        return found.unsqueeze(1)

    def columns(self, seen: Tensor, by_node: Tensor, out: Tensor) -> None:
        """Planes times what the node above them does."""
        if self._free is None:
            torch.mul(by_node[..., None, None], seen[:, None, None], out=out.view(*by_node.shape, *seen.shape[1:]))
        else:
            out.copy_(self.chosen((by_node[..., None, None] * seen[:, None, None]).flatten(2)))

    def largest(self, of: Tensor) -> Tensor:
        """Per edge."""
        whole = self.spread(of)
        return self.chosen(whole.amax(1, keepdim=True).expand_as(whole).flatten())

    @torch.no_grad()
    def store(self) -> None:
        """Write the coefficients of live edges into the layer, in its own number type."""
        target = self._layer.weight
        if self._free is None:
            target.copy_(self._weight)
        elif self.size:
            target.view(-1)[self._free] = self._weight.flatten()[self._free].to(target.dtype)


class BiasPart:
    """The constants of a layer."""

    def __init__(self, layer: KANLayer) -> None:
        self._layer = layer
        self._bias = layer.bias.detach().double().clone()
        self.size = self._bias.numel() if layer.bias.requires_grad else 0

    def read(self) -> Tensor:
        """Give the constants."""
        return self._bias[: self.size]

    def write(self, numbers: Tensor) -> None:
        """Take other constants."""
        if self.size:
            self._bias = numbers.clone()

    def see(self, x: Tensor) -> None:
        """Depend on nothing."""

    def values(self, seen: None) -> Tensor:  # noqa: ARG002
        """The constants, for all rows."""
        return self._bias

    def back(self, x: Tensor, by_node: Tensor) -> None:
        """Depend on nothing."""

    def columns(self, seen: None, by_node: Tensor, out: Tensor) -> None:  # noqa: ARG002
        """What the nodes do."""
        if self.size:
            out.copy_(by_node)

    def largest(self, of: Tensor) -> Tensor:
        """Every constant is on its own."""
        return of

    @torch.no_grad()
    def store(self) -> None:
        """Write the constants into the layer."""
        if self.size:
            self._layer.bias.copy_(self._bias)


class LayerTwin:
    """One layer as the sum of its parts.

    Parameters
    ----------
    layer : KANLayer
        Read only, until `HeadTwin.store`.
    """

    def __init__(self, layer: KANLayer) -> None:
        self.spline = SplinePart(layer)
        formulas = () if layer.formulas is None else (FormulaPart(layer),)
        self.parts: tuple[Part, ...] = (self.spline, BiasPart(layer), *formulas)
        self.size = sum(part.size for part in self.parts)

    def see(self, x: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        """Evaluate: nodes (n, out), and what the parts want to keep."""
        seen = tuple(part.see(x) for part in self.parts)
        total = self.parts[0].values(seen[0])
        for part, kept in zip(self.parts[1:], seen[1:], strict=True):
            total = total + part.values(kept)
        return total, seen

    def back(self, x: Tensor, by_node: Tensor) -> Tensor:
        """Derivatives of the outputs by the inputs, (n, outputs, in), from those by the nodes."""
        found = [own for own in (part.back(x, by_node) for part in self.parts) if own is not None]
        return found[0] if len(found) == 1 else torch.stack(found).sum(0)

    def columns(self, seen: tuple[Any, ...], by_node: Tensor, out: Tensor) -> None:
        """Write the derivatives of the outputs by all numbers of the layer over `out` (n, outputs, size)."""
        for part, kept, room in zip(
            self.parts, seen, torch.split(out, [p.size for p in self.parts], dim=-1), strict=True
        ):
            part.columns(kept, by_node, room)


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """A forward pass: inputs of every layer, what its parts kept, and the outputs (n, out)."""

    inputs: tuple[Tensor, ...]
    seen: tuple[tuple[Any, ...], ...]
    output: Tensor


class HeadTwin:
    """A head in float64 whose trainable numbers are one vector.

    Numbers of masked edges, of a base branch that is "zero" and of parameters without `requires_grad` are no part of
    the vector.

    Parameters
    ----------
    head : KANHead
        Read, and written by `store` only.

    Examples
    --------
    >>> import torch
    >>> twin = HeadTwin(KANHead(2, 1, (3,), grid=2, domain=(-1, 1)))
    >>> twin.size, (2 * 3 + 3 * 1) * (2 + 3 + 1) + 3 + 1
    (58, 58)
    >>> passed = twin.run(torch.zeros(4, 2, dtype=torch.float64))
    >>> twin.jacobian(passed, torch.ones(4, dtype=torch.float64)).shape
    torch.Size([4, 58])
    """

    def __init__(self, head: KANHead) -> None:
        self.layers = tuple(LayerTwin(layer) for layer in head.kan_layers)
        self.size = sum(layer.size for layer in self.layers)

    def read(self) -> Tensor:
        """Give all trainable numbers, (size,), layer by layer."""
        return torch.cat([part.read() for layer in self.layers for part in layer.parts])

    def write(self, numbers: Tensor) -> None:
        """Take other numbers, (size,); the head itself stays as it is."""
        parts = [part for layer in self.layers for part in layer.parts]
        for part, own in zip(parts, torch.split(numbers, [part.size for part in parts]), strict=True):
            part.write(own)

    def largest(self, of: Tensor) -> Tensor:
        """Give the largest of values (size,), none below 0, among the numbers of the same edge, for every number."""
        parts = [part for layer in self.layers for part in layer.parts]
        pieces = torch.split(of, [part.size for part in parts])
        return torch.cat([part.largest(own) for part, own in zip(parts, pieces, strict=True)])

    def store(self) -> None:
        """Write the numbers into the head, rounded to its own number type."""
        for layer in self.layers:
            for part in layer.parts:
                part.store()

    def run(self, x: Tensor) -> Passed:
        """Evaluate the head at what its first layer reads, (n, in) float64."""
        inputs, kept = [], []
        for layer in self.layers:
            inputs.append(x)
            x, seen = layer.see(x)
            kept.append(seen)
        return Passed(tuple(inputs), tuple(kept), x)

    def jacobian(self, passed: Passed, scale: Tensor) -> Tensor:
        """Derivatives of the outputs by all numbers.

        Parameters
        ----------
        passed : Passed
            The forward pass, with the present numbers.
        scale : Tensor, shape (n,)
            What to multiply every row with.

        Returns
        -------
        Tensor, shape (n * outputs, size)
        """
        n, outputs = passed.output.shape
        whole = passed.output.new_empty(n, outputs, self.size)
        rooms = torch.split(whole, [layer.size for layer in self.layers], dim=-1)
        by_node = scale[:, None, None] * torch.eye(outputs, dtype=scale.dtype, device=scale.device)
        for depth in reversed(range(len(self.layers))):
            layer = self.layers[depth]
            layer.columns(passed.seen[depth], by_node, rooms[depth])
            if depth:
                by_node = layer.back(passed.inputs[depth], by_node)
        return whole.view(n * outputs, self.size)
