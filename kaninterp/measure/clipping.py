"""`clip`: what values outside the known range do to the output and to the loss, by clipping them to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.adapters import as_view
from kaninterp.core.clipping import ClippedPart, Clipping
from kaninterp.core.errors import DataError
from kaninterp.core.frozen import Array
from kaninterp.core.range_card import RangeCard
from kaninterp.data import Batch, Batches, check_seed, preserved_rng
from kaninterp.measure.ablation import DEFAULT_ROWS
from kaninterp.measure.bootstrap import BlockBootstrap, block_of
from kaninterp.measure.clipped_losses import ClippedLosses
from kaninterp.measure.clipped_parts import Part, column_parts, layer_parts
from kaninterp.measure.host import Columns, outputs, row_axis, untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.outside import card_columns
from kaninterp.measure.probe_replay import Replay
from kaninterp.measure.tracing import PROGRESS_DELAY, card_of, prepared

__all__ = ["clip"]


def clip(
    model: nn.Module,
    data: Any,
    card: RangeCard | str | os.PathLike[str],
    *,
    target: Any = None,
    loss: Loss = None,
    reference: Any = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    rows: int = DEFAULT_ROWS,
    seed: int = 0,
    progress: bool = True,
) -> Clipping:
    """Measure what values outside a range card do: run the model as it is, and with them clipped to the card.

    Clipped are all raw columns together (at every lag), each column that leaves, and the input nodes of each KAN layer:
    to what they showed on the data of the card, and to their domains.

    Parameters
    ----------
    model, data, target, feature_names, path, progress
        As for `trace`.
    card : RangeCard or path
        Of this model, made from the data it was trained on (`range_card`).
    loss : str, callable or None
        As for `kaninterp.nn.resolve_loss`; None chooses by the target. Without a target only changes of the output are
        measured.
    reference
        Data with their target from before, on which the loss was still good, in any form that `trace` takes (rows that
        were trained on have a loss that is too good). A ``target`` given by name is looked for in them, too.
    rows : int
        Rows used at most, evenly spaced; of the reference, too.
    seed : int
        Of the bootstrap; global generators are not touched.

    Returns
    -------
    Clipping

    Raises
    ------
    ShapeError, NamesError
        The card is of another model, or of other columns.
    ModelError
        The model does not return one output per row, or feeds its KAN its own outputs; and as for `trace`.
    InputTypeError, DataError
        As for `trace`.

    Notes
    -----
    A value outside is one cause of a rise of the loss, and a changed relation between columns and target another.
    They are told apart by two numbers: what clipping takes back, and how much worse rows with an exit are than the
    rows without one. Intervals are 95 %, from a moving-block bootstrap over rows.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> head = ki.KANHead(2, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    >>> past = torch.rand(100, 2, generator=torch.Generator().manual_seed(0))
    >>> card, now = ki.range_card(head, past, feature_names=["wind", "rain"]), past + torch.tensor([0.0, 3.0])
    >>> [(part.name, part.exits) for part in clip(head, now, card, feature_names=["wind", "rain"]).parts[:2]]
    [('all columns', 1.0), ('rain', 1.0)]
    """
    check_seed(seed)
    view, card = as_view(model, path), RangeCard.given(card)
    card_of(model, view).check_reference(card.card)
    batches = prepared(model, data, target=target, feature_names=feature_names)
    columns = card_columns(batches, card)
    held, boot = _held(batches, rows, seed)
    before = None if reference is None or held.target is None else _reference(model, reference, target, batches)
    with untouched(model):
        replay = Replay(model, view, held, loss)
        losses = None
        if held.target is not None:
            usual = None if before is None else _losses_before(model, *_held(before, rows, seed + 1), loss)
            losses = ClippedLosses(replay.base, boot, usual)
        parts, left_out = _parts(_Work(replay, loss, losses), card, columns, progress)
    return Clipping(
        loss=replay.loss_name,
        rows=held.n_rows,
        block=boot.block,
        base=None if losses is None else losses.base,
        reference=None if losses is None else losses.reference,
        rise=None if losses is None else losses.rise,
        parts=tuple(parts),
        left_out=tuple(left_out),
    )


class _Work:
    """The intact model on the held rows."""

    def __init__(self, replay: Replay, loss: Loss, losses: ClippedLosses | None) -> None:
        self.replay, self.losses = replay, losses
        self.output = torch.cat([chunk.output for chunk in replay.chunks])
        targets = [chunk.batch.target for chunk in replay.chunks if chunk.batch.target is not None]
        self._score, _ = row_losses(loss, torch.cat(targets) if targets else None, self.output)

    def measured(self, part: Part) -> ClippedPart:
        """Run the model with one part clipped; where no row has an exit it is the model as it is."""
        output = self.output
        if part.exits.any():
            output = torch.cat([part.change(chunk) for chunk in self.replay.chunks])
        score = self._score(output)  # without a target too: it refuses outputs that are no numbers
        none = dict.fromkeys(("loss", "cost", "with_exit", "without_exit", "taken_back", "carried"))
        return ClippedPart(
            kind=part.kind,
            index=part.index,
            name=part.name,
            exits=float(part.exits.mean()),
            moved=_moved(self.output, output),
            **(none if self.losses is None else self.losses.of(score, part.exits)),
        )


def _parts(
    work: _Work, card: RangeCard, columns: Columns | None, progress: bool
) -> tuple[list[ClippedPart], list[str]]:
    """Everything that can be clipped, and why the rest cannot."""
    replay = work.replay
    wanted, left_out = list(column_parts(replay, card, columns)), []
    if not wanted:
        left_out.append("raw columns: the card or the data have none")
    axis = row_axis(replay.model, replay.view, replay.chunks[0].batch)
    if axis is None:
        left_out.append("layers of the KAN: it cannot be told to which row of the data their rows belong")
    else:
        wanted += layer_parts(replay, card, axis)
    bar = tqdm(wanted, desc="clipping", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    return [work.measured(part) for part in bar], left_out


def _moved(before: Tensor, after: Tensor) -> Array:
    """Root mean square change of each output, in standard deviations of the output."""
    width = before.shape[-1] if before.dim() > 1 else 1
    usual = before.double().reshape(-1, width)
    squares = (after.double().reshape(-1, width) - usual).square().mean(0)
    varies = usual.amax(0) > usual.amin(0)
    scale = torch.where(varies, usual.std(0, unbiased=False), 1.0)
    moved: Array = (squares.sqrt() / scale).cpu().numpy()
    return moved


def _held(batches: Batches, rows: int, seed: int) -> tuple[Batch, BlockBootstrap]:
    with preserved_rng():
        batch = batches.sample(rows)
    return batch, BlockBootstrap(batch.n_rows, block_of(batch, batches), np.random.default_rng(seed))


def _reference(model: nn.Module, reference: Any, target: Any, like: Batches) -> Batches:
    """Reference data with their target, in the columns of the data."""
    names = [target] if isinstance(target, str) else target
    named = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return prepared(
        model,
        reference,
        target=target if named and not isinstance(reference, tuple) else None,
        feature_names=like.names,
    )


def _losses_before(model: nn.Module, batch: Batch, boot: BlockBootstrap, loss: Loss) -> tuple[Array, BlockBootstrap]:
    """Loss of every row of the reference.

    Raises
    ------
    DataError
        It has no target.
    """
    if batch.target is None:
        raise DataError(
            "reference: the rise of the loss needs its target, and there is none; give (X, y), or leave reference out"
        )
    output = outputs(model, batch)
    return row_losses(loss, batch.target, output)[0](output), boot
