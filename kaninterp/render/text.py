"""`to_text`: the report in a terminal. The same parts as the page; figures become their tables."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .blocks import (
    AnswerBox,
    Definitions,
    Document,
    Findings,
    InputCards,
    Listing,
    LossCurve,
    Paragraph,
    Questions,
    SurvivalChart,
    Verbatim,
)
from .cells import Badge, Bars, Cell, Histogram, Name, Table, Whisker, Zones
from .drift_nouns import PeriodMap
from .edge_nouns import EdgeCards
from .figure_nouns import NetworkFigure
from .formula_nouns import FormulaLines
from .passport_nouns import PassportCards
from .wording import count, number, percent, shorten, sign

__all__ = ["to_text"]

WIDTH = 100
MARKS = {
    "keep": "●",
    "tentative": "◐",
    "drop": "○",
    "problem": "▲",
    "caution": "◆",
    "note": "■",
    "pass": "●",
    "weak": "◆",
    "fail": "▲",
    "unmeasured": "○",
}
MOST_ROWS = 12
MOST_NAMES = 24
MOST_EVIDENCE = 3
LONGEST_NAME = 40


def to_text(document: Document) -> str:
    """Plain text of a document, 100 columns wide; long tables are cut and say so. The glossary stays in the page."""
    parts = [document.title, document.subtitle]
    for section in document.sections:
        if section.id == "glossary":
            continue
        parts += ["", section.title.upper(), "─" * len(section.title)]
        if section.lead:
            parts.append(_wrap(section.lead))
        for block in section.blocks:
            text = _WRITERS[type(block)](block)
            if text:
                parts += [text, ""]
    return "\n".join(parts).rstrip() + "\n"


def _wrap(text: str, indent: str = "", first: str | None = None) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=indent if first is None else first, subsequent_indent=indent, break_on_hyphens=False
    )


def _answer(box: AnswerBox) -> str:
    lines = [_wrap(box.headline), _wrap(box.price)]
    for kind, names in (("keep", box.keep), ("tentative", box.tentative), ("drop", box.drop)):
        if names:
            listed = ", ".join(shorten(name.text, LONGEST_NAME) for name in names[:MOST_NAMES])
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            lines.append(_wrap(f"{listed}{more}", "    ", f"  {MARKS[kind]} {kind} ({len(names)}): "))
    if box.drop_note:
        lines.append(_wrap(box.drop_note, "    "))
    for label, whisker in (("before", box.before), ("after", box.after), ("difference", box.difference)):
        if whisker is not None:
            lines.append(f"  {box.loss} {label}: {_interval(whisker)}")
    lines += [f"  {size.what}: {count(size.before)} → {count(size.after)}" for size in box.sizes]
    lines += [_wrap(check.text, "    ", "  ✓ " if check.passed else "  ! ") for check in box.checks]
    return "\n".join(lines)


def _interval(item: Whisker) -> str:
    return f"{number(item.value)} ({number(item.low)} to {number(item.high)})"


def _questions(block: Questions) -> str:
    return "\n".join(
        "\n".join([_wrap(item.question, "   ", f"{i}. "), _wrap(item.answer, "   "), *_evidence(item.evidence)])
        for i, item in enumerate(block.items, 1)
    )


def _evidence(statements: tuple[str, ...]) -> list[str]:
    lines = [_wrap(text, "     ", "   - ") for text in statements[:MOST_EVIDENCE]]
    more = len(statements) - MOST_EVIDENCE
    return [*lines, f"   - and {more} more in the page"] if more > 0 else lines


def _findings(block: Findings) -> str:
    lines = []
    for item in block.items:
        lines.append(_wrap(item.claim, "    ", f"{MARKS[item.severity]} {item.severity}: "))
        lines += [_wrap(item.evidence, "    "), _wrap(f"Advice: {item.advice}", "    ")]
    return "\n".join(lines)


def _paragraph(block: Paragraph) -> str:
    return _wrap(block.text)


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Name):
        return shorten(cell.text, LONGEST_NAME)
    if isinstance(cell, Badge):
        return f"{MARKS[cell.word]} {cell.word}"
    if isinstance(cell, Whisker):
        return f"{sign(cell.low)} to {sign(cell.high)}"
    if isinstance(cell, Bars):
        return cell.label
    if isinstance(cell, Zones):
        return " / ".join(map(percent, (cell.trained, cell.fringe, cell.dead)))
    return _histogram(cell)


def _histogram(cell: Histogram) -> str:
    return f"{number(cell.seen[0])} to {number(cell.seen[1])} on {number(cell.domain[0])} to {number(cell.domain[1])}"


def _table(block: Table) -> str:
    if block.folded:
        return ""
    heads = [head.lstrip("#") for head in block.columns]
    rows = [[_cell(cell) for cell in row] for row in block.rows[:MOST_ROWS]]
    wide = [max(len(text) for text in column) for column in zip(heads, *rows, strict=True)]
    right = [head.startswith("#") for head in block.columns]
    lines = [block.caption]
    for row in (heads, *rows):
        cells = (t.rjust(w) if r else t.ljust(w) for t, w, r in zip(row, wide, right, strict=True))
        lines.append(f"  {'  '.join(cells)}".rstrip())
    if len(block.rows) > MOST_ROWS:
        lines.append(f"  ... and {len(block.rows) - MOST_ROWS} more rows in the page")
    return "\n".join(lines)


def _chart(block: SurvivalChart) -> str:
    return _wrap(f"{block.caption}: {block.summary}")


def _loss_curve(block: LossCurve) -> str:
    return "\n".join([_wrap(f"{block.caption}: {block.summary}"), _table(block.table)])


def _periods(block: PeriodMap) -> str:
    # folded beside the drawing, which text has not
    return "\n".join([_wrap(f"{block.caption}: {block.summary}"), _table(replace(block.table, folded=False))])


def _cards(block: InputCards) -> str:
    lines = [block.caption]
    for card in block.items[:MOST_ROWS]:
        head = f"  {MARKS[card.verdict]} {shorten(card.name, LONGEST_NAME)}: "
        lines += [_wrap(card.text, "    ", head)]
    more = max(len(block.items) - MOST_ROWS, 0) + len(block.rest)
    if more:
        lines.append(f"  ... and {count(more)} more inputs in the page")
    return "\n".join(lines)


def _edges(block: EdgeCards) -> str:
    lines = [block.caption]
    for card in block.items[:MOST_ROWS]:
        ends = " → ".join(shorten(name.text, LONGEST_NAME) for name in (card.source, card.target))
        lines.append(_wrap(f"{card.why} {card.fix}", "    ", f"  {ends}: "))
    return "\n".join(lines)


def _passports(block: PassportCards) -> str:
    lines = [block.caption]
    for card in block.items[:MOST_ROWS]:
        facts = ". ".join(f"{term}: {value}" for term, value in card.facts)
        lines.append(_wrap(f"{card.text} {facts}.", "    ", f"  {shorten(card.name.text, LONGEST_NAME)}: "))
    more = len(block.items) - MOST_ROWS
    return "\n".join([*lines, f"  ... and {count(more)} more nodes in the page"] if more > 0 else lines)


def _listing(block: Listing) -> str:
    return "\n".join([block.caption, *(_wrap(value, "      ", f"  {term}: ") for term, value in block.rows)])


def _verbatim(block: Verbatim) -> str:
    return f"{block.caption}\n{textwrap.indent(block.text, '  ')}"


def _definitions(block: Definitions) -> str:
    return "\n".join(_wrap(f"{word}: {what} Not: {isnot}", "  ", "") for word, what, isnot in block.items)


def _formulas(block: FormulaLines) -> str:
    lines = [_wrap(" ".join(filter(None, (item.text, item.remark))), "      ", "  ") for item in block.items]
    return "\n".join([block.caption, *lines, _wrap(block.note, "  ")])


def _network(block: NetworkFigure) -> str:
    names = {(node.layer, node.index): node.name for node in block.nodes}
    edges = block.edges
    score = edges.readings[[reading.key for reading in block.readings].index(block.default)]
    lines = [f"The {min(MOST_ROWS, len(edges))} edges with the highest KAN 2.0 score:"]
    for i in range(min(MOST_ROWS, len(edges))):
        src = shorten(names.get((edges.layer[i], edges.src[i]), "?"), LONGEST_NAME)
        dst = shorten(names.get((edges.layer[i] + 1, edges.dst[i]), "?"), LONGEST_NAME)
        plan = "" if edges.kept[i] else ", the plan removes it"
        lines.append(f"  {src} → {dst}: {number(score[i])}, {percent(edges.share[i])} of the variance{plan}")
    if block.left_out:
        lines.append(_wrap(block.left_out, "  "))
    lines += [_table(table) for table in block.companions if not table.folded]
    return "\n".join(lines)


_WRITERS: dict[type[Any], Callable[[Any], str]] = {
    AnswerBox: _answer,
    Questions: _questions,
    Findings: _findings,
    Paragraph: _paragraph,
    Table: _table,
    SurvivalChart: _chart,
    LossCurve: _loss_curve,
    InputCards: _cards,
    Listing: _listing,
    Verbatim: _verbatim,
    Definitions: _definitions,
    NetworkFigure: _network,
    EdgeCards: _edges,
    PassportCards: _passports,
    PeriodMap: _periods,
    FormulaLines: _formulas,
}
