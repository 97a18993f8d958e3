"""Section 3: the network, four readings of its edges, and what its nodes mean in the user's columns."""

from __future__ import annotations

import numpy as np

from kaninterp.analysis.drivers import Driver, node_drivers
from kaninterp.analysis.missing import DRAWING_LIMIT
from kaninterp.render.blocks import Block, Paragraph, Section
from kaninterp.render.cells import Bars, Name, Table
from kaninterp.render.disagreement import banner, signed_rank
from kaninterp.render.edge_columns import edge_columns, layer_axes
from kaninterp.render.figure_nouns import Edges, NetworkFigure
from kaninterp.render.material import Material
from kaninterp.render.missing_table import missing_tables
from kaninterp.render.network_nodes import links, nodes
from kaninterp.render.passport_cards import passport_cards
from kaninterp.render.readings import DEFAULT, LABELS, Agreement, agreement, readings
from kaninterp.render.wording import count, join, number, percent, plural, shorten, shown

__all__ = ["network_section"]

MAX_NODE_ROWS = 96
MAX_RUGS = 400
"""Histograms of source nodes: about 150 bytes each in the data."""


def network_section(material: Material) -> Section:
    """Banner, figure, agreement of the readings, and the meaning of the nodes."""
    agreements = agreement(material.analysis)
    figure = _figure(material, (*_meaning(material), *missing_tables(material), *_agreement_tables(agreements)))
    blocks: list[Block] = []
    text = banner(material.analysis, figure, agreements)
    if text:
        blocks.append(Paragraph(text=text, tone="warning"))
    blocks.append(figure)
    blocks.extend(passport_cards(material))
    passports = material.analysis.passports
    if passports is not None and passports.remark:
        blocks.append(Paragraph(text=f"Nodes were not described: {shown(passports.remark)}.", tone="note"))
    card = material.analysis.trace.card
    live = len(figure.edges) + _unlisted(material, figure.edges)
    lead = (
        f"{count(live)} live edge{plural(live)} in a KAN of {join([str(w) for w in card.widths], most=9)} nodes; "
        f"{_masked(figure.masked)} masked in the model."
    )
    return Section(id="network", title="The network", lead=lead, blocks=tuple(blocks))


def _masked(edges: int) -> str:
    return "none is" if not edges else f"{count(edges)} {'is' if edges == 1 else 'are'}"


def _unlisted(material: Material, edges: Edges) -> int:
    return sum(int(layer.edges.alive.sum()) for layer in material.analysis.trace.layers) - len(edges)


