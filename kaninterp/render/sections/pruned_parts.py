"""Sections of the page about a pruning: every column, every reason, and the original number of all that is left."""

from __future__ import annotations

from collections.abc import Sequence

from kaninterp.core.findings import Verdict
from kaninterp.core.plan import Reason
from kaninterp.core.pruned import PruneReport
from kaninterp.render.blocks import Block, InputCard, InputCards, Paragraph, Section
from kaninterp.render.cells import Cell, Name, Table
from kaninterp.render.wording import count, join, number, shorten, shown

__all__ = ["doubtful_columns", "dropped_columns", "pruned_inputs", "pruned_map", "pruned_reasons", "ranges"]

MAX_CARDS = 48
"""Cards are about 1 kB each; further inputs get a line each."""
MAX_LINES = 2000
"""Of dropped columns, and of kept ones."""
MAX_REASONS = 300
LONGEST_PLACES = 40
"""Runs of node numbers written out per layer."""


def pruned_inputs(report: PruneReport) -> Section | None:
    """Every raw column with what became of it."""
    if not report.kept_inputs and not report.dropped_inputs:
        return None
    why = {reason.place[0]: reason.text for reason in report.reasons if reason.kind == "input"}
    doubtful, told = doubtful_columns(report), _verdicts(report)
    kept = [
        (
            i,
            name,
            "tentative" if i in doubtful else "keep",
            told[i].text if i in told else f"Not dropped: column {i} of the data.",
        )
        for i, name in zip(report.input_ids, report.kept_inputs, strict=True)
    ]
    gone = [(i, name, "drop", why.get(i) or "Dropped without a reason given.") for i, name in dropped_columns(report)]
    listed = (*gone[:MAX_LINES], *kept[:MAX_LINES])
    cards = InputCards(
        caption="Input by input",
        scale=(0.0, 1.0),
        items=tuple(_card(*entry) for entry in listed[:MAX_CARDS]),
        rest=tuple((f"input-{i}", verdict, shorten(shown(name), 60)) for i, name, verdict, _ in listed[MAX_CARDS:]),
    )
    open_ones = f", {count(len(doubtful))} of them tentative" if doubtful else ""
    lead = (
        f"{count(len(kept))} kept{open_ones}, {count(len(gone))} dropped. Numbers are positions in the original data."
    )
    return Section(id="inputs", title="Inputs", lead=lead, blocks=(cards,))


def pruned_reasons(report: PruneReport) -> Section:
    """What went and why."""
    shown_ones = report.reasons[:MAX_REASONS]
    left = len(report.reasons) - len(shown_ones)
    names = _Names(report)
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            Name(text=names.place(reason)),
            reason.kind,
            shown(reason.text),
            number(reason.score),
            number(reason.threshold),
        )
        for reason in shown_ones
    )
    blocks: list[Block] = []
    if rows:
        blocks.append(
            Table(
                id="reasons-table",
                caption="What went, and why",
                columns=("What", "Kind", "Reason", "#Score", "#Held against"),
                rows=rows,
                note=f"{count(left)} more are in the JSON form of the report." if left > 0 else "",
            )
        )
    else:
        blocks.append(Paragraph(text="Nothing was given up: there is no reason to list.", tone="note"))
    return Section(
        id="reasons", title="What went and why", lead=f"{count(len(report.reasons))} reasons.", blocks=tuple(blocks)
    )


def pruned_map(report: PruneReport) -> Section:
    """Original numbers of what is left."""
    before, after = report.widths
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            _layer_name(depth, len(after)),
            count(old),
            count(new),
            ranges(ids),
            Name(text=join([shorten(shown(name), 24) for name in names], most=12)),
        )
        for depth, (old, new, ids, names) in enumerate(
            zip(before, after, report.node_ids, _padded(report), strict=True)
        )
    )
    table = Table(
        id="map-table",
        caption="Where the nodes that are left came from",
        columns=("Layer", "#Nodes before", "#Nodes after", "Original numbers", "Names"),
        rows=rows,
        note="The n-th node of a layer now is the n-th of its original numbers. They stay the same however often the "
        "model is pruned.",
    )
    return Section(id="map", title="Index map", lead="", blocks=(table,))


def dropped_columns(report: PruneReport) -> list[tuple[int, str]]:
    """Original index and name of every raw column that went."""
    total, kept = len(report.kept_inputs) + len(report.dropped_inputs), set(report.input_ids)
    places = [i for i in range(total) if i not in kept]
    return list(zip(places, report.dropped_inputs, strict=True))


def doubtful_columns(report: PruneReport) -> frozenset[int]:
    """Kept columns on which the choice is not sure; none where nothing but a plan decided."""
    told = _verdicts(report)
    return frozenset(i for i in report.input_ids if i in told and told[i].survives == "tentative")


def _verdicts(report: PruneReport) -> dict[int, Verdict]:
    return {} if report.survival is None else {verdict.index: verdict for verdict in report.survival.verdicts}


def _card(index: int, name: str, verdict: str, text: str) -> InputCard:
    return InputCard(
        id=f"input-{index}",
        name=shown(name),
        verdict=verdict,
        text=shown(text),
        facts=(),
        rise=None,
        lags=(),
        lags_text="",
    )


def _padded(report: PruneReport) -> Sequence[tuple[str, ...]]:
    return report.node_names or ((),) * len(report.node_ids)


class _Names:
    """Names of columns and nodes by their original numbers, as far as they are known."""

    def __init__(self, report: PruneReport) -> None:
        self._columns = {
            **dict(zip(report.input_ids, report.kept_inputs, strict=True)),
            **dict(dropped_columns(report)),
        }
        self._last = len(report.node_ids) - 1
        self._nodes = {
            (depth, index): name
            for depth, (ids, row) in enumerate(zip(report.node_ids, _padded(report), strict=True))
            for index, name in zip(ids, row, strict=False)
        }
        reads_columns = all(self._columns.get(i) == self._nodes.get((0, i)) for i in report.node_ids[0])
        if self._columns and report.node_names and reads_columns:
            self._nodes |= {(0, index): name for index, name in self._columns.items()}

    def place(self, reason: Reason) -> str:
        """What a reason is about."""
        if reason.kind == "input":
            return shown(self._columns.get(reason.place[0], f"column {reason.place[0]}"))
        if reason.kind == "node":
            return self._node(*reason.place)
        layer, dst, src = reason.place
        return f"{self._node(layer, src)} → {self._node(layer + 1, dst)}"

    def _node(self, layer: int, index: int) -> str:
        default = f"unit {index}" if layer == 0 else f"y{index}" if layer == self._last else f"node {layer}.{index}"
        return shown(self._nodes.get((layer, index), default))


def _layer_name(depth: int, layers: int) -> str:
    return "Head inputs" if depth == 0 else "Outputs" if depth == layers - 1 else f"Layer {depth}"


def ranges(numbers: tuple[int, ...]) -> str:
    """Write ascending numbers as runs.

    Examples
    --------
    >>> ranges((0, 1, 2, 5, 7, 8))
    '0–2, 5, 7–8'
    """
    runs: list[list[int]] = []
    for i in numbers:
        if runs and runs[-1][-1] == i - 1:
            runs[-1] = [runs[-1][0], i]
        else:
            runs.append([i])
    text = [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    left = len(text) - LONGEST_PLACES
    return ", ".join(text[:LONGEST_PLACES]) + (f" and {left} more runs" if left > 0 else "")
