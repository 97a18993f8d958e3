"""Training rows and validation rows: split without leaking, fed to the optimiser in a reproducible order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.adapters import column_names
from kaninterp.core.errors import DataError, InputError, NamesError
from kaninterp.data import Batch, Batches, Windows, as_batches, placement, time_split

__all__ = ["Feeds", "default_batch_size", "prepare"]

EVALUATION_ROWS = 1024
"""Rows per batch where the size of the batch does not decide the outcome: no gradient, or one over all rows."""

STEPS_PER_EPOCH, SMALLEST_BATCH, LARGEST_BATCH = 64, 16, 256
"""The default batch size makes at least so many steps, where its bounds allow."""

DIGEST_ROWS = 64
"""Rows that tell a checkpoint whether it is looking at the data it came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeds:
    """The data of a run.

    Attributes
    ----------
    data
        All rows given.
    train
        (n,) int64: training rows of `data`; None: a stream in its own order.
    held_out
        Validation data, or None.
    held_rows
        (n,) int64: validation rows of `held_out`; None: all of it, in its own order.
    batch_size
        Rows per training batch.
    """

    data: Batches
    train: Tensor | None
    held_out: Batches | None
    held_rows: Tensor | None
    batch_size: int

    @property
    def n_train(self) -> int | None:
        """Number of training rows, None if the stream does not say."""
        return self.data.n_rows if self.train is None else len(self.train)

    @property
    def n_validation(self) -> int | None:
        """Number of validation rows; 0 without validation, None if a stream does not say."""
        if self.held_out is None:
            return 0
        return self.held_out.n_rows if self.held_rows is None else len(self.held_rows)

    def shuffled(self, generator: torch.Generator) -> Iterator[Batch]:
        """One epoch of training batches; streams keep their own order."""
        if self.train is None:
            yield from self.data.again()
            return
        order = self.train[torch.randperm(len(self.train), generator=generator)]
        for start in range(0, len(order), self.batch_size):
            yield self.data.take(order[start : start + self.batch_size])

    def ordered(self) -> Iterator[Batch]:
        """All training rows in their own order."""
        if self.train is None:
            yield from self.data.again()
            return
        for start in range(0, len(self.train), self.batch_size):
            yield self.data.take(self.train[start : start + self.batch_size])

    def in_parts(self, parts: int) -> Iterator[Batch]:
        """All training rows in about so many parts; streams keep their batches."""
        if self.train is None:
            yield from self.data.again()
            return
        size = -(-len(self.train) // parts)
        for start in range(0, len(self.train), size):
            yield self.data.take(self.train[start : start + size])

    def validation(self) -> Iterator[Batch]:
        """All validation rows in their own order."""
        if self.held_out is None:
            return
        if self.held_rows is None:
            yield from self.held_out.again()
            return
        for start in range(0, len(self.held_rows), EVALUATION_ROWS):
            yield self.held_out.take(self.held_rows[start : start + EVALUATION_ROWS])

    def described(self) -> dict[str, Any]:
        """JSON-able text of shapes and some content, to tell whether a checkpoint belongs to this data."""
        first = self.data.first
        return {
            "inputs": [[str(x.dtype), *x.shape[1:]] for x in first.inputs],
            "names": list(self.data.names),
            "training rows": self.n_train,
            "validation rows": self.n_validation,
            "content": None if self.train is None else self.data.take(self._some_rows()).digest,
        }

    def _some_rows(self) -> Tensor:
        assert self.train is not None  # noqa: S101 - for the type checker; described() has looked
        return self.train[:: max(1, len(self.train) // DIGEST_ROWS)][:DIGEST_ROWS]


def prepare(
    model: nn.Module,
    data: Any,
    *,
    target: Any,
    validation: Any,
    gap: int | None,
    shuffle_split: bool,
    batch_size: int | None,
    generator: torch.Generator,
) -> Feeds:
    """Adapt, check and split the data of a run; see `fit` for the parameters."""
    device, dtype = placement(model)
    own = column_names(model)
    batches = as_batches(data, target=target, batch_size=EVALUATION_ROWS, device=device, dtype=dtype).again()
    batches = batches.named_by(own)
    _check_target(batches)
    train, held_rows = None, None
    held_out: Batches | None = None
    if isinstance(validation, int | float) and not isinstance(validation, bool):
        if validation:
            train, held_rows = _split(batches, data, float(validation), gap, shuffle_split, generator=generator)
            held_out = batches
    elif validation is not None:
        _refuse_split_options(gap, shuffle_split)
        label = target if isinstance(target, str | list | tuple) else None
        held_out = as_batches(validation, target=label, batch_size=EVALUATION_ROWS, device=device, dtype=dtype)
        held_out = held_out.again().named_by(own)
        _check_target(held_out)
        if held_out.names != batches.names:
            raise NamesError(
                f"validation: its raw columns {list(held_out.names)} are not those of the training data, "
                f"{list(batches.names)}."
            )
    if train is None and batches.random_access:
        train = torch.arange(batches.n_rows or 0)
    if train is not None:
        _check_all(batches)
    if held_out is not None and held_out is not batches:
        _check_all(held_out)
    size = batch_size or (1 if train is None else default_batch_size(len(train)))
    return Feeds(data=batches, train=train, held_out=held_out, held_rows=held_rows, batch_size=size)


def default_batch_size(rows: int) -> int:
    """Choose the batch size: a power of two that makes an epoch 64 to 128 steps, within 16 and 256.

    Enough steps for the proximal steps to work with, and batches small against the data (see `Sparsity`).

    Examples
    --------
    >>> [default_batch_size(rows) for rows in (100, 5000, 15000, 10**6)]
    [16, 64, 128, 256]
    """
    power = 1 << int(math.log2(max(rows / STEPS_PER_EPOCH, 1)))
    return min(max(power, SMALLEST_BATCH), LARGEST_BATCH)


def _split(
    batches: Batches, data: Any, share: float, gap: int | None, shuffle: bool, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Training and validation rows: the last rows validate, or a random choice if asked for."""
    if not 0 < share < 1:
        raise InputError(
            f"validation: a share of the rows must be between 0 and 1, got {share}; pass data, or None for none."
        )
    if not batches.random_access or batches.n_rows is None:
        raise InputError(
            f"validation={share}: the rows of {batches.kind} come in their own order and cannot be split; pass "
            "validation data (arrays, a Dataset, a second DataLoader) or validation=None."
        )
    n = batches.n_rows
    if shuffle:
        if gap:
            raise InputError("gap: only a split in time order has a gap; leave it out with shuffle_split=True.")
        order = torch.randperm(n, generator=generator)
        n_held = max(1, round(share * n))
        if n_held >= n:
            raise DataError(f"validation={share} of {n} rows leaves no row to train on.")
        return order[n_held:].sort().values, order[:n_held].sort().values
    embargo = _default_gap(batches, data) if gap is None else gap
    try:
        train, held = time_split(n, (1 - share, share), gap=embargo)
    except DataError as error:
        overlap = f" with a gap of {embargo} rows (so that windows of the two parts do not overlap)" if embargo else ""
        cure = "if the rows do not overlap pass gap=0, or pass" if embargo else "pass validation=None, or"
        raise DataError(
            f"validation={share} of {n} rows{overlap} leaves one part empty; {cure} validation data."
        ) from error
    rows = torch.arange(n)
    return rows[train], rows[held]


def _default_gap(batches: Batches, data: Any) -> int:
    """Rows between training and validation so that overlapping windows share nothing."""
    source = data[0] if isinstance(data, tuple) and data else data
    if isinstance(source, Windows):
        return source.embargo
    lengths = [int(x.shape[1]) for x in batches.first.inputs if x.ndim == 3 and x.is_floating_point()]
    return max(lengths, default=0)


def _refuse_split_options(gap: int | None, shuffle_split: bool) -> None:
    if gap or shuffle_split:
        raise InputError("gap and shuffle_split say how to split the data, but validation data were given as well.")


def _check_target(batches: Batches) -> None:
    if batches.first.target is None:
        raise DataError(f"{batches.kind}: training needs a target; pass (X, y), target=..., or batches that are pairs.")


def _check_all(batches: Batches) -> None:
    """Look at every row once, before the model is touched."""
    for _ in batches:
        pass