def _figure(material: Material, companions: tuple[Table, ...]) -> NetworkFigure:
    layers = material.analysis.trace.layers
    axes = tuple(
        layer_axes(layer, ranges, MAX_RUGS // len(layers))
        for layer, ranges in zip(layers, material.analysis.ranges, strict=True)
    )
    edges = edge_columns(material.analysis, axes)
    drawn_nodes, heads, nodes_left = nodes(material)
    drawn_links, links_text = links(material)
    return NetworkFigure(
        caption="From your columns to the output. Width and opacity of a line follow the reading chosen below.",
        columns=heads,
        nodes=drawn_nodes,
        links=drawn_links,
        links_text=links_text,
        readings=readings(material.analysis),
        default=DEFAULT,
        edges=edges,
        axes=axes,
        masked=sum(int((~layer.edges.alive).sum()) for layer in layers),
        left_out=_left_out(material, edges, nodes_left),
        companions=companions,
    )


def _left_out(material: Material, edges: Edges, nodes_left: str) -> str:
    """What the figure does not draw one by one, and where it is."""
    live = len(edges) + _unlisted(material, edges)
    weak = sum(
        int(((scores.kan2.max(0) < DRAWING_LIMIT) & layer.edges.alive).sum())
        for scores, layer in zip(material.analysis.scores, material.analysis.trace.layers, strict=True)
    )
    parts = [f"{count(edges.drawn)} of {count(live)} live edges are drawn one by one."]
    if weak:
        parts.append(
            f"{count(weak)} {'has' if weak == 1 else 'have'} a KAN 2.0 score below {DRAWING_LIMIT}: thin grey lines."
        )
    strong = live - weak - edges.drawn
    if strong > 0:
        parts.append(
            f"{count(strong)} stronger ones had no room (the highest scores and those near the plan's cut come first): "
            "thin grey lines, too."
        )
    if live > len(edges):
        parts.append(f"{count(live - len(edges))} edges with the lowest scores are not in this file.")
    if nodes_left:
        parts.append(f"Not drawn: {nodes_left}.")
    return " ".join(parts)


def _agreement_tables(agreements: tuple[Agreement, ...]) -> tuple[Table, ...]:
    rows = tuple(
        (LABELS[a.left], LABELS[a.right], signed_rank(a.rho), f"layer {a.layer + 1}", count(a.edges))
        for a in agreements
    )
    if not rows:
        return ()
    return (
        Table(
            id="agreement",
            caption="How far the readings agree (Spearman rank correlation, the lowest over the layers)",
            columns=("Reading", "Reading", "#Spearman", "Where", "#Edges"),
            rows=rows,
            folded=True,
        ),
    )


def _meaning(material: Material) -> tuple[Table, ...]:
    """Nodes in terms of raw columns and lags (question 3), layers of the KAN first, then the units."""
    analysis = material.analysis
    layers = range(len(analysis.trace.layers) - 1, 0 if material.plain else -1, -1)
    tables = (_meaning_table(material, layer) for layer in layers)
    return tuple(table for table in tables if table is not None)


def _meaning_table(material: Material, layer: int) -> Table | None:
    weight = material.analysis.scores[layer].nodes_kan2.max(0)
    order = [int(i) for i in np.argsort(-weight, kind="stable") if weight[i] > 0]
    found = [(i, top) for i in order for top in [node_drivers(material.analysis, layer, i)] if top]
    rows = tuple(
        (
            Name(text=shown(material.analysis.trace.node_name(layer, i)), href=f"node-{layer}-{i}"),
            number(float(weight[i])),
            *(_driver(top, k) for k in range(3)),
            _node_profile(material, layer, i),
        )
        for i, top in found[: MAX_NODE_ROWS // len(material.analysis.trace.layers)]
    )
    if not rows:
        return None
    left = len(found) - len(rows)
    what = "backbone units" if layer == 0 else f"KAN nodes of layer {layer}"
    return Table(
        id=f"meaning-{layer}",
        caption=f"What the {what} mean: the columns each one moves with",
        columns=("Node", "#KAN 2.0", "Moves most with", "then", "then", "Over lags, lag 0 on the left"),
        rows=rows,
        folded=layer == 0,
        note="In brackets: share of the node's variance that is lost when the column is shuffled, and the lag at "
        "which its gradient is largest (0 is the last time step)."
        + (f" {left} nodes with a smaller score are left out." if left else ""),
    )


def _driver(top: tuple[Driver, ...], place: int) -> Name:
    if place >= len(top):
        return Name(text="–")
    driver = top[place]
    at = f", lag {driver.lag}" if driver.lag is not None else ""
    return Name(text=f"{shorten(shown(driver.name), 40)} ({percent(driver.share)}{at})")


def _node_profile(material: Material, layer: int, index: int) -> Bars | str:
    attribution = material.analysis.attribution
    if attribution is None or layer >= len(attribution.node_lags) or attribution.node_lags[layer].shape[1] < 2:
        return "–"
    profile = attribution.node_lags[layer][index].sum(1)
    if len(profile) > 32:
        profile = np.array([part.mean() for part in np.array_split(profile, 32)])
    return Bars(values=tuple(float(v) for v in profile), label=f"largest at lag {int(profile.argmax())}")
