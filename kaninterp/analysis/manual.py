"""Plans made by hand: edges, nodes and inputs named one by one, by index or by name.

Each takes a `Trace`, or a trace and the plan so far, and gives a plan: they chain, also after a rule::

    plan = remove_nodes(trace, ["node 1.2"])
    plan = drop_inputs((trace, plan), ["humidity"])

A node is ``(layer, index)`` with its position in the layer, or its name ("node 1.2", "unit 3", a raw column that the
KAN reads itself, an output), which holds its original number. An edge is ``(layer, dst, src)`` with positions, or the
names of both its ends ``(target, source)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from numbers import Integral
from typing import TypeAlias

import numpy as np

from kaninterp.core.errors import InputError, InputTypeError, NamesError, PlanError
from kaninterp.core.frozen import BoolArray
from kaninterp.core.mask import EdgeMask
from kaninterp.core.plan import PrunePlan, Reason
from kaninterp.core.trace import Trace

from .places import raw_columns
from .plans import alive_mask, cut_node, keep_all, plan_of, reason
from .wording import listed

__all__ = ["drop_inputs", "keep_nodes", "remove_edges", "remove_nodes"]

Source: TypeAlias = "Trace | tuple[Trace, PrunePlan]"
Node: TypeAlias = "str | tuple[int, int]"
Edge: TypeAlias = "tuple[int, int, int] | tuple[str, str]"

BY_HAND = "removed by hand"
NEAREST = 3  # similar names in an error


def remove_edges(source: Source, edges: Iterable[Edge]) -> PrunePlan:
    """Plan without these edges, and without what then lies on no path.

    Parameters
    ----------
    source : Trace or (Trace, PrunePlan)
        Of the head; with a plan, what it keeps is cut further.
    edges : iterable of (layer, dst, src) or (target name, source name)
        Edges that are gone already may be named again.

    Raises
    ------
    NamesError
        No such node; names that are near are listed.
    InputError
        No such edge.
    InputTypeError
        Something that is neither.
    PlanError
        Nothing would be left, or the plan is of another head.
    """
    trace, plan = _opened(source)
    gone = [_edge(edge, trace) for edge in _items(edges, "edges")]
    wanted = plan.mask.without_edges(gone)
    reasons = [reason("edge", place, BY_HAND) for place in dict.fromkeys(gone) if _keeps(plan.mask, place)]
    return _continued(trace, plan, wanted, reasons)


def remove_nodes(source: Source, nodes: Iterable[Node]) -> PrunePlan:
    """Plan without these nodes: all edges into and out of each, and what then lies on no path.

    Parameters
    ----------
    source : Trace or (Trace, PrunePlan)
        As for `remove_edges`.
    nodes : iterable of (layer, index) or name
        Hidden nodes or head inputs; a removed head input of a plain KAN is a dropped raw column.

    Raises
    ------
    NamesError, InputError, InputTypeError, PlanError
        As for `remove_edges`; an output cannot be removed.
    """
    trace, plan = _opened(source)
    return _without(trace, plan, [_node(node, trace) for node in _items(nodes, "nodes")])


def keep_nodes(source: Source, nodes: Iterable[Node]) -> PrunePlan:
    """Plan that keeps of every layer named only the nodes named; layers that are not named stay as they are.

    Parameters and errors are those of `remove_nodes`.
    """
    trace, plan = _opened(source)
    kept = {_node(node, trace) for node in _items(nodes, "nodes")}
    widths = plan.mask.widths
    others = [(layer, i) for layer in sorted({layer for layer, _ in kept}) for i in range(widths[layer])]
    return _without(trace, plan, [place for place in others if place not in kept])


def drop_inputs(source: Source, inputs: Iterable[str | int]) -> PrunePlan:
    """Plan without these raw columns.

    Parameters
    ----------
    source : Trace or (Trace, PrunePlan)
        As for `remove_edges`.
    inputs : iterable of str or int
        Raw columns by name or by index in the data. A plain KAN loses their edges as well; in a hybrid the backbone
        is narrowed when the plan is carried out, each column held at its mean.

    Raises
    ------
    NamesError
        No such column; names that are near are listed.
    InputError
        The trace knows no raw columns.
    InputTypeError
        Something that is neither a name nor an index.
    PlanError
        Nothing would be left, or the plan is of another head.
    """
    trace, plan = _opened(source)
    items = _items(inputs, "inputs")
    if trace.raw is None:
        raise InputError(
            "drop_inputs: the trace holds no raw columns, so there is nothing to drop by name or index; trace with "
            "data whose columns can be read, or remove head inputs with remove_nodes"
        )
    names = trace.raw.names
    gone = sorted({_column(item, names) for item in items})
    stays = np.array(plan.inputs)
    reasons = [reason("input", (column,), f"{names[column]} {BY_HAND}") for column in gone if stays[column]]
    stays[gone] = False
    if not stays.any():
        raise PlanError(f"drop_inputs: this would drop all {len(names)} raw inputs; keep at least one")
    layers = [layer.copy() for layer in plan.mask.layers]
    places = raw_columns(trace) or ()
    for src in (i for i, column in enumerate(places) if column in gone):
        text = f"its input {trace.node_name(0, src)} is {BY_HAND}"
        reasons.extend(reason("edge", (0, dst, src), text) for dst in np.flatnonzero(layers[0][:, src]).tolist())
        layers[0][:, src] = False
    new = _continued(trace, plan, EdgeMask(layers=tuple(layers)), reasons)
    return replace(new, inputs=new.inputs & stays)


def _opened(source: Source) -> tuple[Trace, PrunePlan]:
    given: tuple[object, ...] = source if isinstance(source, tuple) and len(source) == 2 else (source, None)
    trace, plan = given
    if not isinstance(trace, Trace) or not (plan is None or isinstance(plan, PrunePlan)):
        raise InputTypeError(
            f"source: expected a Trace, or (trace, plan) to go on from a plan; got {type(source).__name__}"
        )
    if plan is None:
        return trace, keep_all(trace)
    if plan.mask.widths != trace.card.widths or plan.fingerprint not in ("", trace.card.fingerprint):
        raise PlanError(
            f"the plan is for a KAN of widths {plan.mask.widths} ({plan.fingerprint[:12] or 'any weights'}), the trace "
            f"of one of {trace.card.widths} ({trace.card.fingerprint[:12]}); give the trace the plan was made from"
        )
    return trace, plan


def _without(trace: Trace, plan: PrunePlan, gone: Sequence[tuple[int, int]]) -> PrunePlan:
    last = len(trace.layers)
    outputs = [trace.node_name(layer, index) for layer, index in gone if layer == last]
    if outputs:
        raise PlanError(f"{listed(outputs)}: an output cannot be removed; make a head with fewer outputs instead")
    layers = [layer.copy() for layer in plan.mask.layers]
    before, columns = plan.mask.nodes(), raw_columns(trace)
    reasons = []
    for layer, index in dict.fromkeys(gone):
        cut_node(layers, layer, index)
        if before[layer][index]:
            reasons.append(reason("node", (layer, index), BY_HAND))
            if layer == 0 and columns is not None:
                reasons.append(reason("input", (columns[index],), f"{trace.node_name(0, index)} {BY_HAND}"))
    return _continued(trace, plan, EdgeMask(layers=tuple(layers)), reasons)


def _continued(trace: Trace, plan: PrunePlan, wanted: EdgeMask, reasons: Sequence[Reason]) -> PrunePlan:
    """The plan with less kept: what it decided before stays, its reasons and constants too."""
    new = plan_of(trace, wanted.layers, [*plan.reasons, *reasons], advice="keep one path from an input to an output")
    alive = alive_mask(trace).layers
    constants = tuple(
        np.where(live & ~before, old, now)
        for live, before, old, now in zip(alive, plan.mask.layers, plan.constants, new.constants, strict=True)
    )
    return replace(new, constants=constants, inputs=_both(new.inputs, plan.inputs), fill=plan.fill, lags=plan.lags)


def _both(new: BoolArray, old: BoolArray) -> BoolArray:
    return new & old if len(new) == len(old) else new


def _keeps(mask: EdgeMask, place: tuple[int, int, int]) -> bool:
    layer, dst, src = place
    return bool(mask.layers[layer][dst, src])


def _items(values: object, what: str) -> list[object]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InputTypeError(f"{what}: expected a list of them, got {values!r}; put it in a list")
    return list(values)


def _edge(edge: object, trace: Trace) -> tuple[int, int, int]:
    if isinstance(edge, (tuple, list)) and len(edge) == 2 and all(isinstance(end, str) for end in edge):
        (above, dst), (below, src) = _named(edge[0], trace, lowest=1), _named(edge[1], trace)
        if above != below + 1:
            raise InputError(
                f"no edge to {edge[0]!r} from {edge[1]!r}: they lie in layers {above} and {below}; an edge is "
                "(target, source), the target one layer above"
            )
        return below, dst, src
    layer, dst, src = _positions(edge, 3, "an edge", "(layer, dst, src), or (target name, source name)")
    widths = trace.card.widths
    if not (0 <= layer < len(widths) - 1 and 0 <= dst < widths[layer + 1] and 0 <= src < widths[layer]):
        raise InputError(f"no edge (layer {layer}, dst {dst}, src {src}) in a head of widths {widths}")
    return layer, dst, src


def _node(node: object, trace: Trace) -> tuple[int, int]:
    if isinstance(node, str):
        return _named(node, trace)
    layer, index = _positions(node, 2, "a node", "(layer, index), or a name such as 'node 1.2'")
    widths = trace.card.widths
    if not (0 <= layer < len(widths) and 0 <= index < widths[layer]):
        raise InputError(f"no node (layer {layer}, index {index}) in a head of widths {widths}")
    return layer, index


def _positions(item: object, count: int, what: str, form: str) -> tuple[int, ...]:
    numbers = item if isinstance(item, (tuple, list)) else ()
    if len(numbers) != count or not all(isinstance(n, Integral) and not isinstance(n, bool) for n in numbers):
        raise InputTypeError(f"{what} is {form}; got {item!r}")
    return tuple(int(n) for n in numbers)


def _named(name: str, trace: Trace, lowest: int = 0) -> tuple[int, int]:
    """Place of a node by name; where an output is called like an input, the first at or above ``lowest``."""
    known: dict[str, tuple[int, int]] = {}
    for layer in range(lowest, len(trace.card.widths)):
        for index in range(trace.card.widths[layer]):
            known.setdefault(trace.node_name(layer, index), (layer, index))
    if name not in known:
        raise NamesError(f"no node {name!r}; {_near(name, list(known))}")
    return known[name]


def _column(item: object, names: tuple[str, ...]) -> int:
    if isinstance(item, Integral) and not isinstance(item, bool):
        if 0 <= int(item) < len(names):
            return int(item)
        raise NamesError(f"no raw column {item}; the data has {len(names)}, 0 to {len(names) - 1}")
    if not isinstance(item, str):
        raise InputTypeError(f"a raw column is a name or an index, got {item!r}")
    if item not in names:
        raise NamesError(f"no raw column {item!r}; {_near(item, names)}")
    return names.index(item)


def _near(name: str, known: Sequence[str]) -> str:
    similar = get_close_matches(name, known, NEAREST)
    return f"did you mean {listed(similar)}?" if similar else f"known are: {listed(known, 12)}"
