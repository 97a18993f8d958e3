"""Run a host model on batches and see what its KAN is given, without leaving a trace in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.adapters import ModelView, no_notes
from kaninterp.core.errors import ModelError
from kaninterp.data import Batch, called, preserved_rng
from kaninterp.nn import rows_first, undisturbed

__all__ = ["CHUNK", "Columns", "by_row", "output_tensor", "outputs", "row_axis", "run", "untouched", "watched"]

CHUNK = 1024
"""Rows of one forward pass over rows in memory."""
TRIED = 8
"""Rows on which the order of the steps is found."""
ROUNDING = 1e-4
"""How far values of the same row may differ, against the largest, when it comes in another batch."""


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients; flags, buffers, notes and every random generator are given back as found (law 9)."""
    with preserved_rng(), undisturbed(model), no_notes(model):
        yield


@contextmanager
def watched(view: ModelView) -> Iterator[list[Tensor]]:
    """Collect what the KAN is given, in calling order; the hook is gone afterwards."""
    seen: list[Tensor] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        del module
        seen.append(args[0] if args else next(iter(kwargs.values())))

    handle = view.module.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def run(model: nn.Module, view: ModelView, batch: Batch) -> tuple[Tensor, Tensor]:
    """Output of the model and rows of layer 0 of its KAN, (n, src); call it inside `untouched`.

    Raises
    ------
    ModelError
        The forward pass fails on this batch, takes its rows for time steps, or does not use the KAN.
    """
    with watched(view) as seen:
        output = _output(model, batch)
    if not seen:
        where = view.path or "the model"
        raise ModelError(f"the forward pass never calls the KAN at {where!r}; nothing can be measured there")
    return output, torch.cat([view.read(x) for x in seen])


def outputs(model: nn.Module, batch: Batch) -> Tensor:
    """Output of the model for rows in memory, `CHUNK` rows at a time; call it inside `untouched`.

    Raises
    ------
    ModelError
        The forward pass fails on these rows, or takes them for time steps.
    """
    parts = (batch.rows(slice(start, start + CHUNK)) for start in range(0, batch.n_rows, CHUNK))
    return torch.cat([_output(model, part) for part in parts])


def row_axis(model: nn.Module, view: ModelView, batch: Batch) -> int | None:
    """How the rows of layer 0 are ordered where the KAN reads several steps of every row of the data, for `by_row`.

    Call it inside `untouched`.

    Returns
    -------
    int or None
        0: all steps of a row together. 1: all rows of a step together. None: neither, found by trying.
    """
    few = batch.rows(torch.linspace(0, batch.n_rows - 1, min(batch.n_rows, TRIED)).round().long())
    together, alone = run(model, view, few)[1], run(model, view, batch.rows(slice(0, 1)))[1]
    if len(together) == few.n_rows:
        return 0
    room = ROUNDING * float(together.abs().max())
    if len(together) == few.n_rows * len(alone):
        for axis in (0, 1):
            if torch.allclose(by_row(together, few.n_rows, axis)[0], alone, rtol=ROUNDING, atol=room):
                return axis
    return None


def by_row(values: Tensor, rows: int, axis: int) -> Tensor:
    """Rows of a layer, (rows x steps, nodes), as (rows, steps, nodes); ``axis`` as `row_axis` says."""
    width = values.shape[1]
    steps = len(values) // max(rows, 1)
    return values.reshape(rows, steps, width) if axis == 0 else values.reshape(steps, rows, width).transpose(0, 1)


def _output(model: nn.Module, batch: Batch) -> Tensor:
    with rows_first(model, batch.inputs):
        return output_tensor(called(model, batch))


def output_tensor(output: Any) -> Tensor:
    """The tensor a model returns, or the first one of a tuple, list or dict.

    Raises
    ------
    ModelError
        There is none.
    """
    while isinstance(output, (tuple, list, dict)) and output:
        output = next(iter(output.values())) if isinstance(output, dict) else output[0]
    if not isinstance(output, Tensor):
        raise ModelError(
            f"the model returns {type(output).__name__}; expected a tensor, or a tuple that starts with one"
        )
    return output


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Where each raw column lives: which input tensor, and which of its last-axis positions.

    Attributes
    ----------
    names : tuple of str
        All raw columns, one input after the other; integer inputs (indices) have none.
    places : tuple of (int, int)
        Input number and position of each.
    lags : int
        Time steps of the inputs; 1 for tables.
    """

    names: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    lags: int

    @classmethod
    def of(cls, batch: Batch, names: tuple[tuple[str, ...], ...]) -> Columns:
        """Columns of the float inputs of a batch."""
        floats = [i for i, x in enumerate(batch.inputs) if x.is_floating_point()]
        places = tuple((i, position) for i in floats for position in range(len(names[i])))
        return cls(names=tuple(names[i][position] for i, position in places), places=places, lags=batch.lags)

    @staticmethod
    def readable(batch: Batch) -> bool:
        """Whether there are float inputs, all of them tables or sequences, so that their columns mean something."""
        ranks = {x.dim() for x in batch.inputs if x.is_floating_point()}
        return bool(ranks) and ranks <= {2, 3}

    def values(self, batch: Batch) -> Tensor:
        """All columns side by side, (rows, steps, columns), with the steps of the longest input of this batch.

        To be read only: of a single input it is that input.

        A shorter sequence is stretched by repeating its steps, a table stays constant over time: extremes and
        constancy are exact, means too where the lengths divide.
        """
        sequences = [x if x.dim() == 3 else x.unsqueeze(1) for x in batch.inputs if x.is_floating_point()]
        if len(sequences) == 1:
            return sequences[0]
        steps = torch.arange(max(x.shape[1] for x in sequences), device=sequences[0].device)
        return torch.cat([x[:, steps * x.shape[1] // len(steps)] for x in sequences], dim=2)

    def one(self, batch: Batch, column: int) -> Tensor:
        """Values of one column as its input holds them, (rows,) or (rows, steps)."""
        which, position = self.places[column]
        return batch.inputs[which][..., position]

    def put(self, batch: Batch, values: Mapping[int, Tensor]) -> Batch:
        """The batch with other values in some columns, each in the shape of `one` or a single number."""
        inputs = list(batch.inputs)
        for which in {self.places[column][0] for column in values}:
            inputs[which] = inputs[which].clone()
        for column, value in values.items():
            which, position = self.places[column]
            inputs[which][..., position] = value
        return Batch(inputs=tuple(inputs), keys=batch.keys, target=batch.target)

    def effects(self, values: Sequence[Tensor]) -> Tensor:
        """Effects of each float input, side by side as (rows, lags, columns); a table's belong to the last step."""
        parts = []
        for value in values:
            sequence = value if value.dim() == 3 else value.unsqueeze(1)
            parts.append(nn.functional.pad(sequence, (0, 0, self.lags - sequence.shape[1], 0)))
        return torch.cat(parts, dim=2)
