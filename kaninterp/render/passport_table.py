"""Nodes in the user's columns: at most three for each, how well they describe it, and a formula where one does."""

from __future__ import annotations

import numpy as np

from kaninterp.core.passports import DESCRIBED, Effect, Passport
from kaninterp.render.cells import Cell, Name, Table
from kaninterp.render.material import Material
from kaninterp.render.wording import count, percent, shorten, shown

__all__ = ["LONGEST_NAME", "TOGETHER", "listed", "passport_table"]

MOST_ROWS = 24
"""Nodes listed: outputs, then nodes of the largest score."""

LONGEST_NAME = 32
"""Columns are cut to this within a sentence; formulas with longer names are left out."""

TOGETHER = 0.01
"""What products of two must add to be mentioned."""

NOTE = (
    "Described: so much of the node's variance do smooth functions of these columns explain, each at one lag (0 is the "
    "last time step) or as a weighted sum over all lags, on the last {rows} rows, which neither the fit nor the choice "
    "has seen; from {limit} on a node counts as described. In brackets: what is lost there without the column."
)


def listed(material: Material) -> list[Passport]:
    """Passports of the nodes that matter: outputs, then by score; none of a node that leads nowhere."""
    found = material.analysis.passports
    if found is None:
        return []
    weights = [scores.nodes_kan2.max(0) for scores in material.analysis.scores]
    weights.append(np.full(material.analysis.trace.card.widths[-1], np.inf))
    first = 1 if material.plain else 0  # the nodes of a plain KAN's first layer are the columns
    nodes = [p for p in found.nodes if p.layer >= first and weights[p.layer][p.index] > 0]
    return sorted(nodes, key=lambda p: (-float(weights[p.layer][p.index]), p.layer, p.index))


def passport_table(material: Material) -> Table | None:
    """One table of the nodes that matter; None where nothing was described."""
    found, nodes = material.analysis.passports, listed(material)
    if found is None or not nodes:
        return None
    left = len(nodes) - MOST_ROWS
    note = NOTE.format(rows=count(found.held_out), limit=percent(DESCRIBED))
    return Table(
        id="passports",
        caption="What each node is, in at most three of your columns",
        columns=("Node", "#Described", "In your columns"),
        rows=tuple(_row(material, p) for p in nodes[:MOST_ROWS]),
        folded=True,
        note=note + (f" {count(left)} nodes with a smaller score are left out." if left > 0 else ""),
    )


def _row(material: Material, node: Passport) -> tuple[Cell, ...]:
    trace = material.analysis.trace
    href = "" if node.layer == len(trace.layers) else f"node-{node.layer}-{node.index}"
    name = Name(text=shown(trace.node_name(node.layer, node.index)), href=href)
    if not node.effects:
        return (name, "–", "constant on these data" if node.spread == 0 else "no numeric column that varies")
    return (name, percent(node.r2), _told(node))


def _told(node: Passport) -> str:
    if node.r2 <= 0:
        return "Not by three inputs: the best explain nothing of it on rows that the fit did not see"
    text = "; ".join(_effect(effect) for effect in node.effects)
    if node.interaction >= TOGETHER:
        text += f"; products of two add {percent(node.interaction)}"
    if not node.described:
        return f"Not by three inputs. The best: {text}"
    if node.formula and all(len(effect.name) <= LONGEST_NAME for effect in node.effects):
        text += f". About {shown(node.formula)}"
    return text


def _effect(effect: Effect) -> str:
    when = f", {effect.when}," if effect.when else ""
    return f"{shorten(shown(effect.name), LONGEST_NAME)}{when} {effect.way} ({percent(effect.share)})"
