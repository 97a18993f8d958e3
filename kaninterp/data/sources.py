"""Three ways data arrive: all of it in memory, sample by sample, or as a stream of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    default_collate,
)

from kaninterp.core.errors import DataError, InputTypeError, ShapeError
from kaninterp.data.batch import Batch
from kaninterp.data.blocks import ALLOWED, Block, as_block
from kaninterp.data.convert import describe, is_columnar
from kaninterp.data.rng import preserved_rng
from kaninterp.data.windows import Windows

__all__ = ["InMemory", "Samples", "Source", "Stream", "as_source"]

Names = tuple[tuple[str, ...] | None, ...]


class Source(Protocol):
    """Where batches come from.

    `first(size)` is the first batch as it will come, with the names the data bring along; asking for it
    twice gives the same and never loses a row. `batches(size)` is one pass. `once` is the name of a source
    that has one pass only, None for all others.
    """

    kind: str
    n_rows: int | None
    once: str | None

    def first(self, size: int, dtype: torch.dtype | None) -> tuple[Batch, Names]:
        """Return the first batch and the names known."""

    def batches(self, size: int, dtype: torch.dtype | None) -> Iterator[Batch]:
        """Make one pass."""


class InMemory:
    """Arrays, tables and dicts: random access by slicing."""

    once: str | None = None

    def __init__(self, block: Block, kind: str) -> None:
        self.block = block
        self.kind = kind
        self.n_rows: int | None = block.n_rows
        if not block.n_rows:
            raise DataError(f"{kind}: the data are empty (0 rows).")

    def take(self, index: slice | Tensor, dtype: torch.dtype | None) -> Batch:
        """Take the rows at `index`."""
        return self.block.take(index, dtype)

    def first(self, size: int, dtype: torch.dtype | None) -> tuple[Batch, Names]:
        """Return the first batch and the names known."""
        return self.take(slice(0, size), dtype), self.block.known_names

    def batches(self, size: int, dtype: torch.dtype | None) -> Iterator[Batch]:
        """One pass in the order of the rows."""
        for start in range(0, self.block.n_rows, size):
            yield self.take(slice(start, start + size), dtype)


class Samples:
    """A map-style Dataset: random access sample by sample, collated like a DataLoader does."""

    once: str | None = None

    def __init__(self, dataset: Any, target: object) -> None:
        self.dataset = dataset
        self.target = _key_only(target, "a Dataset")
        self.kind = f"{type(dataset).__name__} of {len(dataset)} samples"
        self.n_rows: int | None = len(dataset)
        if not len(dataset):
            raise DataError(f"{self.kind}: the data are empty.")

    def take(self, index: slice | Tensor, dtype: torch.dtype | None) -> Batch:
        """Take the samples at `index`."""
        return self._block(index).take(slice(None), dtype)

    def first(self, size: int, dtype: torch.dtype | None) -> tuple[Batch, Names]:
        """Return the first batch and the names known."""
        with preserved_rng():  # samples may be augmented at random
            block = self._block(slice(0, size))
        return block.take(slice(None), dtype), block.known_names

    def batches(self, size: int, dtype: torch.dtype | None) -> Iterator[Batch]:
        """One pass in the order of the samples."""
        for start in range(0, len(self.dataset), size):
            yield self.take(slice(start, start + size), dtype)

    def _block(self, index: slice | Tensor) -> Block:
        rows = range(*index.indices(len(self.dataset))) if isinstance(index, slice) else index.tolist()
        return as_block(default_collate([self.dataset[i] for i in rows]), target=self.target, what="a sample")


class Stream:
    """Batches made elsewhere (DataLoader, list, generator), taken in their own order and size.

    `again` says that every pass can be opened anew for certain (DataLoader, list).

    The first look at the data (for names and shapes) draws no global random numbers. Where a pass may not come again
    it opens the first pass and keeps it open, so that an iterator loses nothing.
    """

    def __init__(
        self,
        opened: Callable[[int], Iterator[Any]],
        *,
        kind: str,
        n_rows: int | None = None,
        once: str | None = None,
        again: bool = False,
        target: object = None,
    ) -> None:
        self.kind = kind
        self.n_rows = n_rows
        self.once = once
        self._target = _key_only(target, kind)
        self._opened = opened
        self._again = again
        self._started: tuple[Any, Iterator[Any]] | None = None
        self._passes = 0

    def first(self, size: int, dtype: torch.dtype | None) -> tuple[Batch, Names]:
        """Return the first batch and the names known."""
        if self._started is None:
            self._check_pass()
            with preserved_rng():
                items = self._opened(size)
                started = next(items, None), items
            # a pass opened here has drawn its order already: going on with it would repeat that order later
            self._started = None if self._again else started
        else:
            started = self._started
        block = self._block(started[0], 0)
        return block.take(slice(None), dtype), block.known_names

    def batches(self, size: int, dtype: torch.dtype | None) -> Iterator[Batch]:
        """One pass in the stream's own order."""
        self._check_pass()
        started, self._started = self._started, None
        self._passes += 1
        items = self._opened(size) if started is None else chain([started[0]], started[1])
        for number, item in enumerate(items):
            yield self._block(item, number).take(slice(None), dtype)

    def _check_pass(self) -> None:
        if self.once and self._passes:
            raise DataError(
                f"the data are {self.once} that can be read once, and it has been read; pass a list, a DataLoader, a "
                "Dataset or arrays when a second pass is needed."
            )

    def _block(self, item: Any, number: int) -> Block:
        if item is None:
            raise DataError(f"{self.kind}: the data are empty (not one batch).")
        return as_block(item, target=self._target, what=f"batch {number}")


