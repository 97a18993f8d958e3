"""Sums over rows from which the moments of every edge follow; they do not grow with the rows.

Sums are of differences from a fixed row, the mean of the first block, in float64: with a point near the data nothing
cancels, and blocks need only be added up.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from kaninterp.adapters import LayerView

__all__ = ["EdgeMoments", "EdgeSums", "edge_sums"]


class EdgeMoments(NamedTuple):
    """Moments of the edges, and of their base branch alone, each (dst, src)."""

    mean: Tensor
    m2: Tensor
    with_output: Tensor
    with_input: Tensor
    base_mean: Tensor
    base_m2: Tensor
    base_with_edge: Tensor
    base_with_input: Tensor


class EdgeSums(ABC):
    """Sums over the rows of one layer."""

    @abstractmethod
    def add(self, x: Tensor, columns: Tensor) -> Tensor:
        """Take rows (n, src), and the same by columns (src, n); gives the outputs of the layer, (n, dst)."""

    @abstractmethod
    def moments(self) -> EdgeMoments:
        """Of all rows so far."""


def edge_sums(layer: LayerView, few: Tensor) -> EdgeSums:
    """The cheapest sums that a layer allows; rows of it are for trying."""
    shared = layer.planes(few), layer.coefficients(), layer.base_coefficients()
    return _PlainSums(layer) if any(part is None for part in shared) else _PlaneSums(layer)


class _PlaneSums(EdgeSums):
    """Edges that share a basis: their moments are quadratic forms in its Gram matrix, O(n src K (K + dst))."""

    def __init__(self, layer: LayerView) -> None:
        self._layer = layer
        weight, base = layer.coefficients(), layer.base_coefficients()
        assert weight is not None and base is not None  # noqa: S101, PT018 - `edge_sums` asked
        self._weight, self._base = weight.double().mT.contiguous(), base.double().mT  # (dst, src, K)
        self._bias = torch.as_tensor(layer.bias, dtype=torch.float64, device=weight.device).unsqueeze(1)
        dst, src, planes = self._weight.shape
        zeros = self._weight.new_zeros
        self._count = 0
        self._plane, self._gram = zeros((src, planes)), zeros((src, planes, planes))
        self._across, self._along = zeros((dst, src * planes)), zeros((src, 1, planes))
        self._x, self._y = zeros((src,)), zeros((dst,))
        self._from: tuple[Tensor, Tensor, Tensor] | None = None
        self._room: Tensor = zeros(0)

    def add(self, x: Tensor, columns: Tensor) -> Tensor:
        planes = self._kept((*self._plane.shape, x.shape[0]))  # (src, K, n)
        self._layer.planes_into(planes.permute(2, 1, 0), x.detach())
        y = torch.addmm(self._bias, self._weight.flatten(1), planes.flatten(0, 1))  # (dst, n)
        out = y.T.to(x.dtype, copy=True)  # y is centred in place below
        if self._from is None:
            self._from = planes.mean(2), columns.mean(1, dtype=torch.float64), y.mean(1)
        plane_from, x_from, y_from = self._from
        planes.sub_(plane_from.unsqueeze(2))
        columns, y = columns - x_from.unsqueeze(1), y.sub_(y_from.unsqueeze(1))
        turned = planes.transpose(1, 2)
        self._count += x.shape[0]
        self._plane += planes.sum(2)
        self._x += columns.sum(1)
        self._y += y.sum(1)
        # written with the short side first: a third of the time of the transposed products
        torch.baddbmm(self._gram, planes, turned, out=self._gram)
        torch.baddbmm(self._along, columns.unsqueeze(1), turned, out=self._along)
        self._across.addmm_(y, planes.flatten(0, 1).T)
        return out

    def moments(self) -> EdgeMoments:
        assert self._from is not None  # noqa: S101 - there is no trace of no rows
        n = self._count
        gram = self._gram - self._plane.unsqueeze(2) * self._plane.unsqueeze(1) / n
        along = self._along - (self._x.unsqueeze(1) * self._plane / n).unsqueeze(1)  # (src, 1, K)
        across = self._across.view(-1, *self._plane.shape) - self._y[:, None, None] * self._plane / n
        across = across.transpose(0, 1)  # (src, dst, K)
        middle = (self._from[0] + self._plane / n).unsqueeze(1)
        weight, base = (part.transpose(0, 1) for part in (self._weight, self._base))  # (src, dst, K)
        squared = torch.bmm(weight, gram)
        parts = (
            weight * middle, weight * squared, weight * across, weight * along,
            base * middle, base * torch.bmm(base, gram), base * squared, base * along,
        )  # fmt: skip
        return EdgeMoments(*(part.sum(2).T for part in parts))

    def _kept(self, shape: tuple[int, ...]) -> Tensor:
        """Memory that is kept from block to block: faulting in new memory costs as much as the arithmetic."""
        size = math.prod(shape)
        if self._room.numel() < size:
            self._room = self._room.new_empty(size)
        return self._room[:size].view(shape)


class _PlainSums(EdgeSums):
    """Any other family: from the edges themselves, O(n src dst)."""

    def __init__(self, layer: LayerView) -> None:
        self._layer = layer
        self._count = 0
        self._from: tuple[Tensor, ...] | None = None
        self._sums: list[Tensor] = []
        self._products: list[Tensor] = []

    def add(self, x: Tensor, columns: Tensor) -> Tensor:
        out = self._layer(x).detach()
        given = self._layer.edges(x), self._layer.base_edges(x), columns.T, out
        parts = tuple(part.detach().double() for part in given)
        if self._from is None:
            self._from = tuple(part.mean(0) for part in parts)
        edges, base, into, y = (part - start for part, start in zip(parts, self._from, strict=True))
        products = [
            edges.square().sum(0),
            torch.einsum("nds,nd->ds", edges, y),
            torch.einsum("nds,ns->ds", edges, into),
            base.square().sum(0),
            (base * edges).sum(0),
            torch.einsum("nds,ns->ds", base, into),
        ]
        self._count += x.shape[0]
        self._sums = _added(self._sums, [part.sum(0) for part in (edges, base, into, y)])
        self._products = _added(self._products, products)
        return out

    def moments(self) -> EdgeMoments:
        assert self._from is not None  # noqa: S101 - there is no trace of no rows
        edges, base, into, y = self._sums
        pairs = (edges, edges), (edges, y[:, None]), (edges, into), (base, base), (base, edges), (base, into)
        m2, with_output, with_input, base_m2, base_with_edge, base_with_input = (
            product - left * right / self._count for product, (left, right) in zip(self._products, pairs, strict=True)
        )
        return EdgeMoments(
            mean=self._from[0] + edges / self._count,
            m2=m2,
            with_output=with_output,
            with_input=with_input,
            base_mean=self._from[1] + base / self._count,
            base_m2=base_m2,
            base_with_edge=base_with_edge,
            base_with_input=base_with_input,
        )


def _added(left: list[Tensor], right: list[Tensor]) -> list[Tensor]:
    return [a + b for a, b in zip(left, right, strict=True)] if left else right
