"""The loss of a model as a function of what its KAN returns: outputs are put in place, the rest runs again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.adapters import ModelView, check_view
from kaninterp.core.errors import ModelError
from kaninterp.core.evidence import OUTPUT_CHANGE
from kaninterp.core.frozen import Array
from kaninterp.data import Batch, called
from kaninterp.measure.host import output_tensor, run
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.nn import resolve_loss

__all__ = ["Chunk", "Replay", "replaced"]

CHUNK_ROWS = 1024
"""Rows of data that pass through the model at once, at most."""
CHUNK_VALUES = 2**22
"""Edge values of one chunk, at most (16 MB in float32): wide layers and long sequences get fewer rows at once."""
CHECKED_ROWS = 64
"""Rows on which the sum of the edges is held against the layer (law 1)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """Some rows of the data and what the intact model makes of them.

    Attributes
    ----------
    batch : Batch
        The rows.
    nodes : tuple of Tensor
        Values of the KAN's nodes, layers 0..L, each (m, width); m is a multiple of the rows where the KAN reads every
        time step.
    output : Tensor
        What the model returns, (rows, ...).
    """

    batch: Batch
    nodes: tuple[Tensor, ...]
    output: Tensor

    @property
    def rows(self) -> int:
        """Rows of the data."""
        return self.batch.n_rows


class Replay:
    """The intact model on held rows, and its loss when the KAN returns something else.

    Parameters
    ----------
    model, view
        Run inside `untouched`.
    batch
        The held rows.
    loss
        As for `kaninterp.nn.resolve_loss`; without a target the mean squared change of the output in units of its
        variance.

    Attributes
    ----------
    chunks : tuple of Chunk
        All rows, in their order.
    loss_name : str
    base : ndarray, shape (rows,)
        Loss of the intact model.
    direct : bool
        Whether the model returns the KAN's outputs as they are; otherwise it runs again for every change.

    Raises
    ------
    ModelError
        The KAN is not the sum of its edges, or the model does not return one output per row.
    """

    def __init__(self, model: nn.Module, view: ModelView, batch: Batch, loss: Loss) -> None:
        self.model, self.view = model, view
        self.chunks = tuple(self._chunks(batch))
        check_view(view, self.chunks[0].nodes[0][:CHECKED_ROWS])
        self.direct = self._returns_the_kan(self.chunks[0])
        self._loss, self.loss_name = self._resolved(loss)
        self.base = np.concatenate([self.losses(chunk, chunk.nodes[-1][None])[0] for chunk in self.chunks])

    @property
    def rows(self) -> int:
        """Rows of the data."""
        return len(self.base)

    def losses(self, chunk: Chunk, outputs: Tensor) -> Array:
        """Loss of every row for each of v variants of the KAN's outputs, ``(v, m, out) -> (v, rows)`` in float64."""
        if not self.direct:
            replayed = (self._checked(self.replayed(chunk, values), chunk, 1) for values in outputs)
            return np.concatenate(list(replayed))
        variants = len(outputs)
        return self._checked(outputs.reshape(variants * chunk.rows, *chunk.output.shape[1:]), chunk, variants)

    def row_loss(self, chunk: Chunk, outputs: Tensor) -> Tensor:
        """Loss of every row, differentiable in the KAN's outputs: ``(m, out) -> (rows,)``."""
        return self._loss(self.returned(chunk, outputs), self._target(chunk))

    def returned(self, chunk: Chunk, outputs: Tensor) -> Tensor:
        """What the model returns for the KAN's outputs, (m, out); as `replayed`, but it runs only where it has to."""
        return outputs.reshape(chunk.output.shape) if self.direct else self.replayed(chunk, outputs)

    def replayed(self, chunk: Chunk, outputs: Tensor) -> Tensor:
        """What the model returns when its KAN gives these outputs, (m, out), on the rows of a chunk.

        Raises
        ------
        ModelError
            The KAN is fed its own outputs, so that they cannot be put in place.
        """
        with replaced(self.view, chunk.nodes[0], outputs):
            return output_tensor(called(self.model, chunk.batch))

    def _chunks(self, batch: Batch) -> Iterator[Chunk]:
        few = batch.rows(slice(0, min(batch.n_rows, 8)))
        steps = max(1, len(run(self.model, self.view, few)[1]) // few.n_rows)
        edges = max(layer.dst * layer.src for layer in self.view.layers)
        size = min(CHUNK_ROWS, max(1, CHUNK_VALUES // (steps * edges)))
        for start in range(0, batch.n_rows, size):
            part = batch.rows(slice(start, start + size))
            output, head = run(self.model, self.view, part)
            if output.dim() == 0 or len(output) != part.n_rows:
                raise ModelError(
                    f"the model returns {tuple(output.shape)} for {part.n_rows} rows; a loss per row needs an output "
                    "(rows, ...)"
                )
            yield Chunk(batch=part, nodes=self.view.activations(head), output=output)

    def _returns_the_kan(self, chunk: Chunk) -> bool:
        """Whether outputs put in place of the KAN's come out unchanged: of any sign, far from the usual ones."""
        values = chunk.nodes[-1]
        if values.numel() != chunk.output.numel():
            return False
        size = 1 + float(values.abs().max())
        steps = torch.linspace(-100 * size, 100 * size, values.numel(), dtype=torch.float64)
        odd = values + steps.to(values).reshape(values.shape)
        try:
            output = self.replayed(chunk, odd)
        except ModelError:  # what comes after the KAN refuses such values, so there is something
            return False
        return torch.equal(output, odd.reshape(chunk.output.shape).to(chunk.output.dtype))

    def _resolved(self, loss: Loss) -> tuple[Callable[[Tensor, Tensor], Tensor], str]:
        first = self.chunks[0]
        if first.batch.target is not None:
            return resolve_loss(loss), row_losses(loss, first.batch.target, first.output)[1]
        intact = torch.cat([chunk.output for chunk in self.chunks]).double()
        spread = intact.var(0, unbiased=False).clamp(min=torch.finfo(torch.float64).tiny)
        return resolve_loss(lambda output, usual: (output.double() - usual.double()) ** 2 / spread), OUTPUT_CHANGE

    def _target(self, chunk: Chunk) -> Tensor:
        return chunk.output if chunk.batch.target is None else chunk.batch.target

    def _checked(self, output: Tensor, chunk: Chunk, variants: int) -> Array:
        target = self._target(chunk)
        repeated = target.repeat(variants, *[1] * (target.dim() - 1))
        losses, _ = row_losses(self._loss, repeated, output)  # refuses losses that are no numbers
        return losses(output).reshape(variants, chunk.rows)


@contextmanager
def replaced(view: ModelView, inputs: Tensor, outputs: Tensor) -> Iterator[None]:
    """Let the KAN return given outputs, in calling order, as long as it is given the inputs they belong to."""
    start = 0

    def give(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], usual: Tensor) -> Tensor:
        del module
        nonlocal start
        rows = view.read(args[0] if args else next(iter(kwargs.values()))).detach()
        stop = start + len(rows)
        if not torch.equal(rows, inputs[start:stop]):
            raise ModelError(
                f"the KAN at {view.path!r} is given other inputs when its outputs change: it is fed its own outputs "
                "(or the forward pass draws random numbers in eval mode), so the effect of one edge on the loss "
                "cannot be measured by putting outputs in place; probe a model that calls it once"
            )
        here, start = outputs[start:stop], stop
        return here.reshape(usual.shape).to(usual.dtype)

    handle = view.module.register_forward_hook(give, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