def as_source(data: Any, target: object) -> Source:
    """Find out in which of the three ways `data` arrive."""
    if isinstance(data, TensorDataset) and type(data) is TensorDataset:
        return InMemory(as_block(tuple(data.tensors), target=target), f"TensorDataset of {len(data)} samples")
    if isinstance(data, DataLoader):
        loader: Iterable[Any] = data
        kind = f"DataLoader of {_length(data)} batches"
        again = not isinstance(data.dataset, IterableDataset)
        return Stream(lambda _: iter(loader), kind=kind, n_rows=_loader_rows(data), again=again, target=target)
    if isinstance(data, IterableDataset):
        dataset: Iterable[Any] = data
        return Stream(lambda size: _collated(iter(dataset), size), kind=type(data).__name__, target=target)
    if isinstance(data, Dataset) or _looks_like_dataset(data):
        return Samples(data, target)
    if is_columnar(data) or isinstance(data, dict | tuple | Windows):
        kind = describe(data) if not isinstance(data, tuple) else ", ".join(describe(part) for part in data)
        return InMemory(as_block(data, target=target), kind)
    if isinstance(data, list):
        return _listed(data, target)
    if isinstance(data, Iterable) and not isinstance(data, str | bytes):
        return _iterated(data, target)
    raise InputTypeError(
        f"data: expected {ALLOWED}, a Dataset, a DataLoader or an iterable of batches, got {describe(data)}."
    )


def _listed(batches: list[Any], target: object) -> Stream:
    """Read a list as a sequence of batches; count its rows where that costs nothing."""
    if batches and all(is_columnar(item) and item.ndim < 2 for item in batches):
        raise ShapeError(
            f"data: a list is read as a list of batches, and its items are {describe(batches[0])}; for one table pass "
            "numpy.array(rows), for inputs and target a tuple (X, y)."
        )
    rows = [_rows(item) for item in batches]
    n_rows = None if None in rows else sum(row for row in rows if row is not None)
    return Stream(
        lambda _: iter(batches), kind=f"list of {len(batches)} batches", n_rows=n_rows, again=True, target=target
    )


def _iterated(data: Iterable[Any], target: object) -> Stream:
    kind = f"a {type(data).__name__}"
    # an object whose iterator is shared has one pass, whether or not it is an iterator itself
    once = kind if hasattr(data, "__next__") or iter(data) is iter(data) else None
    return Stream(lambda _: iter(data), kind=kind, once=once, target=target)


def _rows(item: Any) -> int | None:
    while isinstance(item, Sequence | dict) and not is_columnar(item) and len(item):
        item = next(iter(item.values())) if isinstance(item, dict) else item[0]
    return len(item) if is_columnar(item) and item.ndim else None


def _looks_like_dataset(data: object) -> bool:
    """Sized random access without the base class (Hugging Face datasets and many of the users' own)."""
    sized = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    return sized and not is_columnar(data) and not isinstance(data, list | tuple | dict | str | bytes)


def _collated(samples: Iterator[Any], size: int) -> Iterator[Any]:
    while group := list(islice(samples, size)):
        yield default_collate(group)


def _loader_rows(loader: DataLoader[Any]) -> int | None:
    """Rows of one pass, None when a custom sampler decides."""
    if type(loader.batch_sampler) is not BatchSampler:
        return None
    rows = _length(loader.sampler)
    if rows is None or loader.batch_size is None:
        return None
    return rows - rows % loader.batch_size if loader.drop_last else rows


def _length(sized: Any) -> int | None:
    try:
        return len(sized)
    except TypeError:
        return None


def _key_only(target: object, kind: str) -> str | None:
    if target is None or isinstance(target, str):
        return target
    raise InputTypeError(
        f"target: {kind} brings its target along in each batch; give the key of a dict batch or leave target out, got "
        f"{describe(target)}."
    )
