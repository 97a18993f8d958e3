"""Keep the domains of KAN heads where their inputs are while the rest of the model is still moving."""

from __future__ import annotations

import torch
from torch import nn

from kaninterp.core.errors import InputError
from kaninterp.nn.domain import widen
from kaninterp.nn.head import KANHead
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.penalty import edge_strengths, strength_entropy

__all__ = ["check_still", "effective_edges", "follow_inputs", "heads_of", "is_off"]

FULL_BATCH = {"lbfgs": "L-BFGS", "lm": "Levenberg-Marquardt"}
"""Optimisers whose steps see all rows, as they are written in a text."""

SLACK = 0.05
"""Move a domain when one of its ends is off by more than this share of its width: less is not worth a refit."""


def heads_of(model: nn.Module) -> tuple[KANHead, ...]:
    """All KAN heads inside a model."""
    return tuple(module for module in model.modules() if isinstance(module, KANHead))


def check_still(heads: tuple[KANHead, ...], optimizer: str = "lbfgs") -> None:
    """Raise `InputError` if a domain would move between two evaluations of one step."""
    if any(layer.moving_domain for head in heads for layer in head.kan_layers):
        raise InputError(
            f"optimizer={optimizer!r} with a head of moving_domain=True: {FULL_BATCH[optimizer]} puts earlier weights "
            "back within a step, and domains that moved in between do not go with them. Use optimizer='adam', or "
            "moving_domain=False."
        )


@torch.no_grad()
def follow_inputs(heads: tuple[KANHead, ...]) -> bool:
    """Refit the domains (function preserving) of layers whose inputs have moved; say whether any was.

    Uses the range each layer has seen in training since its last update. A layer that has not been trained
    since, or whose domain still fits or moves by itself, is left alone.
    """
    moved = False
    for head in heads:
        for layer in head.layers:
            assert isinstance(layer, KANLayer)  # noqa: S101 - for the type checker
            if not layer.moving_domain and is_off(layer):
                layer.update()
                moved = True
    return moved


@torch.no_grad()
def effective_edges(heads: tuple[KANHead, ...]) -> float:
    """Effective number of edges: per layer exp(entropy of the strengths' shares), summed; NaN without a head."""
    layers = [layer for head in heads for layer in head.layers if isinstance(layer, KANLayer)]
    if not layers:
        return float("nan")
    strengths = [edge_strengths(layer) for layer in layers]
    # without any strength at all the entropy is 0, and so is the number of edges
    return float(sum(strength_entropy(s).exp() * bool(s.any()) for s in strengths))


def is_off(layer: KANLayer) -> bool:
    """Whether the range a layer has seen since its last update has left its domain, or uses little of it."""
    if not bool(torch.isfinite(layer.seen).all()):
        return False
    wanted = torch.stack(widen(layer.seen[0], layer.seen[1]))
    width = (layer.domain[1] - layer.domain[0]).clamp_min(torch.finfo(wanted.dtype).tiny)
    return bool(((wanted - layer.domain).abs() > SLACK * width).any())
