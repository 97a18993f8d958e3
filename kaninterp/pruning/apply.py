"""`prune`: carry a plan out, or choose one by the survival curve and carry that out; always on a copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from kaninterp.analysis import Analysis
from kaninterp.core import PrunePlan, Trace
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.measure.losses import Loss
from kaninterp.nn.gradients import with_gradients
from kaninterp.pruning.carry_out import carry_out
from kaninterp.pruning.choose import ROWS, choose
from kaninterp.pruning.outcome import PruneReport

__all__ = ["prune"]


@with_gradients
def prune(
    model: nn.Module,
    plan: Any,
    *,
    compact: bool = True,
    path: str | None = None,
    example: Any = None,
    target: Any = None,
    held_out: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    score: str = "kan2",
    rows: int = ROWS,
    seed: int = 0,
    progress: bool = True,
) -> tuple[nn.Module, PruneReport]:
    """Make a new model without what is not needed; the given model stays as it is.

    With a plan: carry it out. With data: measure the survival curves of inputs and edges, keep the fewest whose
    held-out loss is within one standard error of the best (`kaninterp.pruning.choose`), and carry that out; there is
    no threshold to set.

    Parameters
    ----------
    model : nn.Module
        The model, for a plan the one it was made for.
    plan : PrunePlan or data
        A plan from `analyze(...).plan`, a rule or made by hand; or data in any form that `trace` takes, with the
        target.
    compact : bool
        True: cut edges, nodes and columns out of the tensors. False: only mask them. Both compute the same
        (law 4). Either way the new model takes the same inputs as before and selects its columns itself.
    path : str, optional
        Where the KAN sits, if the model has several.
    example
        With a plan: a few rows of data in any form `trace` takes. Needed only to drop raw columns of a model that takes
        more than one tensor, or one that is not (n, F) or (n, lags, F).
    target, held_out, loss, feature_names, score, rows, seed, progress
        With data: as for `kaninterp.pruning.choose`. Held-out rows alone decide how much goes; without ``held_out``
        they are the last fifth of the data in time order, and the report's reasons say so.

    Returns
    -------
    new : nn.Module
    report : PruneReport
        What went and why, with the original indices and names of what is left.

    Raises
    ------
    InputTypeError
        Neither a plan nor data.
    InputError
        Options that belong to the other use.
    PlanError
        The plan was made for another model, or its widths differ; or no input helps at all, and the choice would remove
        everything.
    ModelError
        The model cannot be called with the data, or a raw column to be dropped is read by something that
        cannot be narrowed, or is still read afterwards.

    Notes
    -----
    A dropped column is proved to have no effect: it is changed and the outputs are compared bit by bit (law 5).

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> X = torch.rand(600, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    >>> head = ki.KANHead(3, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    >>> y = X[:, 0] + X[:, 1] ** 2
    >>> _ = ki.fit(head, (X, y), epochs=20, optimizer="lbfgs", seed=0, progress=False)
    >>> small, report = prune(head, (X, y), progress=False)
    >>> report.dropped_inputs, small.widths
    (('x2',), (2, 1))
    """
    data_options = {"target": target, "held_out": held_out, "loss": loss, "feature_names": feature_names}
    if isinstance(plan, PrunePlan):
        given = [name for name, value in data_options.items() if value is not None]
        if given:
            raise InputError(f"prune(model, plan): {', '.join(given)} only go with data; a plan has decided already")
        return carry_out(model, plan, compact=compact, path=path, example=example)
    _check_data(plan)
    if example is not None:
        raise InputError("prune(model, data): example= only goes with a plan; the data are their own example")
    choice = choose(model, plan, path=path, score=score, rows=rows, seed=seed, progress=progress, **data_options)
    return choice.carry_out(model, compact=compact)


def _check_data(data: Any) -> None:
    """Refuse what is close to a plan but none, with the way to a plan."""
    ways = {
        Trace: "a trace decides nothing: pass analyze(trace).plan",
        Analysis: "pass its .plan",
        type(None): "pass analyze(trace).plan, or data: prune(model, (X, y))",
    }
    for kind, way in ways.items():
        if isinstance(data, kind):
            raise InputTypeError(f"plan: expected a PrunePlan or data, got {type(data).__name__}; {way}")
    if callable(data) and not isinstance(data, nn.Module) and not hasattr(data, "__iter__"):
        name = type(data).__name__
        raise InputTypeError(
            f"plan: expected a PrunePlan or data, got the rule {name}, which needs data to decide on: "
            f"prune(model, rule(trace(model, data))), or pruning.schedules.one_shot(model, data, rule)"
        )
