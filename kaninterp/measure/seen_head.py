"""The head of a model on its own: what it is given for some rows, and whether its output is the model's."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kaninterp.adapters import ModelView
from kaninterp.core.errors import ModelError
from kaninterp.data import Batch
from kaninterp.measure.host import outputs, watched
from kaninterp.nn import KANHead

__all__ = ["SeenHead", "check_alone", "seen_head"]

SAME = 1e-4
"""How far the head's outputs may be from the model's, against the largest: more is no rounding, the model goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenHead:
    """What the head is given for some rows, and what the model answers."""

    features: Tensor
    output: Tensor


def seen_head(model: nn.Module, view: ModelView, batch: Batch) -> SeenHead:
    """Run the model on some rows; call it inside `untouched`.

    Raises
    ------
    ModelError
        The head is not called, or not once for every row.
    """
    with watched(view) as given:
        output = outputs(model, batch)
    if not given:
        raise ModelError(f"the forward pass never calls the KAN at {view.path!r}; nothing can be measured there")
    features = torch.cat([x.detach() for x in given])
    if len(features) != batch.n_rows:
        raise ModelError(
            f"the KAN is given {len(features)} rows for {batch.n_rows} rows of the data; only a head that reads every "
            "row once can be trained on its own"
        )
    return SeenHead(features=features, output=output)


def check_alone(head: KANHead, seen: SeenHead) -> None:
    """The head's output has to be the model's, or the target of the model is not the target of the head.

    Raises
    ------
    ModelError
        The model does something with the head's output, or runs it in a coarser number type.
    """
    weight = head.kan_layers[0].weight
    if seen.features.dtype != weight.dtype:
        raise ModelError(
            f"the KAN has {weight.dtype} weights and is given {seen.features.dtype} (autocast); it is not trained "
            "outside of the model's own autocast"
        )
    own = copy.deepcopy(head).eval()(seen.features)
    answer = seen.output
    same = own.numel() == answer.numel() and len(own) == len(answer)
    room = SAME * float(answer.abs().max()) if answer.numel() else 0.0
    if not same or not torch.allclose(own.reshape(answer.shape), answer, rtol=SAME, atol=room):
        raise ModelError("the model does something with the KAN's output, so the head alone cannot be trained")
