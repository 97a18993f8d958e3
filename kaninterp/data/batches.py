"""User data of any accepted kind as batches of tensors."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.core.errors import DataError, InputError, InputTypeError, StateError
from kaninterp.data.batch import Batch
from kaninterp.data.checks import check_batch, check_same_device
from kaninterp.data.columns import check_order, name_columns
from kaninterp.data.sampling import check_count, evenly, pick, spread_rows, thinned
from kaninterp.data.sources import InMemory, Samples, Source, as_source

__all__ = ["Batches", "as_batches"]


class Batches:
    """Checked batches of user data; made by `as_batches`.

    Iterating is one pass in the data's own order. Every batch is checked as it comes: rows, rank, width,
    finite numbers. Iterating a shuffling DataLoader, or a Dataset that augments at random, draws from the
    global generators like it always does: wrap the pass in `preserved_rng()` to give them back.

    Attributes
    ----------
    kind
        What the data are, for messages: "DataFrame 5000 x 8".
    n_rows
        Rows in one pass, None where that is unknown before the pass.
    batch_size
        Rows per batch; streams of batches keep their own.
    """

    def __init__(
        self,
        source: Source,
        *,
        names: Sequence[str] | None,
        batch_size: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        self.batch_size = batch_size
        self._source = source
        self._given = names
        self._device = device
        self._dtype = dtype

    @property
    def kind(self) -> str:
        """What the data are, for messages."""
        return self._source.kind

    @property
    def n_rows(self) -> int | None:
        """Rows in one pass, None where that is unknown before the pass."""
        return self._source.n_rows

    @property
    def random_access(self) -> bool:
        """Whether `take` works, so that rows can be shuffled and split."""
        return isinstance(self._source, InMemory | Samples)

    @cached_property
    def first(self) -> Batch:
        """The first batch, unchecked; looking at it loses no row and draws no random number."""
        return self._peek[0]

    @cached_property
    def names_per_input(self) -> tuple[tuple[str, ...], ...]:
        """Names of the raw columns of each input tensor; indices count as one column."""
        return name_columns(self.first, self._peek[1], self._given)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all raw columns, one input after the other."""
        return tuple(name for names in self.names_per_input for name in names)

    def named_by(self, own: tuple[str, ...] | None) -> Batches:
        """The same batches for a model that reads their columns itself and has names ``own`` for them.

        Columns that nobody named get these names. Names from the user or the data stay: a model takes columns by
        position, so other names are taken to be the user's word for them.

        Parameters
        ----------
        own
            One name per raw column, in the order the model takes them; None: it has none. Windows keep their names.

        Raises
        ------
        NamesError
            The columns' names are the model's in another order.

        Examples
        --------
        >>> import numpy as np
        >>> as_batches(np.zeros((5, 2))).named_by(("temp", "wind")).names
        ('temp', 'wind')
        """
        if own is None or self.first.lags > 1 or len(self.names) != len(own):
            return self
        if self._given is not None or self.first.keys is not None or any(known is not None for known in self._peek[1]):
            check_order(self.names, own)
            return self
        named = copy.copy(self)
        named._given = own
        named.__dict__.pop("names_per_input")
        return named

    def __iter__(self) -> Iterator[Batch]:
        first, names, start = self.first, self.names_per_input, 0
        for raw in self._source.batches(self.batch_size, self._dtype):
            batch = raw.to(self._device, self._dtype)
            check_batch(batch, first, names, start)
            start += batch.n_rows
            yield batch
        if not start:
            raise DataError(
                f"{self.kind}: this pass yielded no batch, though an earlier look at the data did; an iterator that is "
                "used up cannot be read again. Pass a list, a DataLoader, a Dataset or arrays."
            )

    def again(self) -> Batches:
        """Return the same batches, for one more pass.

        Raises
        ------
        DataError
            The data are a one-shot iterator.
        """
        if self._source.once is not None:
            raise DataError(
                f"a second pass over the data is needed, and {self._source.once} can be read only once; pass a list, a "
                "DataLoader, a Dataset or arrays."
            )
        return self

    def take(self, index: Tensor | slice) -> Batch:
        """Take the rows at `index` (int64 tensor on the CPU, or a slice), checked like every batch.

        Raises
        ------
        StateError
            The data are a stream, which has no random access.
        """
        if not isinstance(self._source, InMemory | Samples):
            raise StateError(f"rows of {self.kind} cannot be chosen; only arrays, tables and Datasets can.")
        batch = self._source.take(index, self._dtype).to(self._device, self._dtype)
        check_batch(batch, self.first, self.names_per_input, None)
        return batch

    def sample(self, n_rows: int, rng: np.random.Generator | None = None) -> Batch:
        """Draw up to `n_rows` rows in their order, as one batch in memory.

        Parameters
        ----------
        n_rows
            How many. Fewer come when the data have fewer.
        rng
            None: evenly spaced over the whole data. Otherwise a uniformly random choice without replacement.

        Notes
        -----
        Streams are read (checked) in one pass and never held as a whole. Where the number of rows is
        unknown, evenly spaced means every s-th row, thinned to `n_rows`.
        """
        check_count(n_rows)
        if self.n_rows is None:
            return evenly(self, n_rows) if rng is None else thinned(self, n_rows, rng)
        rows = spread_rows(self.n_rows, n_rows, rng)
        if not self.random_access:
            return pick(self, rows)
        return self.take(torch.from_numpy(rows))

    def check_device(self, model: nn.Module) -> None:
        """Refuse data and model on different devices.

        Raises
        ------
        StateError
            Naming both.
        """
        check_same_device(self.first, model)

    def __repr__(self) -> str:
        return f"Batches({self.kind})"

    @cached_property
    def _peek(self) -> tuple[Batch, tuple[tuple[str, ...] | None, ...]]:
        batch, known = self._source.first(self.batch_size, self._dtype)
        return batch.to(self._device, self._dtype), known


