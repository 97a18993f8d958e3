"""Law 10 for graphs: mask -> graph -> mask, through every file format, with any names."""

from __future__ import annotations

import json

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.analysis import (
    analyze,
    from_json,
    node_key,
    read_graphml,
    to_graph,
    to_json,
    to_mask,
    write_graphml,
)
from kaninterp.core import DataError, EdgeMask, FileFormatError, InputError
from tests.evidence import ablation, hybrid
from tests.traces import random_inputs, random_net

seeds = st.integers(0, 2**16)
HOSTILE = [
    "</script><img onerror=alert(1)>",
    "",
    "\x00\x08\x0b",
    "\ud800",
    "\ufffe",
    "\u202eabc",
    "a\"b'c&<>",
    " \t\r\n",
    "\\u0000",
    "\\e",
    "x" * 300,
    "☃🙂",
    "]]>",
    "7",
]


def hostile_trace():
    n = len(HOSTILE)
    return random_net((n, 2, n), 3, dead=0.3).trace(random_inputs(n), raw_names=HOSTILE, output_names=HOSTILE)


@given(seed=seeds, masked=st.booleans())
@settings(max_examples=30, deadline=None)
def test_mask_to_graph_to_mask(seed, masked):
    trace = random_net((4, 3, 2), seed, dead=0.6).trace(random_inputs(4, 50))
    alive = EdgeMask(layers=tuple(layer.edges.alive for layer in trace.layers))
    graph = to_graph(trace, masked=masked)
    assert to_mask(graph).equals(alive)
    assert to_mask(from_json(to_json(graph))).equals(alive)


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_editing_the_graph_is_editing_the_mask(seed):
    trace = random_net((4, 3, 2), seed, dead=0.3).trace(random_inputs(4, 50))
    graph = to_graph(trace)
    rng = np.random.default_rng(seed)
    alive = EdgeMask(layers=tuple(layer.edges.alive for layer in trace.layers))
    edges = list(graph.edges(data=True))
    gone = [edges[i] for i in rng.choice(len(edges), min(3, len(edges)), replace=False)]
    graph.remove_edges_from([(a, b) for a, b, _ in gone])
    cut = alive.without_edges([(e["layer"], e["dst"], e["src"]) for _, _, e in gone])
    assert to_mask(graph).equals(cut)
    graph.remove_node(node_key(trace, 1, 1))
    layers = [layer.copy() for layer in cut.layers]
    layers[0][1, :] = layers[1][:, 1] = False
    assert to_mask(graph).equals(EdgeMask.of(layers))


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_a_path_in_the_graph_is_a_path_in_the_model(seed):
    trace = random_net((3, 3, 2), seed, dead=0.8).trace(random_inputs(3, 50))
    graph = to_graph(trace)
    alive = EdgeMask(layers=tuple(layer.edges.alive for layer in trace.layers)).closed().nodes()[0]
    outputs = [node_key(trace, 2, j) for j in range(2)]
    for i in range(3):
        reached = nx.descendants(graph, node_key(trace, 0, i))
        assert bool(reached & set(outputs)) == alive[i] == graph.nodes[node_key(trace, 0, i)]["alive"]


def test_hostile_names_survive_every_format(tmp_path):
    trace = hostile_trace()
    graph = to_graph(analyze(trace))
    write_graphml(graph, tmp_path / "g.graphml")
    for back in (from_json(to_json(graph)), read_graphml(tmp_path / "g.graphml")):
        assert set(back) == set(graph)
        for key in graph:
            assert back.nodes[key] == graph.nodes[key]
        assert {(a, b): d for a, b, d in back.edges(data=True)} == {(a, b): d for a, b, d in graph.edges(data=True)}
        assert to_mask(back).equals(to_mask(graph))
    names = [data["name"] for _, data in graph.nodes(data=True) if data["kind"] == "input"]
    assert names == HOSTILE


def test_networkx_reads_our_json_itself():
    graph = to_graph(hostile_trace())
    back = nx.node_link_graph(json.loads(to_json(graph)), edges="edges")
    assert nx.utils.graphs_equal(back, graph)


def test_same_graph_same_text(tmp_path):
    write_graphml(to_graph(hostile_trace()), tmp_path / "a")
    write_graphml(to_graph(hostile_trace()), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert to_json(to_graph(hostile_trace())) == to_json(to_graph(hostile_trace()))


def test_a_plain_kan_has_its_columns_as_first_layer():
    trace = random_net((3, 2, 1), 0).trace(random_inputs(3), raw_names=["temp", "dewp", "wind"])
    graph = to_graph(trace)
    assert [k for k, d in graph.nodes(data=True) if d["layer"] == 0] == ["input:temp", "input:dewp", "input:wind"]
    assert not any(d["kind"] in {"unit", "backbone"} for _, d in graph.nodes(data=True))
    assert len(graph) == 6


def test_columns_a_pruned_plain_kan_no_longer_reads_stand_alone():
    x = random_inputs(2)
    trace = random_net((2, 1), 0).trace(x, node_ids=((0, 2), (0,)))
    full = hybrid(columns=3).raw
    pruned = type(trace)(
        **{f: getattr(trace, f) for f in ("layers", "outputs", "output_names", "card", "data", "data_fingerprints")},
        raw=full,
    )
    graph = to_graph(analyze(pruned))
    assert graph.nodes["input:x1"]["alive"] is False
    assert graph.nodes["input:x1"]["cause"] == "masked"
    assert graph.degree("input:x1") == 0
    assert graph.has_edge("input:x2", "output:y0")


def test_a_hybrid_runs_from_columns_through_units_to_outputs():
    trace = hybrid(columns=2, units=3, names=["temp", "noise"])
    shares = (np.array([[0.9, 0.0], [0.4, 0.0], [0.1, 0.0]]), np.full((2, 2), 0.5), np.full((1, 2), 0.5))
    analysis = analyze(trace, ablation=ablation([1.0, 0.0], names=["temp", "noise"], shares=shares))
    graph = to_graph(analysis)
    assert graph["input:temp"]["unit:0"]["weight"] == 0.9
    assert graph["input:temp"]["unit:0"]["kind"] == "backbone"
    assert not list(graph.successors("input:noise"))
    assert nx.has_path(graph, "input:temp", "output:y0")
    assert graph.nodes["input:noise"]["survives"] == "drop"
    assert to_mask(graph).count == 8
    unmeasured = to_graph(trace)
    assert unmeasured["input:noise"]["unit:0"]["measured"] is False


def test_foreign_graphs_and_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="to_graph"):
        to_mask(nx.DiGraph([("a", "b")]))
    (tmp_path / "bad").write_text("<html>")
    for text in ("", "<html>", "{}", "[]", '{"graph": {}, "nodes": [{}], "edges": []}'):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(FileFormatError):
            read_graphml(tmp_path / "bad")
        with pytest.raises(FileFormatError):
            from_json(text)
    nx.write_graphml_xml(nx.Graph([("a", "b")]), tmp_path / "bad")
    with pytest.raises(FileFormatError, match="directed"):
        read_graphml(tmp_path / "bad")


def test_a_trace_without_rows_is_refused():
    trace = random_net((2, 1), 0).trace(random_inputs(2))
    empty = type(trace.outputs).of(np.zeros((0, 1)))
    fields = ("layers", "output_names", "card", "data", "data_fingerprints", "raw")
    with pytest.raises(DataError, match="no rows"):
        to_graph(type(trace)(**{f: getattr(trace, f) for f in fields}, outputs=empty))
