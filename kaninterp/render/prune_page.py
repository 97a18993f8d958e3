"""`prune_document`: a report of a pruning becomes a document, in the same form as every other report."""

from __future__ import annotations

from collections.abc import Callable

from kaninterp.core.pruned import PruneReport

from .blocks import Block, Definitions, Document, Listing, Section, Verbatim
from .sections.model import shown_code
from .sections.pruned import pruned_accuracy, pruned_answer, pruned_efficiency, pruned_steps
from .sections.pruned_parts import pruned_inputs, pruned_map, pruned_reasons
from .sections.pruned_survival import pruned_survival
from .wording import count, plural, shown

__all__ = ["prune_document"]

SECTIONS: tuple[Callable[[PruneReport], Section | None], ...] = (
    pruned_answer,
    pruned_accuracy,
    pruned_survival,
    pruned_efficiency,
    pruned_steps,
    pruned_inputs,
    pruned_reasons,
    pruned_map,
)
"""Top to bottom; a section with nothing to say is None."""

WORDS: tuple[tuple[str, str, str], ...] = (
    (
        "Parameters, non-zero parameters",
        "Trainable numbers of the whole model; non-zero are those that are not exactly zero and not on a masked edge.",
        "A measure of speed: a masked edge is still multiplied, until the model is compacted.",
    ),
    (
        "Multiply-adds",
        "Multiplications with an addition that one row takes, counted while the model ran.",
        "All of the work: activations, biases and the basis functions of the KAN come on top.",
    ),
    (
        "Latency",
        "Median time of one call, and how far apart the quartiles of many calls are.",
        "A property of the model alone: it is that of this machine, its number of threads and this number of rows.",
    ),
    (
        "Held-out loss",
        "Mean loss on rows that neither training nor the choice of what to prune has seen, if you kept them so.",
        "What the next year of data will cost.",
    ),
    (
        "One-standard-error choice",
        "The fewest inputs or edges whose held-out loss is within one standard error of the lowest one.",
        "The lowest loss itself: chance decides between points as close as that.",
    ),
    (
        "95 % interval",
        "From a bootstrap that redraws blocks of rows.",
        "A cover for a change of the training seed, or of the period the data come from.",
    ),
    (
        "Original number",
        "Position of a node or column in the model and data before the first pruning.",
        "Its position now: that is its place in the list.",
    ),
)


def prune_document(
    report: PruneReport,
    *,
    title: str = "What pruning did",
    call: str = "",
    options: tuple[tuple[str, str], ...] = (),
    versions: tuple[tuple[str, str], ...] = (),
) -> Document:
    """Turn the report of a pruning into a document.

    Parameters
    ----------
    report : PruneReport
        From `prune`, or of a whole run.
    title : str
        Title of the page.
    call : str
        Code that makes it again, or takes a step back.
    options, versions : tuple of (str, str)
        Printed at the end.

    Returns
    -------
    Document
        A pure function of the arguments: no clock, no randomness.
    """
    sections = [made for section in SECTIONS if (made := section(report)) is not None]
    closing = _closing(report, call, options, versions)
    glossary = Section(id="glossary", title="What the numbers are", lead="", blocks=(Definitions(items=WORDS),))
    return Document(title=shown(title), subtitle=_subtitle(report), sections=(*sections, closing, glossary))


def _subtitle(report: PruneReport) -> str:
    before, after = ("–".join(map(count, widths)) for widths in report.widths)
    model = shown(report.model) if report.model else "A model"
    steps = max(len(report.steps) - 1, 0)
    run = f" · {count(steps)} step{plural(steps)}" if report.steps else ""
    return f"{model} with a KAN of {before} nodes, {after} after pruning{run}"


def _closing(
    report: PruneReport, call: str, options: tuple[tuple[str, str], ...], versions: tuple[tuple[str, str], ...]
) -> Section:
    before, after = report.widths
    rows = (
        ("Model", shown(report.model) if report.model else "not named"),
        ("Nodes per layer before", " → ".join(map(count, before))),
        ("Nodes per layer after", " → ".join(map(count, after))),
        ("Parameters", f"{count(report.parameters[0])} before, {count(report.parameters[1])} after"),
    )
    blocks: list[Block] = [Listing(caption="Model", rows=rows)]
    made_with = tuple((shown(key), shown(value)) for key, value in (*versions, *options))
    if made_with:
        blocks.append(Listing(caption="Versions and options", rows=made_with))
    if call:
        blocks.append(Verbatim(caption="Make this page again, and take steps back", text=shown_code(call)))
    lead = "The model that was pruned is unchanged; the smaller one is a new model."
    return Section(id="model", title="Model", lead=lead, blocks=tuple(blocks))
