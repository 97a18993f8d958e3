"""Edges as a scale times their numbers, so that a smooth optimiser of a sparsity penalty keeps few of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.core.errors import FileFormatError
from kaninterp.nn import KANHead
from kaninterp.nn.layer import KANLayer

__all__ = ["EdgeScales", "calibrated"]

LEAST = 1e-6
"""Numbers are read back from weights by dividing by the scale; nearer to zero a scale counts as this."""


class EdgeScales:
    """``weight[o, :, i] = scale[o, i] * numbers[o, :, i]`` for every trainable layer of some heads.

    The model stays as it is; only what the optimiser moves is another thing. A step that moves scale and numbers moves
    strong edges far and weak ones little, so that weak edges die out instead of each keeping a small share: a factored
    parametrisation favours sparse solutions (Hoff 2017, Computational Statistics and Data Analysis 115, 186).
    pykan's ``scale_sp`` has the same effect.

    Parameters
    ----------
    heads
        Calibrated ones, see `calibrated`.
    """

    def __init__(self, heads: tuple[KANHead, ...]) -> None:
        self._layers: list[KANLayer] = [
            layer for head in heads for layer in head.kan_layers if layer.weight.requires_grad
        ]
        self._scales = [nn.Parameter(torch.ones_like(layer.weight[:, :1])) for layer in self._layers]
        self._numbers = [nn.Parameter(layer.weight.detach().clone()) for layer in self._layers]

    def in_place_of_weights(self, parameters: list[nn.Parameter]) -> list[nn.Parameter]:
        """List what to optimise: of these parameters the edges' weights are replaced."""
        weights = {id(layer.weight) for layer in self._layers}
        return [each for each in parameters if id(each) not in weights] + self._scales + self._numbers

    @torch.no_grad()
    def write(self) -> None:
        """Set the weights to the product."""
        for layer, scale, numbers in zip(self._layers, self._scales, self._numbers, strict=True):
            layer.weight.copy_(scale * numbers)

    @torch.no_grad()
    def read(self) -> None:
        """Follow weights that were changed; the scales stay."""
        for layer, scale, numbers in zip(self._layers, self._scales, self._numbers, strict=True):
            scale.copy_(torch.where(scale.abs() < LEAST, LEAST, scale))
            numbers.copy_(layer.weight / scale)

    def pull_gradients(self) -> None:
        """Set the gradients of scales and numbers from those of the weights."""
        for layer, scale, numbers in zip(self._layers, self._scales, self._numbers, strict=True):
            of_weight = torch.zeros_like(layer.weight) if layer.weight.grad is None else layer.weight.grad
            scale.grad = (of_weight * numbers.detach()).sum(1, keepdim=True)
            numbers.grad = of_weight * scale.detach()

    def state_dict(self) -> dict[str, list[Tensor]]:
        """What a resumed run needs: the product alone would not give its factors."""
        return {
            "scales": [each.detach().clone() for each in self._scales],
            "numbers": [each.detach().clone() for each in self._numbers],
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        for own, found in ((self._scales, state["scales"]), (self._numbers, state["numbers"])):
            if [tuple(each.shape) for each in found] != [tuple(each.shape) for each in own]:
                raise FileFormatError("the checkpoint's edge scales belong to another model.")
            for target, source in zip(own, found, strict=True):
                target.copy_(source)


def calibrated(heads: tuple[KANHead, ...]) -> bool:
    """Whether every layer has its first domain: the forward pass that sets it writes weights anew."""
    return all(bool(layer.calibrated) for head in heads for layer in head.kan_layers)
