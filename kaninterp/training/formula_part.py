"""The formulas of a layer as numbers that Levenberg-Marquardt trains."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kaninterp.nn.layer import KANLayer
from kaninterp.nn.native import on_tensors

__all__ = ["FormulaPart"]


class SeenFormulas(NamedTuple):
    """Argument x of every formula (n, E); f at a x + b and its slope there, both (n, E)."""

    x: Tensor
    value: Tensor
    slope: Tensor


class FormulaPart:
    """a, b, c, d of the live formulas of a layer, see `kaninterp.training.jacobian.Part`.

    Parameters
    ----------
    layer : KANLayer
        With formulas; read, and written by `store` only.
    """

    def __init__(self, layer: KANLayer) -> None:
        assert layer.formulas is not None  # noqa: S101 - who asks for this part has looked
        self._formulas = layer.formulas
        self._alive = layer.formulas.alive(layer.mask).nonzero().squeeze(1)
        self._dst, self._src = layer.formulas.pairs[self._alive].unbind(1)
        self._numbers = layer.formulas.numbers.detach().double()[self._alive].clone()  # (E, 4)
        self._nodes = torch.nn.functional.one_hot(self._dst, layer.out_features).double()  # (E, out)
        self.size = self._numbers.numel() if layer.formulas.numbers.requires_grad else 0

    def read(self) -> Tensor:
        """Give the numbers, formula by formula."""
        return self._numbers.flatten()[: self.size]

    def write(self, numbers: Tensor) -> None:
        """Take other numbers."""
        if self.size:
            self._numbers = numbers.view_as(self._numbers).clone()

    def see(self, x: Tensor) -> SeenFormulas:
        """Evaluate f and its slope at the present a and b."""
        at = x[:, self._src]
        u = (at * self._numbers[:, 0] + self._numbers[:, 1]).detach()
        value, slope = torch.empty_like(u), torch.empty_like(u)
        for k, e in enumerate(self._alive.tolist()):
            column = u[:, k].clone().requires_grad_()
            with torch.enable_grad():
                found = on_tensors(self._formulas.families[e])(column)
                slope[:, k] = torch.autograd.grad(found.sum(), column)[0] if found.requires_grad else 0.0
            value[:, k] = found.detach()
        return SeenFormulas(at, value, slope)

    def values(self, seen: SeenFormulas) -> Tensor:
        """Sum the formulas per node."""
        _, _, c, d = self._numbers.unbind(1)
        return (c * seen.value + d) @ self._nodes

    def back(self, x: Tensor, by_node: Tensor) -> Tensor:
        """Go back through the slopes."""
        a, _, c, _ = self._numbers.unbind(1)
        found = by_node[:, :, self._dst] * (a * c * self.see(x).slope).unsqueeze(1)
        into = torch.nn.functional.one_hot(self._src, x.shape[1]).to(found.dtype)
        return found @ into

    def columns(self, seen: SeenFormulas, by_node: Tensor, out: Tensor) -> None:
        """Derivatives by a, b, c, d times what the node above them does."""
        if self.size:
            c = self._numbers[:, 2]
            own = torch.stack([c * seen.slope * seen.x, c * seen.slope, seen.value, torch.ones_like(seen.x)], 2)
            out.copy_((by_node[:, :, self._dst, None] * own.unsqueeze(1)).flatten(2))

    def largest(self, of: Tensor) -> Tensor:
        """Leave every number to itself: a, b, c and d are of different kinds."""
        return of

    @torch.no_grad()
    def store(self) -> None:
        """Write the numbers into the layer, in its own number type."""
        if self.size:
            self._formulas.numbers[self._alive] = self._numbers.to(self._formulas.numbers.dtype)
