"""Rows to learn from and rows to judge by: given as two data sets, or one cut in time order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from kaninterp.core.errors import DataError, InputError, NamesError
from kaninterp.data import Batches, Windows, time_split
from kaninterp.measure.tracing import prepared

__all__ = ["HELD_OUT", "Parts", "parts_of"]

HELD_OUT = 0.2
"""Share of the rows, the last ones in time order, that judge where no held-out data were given."""

DIGEST_ROWS = 64
"""Rows of each part by which a checkpoint knows its data again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Data in two parts that share no row.

    Attributes
    ----------
    train : Batches
        Rows that scores, fill values and training may use.
    held : Batches
        Rows that only judge.
    remark : str
        Where the held-out rows come from, in words.
    """

    train: Batches
    held: Batches
    remark: str

    def described(self) -> dict[str, Any]:
        """JSON-able text of names and some content, to tell whether a checkpoint belongs to this data."""
        return {
            "names": list(self.train.names),
            "rows": [self.train.n_rows, self.held.n_rows],
            "content": [part.sample(DIGEST_ROWS).digest for part in (self.train, self.held)],
        }


def parts_of(
    model: nn.Module, data: Any, *, target: Any = None, held_out: Any = None, feature_names: Any = None
) -> Parts:
    """Adapt the data of a pruning.

    Parameters
    ----------
    model
        Gives number type and device; not called.
    data, target, feature_names
        As for `trace`.
    held_out
        Data in the same form that judge. None: the last `HELD_OUT` of ``data``, in time order, with as many rows left
        out before them as a window is long, so that overlapping windows share nothing.

    Raises
    ------
    InputError
        A stream and no held-out data: its rows come in their own order and cannot be split.
    DataError
        Too few rows to split, or a target in only one of the parts.
    NamesError
        The columns of the two differ.

    Examples
    --------
    >>> import torch
    >>> parts = parts_of(torch.nn.Linear(2, 1), (torch.zeros(10, 2), torch.zeros(10)))
    >>> parts.train.n_rows, parts.held.n_rows, parts.remark
    (8, 2, 'the last 2 of 10 rows in time order (no held-out data given)')
    """
    batches = prepared(model, data, target=target, feature_names=feature_names)
    if held_out is None:
        return _cut(model, batches, data)
    label = target if isinstance(target, str | list | tuple) else None
    held = prepared(model, held_out, target=label, feature_names=feature_names)
    if held.names != batches.names:
        raise NamesError(
            f"held_out: its raw columns {list(held.names)[:8]} are not those of the data, {list(batches.names)[:8]}"
        )
    if (held.first.target is None) != (batches.first.target is None):
        which = "data" if batches.first.target is None else "held_out"
        raise DataError(f"{which}: it brings no target, the other part does; give both in the same form")
    rows = "" if held.n_rows is None else f"{held.n_rows} "
    return Parts(train=batches.again(), held=held.again(), remark=f"the {rows}held-out rows that were given")


def _cut(model: nn.Module, batches: Batches, data: Any) -> Parts:
    if not batches.random_access or batches.n_rows is None:
        raise InputError(
            f"held_out: the rows of {batches.kind} come in their own order and cannot be split; pass held-out data "
            "(arrays, a Dataset, a second DataLoader)"
        )
    n = batches.n_rows
    try:
        first, last = time_split(n, (1 - HELD_OUT, HELD_OUT), gap=_window(batches, data))
    except DataError as error:
        raise DataError(f"{n} rows are too few to hold the last fifth of them out ({error}); pass held_out=") from error
    train, held = (_in_memory(model, batches, rows) for rows in (first, last))
    remark = f"the last {held.n_rows} of {n} rows in time order (no held-out data given)"
    return Parts(train=train, held=held, remark=remark)


def _in_memory(model: nn.Module, batches: Batches, rows: slice) -> Batches:
    batch = batches.take(rows)
    inputs: Any = batch.arguments
    if batch.keys is None and len(batch.inputs) == 1:
        inputs = batch.inputs[0]
    if batch.target is not None:
        inputs = (inputs, batch.target)
    elif isinstance(inputs, tuple):
        inputs = batch.as_data()
    return prepared(model, inputs, feature_names=batches.names)


def _window(batches: Batches, data: Any) -> int:
    """Rows that neighbouring windows share."""
    source = data[0] if isinstance(data, tuple) and data else data
    if isinstance(source, Windows):
        return source.embargo
    lengths = [int(x.shape[1]) for x in batches.first.inputs if x.dim() == 3 and x.is_floating_point()]
    return max(lengths, default=0)
