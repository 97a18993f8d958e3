r"""Graphs to GraphML and JSON and back, safe with any name a column may have.

XML cannot hold control characters or half a surrogate pair at all, and loses empty text and line ends. Such characters
are written as ``\uXXXX`` (and so is the backslash, to keep the spelling unique), empty text as ``\e``; our readers
undo it.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx as nx

from kaninterp.core.disk import write_atomically
from kaninterp.core.errors import FileFormatError

from .graph import Graph

__all__ = ["from_json", "read_graphml", "to_json", "write_graphml"]

_ILLEGAL = re.compile("[\\\\\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Outside XML 1.0's Char, discouraged by it, or changed by its line-end rules; and our own escape character."""

_ESCAPED = re.compile(r"\\u([0-9a-f]{4})")


def write_graphml(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write GraphML, atomically; the graph is not changed.

    Parameters
    ----------
    graph : networkx.DiGraph
        Made by `to_graph`, possibly edited.
    path : path-like
        Where to.
    """
    buffer = io.BytesIO()
    nx.write_graphml_xml(_mapped(graph, _escape), buffer)
    write_atomically(Path(path), buffer.getvalue())


def read_graphml(path: str | os.PathLike[str]) -> Graph:
    """Read what `write_graphml` wrote.

    Raises
    ------
    FileFormatError
        Not GraphML, or GraphML of something that is no directed graph.
    """
    try:
        graph = nx.read_graphml(path)
    except (ParseError, nx.NetworkXError, ValueError, KeyError) as error:
        raise FileFormatError(f"{path}: not a GraphML file, or damaged ({error})") from error
    if not isinstance(graph, nx.DiGraph) or graph.is_multigraph():
        raise FileFormatError(f"{path}: holds no directed graph without parallel edges")
    return _mapped(graph, _unescape)


def to_json(graph: Graph) -> str:
    """Node-link JSON of networkx (``nx.node_link_graph(data, edges="edges")`` reads it); same graph, same text."""
    data = {
        "directed": True,
        "multigraph": False,
        "graph": dict(graph.graph),
        "nodes": [{"id": key, **node} for key, node in graph.nodes(data=True)],
        "edges": [{"source": a, "target": b, **edge} for a, b, edge in graph.edges(data=True)],
    }
    return json.dumps(data, sort_keys=True, allow_nan=False)


def from_json(text: str) -> Graph:
    """Read what `to_json` wrote.

    Raises
    ------
    FileFormatError
        Not node-link JSON.
    """
    try:
        data = json.loads(text)
        graph: Graph = nx.DiGraph()
        graph.graph.update(data["graph"])
        for node in data["nodes"]:
            graph.add_node(node["id"], **{k: v for k, v in node.items() if k != "id"})
        for edge in data["edges"]:
            attributes = {k: v for k, v in edge.items() if k not in {"source", "target"}}
            graph.add_edge(edge["source"], edge["target"], **attributes)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(f"not a graph in node-link JSON ({error!r})") from error
    return graph


def _escape(text: str) -> str:
    return _ILLEGAL.sub(lambda match: f"\\u{ord(match[0]):04x}", text) or "\\e"


def _unescape(text: str) -> str:
    return "" if text == "\\e" else _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def _mapped(graph: Graph, change: Callable[[str], str]) -> Graph:
    def attributes(found: dict[Any, Any]) -> dict[str, Any]:
        return {str(k): change(v) if isinstance(v, str) else v for k, v in found.items()}

    result: Graph = nx.DiGraph()
    result.graph.update(attributes({k: v for k, v in graph.graph.items() if k not in {"node_default", "edge_default"}}))
    result.add_nodes_from((change(str(key)), attributes(node)) for key, node in graph.nodes(data=True))
    result.add_edges_from((change(str(a)), change(str(b)), attributes(edge)) for a, b, edge in graph.edges(data=True))
    return result
