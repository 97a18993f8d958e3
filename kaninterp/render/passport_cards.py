"""Passports as cards: a sentence, the shape of each effect, and how well they describe the node."""

from __future__ import annotations

import numpy as np

from kaninterp.core.passports import Effect, Passport

from .cells import Name
from .material import Material
from .passport_nouns import EffectFigure, PassportCard, PassportCards
from .passport_table import LONGEST_NAME, TOGETHER, listed, passport_table
from .wording import count, number, percent, shorten, shown

__all__ = ["passport_cards"]

MOST_CARDS = 12
"""Cards drawn, 4 to 5 kB each; the table names more nodes."""

DIGITS = 3
"""Significant digits of drawn values: a picture has a hundred pixels."""

WAYS = {"rising": "rises with", "falling": "falls with", "up and down": "goes up and down with"}
"""Words of `Effect.way` in a sentence."""

CAPTION = "What each node is, in at most three of your columns"
NOTE = (
    "Each picture is one column: its value to the right, from the smallest seen to the largest, and what it adds to "
    "the node upwards, in units of the node, the other columns at their usual values. The line is 0, their average. "
    "The pictures of a node share one axis; the numbers beside a curve are its values at its ends. The grey bars are "
    "the rows of your data; the curve is thick where they are."
)


def passport_cards(material: Material) -> tuple[PassportCards, ...]:
    """Cards of the nodes that matter, with their table; none where nothing was described."""
    nodes = listed(material)
    table = passport_table(material)
    drawn = [node for node in nodes if node.effects]
    if table is None or not drawn:
        return ()
    left = len(drawn) - MOST_CARDS
    note = NOTE + (f" {count(left)} more nodes are not drawn, those of the smallest score." if left > 0 else "")
    cards = tuple(_card(material, node) for node in drawn[:MOST_CARDS])
    return (PassportCards(caption=CAPTION, items=cards, note=note, table=table),)


def _card(material: Material, node: Passport) -> PassportCard:
    trace, effects = material.analysis.trace, tuple(_figure(effect) for effect in node.effects)
    href = "" if node.layer == len(trace.layers) else f"node-{node.layer}-{node.index}"
    return PassportCard(
        id=f"passport-{node.layer}-{node.index}",
        name=Name(text=shown(trace.node_name(node.layer, node.index)), href=href),
        described=node.described,
        text=_text(node, effects),
        effects=effects,
        half=max(float(np.abs(effect.curve).max()) for effect in node.effects),
        facts=_facts(node),
    )


def _text(node: Passport, effects: tuple[EffectFigure, ...]) -> str:
    if node.r2 <= 0:
        return (
            "Cannot be described by three inputs or fewer: the best explain nothing of it on rows that the fit did not "
            "see. What was fitted proves nothing."
        )
    moves = "; ".join(f"{WAYS[effect.way]} {effect.column}" for effect in effects)
    if node.described:
        return f"{moves[0].upper()}{moves[1:]}."
    return (
        f"Cannot be described by three inputs or fewer: the best explain {percent(node.r2)} of its variance on rows "
        f"that the fit did not see. It {moves}."
    )


def _facts(node: Passport) -> tuple[tuple[str, str], ...]:
    """How well, how much of it together, and a formula."""
    facts = [("R² on held-out rows", number(node.r2, 2))]
    if node.interaction >= TOGETHER:
        facts.append(("Added by products of two", f"{percent(node.interaction)} of its variance"))
    elif len(node.effects) > 1:
        facts.append(("Added by products of two", f"less than {percent(TOGETHER)}"))
    if node.described and node.formula and all(len(effect.name) <= LONGEST_NAME for effect in node.effects):
        facts.append((f"Formula (R² {number(node.formula_r2, 2)})", shown(node.formula)))
    return tuple(facts)


def _figure(effect: Effect) -> EffectFigure:
    return EffectFigure(
        name=shorten(shown(effect.name), LONGEST_NAME),
        when=effect.when,
        way=effect.way,
        share=_rounded(effect.share),
        seen=(float(effect.grid[0]), float(effect.grid[-1])),
        curve=tuple(_rounded(v) for v in effect.curve),
        support=tuple(_rounded(v, 2) for v in effect.counts),
    )


def _rounded(value: float, digits: int = DIGITS) -> float:
    return float(f"{value:.{digits}g}")
