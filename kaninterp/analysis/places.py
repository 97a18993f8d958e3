"""Where the user's columns meet the KAN: directly (a plain KAN), or through a backbone."""

from __future__ import annotations

from kaninterp.core.trace import Trace

__all__ = ["node_key", "raw_columns"]


def raw_columns(trace: Trace) -> tuple[int, ...] | None:
    """Raw column that each head input is, or None where a backbone lies between them.

    Parameters
    ----------
    trace : Trace
        Of a plain KAN (``card.path == ""``) or of a hybrid.

    Returns
    -------
    tuple of int or None
        One column per head input; a pruned head reads fewer columns than the data has.
    """
    if trace.raw is None or trace.card.path != "":
        return None
    columns = trace.card.node_ids[0]
    return columns if columns and max(columns) < len(trace.raw.names) else None


def node_key(trace: Trace, layer: int, index: int) -> str:
    """Identity of a node in a graph: ``input:NAME``, ``unit:3``, ``node:1.2`` or ``output:NAME``.

    Numbers are the original ones, so that a node keeps its key when the head is pruned.
    """
    if layer == len(trace.layers):
        return f"output:{trace.output_names[index]}"
    original = trace.card.node_ids[layer][index]
    if layer:
        return f"node:{layer}.{original}"
    return f"unit:{original}" if raw_columns(trace) is None else f"input:{trace.node_name(0, index)}"
