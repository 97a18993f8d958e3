"""Importance of edges and nodes by a named measure: what every prune rule ranks by.

| measure | level | unit | needs | what it holds against a removal |
|---|---|---|---|---|
| strength | edge | units of the node | trace | spread of the edge's output over the data |
| kan2 | edge | standard deviations of an output | trace | KAN 2.0 attribution |
| share | edge | share of the node's variance | trace | what the edge adds to its node, cancelling included |
| path | edge | share of an output's variance | trace | the same along all paths to an output |
| l1, l2 | edge | units of the node | trace | size of the function on its domain; no data |
| coefficients | edge | units of the node | trace | size of its B-spline coefficients; no data |
| taylor | edge | units of the loss | probe | first-order change of the loss |
| fisher | edge | units of the loss | probe | second-order change of the loss, empirical Fisher |
| ablation | edge | units of the loss | probe | exact change of the loss |
| shapley | node | units of the loss | probe | its average change over all orders of removal |
| random | edge | none | seed | nothing: the control every comparison needs |

A `Trace` holds sums over all the data and a `Probe` means over its rows, so nothing rests on a last batch.

Nodes get an importance from every measure of edges. Where effects add up (kan2, path, taylor) it is their sum over
the outgoing edges, for each output, with signs; elsewhere the smaller of the largest incoming and the largest
outgoing edge (the KAN paper's rule, arXiv 2404.19756); for an input the largest outgoing edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from kaninterp.core.errors import DataError, InputError, PlanError
from kaninterp.core.evidence import OUTPUT_CHANGE
from kaninterp.core.frozen import Array, floats
from kaninterp.core.probe import Probe
from kaninterp.core.trace import Trace

from .attribution import aggregate, score_named
from .bundle import LayerScores
from .chance import edge_draws, node_draws
from .norms import absolute_norm, coefficient_norm

__all__ = ["LEVELS", "MEASURES", "Importance", "Measure", "measure_named", "measured"]

LEVELS = ("edge", "node", "input")
"""What a rule may remove; an input is a node of layer 0 that is a raw column itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A named way to say how much would be lost.

    Attributes
    ----------
    name : str
        How rules call it.
    level : str
        "edge", or "node" where it says nothing of single edges.
    unit : str
        What a value of 1 means.
    needs : str
        "trace", "probe" (then its name is the kind of probe to ask for) or "seed".
    per_output : bool
        Whether each output has values of its own.
    meaning : str
        In one sentence, for tables.
    signed : bool
        Whether a value below zero says that removing helps, so that it goes before a value of zero.
    additive : bool
        Whether the values of a node's outgoing edges add up to its own.
    """

    name: str
    level: str
    unit: str
    needs: str
    per_output: bool
    meaning: str
    signed: bool = False
    additive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Importance:
    """What a measure says of every edge, or of every node; larger = more is lost without it.

    Attributes
    ----------
    name, unit : str
        Those of the measure.
    level : str
        "edge" or "node".
    values : tuple of ndarray
        Edges: (dst, src) per layer; nodes: (width,) per node layer 0..L-1. The largest absolute value over the
        outputs where there is one per output. 0 for a masked edge.
    outputs : tuple of ndarray or None
        Values for each output, with their signs: (outputs, dst, src) or (outputs, width).
    errors : tuple of ndarray or None
        Standard errors of ``values`` where they were measured.
    """

    name: str
    unit: str
    level: str
    values: tuple[Array, ...]
    outputs: tuple[Array, ...] | None = None
    errors: tuple[Array, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("values", "outputs", "errors"):
            layers = getattr(self, name)
            if layers is not None:
                frozen = tuple(floats(v, (None,) * np.ndim(v), f"Importance.{name}") for v in layers)
                object.__setattr__(self, name, frozen)


MEASURES: tuple[Measure, ...] = (
    Measure(
        name="strength", level="edge", unit="units of the node", needs="trace", per_output=False,
        meaning="standard deviation of the edge's output over the data",
    ),
    Measure(
        name="kan2", level="edge", unit="standard deviations of an output", needs="trace", per_output=True,
        additive=True, meaning="KAN 2.0 attribution (arXiv 2408.10205): strength carried back from each output",
    ),
    Measure(
        name="share", level="edge", unit="share of the node's variance", needs="trace", per_output=False,
        meaning="covariance of the edge with its node over the node's variance, by absolute value",
    ),
    Measure(
        name="path", level="edge", unit="share of an output's variance", needs="trace", per_output=True,
        additive=True, meaning="product of variance shares along all paths to each output, by absolute value",
    ),
    Measure(
        name="l1", level="edge", unit="units of the node", needs="trace", per_output=False,
        meaning="mean absolute value of the centred function on its domain",
    ),
    Measure(
        name="l2", level="edge", unit="units of the node", needs="trace", per_output=False,
        meaning="root mean square of the centred function on its domain",
    ),
    Measure(
        name="coefficients", level="edge", unit="units of the node", needs="trace", per_output=False,
        meaning="root mean square of the function's B-spline coefficients about their mean",
    ),
    Measure(
        name="taylor", level="edge", unit="units of the loss", needs="probe", per_output=False, additive=True,
        meaning="first-order change of the loss, by absolute value (Molchanov et al. 2017)",
    ),
    Measure(
        name="fisher", level="edge", unit="units of the loss", needs="probe", per_output=False,
        meaning="second-order change of the loss by the empirical Fisher matrix (Theis et al. 2018)",
    ),
    Measure(
        name="ablation", level="edge", unit="units of the loss", needs="probe", per_output=False,
        meaning="exact change of the loss when the edge is replaced by its mean, by absolute value",
    ),
    Measure(
        name="shapley", level="node", unit="units of the loss", needs="probe", per_output=False, signed=True,
        meaning="rise of the loss without the node, averaged over orders of removal",
    ),
    Measure(
        name="random", level="edge", unit="none", needs="seed", per_output=False,
        meaning="uniform draws that stay with an edge or node through every pruning: the control",
    ),
)  # fmt: skip
"""Every measure; one row here and one function make a new one."""

_FROM_TRACE: dict[str, Callable[[Trace], tuple[Array, ...]]] = {"l1": absolute_norm, "coefficients": coefficient_norm}
"""Measures of a trace that `LayerScores` does not hold."""

_NORMS = ("l1", "l2", "coefficients")
"""Measures of the function on its domain; where the data do not vary, it is a constant whatever its shape (law 6)."""

_FIELD = {"l2": "norm"}
"""Measures that `LayerScores` calls otherwise."""


def measure_named(name: str) -> Measure:
    """One of `MEASURES` by name.

    Raises
    ------
    InputError
        There is no such measure.

    Examples
    --------
    >>> measure_named("kan2").unit
    'standard deviations of an output'
    """
    for measure in MEASURES:
        if measure.name == name:
            return measure
    known = [measure.name for measure in MEASURES]
    near = get_close_matches(str(name), known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(f"no measure {name!r}; {hint}known are: {', '.join(known)}")


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
        One of `MEASURES`.
    trace : Trace
        Of the head.
    probe : Probe, optional
        Of the same head; needed by taylor, fisher, ablation and shapley.
    scores : tuple of LayerScores, optional
        Of the trace, where they are at hand already.
    level : {"edge", "node"}, optional
        Of what; None: as the measure is made.
    seed : int
        Of the measure "random"; the draws belong to the original numbers of the nodes.

    Raises
    ------
    InputError
        No such measure or level; a measure of nodes was asked for edges; a probe, or a kind of it, is missing.
    DataError
        The trace holds no rows.
    PlanError
        The probe is of another head.
    """
    measure = measure_named(name)
    level = measure.level if level is None else level
    if level not in ("edge", "node"):
        raise InputError(f"measured: level must be 'edge' or 'node', got {level!r}")
    if (level, measure.level) == ("edge", "node"):
        raise InputError(f"{name} is measured for nodes, not for single edges; ask for level='node'")
    if not trace.rows:
        raise DataError("the trace holds no rows; trace the model on data first")
    if measure.needs == "seed":
        draws = (edge_draws if level == "edge" else node_draws)(trace, seed)
        return Importance(name=name, unit=measure.unit, level=level, values=draws)
    raw, errors = _raw(measure, trace, probe, scores)
    if level == "node" and measure.level == "edge":
        raw, errors = _of_nodes(measure, raw, trace), None
    return Importance(
        name=name,
        unit=measure.unit,
        level=level,
        values=tuple(_sizes(measure, values) for values in raw),
        outputs=raw if measure.per_output else None,
        errors=errors,
    )