def as_batches(
    data: Any,
    *,
    target: Any = None,
    names: Sequence[str] | None = None,
    batch_size: int = 1024,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Batches:
    """Adapt user data.

    Parameters
    ----------
    data
        One of

        - tensor, numpy array or DataFrame, (n, F) or (n, T, F), rows first; integer columns of a DataFrame
          count as numbers, integer tensors and arrays are refused;
        - dict of those, for a model that takes several arguments by name; integer tensors pass through as
          indices;
        - pair (X, y) of any of these and a target; X may itself be a tuple of positional inputs;
        - `Windows`;
        - map-style or iterable Dataset whose samples are x, (x, y) or dicts;
        - DataLoader, list or any iterable of batches of all these forms, taken in its own order and batch
          size. A generator is good for one pass;
        - `Batches`.
    target
        Column name(s) of a DataFrame, key of a dict (batch), or one entry per row. Integers and booleans
        become int64 class labels.
    names
        Names of the raw columns, flat. A DataFrame keeps its own.
    batch_size
        Rows per batch; streams of batches keep their own.
    device
        Where batches are put. None: they stay where they are.
    dtype
        Floating dtype of the batches. None: tensors keep theirs, arrays and tables get torch's default dtype.

    Raises
    ------
    InputTypeError, ShapeError, DataError, NamesError
        Data that cannot be understood, naming what arrived and what is allowed. Values are checked as
        batches come.

    Examples
    --------
    >>> import numpy as np
    >>> data = as_batches((np.zeros((5, 2)), np.ones(5)), batch_size=3)
    >>> [(tuple(b.inputs[0].shape), tuple(b.target.shape)) for b in data]
    [((3, 2), (3,)), ((2, 2), (2,))]
    >>> data.names, data.kind
    (('x0', 'x1'), 'array 5 x 2 of float64, array 5 of float64')
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral):
        raise InputTypeError(f"batch_size: expected a whole number of rows, got {type(batch_size).__name__}.")
    if batch_size < 1:
        raise InputError(f"batch_size: expected at least 1 row, got {batch_size}.")
    if isinstance(data, Batches):
        source, names = data._source, names if names is not None else data._given
        device, dtype = device or data._device, dtype or data._dtype
    else:
        source = as_source(data, target)
    batches = Batches(source, names=names, batch_size=batch_size, device=device, dtype=dtype)
    if not isinstance(source, Samples):
        _ = batches.names  # a wrong name is found here and now, not in the middle of a job
    return batches
