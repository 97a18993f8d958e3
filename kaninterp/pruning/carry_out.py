"""Carry a plan out on a copy of a model, prove that the copy computes what was decided, and say what went."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.adapters import ModelView, as_view
from kaninterp.core import KanInterpError, ModelError, PlanError, PrunePlan, Reason
from kaninterp.core.errors import InputTypeError
from kaninterp.data import Batch, as_batches, called, placement
from kaninterp.measure.host import Columns, untouched
from kaninterp.nn import KANHead, check_dropped, entries, gate_notes, gated_columns, prune_model
from kaninterp.pruning.outcome import PruneReport, outcome

__all__ = ["carry_out", "check_prunable"]

Key = int | str


def carry_out(
    model: nn.Module, plan: PrunePlan, *, compact: bool = True, path: str | None = None, example: Any = None
) -> tuple[nn.Module, PruneReport]:
    """Make a new model without what the plan gives up; see `kaninterp.prune`, whose one half this is."""
    view = as_view(model, path)
    check_prunable(view)
    if not isinstance(plan, PrunePlan):
        raise InputTypeError(f"plan: expected a PrunePlan such as analyze(trace).plan, got {type(plan).__name__}")
    _check_fits(view, plan)
    keep = [np.asarray(layer) for layer in plan.mask.layers]
    constants = [np.asarray(layer) for layer in plan.constants]
    if not plan.dropped_inputs:
        new = prune_model(model, view.path, keep, constants, compact=compact)
        return new, outcome(view, as_view(new, view.path), plan, model, new)
    batch, columns = _example(model, plan, example)
    inputs = batch.arguments
    _check_runs(model, batch, made_up=example is None)
    found = entries(model, inputs)
    kept, dropped, fill = _by_input(batch, columns, plan)
    new = prune_model(model, view.path, keep, constants, entries=found, keep_columns=kept, fill=fill, compact=compact)
    check_dropped(new, inputs, {key: gone for key, gone in dropped.items() if gone})
    gated = _gate_reasons(new, batch, columns, plan)
    replaced = {reason.place for reason in gated}
    others = [reason for reason in plan.reasons if reason.kind != "input" or reason.place not in replaced]
    return new, outcome(view, as_view(new, view.path), replace(plan, reasons=(*others, *gated)), model, new)


def check_prunable(view: ModelView) -> None:
    """Refuse a KAN of another library before any work is done.

    Raises
    ------
    ModelError
        It is no `KANHead`.
    """
    if not isinstance(view.module, KANHead):
        raise ModelError(
            f"only a KANHead can be pruned, and there is a {view.kind} at {view.path!r}; put "
            "kaninterp.from_kan(model) in its place, then trace, analyze and prune the new model"
        )


def _check_fits(view: ModelView, plan: PrunePlan) -> None:
    if plan.mask.widths != view.widths:
        raise PlanError(
            f"the plan is for a KAN of widths {plan.mask.widths}, this one has {view.widths}; make a plan from a "
            "trace of this model"
        )
    if plan.fingerprint and plan.fingerprint != view.fingerprint():
        raise PlanError(
            f"the plan was made for other weights ({plan.fingerprint[:12]}) than this model's "
            f"({view.fingerprint()[:12]}); trace and analyze this model again, or train after pruning, not before"
        )
    if not (plan.mask & view.mask).closed().count:
        raise PlanError("the plan leaves no path from an input to an output; keep at least one edge per layer")


def _example(model: nn.Module, plan: PrunePlan, example: Any) -> tuple[Batch, Columns]:
    device, dtype = placement(model)
    if example is None:
        shape = (2, len(plan.input_names)) if plan.lags == 1 else (2, plan.lags, len(plan.input_names))
        # any numbers do: what is asked is who reads which column, not what comes out
        example = torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(0)).to(device)
    batches = as_batches(example, device=device, dtype=dtype)
    batch = batches.sample(4)
    columns = Columns.of(batch, batches.names_per_input)
    if len(columns.places) != len(plan.input_names):
        raise PlanError(
            f"the plan speaks of {len(plan.input_names)} raw columns, the example has {len(columns.places)}; "
            "give an example of the data the plan was made on"
        )
    return batch, columns


def _check_runs(model: nn.Module, batch: Batch, *, made_up: bool) -> None:
    """Refuse an example that the model cannot be called with."""
    try:
        with untouched(model):
            called(model, batch)
    except KanInterpError as error:
        if not made_up:
            raise
        raise ModelError(f"{error}; prune() made these inputs up, pass rows of your data as example=...") from error


def _gate_reasons(new: nn.Module, batch: Batch, columns: Columns, plan: PrunePlan) -> list[Reason]:
    """What a gate in front of the new model means, in place of the plan's own reason for each column it holds."""
    keys, gates = batch.places, gated_columns(new)
    held = [
        (number, keys[which], position)
        for number, (which, position) in enumerate(columns.places)
        if not plan.inputs[number] and position in gates.get(keys[which], ())
    ]
    names = {key: [f"column {p}" for p in range(x.shape[-1])] for key, x in zip(keys, batch.inputs, strict=True)}
    for number, key, position in held:
        names[key][position] = plan.input_names[number]
    notes = " ".join(gate_notes(new, names)) if held else ""
    reasons = []
    for number, _, _ in held:
        own = plan.why(number, kind="input")
        text = f"{own[-1].text} {notes}" if own else notes
        score, threshold = (own[-1].score, own[-1].threshold) if own else (0.0, 0.0)
        reasons.append(Reason(kind="input", place=(number,), score=score, threshold=threshold, text=text))
    return reasons


def _by_input(
    batch: Batch, columns: Columns, plan: PrunePlan
) -> tuple[dict[Key, list[int]], dict[Key, list[int]], dict[Key, Tensor]]:
    """Kept and dropped columns, and what stands in for the dropped, per input tensor of the model."""
    keys = batch.places
    kept: dict[Key, list[int]] = {}
    dropped: dict[Key, list[int]] = {}
    fill: dict[Key, Tensor] = {}
    for number, (which, position) in enumerate(columns.places):
        key = keys[which]
        (kept if plan.inputs[number] else dropped).setdefault(key, []).append(position)
        kept.setdefault(key, [])
        x = batch.inputs[which]
        fill.setdefault(key, torch.zeros(x.shape[-1], dtype=x.dtype, device=x.device))
        fill[key][position] = float(plan.fill[number])
    losing = [key for key in kept if dropped.get(key)]
    return {key: kept[key] for key in losing}, dropped, {key: fill[key] for key in losing}
