"""`to_html`: a document as one offline page. Nothing is computed here; figures are drawn, words are escaped."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from . import charts
from .blocks import Block, Document
from .cells import Badge, Bars, Cell, Histogram, Name, Table, Whisker, Zones
from .edge_figure import edge_figure
from .figure_nouns import NetworkFigure
from .heatmap import heatmap, needs_heatmap
from .loss_curve import loss_curve
from .network import edge_label, network_svg
from .passport_figure import effect_figure
from .period_map import LEVELS, period_map
from .ruler import ruler
from .serial import to_json
from .thumbnails import groups, symbols, thumbnail
from .wording import count, interval, number, p_value, percent, shorten, sign

__all__ = ["to_html"]


LONGEST_NAME = 64
"""Names are cut to this in tables; the full name is in the tooltip and on the input's card."""


def to_html(document: Document) -> str:
    """One HTML file: styles, script, figures and data inside, nothing fetched.

    Parameters
    ----------
    document : Document
        What to show.

    Returns
    -------
    str
        The same text for the same document. Complete without JavaScript and on paper.
    """
    template = _environment().get_template("report.html.j2")
    page = template.render(
        document=document,
        data=Markup(to_json(document)),  # noqa: S704  (to_json escapes <, > and &)
        style=Markup(_resource("report.css")),  # noqa: S704  (our own file)
        script=Markup(_resource("report.js")),  # noqa: S704  (our own file)
        policy=_policy(),
        known=frozenset(section.id for section in document.sections),
    )
    return _without_dead_links(page)


def _without_dead_links(page: str) -> str:
    """Names of what is not drawn (a node beyond those of the graph) stay, as words."""
    there = set(_ID.findall(page))
    return _NAME_LINK.sub(lambda link: link[0] if link[1] in there else link[2], page)


_ID = re.compile(r'\bid="([^"]+)"')
_NAME_LINK = re.compile(r'<a href="#([^"]+)">(<bdi[^>]*>[^<]*</bdi>)</a>')


@cache
def _policy() -> str:
    """Content security policy: no request of any kind is allowed, whatever ends up in the page."""
    return "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@cache
def _resource(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters.update(
        bidi=bidi,
        count=count,
        number=number,
        sign=sign,
        percent=percent,
        shorten=shorten,
        interval=interval,
        q_value=lambda q: "–" if q is None else p_value(q),
    )
    environment.globals.update(
        block=_block,
        cell=_cell,
        charts=charts,
        badge=badge,
        cell_name=_name,
        edge_figure=edge_figure,
        effect_figure=effect_figure,
        numeric=lambda head: head.startswith("#"),
        network_svg=network_svg,
        ruler=ruler,
        groups=groups,
        symbols=symbols,
        thumbnail=thumbnail,
        heatmap=heatmap,
        loss_curve=loss_curve,
        needs_heatmap=needs_heatmap,
        period_map=period_map,
        levels=LEVELS,
        names=_names,
        edge_label=edge_label,
        ticks=charts.nice_ticks,
        whisker_scale=_whisker_scale,
    )
    return environment


def _block(block: Block, known: frozenset[str]) -> Markup:
    """The block through the macro named after its class."""
    macros: Any = _environment().get_template("blocks.html.j2").module
    drawn = getattr(macros, type(block).__name__.lower())(block, known)
    return Markup(drawn)  # noqa: S704  (a macro's output is escaped already)


def _names(figure: NetworkFigure) -> dict[tuple[int, int], str]:
    return {(node.layer, node.index): node.name for node in figure.nodes}


def _whisker_scale(table: Table) -> tuple[float, float]:
    """Range of all whiskers of a table, so that they can be compared."""
    items = [cell for row in table.rows for cell in row if isinstance(cell, Whisker)]
    return min([0.0, *(w.low for w in items)]), max([0.0, *(w.high for w in items)])


def _cell(cell: Cell, scale: tuple[float, float]) -> Markup:
    """Content of a table cell: figures beside the words that say the same."""
    if isinstance(cell, str):
        return bidi(cell)
    if isinstance(cell, Name):
        return _name(cell)
    if isinstance(cell, Badge):
        return badge(cell.word)
    if isinstance(cell, Whisker):
        return _beside(charts.whisker(cell, *scale), f"{number(cell.low)} to {number(cell.high)}")
    if isinstance(cell, Bars):
        return _beside(charts.bars(cell), cell.label)
    if isinstance(cell, Zones):
        return charts.zones(cell)
    return _histogram(cell)


def _histogram(cell: Histogram) -> Markup:
    words = f"{number(cell.seen[0])} to {number(cell.seen[1])} on {number(cell.domain[0])} to {number(cell.domain[1])}"
    return Markup('<span class="stack">{}<span>{}</span></span>').format(charts.histogram(cell), words)


def _beside(figure: Markup, words: str) -> Markup:
    return Markup('<span class="beside">{}<span>{}</span></span>').format(figure, words)


def _name(name: Name) -> Markup:
    cut = shorten(name.text, LONGEST_NAME)
    full = Markup(' title="{}"').format(name.text) if cut != name.text else Markup("")
    text = Markup("<bdi{}>{}</bdi>").format(full, cut)
    return Markup('<a href="#{}">{}</a>').format(name.href, text) if name.href else text


def badge(word: str) -> Markup:
    """Shape and word of a verdict or severity: never colour alone."""
    return Markup('<span class="badge {0}"><span class="shape {0}" aria-hidden="true"></span> {0}</span>').format(word)


def bidi(text: str) -> Markup:
    """Sentence with every right-to-left run isolated, so that the words around it keep their order.

    Examples
    --------
    >>> bidi("a < b")
    Markup('a &lt; b')
    """
    if text.isascii():
        return escape(text)
    return Markup(_RTL_RUN.sub(lambda run: f"<bdi>{run.group()}</bdi>", str(escape(text))))  # noqa: S704


def _rtl_class() -> str:
    blocks = ((0x0590, 0x08FF), (0xFB1D, 0xFDCF), (0xFDF0, 0xFDFF), (0xFE70, 0xFEFC))
    return "".join(f"{chr(a)}-{chr(b)}" for a, b in blocks)


_RTL_RUN = re.compile(f"[{_rtl_class()}](?:[{_rtl_class()}\\s\\-'.,]*[{_rtl_class()}])?")
"""Hebrew, Arabic, Syriac, Thaana, N'Ko and their presentation forms."""
