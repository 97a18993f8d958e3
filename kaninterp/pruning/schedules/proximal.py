"""Adam with a proximal step on every edge: the group lasso that makes whole edge functions exactly zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.nn import KANHead, KANLayer

__all__ = ["HOVERING", "ProximalAdam", "edge_norms", "pushes", "settle_"]

STRONGEST = 0.75
"""Largest push as a share of a full stride of Adam: at 1 nothing can resist."""

HOVERING = 2.0
"""Norms up to this multiple of where noise and push balance are noise, see `kaninterp.Sparsity`."""


class ProximalAdam(torch.optim.Adam):
    """Adam whose every step is followed by a proximal step on the edges of a head.

    An edge with p weights loses ``lr * push * sqrt(p)`` of their norm (Parikh and Boyd 2014, section 6.5.4).

    Parameters
    ----------
    parameters, lr
        As for Adam.
    layers
        The layers whose edges are pushed.
    push
        One number per layer, see `pushes`.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, lr: float, layers: Sequence[KANLayer], push: Sequence[float]
    ) -> None:
        super().__init__(parameters, lr=lr)
        self._pushed = tuple(zip(layers, push, strict=True))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step, then shrink."""
        result = super().step(closure)
        lr = float(self.param_groups[0]["lr"])
        for layer, push in self._pushed:
            norms = _norms(layer.weight)
            limit = lr * push * math.sqrt(layer.weight.shape[1])
            factor = torch.where(norms > limit, 1 - limit / norms, torch.zeros_like(norms))
            layer.weight.mul_(factor[:, None, :])
        return result


def pushes(head: KANHead, penalty: float, steps: int) -> tuple[float, ...]:
    """Push on the edges of each layer, as a share of Adam's stride, for a penalty in units of noise.

    A penalty of 1 is the border below which edges without support survive: ``sqrt(batch / rows)`` is the standard error
    of a gradient in units of Adam, and the largest of E noisy groups of p weights exceeds it by
    ``1 + sqrt(2 log E / p)`` (Buehlmann and van de Geer 2011, section 4; `kaninterp.Sparsity` says more).

    Parameters
    ----------
    head
        Gives the number of live edges of each layer, and of weights per edge.
    penalty
        In units of noise.
    steps
        Optimiser steps per epoch.
    """
    noise = math.sqrt(1 / max(steps, 1))
    result = []
    for layer in head.kan_layers:
        edges, weights = max(int(layer.mask.sum()), 1), layer.weight.shape[1]
        largest = 1 + math.sqrt(2 * math.log(max(edges, 2)) / weights)
        result.append(min(penalty * noise * largest, STRONGEST))
    return tuple(result)


@torch.no_grad()
def settle_(head: KANHead, push: Sequence[float], *, lr: float) -> None:
    """Set edges to exactly zero that hover where the kicks of noise and the push balance; ``lr`` of the last steps."""
    for layer, strength in zip(head.kan_layers, push, strict=True):
        if strength > 0:
            limit = HOVERING * math.sqrt(layer.weight.shape[1]) * lr / (2 * strength)
            layer.weight.mul_((_norms(layer.weight) > limit)[:, None, :])


@torch.no_grad()
def edge_norms(head: KANHead) -> list[Tensor]:
    """Euclidean norm of the weights of every live edge, (dst, src) per layer; |c| of a formula, 0 for masked ones."""
    return [_edge_norms(layer) for layer in head.kan_layers]


def _edge_norms(layer: KANLayer) -> Tensor:
    norms = _norms(layer.masked_weight())
    edges = layer.formulas
    return norms if edges is None else norms + edges.spread(edges.numbers[:, 2].abs(), layer.mask)


def _norms(weight: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(weight, dim=1)
    return norms
