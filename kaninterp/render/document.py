"""`document`: an analysis becomes a report without a form; one line per section."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kaninterp.analysis.answers import Answer
from kaninterp.analysis.bundle import Analysis
from kaninterp.core.evidence import PruneCost

from .blocks import Document, Section
from .material import Material
from .sections.answer import answer_section
from .sections.drift import drift_section
from .sections.findings import findings_section
from .sections.formula import formula_section
from .sections.glossary import glossary_section
from .sections.inputs import inputs_section
from .sections.model import model_section
from .sections.network import network_section
from .sections.ranges import ranges_section
from .sections.trust import trust_section
from .wording import count, plural, shown

__all__ = ["SECTIONS", "document"]

SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    answer_section,
    findings_section,
    network_section,
    inputs_section,
    formula_section,
    ranges_section,
    drift_section,
    trust_section,
    model_section,
    glossary_section,
)
"""Top to bottom; None where a report has nothing to say under it. A new section is one function and one line here."""

TITLE = "What this model uses"


def document(
    analysis: Analysis,
    *,
    cost: PruneCost | None = None,
    answers: Iterable[Answer] = (),
    title: str = TITLE,
    options: tuple[tuple[str, str], ...] = (),
    call: str = "",
    versions: tuple[tuple[str, str], ...] = (),
) -> Document:
    """Turn an analysis into a document.

    Parameters
    ----------
    analysis : Analysis
        Conclusions and the evidence behind them.
    cost : PruneCost, optional
        Price of the plan on held-out rows, for the answer box.
    answers : iterable of Answer
        The five questions, answered.
    title : str
        Title of the report.
    options, versions : tuple of (str, str)
        Printed under "Model and data".
    call : str
        Code that makes the report again.

    Returns
    -------
    Document
        A pure function of the arguments: no clock, no randomness.
    """
    material = Material(
        analysis=analysis, cost=cost, answers=tuple(answers), options=options, call=call, versions=versions
    )
    return Document(
        title=shown(title),
        subtitle=_subtitle(analysis),
        sections=tuple(made for section in SECTIONS if (made := section(material)) is not None),
    )


def _subtitle(analysis: Analysis) -> str:
    trace = analysis.trace
    widths = "–".join(map(count, trace.card.widths))
    size = f"{count(trace.rows)} row{plural(trace.rows)}"
    if trace.raw is None:
        size = f"{size} · {shown(trace.data)}"
    else:
        size += f" of {count(len(trace.raw.names))} column{plural(len(trace.raw.names))}"
        size += f" × {count(trace.raw.lags)} time steps" if trace.raw.lags > 1 else ""
    return f"{shown(trace.card.model)} with a KAN of {widths} nodes · {size}"
