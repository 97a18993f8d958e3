"""`shadows`: how far a copy that knows nothing about the target gets, for every input and every edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from kaninterp.adapters import ModelView, as_view
from kaninterp.core.counts import check_whole
from kaninterp.core.errors import DataError, ModelError
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.shadows import Shadows
from kaninterp.data import Batch, Batches, check_seed, preserved_rng
from kaninterp.measure.bootstrap import block_of
from kaninterp.measure.host import row_axis, untouched
from kaninterp.measure.losses import Loss
from kaninterp.measure.moves import FEWEST_PIECES, moves, pieces_of
from kaninterp.measure.prediction import TAIL, predict
from kaninterp.measure.probe_means import EdgeMeans
from kaninterp.measure.probe_replay import Replay
from kaninterp.measure.rows import held_rows
from kaninterp.measure.shadow_edges import EdgeLosses, Source, edge_losses, sources
from kaninterp.measure.shadow_inputs import TRIED, input_losses, input_rows, parameters_run
from kaninterp.measure.tracing import prepared

__all__ = ["shadows"]

DEFAULT_ROWS = 1000
"""Rows evaluated at most, evenly spaced over the data."""
DEFAULT_COPIES = 30
"""Shadows of each column and edge: with 29 degrees of freedom Student's law is near the normal one."""
FEWEST_COPIES = 5
"""With fewer shadows their spread is itself a guess."""
EVALUATIONS = 2**25
"""Edges evaluated for the shadows of all edges, at most: some seconds on one core."""
FEWEST_EDGE_ROWS = 200
"""Rows are not cut below this to save work; where that is not enough, the weakest edges are left out."""
PER_EVALUATION = 8
"""Parameters of the model whose work is about that of one edge evaluation: its spline coefficients."""


