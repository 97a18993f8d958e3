"""What a report says, before it has a form: sections made of blocks, blocks made of numbers and words.

HTML, plain text and JSON are three views of these; none of them computes anything the document does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .cells import Name, Table, Whisker
from .drift_nouns import PeriodMap
from .edge_nouns import EdgeCards
from .figure_nouns import NetworkFigure
from .formula_nouns import FormulaLines
from .passport_nouns import PassportCards

__all__ = [
    "AnswerBox",
    "Block",
    "Check",
    "Definitions",
    "Document",
    "FindingItem",
    "Findings",
    "InputCard",
    "InputCards",
    "Listing",
    "LossCurve",
    "Paragraph",
    "Question",
    "Questions",
    "Section",
    "SizeChange",
    "SurvivalChart",
    "Verbatim",
]


DECIDED = "None: this data decides on every input."
"""What stands where no column is tentative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """One or more plain sentences; ``tone`` is "", "note", "warning" or "problem"."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One reason to trust, or not to trust, the answer."""

    passed: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeChange:
    """A count before and after."""

    what: str
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerBox:
    """The first screen.

    Attributes
    ----------
    headline, price : str
        What survives, and what dropping the rest costs.
    keep, tentative, drop : tuple of Name
        The user's columns by verdict, most needed first.
    drop_note : str
        Why the dropped ones go, in one line.
    tentative_note : str
        What to say where none is tentative.
    loss : str
        Name of the loss.
    before, after, difference : Whisker or None
        Held-out loss and its paired difference.
    sizes : tuple of SizeChange
        Model size before and after.
    checks : tuple of Check
        How sure the answer is.
    judged : bool
        Whether this is advice; False: columns are kept or gone already, tentative ones kept.
    """

    headline: str
    price: str
    keep: tuple[Name, ...]
    tentative: tuple[Name, ...]
    drop: tuple[Name, ...]
    drop_note: str
    loss: str
    rows: int
    before: Whisker | None
    after: Whisker | None
    difference: Whisker | None
    sizes: tuple[SizeChange, ...]
    checks: tuple[Check, ...]
    judged: bool = True
    tentative_note: str = DECIDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One of the five questions, answered for this model."""

    question: str
    answer: str
    evidence: tuple[str, ...]
    section: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """The five questions."""

    items: tuple[Question, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingItem:
    """A finding as it is printed."""

    code: str
    severity: str
    claim: str
    evidence: str
    advice: str
    section: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All findings, worst first."""

    items: tuple[FindingItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalChart:
    """Loss against the number of inputs kept; the table twin follows as a block of its own.

    Attributes
    ----------
    names : tuple of str
        Column added at step k = 1, 2, ...
    """

    caption: str
    loss: str
    names: tuple[str, ...]
    value: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    chosen: int
    summary: str
    table: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCurve:
    """Held-out loss while more and more goes, the first point with everything; its table stands beside it.

    Attributes
    ----------
    what : str
        "inputs" or "edges".
    kept : tuple of int
        Things left at each point, falling.
    best, chosen : int
        Points that are marked.
    """

    caption: str
    what: str
    loss: str
    kept: tuple[int, ...]
    value: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    best: int
    chosen: int
    summary: str
    table: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class InputCard:
    """One raw input: verdict, reason and evidence.

    Attributes
    ----------
    facts : tuple of (str, str)
        Term and value.
    rise : Whisker or None
        Rise of the loss when the column is shuffled.
    lags : tuple of float
        Attribution per lag (lag 0 = last time step first), binned if there are many.
    lags_text : str
        What the profile shows, in words.
    """

    id: str
    name: str
    verdict: str
    text: str
    facts: tuple[tuple[str, str], ...]
    rise: Whisker | None
    lags: tuple[float, ...]
    lags_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputCards:
    """Cards of the raw inputs on one scale of the loss rise.

    Attributes
    ----------
    rest : tuple of (str, str, str)
        Id, verdict and name of the inputs for which there was no room.
    """

    caption: str
    scale: tuple[float, float]
    items: tuple[InputCard, ...]
    rest: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Terms and values."""

    caption: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verbatim:
    """Text to copy, such as the call that makes the report again."""

    caption: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """Glossary: word, what the number is, what it is not."""

    items: tuple[tuple[str, str, str], ...]


Block: TypeAlias = (
    "AnswerBox | Questions | Findings | Paragraph | Table | SurvivalChart | LossCurve | InputCards | Listing | Verbatim"
    " | Definitions | NetworkFigure | EdgeCards | PassportCards | PeriodMap | FormulaLines"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the report; ``id`` is what findings link to."""

    id: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole report: words and numbers, no form yet.

    Attributes
    ----------
    title : str
        Title of the page.
    subtitle : str
        What was looked at: model, data, rows.
    sections : tuple of Section
        Top to bottom.
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]

    def section(self, id: str) -> Section:  # noqa: A002  (it is the word HTML uses)
        """The section with this id.

        Raises
        ------
        KeyError
            There is none.
        """
        for section in self.sections:
            if section.id == id:
                return section
        raise KeyError(id)
