"""The edge penalty of a head as something quadratic: what the normal equations of a step can hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kaninterp.nn.head import KANHead
from kaninterp.nn.penalty import strength_entropy
from kaninterp.training.jacobian import HeadTwin, SplinePart

__all__ = ["EdgePush"]

WEAKEST = 1e-4
"""Edges weaker than this share of their layer's mean strength count as that strong in the curvature: it is divided by
the strength, and would otherwise grow without bound."""


@dataclass(frozen=True, slots=True, eq=False)
class EdgePush:
    """``weight * sum over layers of (edge * sum of strengths + entropy * their entropy)``, as `layer_penalty` has it.

    The strength of an edge is the norm ``s = sqrt(c' G c)``. Around the present coefficients it lies below the
    parabola ``(c' G c / s + s) / 2`` (iteratively reweighted least squares; Hunter and Li 2005, Annals of Statistics
    33, 1617), which has its value and its slope. The entropy goes in by its slope in the strengths.

    Attributes
    ----------
    weight, edge, entropy : float
    roots : tuple of Tensor, each (in, K + 1, K + 1) float64
        See `KANLayer.gram_root`.
    """

    weight: float
    edge: float
    entropy: float
    roots: tuple[Tensor, ...]

    @classmethod
    def of(cls, head: KANHead, weight: float, *, edge: float, entropy: float) -> EdgePush:
        """Make the one of a head with its present domains."""
        return cls(weight, edge, entropy, tuple(layer.gram_root().double() for layer in head.kan_layers))

    def value(self, twin: HeadTwin) -> float:
        """Evaluate the penalty at the twin's numbers."""
        total = 0.0
        for layer, root in zip(twin.layers, self.roots, strict=True):
            strengths = _strengths(layer.spline, root)
            total += self.edge * float(strengths.sum()) + self.entropy * float(strength_entropy(strengths))
        return self.weight * total

    def add_to(self, normal: Tensor, gradient: Tensor, twin: HeadTwin) -> None:
        """Add half the curvature and half the gradient, in place, to those of half the loss.

        Parameters
        ----------
        normal : Tensor, shape (size, size)
        gradient : Tensor, shape (size,)
        twin : HeadTwin
            Its numbers are where the parabolas touch.
        """
        start = 0
        for layer, root in zip(twin.layers, self.roots, strict=True):
            spline = layer.spline
            here = slice(start, start + spline.size)
            strengths = _strengths(spline, root)
            slope = self.weight * self._slopes(strengths)
            over = slope / strengths.clamp(min=max(WEAKEST * float(strengths.mean()), torch.finfo(root.dtype).tiny))
            gram = root @ root.mT
            pull = torch.einsum("oi,imk,oki->omi", over, gram, spline.weight)
            gradient[here] += spline.chosen(pull.flatten()) / 2
            blocks = over.clamp(min=0)[..., None, None] * gram
            normal[here, here] += _spread(blocks, spline) / 2
            start += layer.size

    def _slopes(self, strengths: Tensor) -> Tensor:
        """Derivative of the terms by every strength."""
        total = strengths.sum()
        if self.entropy == 0 or not bool(total > 0):
            return torch.full_like(strengths, self.edge)
        logs = (strengths / total).clamp(min=torch.finfo(strengths.dtype).tiny).log()
        return self.edge - self.entropy * (logs + strength_entropy(strengths)) / total


def _strengths(spline: SplinePart, root: Tensor) -> Tensor:
    projected = torch.einsum("omi,imr->oir", spline.weight, root)
    strengths: Tensor = torch.linalg.vector_norm(projected, dim=-1)
    return strengths


def _spread(blocks: Tensor, spline: SplinePart) -> Tensor:
    """A matrix over the trainable numbers of a layer from one block (K + 1, K + 1) per edge, (out, in, ...)."""
    out, width, planes, _ = blocks.shape
    whole = blocks.new_zeros(out, planes, width, out, planes, width)
    j, i = torch.meshgrid(torch.arange(out), torch.arange(width), indexing="ij")
    whole[j, :, i, j, :, i] = blocks
    flat = whole.view(out * planes * width, -1)
    return spline.chosen(spline.chosen(flat).t())
