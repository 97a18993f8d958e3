"""`BendTrial`: what came of moving the grids of a copy to the data; `apply` makes it so in the user's model."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kaninterp.adapters import as_view
from kaninterp.core import Estimate
from kaninterp.core.digest import Digest
from kaninterp.core.errors import StateError
from kaninterp.core.frozen import Array

__all__ = ["VERDICTS", "BendTrial", "EdgeTrial", "digest_of"]

VERDICTS = {
    "bends": "bends",
    "stays straight": "stays straight",
    "not proven": "is no line any more, but its bend is not proven to pay",
    "not clear": "is no line any more, but what its bend is worth cannot be measured here",
}
"""Verdicts on an edge, in words."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeTrial:
    """An edge that was straight, before and after.

    Attributes
    ----------
    layer, dst, src : int
        The edge.
    name : str
        Its nodes.
    cause : str
        Why it was straight (`kaninterp.analysis.straightness.CAUSES`).
    linear_r2, strength : (float, float, float)
        Before, trained on the old grid, trained on the new one; on held-out rows.
    rise : Estimate
        Rise of the held-out loss if the edge, trained on the new grid, is replaced by its best line.
    verdict : {"bends", "stays straight", "not proven", "not clear"}
        It stays straight if it still is a line. It bends if it is no line any more and its bend pays: the interval of
        the rise is above 0; else that is not proven. Not clear: what a bend is worth cannot be measured, because the
        model does not return the outputs of this head.
    x, before, after : ndarray, shape (P,)
        The curve over the new domain, about its mean.
    """

    layer: int
    dst: int
    src: int
    name: str
    cause: str
    linear_r2: tuple[float, float, float]
    strength: tuple[float, float, float]
    rise: Estimate
    verdict: str
    x: Array
    before: Array
    after: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BendTrial:
    """What came of moving the grids of a copy to the data and training it a little.

    Attributes
    ----------
    edges : tuple of EdgeTrial
        Those that were straight before.
    loss : str
        Name of the loss.
    losses : (Estimate, Estimate, Estimate)
        Held-out loss before, trained on the old grid, trained on the new one.
    gain : Estimate
        Old grid minus new grid, both trained: above 0 the new grid is better.
    moved : float
        Root mean square change of the head's outputs on the training rows by the move of the grid alone, in their
        standard deviations.
    grid : (int, int)
        Intervals before and after.
    model : nn.Module
        The trained copy with the new grid.
    """

    edges: tuple[EdgeTrial, ...]
    loss: str
    losses: tuple[Estimate, Estimate, Estimate]
    gain: Estimate
    moved: float
    grid: tuple[int, int]
    model: nn.Module
    _given: tuple[nn.Module, str, str | None]

    def apply(self) -> nn.Module:
        """Give the user's model the new grids and the weights trained on them, in place; nothing moves before this.

        The head's parameters are new objects then: an optimizer made before goes on with the old ones, make a new one.

        Raises
        ------
        StateError
            The model is not what it was when the trial was made.
        """
        model, digest, path = self._given
        if digest_of(model) != digest:
            raise StateError(
                "apply(): the model has changed since the trial, by training or by an apply() before; make a new trial "
                "with would_bend(model, data)"
            )
        new: Any = copy.deepcopy(as_view(self.model, path).module)
        head: Any = as_view(model, path).module
        head.layers = new.layers
        head.options["grid"] = new.options["grid"]
        model.load_state_dict(self.model.state_dict())
        head.train(head.training)
        return model

    def __str__(self) -> str:
        bend = sum(edge.verdict == "bends" for edge in self.edges)
        before, control, after = self.losses
        lines = [
            f"{bend} of {len(self.edges)} straight edges bend once the grid lies where the data are.",
            f"Held-out loss ({self.loss}): {before} before, {control} after some training on the old grid",
            f"({self.grid[0]} intervals), {after} on the new one ({self.grid[1]}); the new grid gains {self.gain}.",
            f"Moving the grid alone changed the outputs by {self.moved:.2g} of their standard deviation.",
        ]
        for edge in self.edges:
            r2 = ", ".join(f"{value:.3f}" for value in edge.linear_r2)
            was = f"was {edge.cause}; linear R2 {r2}; as a line it adds {edge.rise}"
            lines.append(f"  {edge.name}: {VERDICTS[edge.verdict]} ({was})")
        return "\n".join([*lines, "Nothing has changed in your model; apply() makes it so."])

    def __repr__(self) -> str:
        bend = sum(edge.verdict == "bends" for edge in self.edges)
        return f"BendTrial({bend} of {len(self.edges)} straight edges bend, grid {self.grid[0]} -> {self.grid[1]})"


def digest_of(model: nn.Module) -> str:
    """SHA-256 of every parameter and buffer of a model, backbone and head."""
    digest = Digest()
    for name, value in model.state_dict().items():  # what a module adds by get_extra_state is no tensor
        digest.add(name, value if isinstance(value, torch.Tensor) else repr(value))
    return digest.text
