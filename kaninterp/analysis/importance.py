"""`measured`: any of `SCORES`, of every edge, node or column, on one footing: larger = more is lost without it.

A `Trace` holds sums over all the data and a `Probe` means over its rows, so nothing rests on a last batch.

Nodes get a score from every score of edges. Where effects add up (kan2, path, taylor) it is their sum over the outgoing
edges, for each output, with signs; elsewhere the smaller of the largest incoming and the largest outgoing edge (the KAN
paper's rule, arXiv 2404.19756); for an input the largest outgoing edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaninterp.core.errors import DataError, InputError, PlanError
from kaninterp.core.evidence import OUTPUT_CHANGE
from kaninterp.core.frozen import Array, floats
from kaninterp.core.probe import Probe
from kaninterp.core.trace import Trace

from .attribution import aggregate, live_std
from .bundle import LayerScores
from .chance import edge_draws, node_draws
from .scores import Layers, Score, of_trace, score_named

__all__ = ["LEVELS", "Importance", "measured"]

LEVELS = ("edge", "node", "input")
"""What a rule may remove; an input is a node of layer 0 that is a raw column itself."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Importance:
    """What a score says of every edge, or of every node; larger = more is lost without it.

    Attributes
    ----------
    name, unit : str
        Those of the score.
    level : str
        "edge" or "node".
    values : tuple of ndarray
        Edges: (dst, src) per layer; nodes: (width,) per node layer 0..L-1. Without signs, unless a value below zero
        says that removing helps (`Score.signed`); the largest over the outputs where there is one per output. 0 for a
        masked edge.
    signed : tuple of ndarray
        The same with signs and, where there is one, for each output: (outputs, dst, src) or (outputs, width).
    per_output : bool
        Whether ``signed`` has an axis of outputs.
    errors : tuple of ndarray or None
        Standard errors of ``values`` where they were measured.
    """

    name: str
    unit: str
    level: str
    values: tuple[Array, ...]
    signed: tuple[Array, ...]
    per_output: bool = False
    errors: tuple[Array, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("values", "signed", "errors"):
            layers = getattr(self, name)
            if layers is not None:
                frozen = tuple(floats(v, (None,) * np.ndim(v), f"Importance.{name}") for v in layers)
                object.__setattr__(self, name, frozen)

    @property
    def outputs(self) -> tuple[Array, ...] | None:
        """``signed``, where each output has values of its own."""
        return self.signed if self.per_output else None


def measured(
    name: str,
    trace: Trace,
    probe: Probe | None = None,
    scores: tuple[LayerScores, ...] | None = None,
    *,
    level: str | None = None,
    seed: int = 0,
) -> Importance:
    """Importance of every edge or node of a traced head.

    Parameters
    ----------
    name : str
        One of `SCORES` that is not of columns.
    trace : Trace
        Of the head.
    probe : Probe, optional
        Of the same head; needed by scores of the loss and by gradient.
    scores : tuple of LayerScores, optional
        Of the trace, where they are at hand already.
    level : {"edge", "node"}, optional
        Of what; None: as the score is made.
    seed : int
        Of the score "random"; the draws belong to the original numbers of the nodes.

    Raises
    ------
    InputError
        No such score or level; a score of nodes was asked for edges; a probe, or a kind of it, is missing.
    DataError
        The trace holds no rows.
    PlanError
        The probe is of another head.
    """
    score = score_named(name, "head")
    level = score.level if level is None else level
    if level not in ("edge", "node"):
        raise InputError(f"measured: level must be 'edge' or 'node', got {level!r}")
    if (level, score.level) == ("edge", "node"):
        raise InputError(f"{name} is measured for nodes, not for single edges; ask for level='node'")
    if not trace.rows:
        raise DataError("the trace holds no rows; trace the model on data first")
    if score.needs == "seed":
        draws = (edge_draws if level == "edge" else node_draws)(trace, seed)
        return Importance(name=name, unit=score.unit, level=level, values=draws, signed=draws)
    raw, errors = _raw(score, trace, probe, scores)
    if level == "node" and score.level == "edge":
        raw, errors = _of_nodes(score, raw, trace), None
    return Importance(
        name=name,
        unit=score.unit,
        level=level,
        values=tuple(_sizes(score, values) for values in raw),
        signed=raw,
        per_output=score.per_output,
        errors=errors,
    )


def _raw(
    score: Score, trace: Trace, probe: Probe | None, scores: tuple[LayerScores, ...] | None
) -> tuple[Layers, Layers | None]:
    """Values with their signs (per output where there are several), 0 for a masked edge; and standard errors."""
    errors: Layers | None = None
    if score.needs == "probe":
        values, errors = _probed(score.name, trace, probe)
    else:
        values = of_trace(score.name, trace, scores)
    if not score.data:  # where the data do not vary, a function is a constant whatever its shape (law 6)
        values = tuple(
            np.where(layer.edges.strength > 0, v, 0.0) for layer, v in zip(trace.layers, values, strict=True)
        )
    if score.level == "edge":
        values = tuple(np.where(layer.edges.alive, v, 0.0) for layer, v in zip(trace.layers, values, strict=True))
    return values, errors


def _probed(name: str, trace: Trace, probe: Probe | None) -> tuple[Layers, Layers | None]:
    if probe is None:
        raise InputError(f"{name} needs the rows, which a trace does not keep; give probe=probe(model, data)")
    if probe.fingerprint and probe.fingerprint != trace.card.fingerprint:
        raise PlanError(
            f"the probe is of other weights ({probe.fingerprint[:12]}) than the trace "
            f"({trace.card.fingerprint[:12]}); probe and trace the same model"
        )
    if probe.widths != trace.card.widths:
        raise PlanError(f"the probe is of a head of widths {probe.widths}, the trace of one of {trace.card.widths}")
    kind = "shapley" if name == "loss_share" else name
    values = getattr(probe, kind)
    if values is None:
        held = ", ".join(probe.kinds) or "nothing"
        raise InputError(f"the probe holds {held}, not {kind}; measure it with probe(model, data, kinds=({kind!r},))")
    if name in ("taylor", "fisher") and probe.loss == OUTPUT_CHANGE:
        raise InputError(
            f"{name} is the gradient of a loss, which is 0 everywhere for the change of the outputs; "
            "probe with a target, or rank by ablation or kan2"
        )
    if name == "gradient":
        spread = live_std(trace)[-1][:, None, None]
        return tuple(np.divide(v, spread, out=np.zeros(v.shape), where=spread > 0) for v in values), None
    if name == "loss_share":
        return _shares(values), None
    return values, getattr(probe, f"{name}_error", None)


def _shares(shapley: Layers) -> Layers:
    """Shapley values over their sum, which is the rise of the loss without the layer; 0 where nothing is lost."""
    totals = [float(values.sum()) for values in shapley]
    return tuple(
        values / total if total > 0 else np.zeros(len(values)) for values, total in zip(shapley, totals, strict=True)
    )


def _of_nodes(score: Score, raw: Layers, trace: Trace) -> Layers:
    if score.additive:
        return tuple(values.sum(-2) for values in raw)
    if score.per_output:
        each = [_narrowest(trace, [values[output] for values in raw]) for output in range(len(raw[0]))]
        return tuple(np.stack(layers) for layers in zip(*each, strict=True))
    return _narrowest(trace, [_sizes(score, values) for values in raw])


def _narrowest(trace: Trace, sizes: list[Array]) -> Layers:
    """The smaller of the largest incoming and the largest outgoing edge of every node."""
    alive = [layer.edges.alive for layer in trace.layers]
    largest = [np.where(a, size, -np.inf) for a, size in zip(alive, sizes, strict=True)]
    nodes = []
    for layer, outgoing in enumerate(largest):
        value = outgoing.max(0, initial=-np.inf)
        if layer:
            value = np.minimum(value, largest[layer - 1].max(1, initial=-np.inf))
        nodes.append(np.where(np.isfinite(value), value, 0.0))
    return tuple(nodes)


def _sizes(score: Score, raw: Array) -> Array:
    if score.per_output:
        return aggregate(raw)
    return raw if score.signed else np.abs(raw)
