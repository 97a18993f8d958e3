"""`PruneReport`: what a pruning took away, what is left under which original number, and why."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
from torch import nn

from kaninterp.adapters import ModelView
from kaninterp.core import EdgeMask, PrunePlan, Reason

__all__ = ["PruneReport", "outcome"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """What a pruning did.

    Attributes
    ----------
    kept_inputs, dropped_inputs : tuple of str
        Raw columns by name; both empty if the plan said nothing of them.
    node_ids : tuple of tuple of int
        Original index of every node that is left, per layer 0..L.
    widths, edges, nodes, parameters
        (before, after): nodes per layer, live edges, live nodes, trainable numbers of the whole model.
    reasons : tuple of Reason
        Why each edge, node or input went.
    """

    kept_inputs: tuple[str, ...]
    dropped_inputs: tuple[str, ...]
    node_ids: tuple[tuple[int, ...], ...]
    widths: tuple[tuple[int, ...], tuple[int, ...]]
    edges: tuple[int, int]
    nodes: tuple[int, int]
    parameters: tuple[int, int]
    reasons: tuple[Reason, ...]

    def to_json(self) -> str:
        """The same as JSON, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True, indent=1, ensure_ascii=False)

    def __str__(self) -> str:
        sizes = (
            f"edges {self.edges[0]} -> {self.edges[1]}, nodes {self.nodes[0]} -> {self.nodes[1]}, "
            f"parameters {self.parameters[0]} -> {self.parameters[1]}, "
            f"widths {list(self.widths[0])} -> {list(self.widths[1])}"
        )
        lines = [sizes]
        if self.dropped_inputs:
            total = len(self.kept_inputs) + len(self.dropped_inputs)
            lines.append(f"inputs {total} -> {len(self.kept_inputs)}: dropped {', '.join(self.dropped_inputs)}")
        return "\n".join(lines)


def outcome(before: ModelView, after: ModelView, plan: PrunePlan, old: nn.Module, new: nn.Module) -> PruneReport:
    """Compare a model with its pruned copy."""
    masks = [EdgeMask.of(layer.alive for layer in view.layers) for view in (before, after)]
    kept = tuple(name for name, keep in zip(plan.input_names, plan.inputs, strict=True) if keep)
    return PruneReport(
        kept_inputs=kept,
        dropped_inputs=plan.dropped_inputs,
        node_ids=after.node_ids,
        widths=(before.widths, after.widths),
        edges=(masks[0].count, masks[1].count),
        nodes=(live_nodes(masks[0]), live_nodes(masks[1])),
        parameters=(parameter_count(old), parameter_count(new)),
        reasons=plan.reasons,
    )


def live_nodes(mask: EdgeMask) -> int:
    """Nodes of all layers that touch a kept edge; outputs always count."""
    return int(sum(np.count_nonzero(nodes) for nodes in mask.nodes()))


def parameter_count(model: nn.Module) -> int:
    """Trainable numbers of a model."""
    return sum(int(parameter.numel()) for parameter in model.parameters())
