"""The KAN of a report as a formula: only where that takes seconds, or where somebody asks for it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from kaninterp.adapters import as_view
from kaninterp.core.errors import DataError, InputError, ModelError
from kaninterp.core.frozen import BoolArray
from kaninterp.core.written import Written, WrittenEdge, WrittenLosses, WrittenOutput
from kaninterp.data import Batches
from kaninterp.measure.convert import with_kan_head
from kaninterp.measure.losses import Loss
from kaninterp.nn import KANHead
from kaninterp.symbolic import FormulaReport
from kaninterp.symbolic import formula as formula_of
from kaninterp.symbolic.of_model import PARTS, ROWS
from kaninterp.symbolic.snapping import TOLERANCE

__all__ = ["MOST_EDGES", "MOST_PATHS", "paths", "written"]

MOST_EDGES = 80
"""Live edges up to which a formula is looked for unasked: an edge takes hundredths of a second and more."""
MOST_PATHS = 400
"""Ways from an input to an output up to which a formula is looked for unasked: each is a term to read."""
MOST_ROWS = 2500
"""Rows used at most unasked: training in each trial takes as long as they are many."""
WORK = 2e7
"""Squared live edges times rows that all trials together may take unasked: a second or two of training."""
TRIALS = (4, 20)
"""Fewest and most trials unasked: all edges together, their halves and one more; an edge each in a small KAN."""
MOST_PATHS_ASKED = 20_000
"""Ways up to which it is looked for at all: an expression is written out along every one of them."""


def written(
    model: nn.Module,
    batches: Batches,
    *,
    asked: bool | None = None,
    loss: Loss = None,
    output_names: Sequence[str] | None = None,
    path: str | None = None,
    seed: int = 0,
) -> Written | None:
    """Write the KAN of a model as a formula, see `kaninterp.symbolic.formula`.

    Parameters
    ----------
    model : nn.Module
        Left as it is. A KAN of another library is converted on a copy.
    batches : Batches
        Held-out data with a target.
    asked : bool or None
        True: also of a large KAN. False: not at all. None: where there is a target and it takes seconds.
    loss, path, seed
        As for `kaninterp.report`.
    output_names : sequence of str, optional
        Names of the outputs, one each.

    Returns
    -------
    Written or None
        Without a formula it says why there is none; None where nobody wants one.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> from kaninterp.measure.tracing import prepared
    >>> x = torch.linspace(-1, 1, 400)[torch.randperm(400, generator=torch.Generator().manual_seed(0))][:, None]
    >>> head = ki.KANHead(1, 1, domain=(-1, 1))
    >>> _ = ki.fit(head, (x, 3 * x**2), optimizer="lm", epochs=5, seed=0, progress=False)
    >>> written(head, prepared(head, (x, 3 * x**2)), output_names=["y"]).outputs[0].text
    '3*x0**2'
    """
    no_target = batches.first.target is None
    if asked is False or (asked is None and no_target):
        return None
    alive = [layer.alive for layer in as_view(model, path).layers]
    live = sum(int(each.sum()) for each in alive)
    why = "a formula is judged by a target, and the data have none" if no_target else _too_large(alive, live, asked)
    if why:
        return Written(live=live, remark=why)
    try:
        if not isinstance(as_view(model, path).module, KANHead):
            model = with_kan_head(model, path=path)
        found = formula_of(
            model, batches, loss=loss, tolerance=TOLERANCE, feature_names=batches.names, path=path, seed=seed,
            rows=ROWS if asked else MOST_ROWS, trials=None if asked else _trials(live, batches.n_rows), progress=False,
        )  # fmt: skip
    except (DataError, InputError, ModelError) as error:
        return Written(live=live, remark=str(error))
    return _told(found, live, output_names)


def paths(alive: Sequence[BoolArray]) -> int:
    """Ways from an input to an output along live edges.

    Parameters
    ----------
    alive : sequence of ndarray of bool, each (dst, src)
        From the inputs to the outputs.

    Examples
    --------
    >>> import numpy as np
    >>> paths([np.array([[True, True, False]]), np.array([[True], [True]])])
    4
    """
    ways = [1] * alive[0].shape[1]
    for layer in alive:  # in Python's own numbers, which do not overflow
        ways = [sum(way for way, there in zip(ways, row, strict=True) if there) for row in layer]
    return sum(ways)


def _too_large(alive: Sequence[BoolArray], live: int, asked: bool | None) -> str:
    """Why no formula is looked for; "" where one is."""
    ways = paths(alive)
    if not live:
        return "no edge of the KAN is left, it is a constant"
    if ways > MOST_PATHS_ASKED:
        return (
            f"{ways:,} ways lead from the inputs to the outputs, and a formula is written out along each; at most "
            f"{MOST_PATHS_ASKED:,} are. Prune the model first"
        )
    if asked is None and live > MOST_EDGES:
        return (
            f"the KAN has {live:,} live edges, and a formula of more than {MOST_EDGES} takes long to find and to read. "
            "Ask for it with formula=True, or prune the model first"
        )
    if asked is None and ways > MOST_PATHS:
        return (
            f"{ways:,} ways lead from the inputs to the outputs, and a formula of more than {MOST_PATHS} takes long to "
            "find and to read. Ask for it with formula=True, or prune the model first"
        )
    return ""


def _trials(live: int, rows: int | None) -> int:
    """How many exchanges are tried: a number that does not depend on the clock, for the same bytes every time."""
    learn = PARTS[0] * min(rows or MOST_ROWS, MOST_ROWS)
    least, most = TRIALS
    return max(least, min(most, int(WORK / (live**2 * learn))))


def _told(found: FormulaReport, live: int, output_names: Sequence[str] | None) -> Written:
    formula = found.formula
    same = output_names is not None and len(output_names) == len(formula.output_names)
    names = tuple(output_names) if output_names is not None and same else formula.output_names
    outputs = tuple(
        WrittenOutput(name=name, text=formula.text(k), latex=formula.latex(k), reads=formula.inputs_of(k))
        for k, name in enumerate(names)
    )
    edges = tuple(
        WrittenEdge(
            layer=each.edge[0], dst=each.edge[1], src=each.edge[2], family=each.family, r2=each.r2, why=each.why
        )
        for each in found.edges
    )
    losses = WrittenLosses(
        name=found.loss_name, rows=found.rows, undefined=found.undefined, model=found.model_loss,
        functions=found.head_loss, formula=found.formula_loss, constant=found.constant_loss, rise=found.rise,
        allowed=found.allowed, standardised=found.standardised,
    )  # fmt: skip
    return Written(
        live=live, outputs=outputs, edges=edges, dropped=found.dropped, losses=losses, tolerance=TOLERANCE,
    )  # fmt: skip
