"""Which raw columns the training rows call for, whatever a model has made of them: a KAN as the proxy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from kaninterp.core.errors import DataError
from kaninterp.core.frozen import Array
from kaninterp.data import Batches
from kaninterp.measure.host import Columns
from kaninterp.selection import Selection, select

__all__ = ["ProxyChoice", "proxy_choice"]

ROWS = 4000
"""Training rows looked at, evenly spaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyChoice:
    """What a proxy makes of the columns.

    Attributes
    ----------
    names : tuple of str
        Raw columns.
    kept : frozenset of int
        Positions of those that some output needs.
    why : tuple of str
        One sentence per column.
    """

    names: tuple[str, ...]
    kept: frozenset[int]
    why: tuple[str, ...]


def proxy_choice(batches: Batches, *, alpha: float, seed: int, numbers: bool = False) -> ProxyChoice:
    """Ask `kaninterp.selection.select` for every output, and keep what any of them needs.

    Parameters
    ----------
    batches
        Training rows with a target; tables and sequences.
    alpha
        As for `select`, shared out among the outputs (Bonferroni).
    seed
        Of the null distributions.
    numbers
        Whether whole numbers are numbers and not classes.

    Raises
    ------
    DataError
        No target; inputs that are neither tables nor sequences; what `select` refuses.
    """
    batch = batches.sample(ROWS)
    if batch.target is None:
        raise DataError(f"{batches.kind}: columns are chosen by what they say about a target; pass (X, y) or target=")
    if not Columns.readable(batch):
        shapes = ", ".join(str(tuple(x.shape)) for x in batch.inputs)
        raise DataError(
            f"{batches.kind}: inputs of shape {shapes} have no raw columns to choose from; allowed: tables "
            "(n, columns) and sequences (n, lags, columns)"
        )
    columns = Columns.of(batch, batches.names_per_input)
    x = columns.values(batch).double().cpu().numpy()
    x = x[:, 0] if x.shape[1] == 1 else x
    answers = _answers(batch.target, numbers=numbers)
    found = [select(x, y, names=columns.names, alpha=alpha / len(answers), seed=seed) for y in answers]
    kept = frozenset(column for selection in found for column in selection.kept)
    return ProxyChoice(names=columns.names, kept=kept, why=tuple(_why(found, i) for i in range(len(columns.names))))


def _answers(target: Tensor, *, numbers: bool) -> list[Array]:
    """The target as columns of numbers: one per output; classes as 0 and 1, without the first of two."""
    values = target.detach().cpu().numpy()
    table = values.reshape(len(values), -1).astype(np.float64)
    if not (numbers or target.is_floating_point()) and table.shape[1] == 1:
        classes = np.unique(table)
        table = (table == (classes[1:] if len(classes) == 2 else classes)).astype(np.float64)
    varying = [column for column in table.T if np.ptp(column)]
    if not varying:
        raise DataError("target: it is the same in every training row; a constant target depends on nothing")
    return varying


def _why(found: list[Selection], column: int) -> str:
    """The sentence of the output that needs the column most."""
    best = min(range(len(found)), key=lambda output: found[output].inputs[column].p_value)
    where = f"output {best}: " if len(found) > 1 else ""
    return where + found[best].inputs[column].why
