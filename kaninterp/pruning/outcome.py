"""`PruneReport`: what a pruning took away, what is left under which original number, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from torch import nn

from kaninterp.adapters import ModelView
from kaninterp.core import EdgeMask, PrunePlan, Reason
from kaninterp.core.pruned import PruneReport

__all__ = ["PruneReport", "live_nodes", "node_names", "outcome", "parameter_count"]


def outcome(before: ModelView, after: ModelView, plan: PrunePlan, old: nn.Module, new: nn.Module) -> PruneReport:
    """Compare a model with its pruned copy.

    Parameters
    ----------
    before, after : ModelView
        The KAN before and after.
    plan : PrunePlan
        What was carried out; its places are positions in ``before``.
    old, new : nn.Module
        The whole models.
    """
    masks = before.mask, after.mask
    kept = tuple(name for name, keep in zip(plan.input_names, plan.inputs, strict=True) if keep)
    return PruneReport(
        kept_inputs=kept,
        dropped_inputs=plan.dropped_inputs,
        node_ids=after.node_ids,
        widths=(before.widths, after.widths),
        edges=(masks[0].count, masks[1].count),
        nodes=(live_nodes(masks[0]), live_nodes(masks[1])),
        parameters=(parameter_count(old), parameter_count(new)),
        reasons=tuple(_in_original_numbers(plan.reasons, before.node_ids)),
        input_ids=tuple(np.flatnonzero(plan.inputs).tolist()),
        node_names=node_names(after, plan.input_names),
        model=type(old).__name__,
    )


def node_names(view: ModelView, columns: tuple[str, ...] = ()) -> tuple[tuple[str, ...], ...]:
    """Name of every node of layers 0..L by its original number, as traces and graphs call it.

    Parameters
    ----------
    view : ModelView
        The KAN.
    columns : tuple of str
        Raw columns of the data, if the KAN may read them itself.
    """
    first, *hidden, last = view.node_ids
    named = (columns if view.whole else ()) or view.input_names or ()
    inputs = tuple(named[i] if i < len(named) else f"unit {i}" for i in first)
    between = tuple(tuple(f"node {depth}.{i}" for i in ids) for depth, ids in enumerate(hidden, 1))
    outputs = view.output_names or tuple(f"y{i}" for i in last)
    return (inputs, *between, outputs)


def live_nodes(mask: EdgeMask) -> int:
    """Nodes of all layers that touch a kept edge; outputs always count."""
    return int(sum(np.count_nonzero(nodes) for nodes in mask.nodes()))


def parameter_count(model: nn.Module) -> int:
    """Trainable numbers of a model."""
    return sum(int(parameter.numel()) for parameter in model.parameters())


def _in_original_numbers(reasons: Iterable[Reason], ids: tuple[tuple[int, ...], ...]) -> Iterable[Reason]:
    """Places in a head that was pruned before, in the numbers of the head it came from."""
    for reason in reasons:
        if reason.kind == "edge":
            layer, dst, src = reason.place
            yield replace(reason, place=(layer, ids[layer + 1][dst], ids[layer][src]))
        elif reason.kind == "node":
            layer, index = reason.place
            yield replace(reason, place=(layer, ids[layer][index]))
        else:
            yield reason
