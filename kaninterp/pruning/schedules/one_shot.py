"""One shot: decide once, cut, train what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from kaninterp.analysis import DEFAULT_RULE
from kaninterp.pruning.schedules.driver import begin
from kaninterp.pruning.schedules.options import Options, Rule, check_whole
from kaninterp.pruning.steps import PruneRun

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["one_shot"]


def one_shot(
    model: nn.Module, data: Any, rule: Rule = DEFAULT_RULE, *, epochs: int = 20, **options: Unpack[Options]
) -> PruneRun:
    """Prune once by a rule, then fine-tune with the mask kept.

    Parameters
    ----------
    model : nn.Module
        Trained; not changed.
    data
        With the target, in time order, as for `trace`. Scores and training see its first part or all of it, see
        ``held_out`` in `Options`.
    rule : PruneRule or PrunePlan
        Decides on the training rows; a plan (made by hand, say) is its own decision.
    epochs : int
        Of fine-tuning; 0: none.
    **options
        See `Options`: target, held_out, loss, feature_names, path, fit_options, checkpoint, resume, rows, efficiency,
        seed, progress.

    Returns
    -------
    PruneRun
        At most two steps: the cut, and the fine-tuning. None if the rule takes nothing away.

    Raises
    ------
    PlanError
        The rule would remove everything, or the plan is for another model.
    InputError, DataError, StateError
        Options or data that do not fit; a checkpoint of another run.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> from kaninterp.analysis import EdgeRule
    >>> X = torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    >>> head = ki.KANHead(3, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    >>> _ = ki.fit(head, (X, X[:, 0]), epochs=20, optimizer="lbfgs", seed=0, progress=False)
    >>> run = one_shot(head, (X, X[:, 0]), EdgeRule(0.1), epochs=1, progress=False)
    >>> run.history["edges"].tolist()
    [3, 1, 1]
    """
    check_whole(epochs=epochs)
    driver = begin(model, data, {"name": "one shot", "rule": rule, "epochs": epochs}, **options)
    with driver:
        if driver.prune(rule):
            driver.fine_tune(epochs)
    return driver.run
