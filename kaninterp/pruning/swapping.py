"""The swap test: take a survivor away, train a copy on, and see whether a dropped column takes its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn
from tqdm import tqdm

from kaninterp.analysis import Analysis
from kaninterp.core.counts import check_whole
from kaninterp.core.errors import DataError, ShapeError
from kaninterp.core.evidence import CORRELATED
from kaninterp.core.frozen import Array
from kaninterp.core.substitutes import Swap
from kaninterp.data import check_seed, time_split
from kaninterp.measure.association import smooth_r2
from kaninterp.measure.bootstrap import BlockBootstrap, block_length
from kaninterp.measure.host import outputs, untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.node_lags import column_means
from kaninterp.measure.rows import Rows, held_rows
from kaninterp.measure.tracing import PROGRESS_DELAY, prepared
from kaninterp.pruning.substitutes import Substitute, replaced
from kaninterp.pruning.swap_bench import NOTHING, Bench, won_back

__all__ = ["swaps", "won_back"]

DEFAULT_ROWS = 1500
"""Rows used at most, evenly spaced; the last part of them judges."""

FIT = 0.6
"""Share of the rows, the first ones, that the copy is trained on."""

MOST = 4
"""Swaps carried out, strongest association first: each trains a copy."""

EPOCHS = 12
"""Passes over the rows of the refit."""

LEAST_ROWS = 60
"""Fewer rows leave too few to train on and to judge by."""

ASSOCIATED = CORRELATED**2
"""Share of a survivor's variance that a dropped column must say to be its substitute: as `CORRELATED` asks of a line,
of a curve."""

CAUSES = frozenset({"noise", "weak", "redundant", "zero-weight", "masked"})
"""Causes of a drop that a substitute may be behind."""


def swaps(
    model: nn.Module,
    analysis: Analysis,
    data: Any,
    *,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    rows: int = DEFAULT_ROWS,
    most: int = MOST,
    epochs: int = EPOCHS,
    seed: int = 0,
    progress: bool = True,
) -> tuple[Swap, ...]:
    """Who replaced each dropped column, and whether the column would come back in its place.

    Dropped columns are paired with the survivor that they say most about. The closest pairs are then put to the test:
    the survivor is held at its mean, a copy of the model is trained on with the dropped column, and later rows show how
    much of the lost accuracy is won back. All other dropped columns stay at their means, so that none of them can help.

    Parameters
    ----------
    model : nn.Module
        Left bit-identical: copies are trained.
    analysis : Analysis
        Of the same model and columns: its verdicts say what is dropped.
    data, target
        As for `trace`, in the order of time. Without a target the copy is trained towards the model's own outputs.
    loss
        As for `kaninterp.measure.ablate`.
    feature_names : sequence of str, optional
        As for the trace of the analysis.
    rows : int
        Rows used at most, evenly spaced: the first `FIT` of them train, the rest judges.
    most : int
        Pairs tested at most; the others have the association alone.
    epochs : int
        Passes of the refit over its rows.
    seed : int
        Of shuffles, refit and bootstrap; the global generators are not touched.

    Returns
    -------
    tuple of Swap
        One per dropped column that has a substitute (`ASSOCIATED`), closest first.

    Raises
    ------
    ShapeError
        The analysis is of other columns.
    InputError, InputTypeError
        Rows, pairs, epochs or a seed that are not allowed.
    ModelError, DataError
        As for `trace`.

    Notes
    -----
    The copy starts with the survivor's weights on the dropped column (`kaninterp.pruning.teaching`), so that few passes
    do. A column that was cut out physically, or a model that cannot be trained, leaves the test without a refit: a line
    of the dropped column stands in for the survivor. Where the survivor can go at no sure loss, nothing is trained.
    `Swap.test` says which it was.
    """
    check_seed(seed)
    check_whole("most", most, 0)
    check_whole("epochs", epochs)
    held = held_rows(prepared(model, data, target=target, feature_names=feature_names), rows)
    raw = analysis.trace.raw
    if raw is None or not analysis.verdicts:
        return ()
    if raw.names != held.columns.names:
        raise ShapeError(
            f"analysis: of columns {raw.names[:5]}, the data have {held.columns.names[:5]}; use the same data and "
            "feature_names"
        )
    pairs = _pairs(analysis, held)
    bench = _bench(model, held, analysis, loss=loss, epochs=epochs, seed=seed) if pairs else None
    found = []
    steps = tqdm(pairs, desc="swaps", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    for number, pair in enumerate(steps):
        found.append(pair if bench is None or number >= most else bench.tested(pair))
    return tuple(found)


def _pairs(analysis: Analysis, held: Rows) -> list[Swap]:
    """Each dropped column with the survivor that it says most about, closest first; nothing tested yet."""
    raw = analysis.trace.raw
    assert raw is not None  # noqa: S101 - the caller has looked
    staying = [v.index for v in analysis.verdicts if v.survives != "drop" and not raw.nodes.constant[v.index]]
    dropped = [v.index for v in analysis.verdicts if v.survives == "drop" and v.cause in CAUSES]
    if not staying or not dropped:
        return []
    last: Array = held.columns.values(held.batch)[:, -1].detach().double().cpu().numpy()
    found = []
    for index in dropped:
        if raw.nodes.constant[index]:
            continue
        curves = smooth_r2(last[:, index], last[:, staying])
        lines = raw.correlation[index, staying]
        best = int(np.argmax(np.maximum(curves, lines**2)))
        pair = Swap(
            dropped=raw.names[index], survivor=raw.names[staying[best]], dropped_index=index,
            survivor_index=staying[best], correlation=float(lines[best]), smooth_r2=float(curves[best]), test="none",
            loss="", lost=NOTHING, recovered=NOTHING, others=NOTHING, rise=NOTHING, rows=0, held_out=0, epochs=0,
        )  # fmt: skip
        if pair.association >= ASSOCIATED:
            found.append(pair)
    return sorted(found, key=lambda pair: (-round(pair.association, 6), pair.dropped_index))


def _bench(model: nn.Module, held: Rows, analysis: Analysis, *, loss: Loss, epochs: int, seed: int) -> Bench | None:
    """Rows to train on and to judge by, and the loss of the intact model there; None where rows are too few."""
    gap = int(np.ceil(held.columns.lags / held.spacing)) if held.columns.lags > 1 else 0
    try:
        first, last = time_split(held.n, (FIT, 1 - FIT), gap=gap)
    except DataError:
        return None
    if held.n < LEAST_ROWS:
        return None
    parts = held.batch.rows(first), held.batch.rows(last)
    dropped = frozenset(v.index for v in analysis.verdicts if v.survives == "drop")
    own = [float(mean) for x in column_means(replace(held, batch=parts[0])) for mean in x]
    means = {i: Substitute(intercept=mean) for i, mean in enumerate(own)}
    intact = replaced(parts[1], held.columns, {i: means[i] for i in dropped})
    with untouched(model):
        output = outputs(model, intact)
        wanted = outputs(model, replaced(parts[0], held.columns, {i: means[i] for i in dropped}))
    losses, name = row_losses(loss, parts[1].target, output)
    block = block_length(parts[1].n_rows, held.columns.lags, held.spacing)
    return Bench(
        model=model, held=held, train=parts[0], judge=parts[1], wanted=wanted, dropped=dropped, means=means,
        losses=losses, name=name, base=losses(output), asked=loss, epochs=epochs, seed=seed,
        boot=BlockBootstrap(parts[1].n_rows, block, np.random.default_rng(seed)),
    )  # fmt: skip
