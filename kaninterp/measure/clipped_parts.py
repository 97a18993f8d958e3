"""What can be clipped to the range of a card: raw columns in front of the model, nodes in front of a KAN layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.range_card import RangeCard, SeenLayer
from kaninterp.data import Batch
from kaninterp.measure.host import Columns, by_row, outputs
from kaninterp.measure.outside import beyond
from kaninterp.measure.probe_replay import Chunk, Replay

__all__ = ["Part", "column_parts", "layer_parts"]

ROUNDING = 64
"""Last bits by which a node may differ when its row comes in another batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something to clip.

    Attributes
    ----------
    kind, index, name
        As in `ClippedPart`.
    exits : ndarray of bool, shape (rows,)
        Rows of the data with a value outside.
    change : callable
        The output of the model for a chunk of rows, with the values clipped.
    """

    kind: str
    index: int
    name: str
    exits: BoolArray
    change: Callable[[Chunk], Tensor]


def column_parts(replay: Replay, card: RangeCard, columns: Columns | None) -> Iterator[Part]:
    """All columns, and each one that leaves its range."""
    raw = card.raw
    if columns is None or raw is None:
        return
    ends = np.stack([raw.nodes.low, raw.nodes.high])
    exits = np.concatenate([_rows(beyond(columns.values(chunk.batch), ends)) for chunk in replay.chunks])

    def part(index: int, name: str, which: list[int]) -> Part:
        def change(chunk: Chunk) -> Tensor:
            return outputs(replay.model, _clipped(chunk.batch, columns, which, ends))

        return Part(
            kind="columns" if index < 0 else "column",
            index=index,
            name=name,
            exits=np.asarray(exits[:, which].any(1)),
            change=change,
        )

    yield part(-1, "all columns", list(range(len(columns.names))))
    for index in np.flatnonzero(exits.any(0)).tolist():
        yield part(index, columns.names[index], [index])


def layer_parts(replay: Replay, card: RangeCard, axis: int) -> Iterator[Part]:
    """Every layer, to what its nodes showed and to their domains."""
    for depth, layer in enumerate(card.layers):
        knots = layer.ranges.knots
        for kind, ends in (
            ("seen", _seen(layer, replay.chunks[0].nodes[depth].dtype)),
            ("domain", np.stack([knots[:, 0], knots[:, -1]])),
        ):
            yield _layer_part(replay, axis, depth, kind, ends)


def _seen(layer: SeenLayer, dtype: torch.dtype) -> Array:
    """Ends of what a layer showed, with room for rounding: the same row in another batch differs in its last bits."""
    low, high = layer.inputs.low, layer.inputs.high
    slack = ROUNDING * torch.finfo(dtype).eps * np.maximum(np.abs(low), np.abs(high))
    return np.stack([low - slack, high + slack])


def _layer_part(replay: Replay, axis: int, depth: int, kind: str, ends: Array) -> Part:
    exits = [_rows(beyond(by_row(chunk.nodes[depth], chunk.rows, axis), ends)).any(1) for chunk in replay.chunks]

    def change(chunk: Chunk) -> Tensor:
        values = _within(chunk.nodes[depth], ends)
        for layer in replay.view.layers[depth:]:
            values = layer(values)
        return replay.returned(chunk, values)

    return Part(kind=kind, index=depth, name=f"KAN layer {depth + 1}", exits=np.concatenate(exits), change=change)


def _clipped(batch: Batch, columns: Columns, which: Sequence[int], ends: Array) -> Batch:
    """The same rows with some raw columns clipped, in whatever input they live."""
    inputs = list(batch.inputs)
    for number in {columns.places[column][0] for column in which}:
        chosen = [column for column in which if columns.places[column][0] == number]
        positions = [columns.places[column][1] for column in chosen]
        changed = inputs[number].clone()
        changed[..., positions] = _within(changed[..., positions], ends[:, chosen])
        inputs[number] = changed
    return replace(batch, inputs=tuple(inputs))


def _within(values: Tensor, ends: Array) -> Tensor:
    low, high = torch.as_tensor(ends).to(values)
    return values.clamp(low, high)


def _rows(outside: Tensor) -> BoolArray:
    """Whether a column is outside at any step, (rows, steps, n) -> (rows, n)."""
    found: BoolArray = outside.any(1).cpu().numpy()
    return found
