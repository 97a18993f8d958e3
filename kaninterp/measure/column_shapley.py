"""Shapley values of raw columns, through whatever backbone: what each is worth to the loss, over all orders of removal.

Players are columns, with all their time lags; a coalition is taken away together, by one of `FILLS`. With few
columns every subset is evaluated; otherwise orders are drawn in pairs, each with its reverse (Castro, Gómez & Tejada
2009; Mitchell et al. 2022), which is exact for a model that adds up and a squared loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn
from tqdm import tqdm

from kaninterp.adapters import as_view
from kaninterp.core import InputShapley
from kaninterp.data import check_seed
from kaninterp.measure.fills import Fill, check_fill
from kaninterp.measure.host import outputs, untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.probe import check_counts
from kaninterp.measure.probe_shapley import Game
from kaninterp.measure.rows import held_rows
from kaninterp.measure.tracing import PROGRESS_DELAY, prepared

__all__ = ["column_shapley"]

DEFAULT_ROWS = 500
"""Rows evaluated: every coalition of every order runs the whole model on them."""
DEFAULT_PERMUTATIONS = 16
"""Orders drawn, 8 and their reverses; the standard error says whether they suffice."""


def column_shapley(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    fill: str = "permuted",
    rows: int = DEFAULT_ROWS,
    permutations: int = DEFAULT_PERMUTATIONS,
    seed: int = 0,
    progress: bool = True,
) -> InputShapley:
    """Shapley value of every raw column for the loss (Lundberg & Lee 2017; Covert, Lundberg & Lee 2020, "SAGE").

    Parameters
    ----------
    model, data, target, loss, feature_names, path, fill, progress
        As for `ablate`.
    rows : int
        Rows used at most, evenly spaced.
    permutations : int
        Orders of removal drawn, an even number of at least 4. A model of few columns (6 with the default) has all its
        subsets evaluated instead, without any error.
    seed : int
        Of shuffles and orders; global generators are not touched.

    Returns
    -------
    InputShapley

    Raises
    ------
    InputError, InputTypeError
        A fill, rows, permutations or a seed that are not allowed.
    ModelError, DataError
        As for `ablate`.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> head = ki.KANHead(3, 1, generator=torch.Generator().manual_seed(0))
    >>> found = column_shapley(head, (x, x[:, :1]), progress=False)
    >>> bool(np.isclose(found.value.sum(), found.bare - found.base))
    True
    """
    check_seed(seed)
    check_fill(fill)
    check_counts(rows, permutations)
    as_view(model, path)
    held = held_rows(prepared(model, data, target=target, feature_names=feature_names), rows)
    rng = np.random.default_rng(seed)
    count = len(held.columns.names)
    with untouched(model):
        taken = Fill.of(held, fill, 1, rng)
        game = Game.of(0, np.ones(count, bool), permutations, rng)
        intact = outputs(model, held.batch)
        losses, name = row_losses(loss, held.batch.target, intact)
        found = np.zeros(len(game.coalitions))
        bar = tqdm(game.coalitions, desc="shapley", delay=PROGRESS_DELAY, leave=False, disable=not progress)
        for place, gone in enumerate(bar):
            batch = taken.without([int(c) for c in np.flatnonzero(gone)], taken.orders[0]) if gone.any() else held.batch
            found[place] = losses(outputs(model, batch)).mean()
    value, error = game.values(found)
    sizes = game.coalitions.sum(1)
    return InputShapley(
        names=held.columns.names,
        loss=name,
        fill=fill,
        rows=held.n,
        permutations=0 if game.orders is None else len(game.orders),
        base=float(found[sizes.argmin()]),
        bare=float(found[sizes.argmax()]),
        value=value,
        error=error,
    )
