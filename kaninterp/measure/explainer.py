"""The model as captum's metrics want it, and cheap explanations of its outputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from kaninterp.data import Batch
from kaninterp.measure.host import output_tensor
from kaninterp.measure.rows import Rows

__all__ = ["Explainer"]

CHUNK = 2048
"""Rows of one pass of Integrated Gradients."""


class Explainer:
    """Float inputs in, one number per output out; indices are handed on beside them, row by row.

    Parameters
    ----------
    model : nn.Module
        Call it inside `untouched`.
    held : Rows
        Rows to explain.

    Attributes
    ----------
    inputs, extras : tuple of Tensor
        The float inputs, and the others (indices).
    places : tuple of int
        Where the float inputs stand among all.
    """

    def __init__(self, model: nn.Module, held: Rows) -> None:
        self._model, self._held = model, held
        batch = held.batch
        self.places = tuple(i for i, x in enumerate(batch.inputs) if x.is_floating_point())
        self.inputs = tuple(batch.inputs[i].detach() for i in self.places)
        self.extras = tuple(x for x in batch.inputs if not x.is_floating_point())

    def __call__(self, *values: Tensor) -> Tensor:
        """Outputs, (rows, outputs), of the float inputs followed by the others; of a sequence the last step."""
        floats, rest = iter(values[: len(self.places)]), iter(values[len(self.places) :])
        total = len(self._held.batch.inputs)
        inputs = tuple(next(floats if i in self.places else rest) for i in range(total))
        output = output_tensor(Batch(inputs=inputs, keys=self._held.batch.keys, target=None).call(self._model))
        if output.dim() == 1:
            return output.unsqueeze(1)
        return output if output.dim() == 2 else output[:, -1].flatten(1)

    def spreads(self) -> tuple[Tensor, ...]:
        """Standard deviation of each column over rows and lags, one tensor (F,) per float input."""
        return tuple(x.flatten(0, -2).std(0, unbiased=False) for x in self.inputs)

    def means(self) -> tuple[Tensor, ...]:
        """Mean of each column over rows and lags, as one row of each float input: the baseline."""
        return tuple(x.flatten(0, -2).mean(0).expand_as(x[:1]).contiguous() for x in self.inputs)

    def explain(self, output: int, steps: int, *values: Tensor) -> tuple[Tensor, ...]:
        """Integrated Gradients of one output against the mean of each column, shaped like the float inputs."""
        floats, extras = values[: len(self.places)], values[len(self.places) :]
        parts = IntegratedGradients(self).attribute(
            floats,
            baselines=self.means(),
            target=output,
            additional_forward_args=extras or None,
            n_steps=steps,
            internal_batch_size=max(CHUNK, len(floats[0])),
        )
        return tuple(part.detach() for part in parts)

    def slopes(self, limit: int) -> list[Sequence[Tensor]]:
        """Gradient x deviation from the column's mean, for each of the first outputs, shaped like the float inputs."""
        with torch.enable_grad():
            inputs = tuple(x.clone().requires_grad_() for x in self.inputs)
            found = self(*inputs, *self.extras)
            away = [x - mean for x, mean in zip(self.inputs, self.means(), strict=True)]
            effects = []
            for output in range(min(limit, found.shape[1])):
                total = found[:, output].sum()
                if not total.requires_grad:  # a constant
                    effects.append([torch.zeros_like(x) for x in self.inputs])
                    continue
                grads = torch.autograd.grad(total, inputs, retain_graph=True, materialize_grads=True)
                effects.append([g * d for g, d in zip(grads, away, strict=True)])
        return [*effects]