Layers = tuple[Array, ...]


def _raw(
    measure: Measure, trace: Trace, probe: Probe | None, scores: tuple[LayerScores, ...] | None
) -> tuple[Layers, Layers | None]:
    """Values with their signs (per output where there are several), 0 for a masked edge; and standard errors."""
    errors: Layers | None = None
    if measure.needs == "probe":
        values, errors = _probed(measure.name, trace, probe)
    elif measure.name in _FROM_TRACE:
        values = _FROM_TRACE[measure.name](trace)
    elif scores is None:
        values = score_named(_FIELD.get(measure.name, measure.name))(trace)
    else:
        values = tuple(getattr(layer, _FIELD.get(measure.name, measure.name)) for layer in scores)
    if measure.name in _NORMS:
        values = tuple(
            np.where(layer.edges.strength > 0, v, 0.0) for layer, v in zip(trace.layers, values, strict=True)
        )
    if measure.level == "edge":
        values = tuple(np.where(layer.edges.alive, v, 0.0) for layer, v in zip(trace.layers, values, strict=True))
    return values, errors


def _probed(name: str, trace: Trace, probe: Probe | None) -> tuple[Layers, Layers | None]:
    if probe is None:
        raise InputError(f"{name} needs the loss, which a trace does not know; give probe=probe(model, data)")
    if probe.fingerprint and probe.fingerprint != trace.card.fingerprint:
        raise PlanError(
            f"the probe is of other weights ({probe.fingerprint[:12]}) than the trace "
            f"({trace.card.fingerprint[:12]}); probe and trace the same model"
        )
    if probe.widths != trace.card.widths:
        raise PlanError(f"the probe is of a head of widths {probe.widths}, the trace of one of {trace.card.widths}")
    values = getattr(probe, name)
    if values is None:
        held = ", ".join(probe.kinds) or "nothing"
        raise InputError(f"the probe holds {held}, not {name}; measure it with probe(model, data, kinds=({name!r},))")
    if name in ("taylor", "fisher") and probe.loss == OUTPUT_CHANGE:
        raise InputError(
            f"{name} is the gradient of a loss, which is 0 everywhere for the change of the outputs; "
            "probe with a target, or rank by ablation or kan2"
        )
    return values, getattr(probe, f"{name}_error", None)


def _of_nodes(measure: Measure, raw: Layers, trace: Trace) -> Layers:
    if measure.additive:
        return tuple(values.sum(-2) for values in raw)
    alive = [layer.edges.alive for layer in trace.layers]
    largest = [np.where(a, _sizes(measure, v), -np.inf) for a, v in zip(alive, raw, strict=True)]
    nodes = []
    for layer, outgoing in enumerate(largest):
        value = outgoing.max(0, initial=-np.inf)
        if layer:
            value = np.minimum(value, largest[layer - 1].max(1, initial=-np.inf))
        nodes.append(np.where(np.isfinite(value), value, 0.0))
    return tuple(nodes)


def _sizes(measure: Measure, raw: Array) -> Array:
    if measure.per_output:
        return aggregate(raw)
    return raw if measure.signed else np.abs(raw)