def shadows(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    loss: Loss = None,
    path: str | None = None,
    feature_names: Sequence[str] | None = None,
    rows: int = DEFAULT_ROWS,
    copies: int = DEFAULT_COPIES,
    seed: int = 0,
    progress: bool = True,
) -> Shadows:
    """Measure the noise floor: inputs and edges against shadows that know nothing about the target.

    A shadow of a column has the same rows in another order in time, all lags of a row together: the series is cut at
    random into about ten pieces that are put together at random. A shadow of an edge does the same to the edge's
    contribution phi_ji while everything else stays. The loss with the real column or edge is held against the losses
    with its shadows, see `kaninterp.measure.prediction.predict`. An edge has to beat its own shadows and, together with
    the other edges out of its node, those of all of them: edges that only undo each other would be missed one by one.

    Parameters
    ----------
    model, data, target, path, feature_names, progress
        As for `trace`, with a target. Use held-out data: edges that were fitted to these very rows beat any shadow.
    loss : str, callable or None
        As for `kaninterp.nn.resolve_loss`; None chooses by the target.
    rows : int
        Rows used at most, evenly spaced; fewer where that saves much work.
    copies : int
        Shadows of each column and edge, at least 5.
    seed : int
        Of the moves; global generators are not touched.

    Returns
    -------
    Shadows

    Raises
    ------
    DataError
        No target (a shadow always moves the output, for better or worse), or a loss that is not finite.
    InputError, InputTypeError
        Rows, copies or a seed that are not allowed.
    ModelError
        As for `trace`.

    Notes
    -----
    What is tested is benefit beyond all other inputs, in this model. A column that is tied to other inputs loses those
    ties, too, when it is moved: the model may then err where it was never trained, and a redundant column looks
    useful. A slow column and a slow target can look alike by chance; pieces are long to allow for it, but a trend over
    the whole data is beyond any shadow.

    Share of p-values below .05 and .01 for columns of noise (simulation: squared loss, 30 copies, 2000 draws; "slow" is
    r = .95 from row to row, "very slow" .98, "daily" a sine of 24 rows and random phase):

    ===========================  ===========  ===========
    column / rest of the target  1000 rows    100 rows
    ===========================  ===========  ===========
    white / white                .045  .009   .054  .011
    slow / white                 .039  .005   .048  .006
    slow / slow                  .055  .011   .115  .018
    very slow / very slow        .073  .018   .153  .039
    daily / slow (.90)           .043  .005   .029  .004
    rare (1 in 50) / white       .048  .010   .046  .009
    heavy tails (t 2.5) / same   .045  .009   .054  .011
    ===========================  ===========  ===========

    Measure again with ``python -m tests.measure.shadow_calibration``. A hundred rows are too few for
    slow columns.

    Cost: copies x columns read x rows of the model, and for edges copies x rows x source nodes evaluations of the next
    layer (rows and, where that is not enough, the edges with the smallest part in their nodes are cut: ``edge_rows``,
    ``remark``). Where the model goes on after its KAN it runs for every edge and shadow.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> x = torch.rand(600, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    >>> head = ki.KANHead(2, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    >>> _ = ki.fit(head, (x[:300], x[:300, :1]), epochs=20, seed=0, progress=False)
    >>> found = shadows(head, (x[300:], x[300:, :1]), feature_names=["a", "b"], progress=False)
    >>> bool(found.q_value[0] < 0.001), found.edge_q_value[0].shape
    (True, (1, 2))
    """
    check_seed(seed)
    check_whole("rows", rows)
    check_whole("copies", copies, FEWEST_COPIES)
    view = as_view(model, path)
    batches = prepared(model, data, target=target, feature_names=feature_names)
    batches.again()
    if batches.first.target is None:
        raise DataError(
            f"shadows: a noise floor needs a target, and {batches.kind} came without one: a shadow always moves the "
            "output, and nothing says whether for better or worse. Pass (X, y) or target=..."
        )
    asked = _Asked(
        model=model,
        view=view,
        batches=batches,
        loss=loss,
        rows=rows,
        copies=copies,
        rng=np.random.default_rng(seed),
        progress=progress,
    )
    with untouched(model):
        inputs, edges = _inputs(asked), _edges(asked)
    remarks = [part.pop("remark") for part in (inputs, edges)]
    return Shadows(**inputs, **edges, copies=copies, remark=" ".join(filter(None, remarks)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What both measurements need."""

    model: nn.Module
    view: ModelView
    batches: Batches
    loss: Loss
    rows: int
    copies: int
    rng: np.random.Generator
    progress: bool


def _inputs(asked: _Asked) -> dict[str, Any]:
    model, batches, rows, copies = asked.model, asked.batches, asked.rows, asked.copies
    few = held_rows(batches, min(rows, TRIED))
    held = held_rows(batches, input_rows(model, few, copies, rows))
    pieces = pieces_of(held.n, held.block)
    orders = moves(held.n, max(pieces, 1), copies, asked.rng)
    losses = input_losses(model, held, asked.loss, orders if pieces else orders[:1], asked.progress)
    count, real = len(losses.tested), np.full(len(losses.tested), losses.base)
    found = predict(real, losses.shadows if pieces else np.tile(real, (2, 1)))
    tested = losses.tested & bool(pieces)
    left = f"{losses.left_out} inputs that move the output least were not held against shadows."
    return {
        "names": held.columns.names,
        "loss": losses.name,
        "rows": held.n,
        "block": held.n // max(pieces, 1),
        "base": losses.base,
        "benefit": np.where(tested, found.benefit, 0.0),
        "floor": np.where(tested, found.floor, 0.0),
        "as_good": np.where(tested, found.as_good, copies),
        "p_value": np.where(tested, found.p_value, 1.0),
        "tested": tested,
        "remark": _too_few("Inputs", held.n, held.block) if count and not pieces else left if losses.left_out else "",
    }


def _edges(asked: _Asked) -> dict[str, Any]:
    model, view, batches, loss, copies = asked.model, asked.view, asked.batches, asked.loss, asked.copies
    blank = [np.zeros(layer.alive.shape) for layer in view.layers]
    result: dict[str, Any] = {
        "edge_rows": 0,
        "edge_benefit": tuple(blank),
        "edge_p_value": tuple(1.0 + layer for layer in blank),
        "edge_tested": tuple(layer > 0 for layer in blank),
        "edge_floor": 0.0,
    }
    batch = _sample(batches, asked.rows)
    try:
        replay = Replay(model, view, batch, loss)
        axis = row_axis(model, view, batch)
    except ModelError as error:
        return {**result, "remark": f"Edges were not held against shadows: {error}."}
    if axis is None:
        text = "the KAN reads several steps of a row in an order that could not be told"
        return {**result, "remark": f"Edges were not held against shadows: {text}."}
    edges = EdgeMeans.of(replay)
    found = sources(edges, 0 if replay.direct else 1 + parameters_run(model) * batch.lags // PER_EVALUATION)
    used, chosen = _within_budget(found, batch.n_rows, len(replay.chunks[0].nodes[-1]) // replay.chunks[0].rows, copies)
    if used < batch.n_rows:
        batch = _sample(batches, used)
        edges = EdgeMeans.of(Replay(model, view, batch, loss))
        chosen = _still_moving(chosen, edges)
    block = block_of(batch, batches)
    pieces = pieces_of(batch.n_rows, block)
    if not pieces:
        return {**result, "edge_rows": batch.n_rows, "remark": _too_few("Edges", batch.n_rows, block)}
    orders = moves(batch.n_rows, pieces, copies, asked.rng)
    measured = tuple(edge_losses(edges, chosen, orders, axis, asked.progress))
    left = sum(len(s.dst) for s in found) - sum(len(s.dst) for s in chosen)
    return {
        **_concluded(measured, edges, blank),
        "edge_rows": batch.n_rows,
        "remark": f"{left} edges with the smallest parts in their nodes were not held against shadows." if left else "",
    }


def _concluded(measured: tuple[EdgeLosses, ...], edges: EdgeMeans, blank: list[Array]) -> dict[str, Any]:
    base = float(edges.replay.base.mean())
    benefit, p_value = [layer.copy() for layer in blank], [1.0 + layer for layer in blank]
    tested: list[BoolArray] = [layer > 0 for layer in blank]
    gains = [np.zeros(0)]
    for losses in measured:
        depth, place = losses.source.depth, (losses.source.dst, losses.source.src)
        benefit[depth][place] = losses.removed - base
        variants = np.column_stack([losses.shadows, losses.together])
        found = predict(np.full(variants.shape[1], base), variants).p_value
        p_value[depth][place] = np.maximum(found[:-1], found[-1])
        tested[depth][place] = True
        gains.append((losses.removed - losses.shadows).ravel())
    pooled = np.concatenate(gains)
    return {
        "edge_benefit": tuple(benefit),
        "edge_p_value": tuple(p_value),
        "edge_tested": tuple(tested),
        "edge_floor": max(float(np.quantile(pooled, 1 - TAIL)), 0.0) if len(pooled) else 0.0,
    }


def _within_budget(found: tuple[Source, ...], rows: int, steps: int, copies: int) -> tuple[int, tuple[Source, ...]]:
    """Rows to use, and the sources that can be afforded with them."""
    per_row = sum(source.price for source in found) * steps * (1 + copies)
    used = min(rows, max(FEWEST_EDGE_ROWS, EVALUATIONS // max(per_row, 1)))
    spent = np.cumsum([source.price * steps * (1 + copies) * used for source in found])
    return used, tuple(found[: max(1, int(np.searchsorted(spent, EVALUATIONS, side="right")))])


def _still_moving(chosen: tuple[Source, ...], edges: EdgeMeans) -> tuple[Source, ...]:
    """The same sources with the edges that vary on the rows that are left."""
    by_place = {(s.depth, s.src): s for s in sources(edges, 0)}
    return tuple(by_place[s.depth, s.src] for s in chosen if (s.depth, s.src) in by_place)


def _sample(batches: Batches, rows: int) -> Batch:
    with preserved_rng():
        return batches.sample(rows)


def _too_few(what: str, rows: int, block: int) -> str:
    return (
        f"{what} were not held against shadows: {rows} rows are fewer than {FEWEST_PIECES} pieces of {block} rows that "
        "belong together."
    )
