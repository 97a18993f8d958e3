"""A whole run as one `PruneReport`: what went in all its steps, and what that costs and saves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kaninterp.adapters import ModelView, as_view
from kaninterp.core import Reason
from kaninterp.core.errors import InputError
from kaninterp.core.pruned import PruneReport
from kaninterp.core.survival import SurvivalTable
from kaninterp.measure.losses import Loss
from kaninterp.measure.tracing import prepared
from kaninterp.pruning.comparison import ROWS, measure_held_out
from kaninterp.pruning.efficiency import measure_efficiencies
from kaninterp.pruning.outcome import live_nodes, node_names, parameter_count
from kaninterp.pruning.steps import PruneRun

__all__ = ["summarize"]

EXAMPLE_ROWS = 256
"""Rows of one call when latency is measured."""


def summarize(
    run: PruneRun,
    data: Any = None,
    *,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    rows: int = ROWS,
    batch: int = EXAMPLE_ROWS,
    efficiency: bool = True,
    compiled: bool = False,
    seed: int = 0,
) -> PruneReport:
    """Put a run in one report, and measure its first and last model side by side.

    Parameters
    ----------
    run : PruneRun
        With at least one step.
    data, target, loss, feature_names, rows, seed
        Held-out data, as for `measure_held_out`. None: nothing is measured.
    batch : int
        Rows of one call when latency is measured.
    efficiency, compiled : bool
        Whether to time the models, also under `torch.compile`.

    Returns
    -------
    PruneReport
        Original indices and names throughout; reasons of what came back later are left out.

    Raises
    ------
    InputError
        A run without a step.
    KanInterpError
        Data that do not fit the models.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> from kaninterp.analysis import keep_all
    >>> head, x = ki.KANHead(3, 1), torch.randn(50, 3)
    >>> small, report = ki.prune(head, keep_all(ki.trace(head, x, progress=False)))
    >>> run = PruneRun.begin(head).add("nothing", small, report=report)
    >>> summarize(run, x).held_out.after.value
    0.0
    """
    if not run.steps:
        raise InputError("summarize(): the run has no step yet; add one with run.add(label, model, report=...)")
    first, last = as_view(run.start, run.path), as_view(run.model, run.path)
    masks = first.mask, last.mask
    names, gone = _columns(run)
    kept = [i for i in range(len(names)) if i not in gone]
    measured: dict[str, Any] = {}
    if data is not None:
        held = prepared(run.start, data, target=target, feature_names=feature_names).again()
        measured["held_out"] = measure_held_out(run.start, run.model, held, loss=loss, rows=rows, seed=seed)
        if efficiency:
            options: dict[str, Any] = {"batch": batch, "compiled": compiled}
            measured["efficiency"] = measure_efficiencies((run.start, run.model), held, **options)
    return PruneReport(
        kept_inputs=tuple(names[i] for i in kept),
        dropped_inputs=tuple(names[i] for i in sorted(gone)),
        node_ids=last.node_ids,
        widths=(first.widths, last.widths),
        edges=(masks[0].count, masks[1].count),
        nodes=(live_nodes(masks[0]), live_nodes(masks[1])),
        parameters=(parameter_count(run.start), parameter_count(run.model)),
        reasons=tuple(_still_true(run, last, gone)),
        input_ids=tuple(kept),
        node_names=node_names(last, names),
        model=type(run.start).__name__,
        steps=run.lines,
        survival=_survival(run),
        **measured,
    )


def _survival(run: PruneRun) -> SurvivalTable | None:
    """The curves of the last step that data chose."""
    tables = [step.report.survival for step in run.steps if step.report is not None]
    return next((table for table in reversed(tables) if table is not None), None)


def _columns(run: PruneRun) -> tuple[tuple[str, ...], set[int]]:
    """Names of the raw columns in their order, and which of them any step dropped."""
    names: tuple[str, ...] = ()
    gone: set[int] = set()
    for report in (step.report for step in run.steps if step.report is not None):
        if not report.kept_inputs and not report.dropped_inputs:
            continue
        kept = dict(zip(report.input_ids, report.kept_inputs, strict=True))
        rest = iter(report.dropped_inputs)
        total = len(kept) + len(report.dropped_inputs)
        names = tuple(kept[i] if i in kept else next(rest) for i in range(total))
        gone |= set(range(total)) - set(kept)
    return names, gone


def _still_true(run: PruneRun, last: ModelView, gone: set[int]) -> Iterator[Reason]:
    """Reasons of all steps, without those of things that are there in the end."""
    edges = {
        (depth, last.node_ids[depth + 1][dst], last.node_ids[depth][src])
        for depth, layer in enumerate(last.layers)
        for dst, src in zip(*layer.alive.nonzero(), strict=True)
    }
    alive = last.mask.nodes()
    nodes = {
        (depth, index)
        for depth, (ids, flags) in enumerate(zip(last.node_ids, alive, strict=True))
        for index, flag in zip(ids, flags, strict=True)
        if flag
    }
    present: dict[str, Any] = {"edge": edges, "node": nodes}
    for report in (step.report for step in run.steps if step.report is not None):
        for reason in report.reasons:
            there = reason.place[0] not in gone if reason.kind == "input" else reason.place in present[reason.kind]
            if not there:
                yield reason
