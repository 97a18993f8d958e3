"""Sections of the page about a pruning: what it costs, what it saves, and step by step."""

from __future__ import annotations

import math

from kaninterp.core.evidence import Estimate
from kaninterp.core.pruned import Efficiency, HeldOut, PruneReport, StepLine
from kaninterp.render.blocks import AnswerBox, Check, Section, SizeChange
from kaninterp.render.cells import Bars, Cell, Name, Table, Whisker
from kaninterp.render.sections.pruned_parts import doubtful_columns, dropped_columns
from kaninterp.render.wording import count, number, percent, plural, shown, sign

__all__ = ["pruned_accuracy", "pruned_answer", "pruned_efficiency", "pruned_steps"]

ENOUGH_ROWS = 200
"""Below this the block bootstrap has too few blocks for a 95 % interval."""
MAX_STEPS = 200


def pruned_answer(report: PruneReport) -> Section:
    """First screen: what is left, what it costs, what it saves."""
    held = report.held_out
    kept, doubtful = list(zip(report.input_ids, report.kept_inputs, strict=True)), doubtful_columns(report)
    box = AnswerBox(
        headline=_headline(report),
        price=_price(held),
        keep=tuple(_column(i, n) for i, n in kept if i not in doubtful),
        tentative=tuple(_column(i, n) for i, n in kept if i in doubtful),
        drop=tuple(_column(i, n) for i, n in dropped_columns(report)),
        drop_note="The model does not read them any more: exact." if report.dropped_inputs else "",
        loss=shown(held.loss) if held else "",
        rows=held.rows if held else 0,
        before=_whisker(held.before) if held else None,
        after=_whisker(held.after) if held else None,
        difference=_whisker(held.difference) if held else None,
        sizes=_sizes(report),
        checks=tuple(_checks(report)),
        judged=False,
    )
    return Section(id="answer", title="What the pruning did", lead="", blocks=(box,))


def pruned_efficiency(report: PruneReport) -> Section | None:
    """Running costs before and after."""
    if report.efficiency is None:
        return None
    before, after = report.efficiency
    lead = (
        f"Measured on this machine: {count(after.batch)} row{plural(after.batch)} a call, {after.threads} "
        f"thread{plural(after.threads)}, median of {count(after.repeats)} times, both models taking turns."
    )
    table = Table(
        id="efficiency-table",
        caption="What the model costs to keep and to run",
        columns=("Quantity", "#Before", "#After", "After / before"),
        rows=tuple(_cost_row(words, a, b) for words, a, b in _costs(before, after)),
        note="Multiply-adds are those of matrix products, convolutions, recurrent layers and attention. The bars of a "
        "row, before and after, share one scale. The interquartile range says how much the times spread.",
    )
    return Section(id="efficiency", title="Efficiency", lead=lead, blocks=(table,))


def pruned_accuracy(report: PruneReport) -> Section | None:
    """Loss and score before and after."""
    held = report.held_out
    if held is None:
        return None
    rows = [_estimates(held.loss, held.before, held.after, held.difference)]
    if held.score_before is not None and held.score_after is not None and held.score_difference is not None:
        rows.append(_estimates(held.score, held.score_before, held.score_after, held.score_difference))
    table = Table(
        id="accuracy-table",
        caption="Held-out data before and after",
        columns=("Quantity", "#Before (95 % interval)", "#After (95 % interval)", "#Difference (95 % interval)"),
        rows=tuple(rows),
        note="Both models on the same rows, so the difference is surer than the two intervals suggest. Intervals come "
        "from a bootstrap over blocks of rows.",
    )
    lead = f"{count(held.rows)} row{plural(held.rows)} that were held out."
    return Section(id="accuracy", title="Accuracy", lead=lead, blocks=(table,))


def pruned_steps(report: PruneReport) -> Section | None:
    """The run, one row per step."""
    if not report.steps:
        return None
    left = len(report.steps) - MAX_STEPS
    table = Table(
        id="steps-table",
        caption="The model after each step",
        columns=(
            "#Step", "What was done", "#Edges", "#Nodes", "#Inputs", "#Parameters", "#Multiply-adds", "#Latency, ms",
            "#Training loss", "#Held-out loss", "95 % interval",
        ),
        rows=tuple(_step_row(line) for line in report.steps[:MAX_STEPS]),
        note="“–”: not measured, or no plan spoke of it." + (f" {left} steps left out." if left > 0 else ""),
    )  # fmt: skip
    done = len(report.steps) - 1
    lead = (
        f"{count(done)} step{plural(done)}. Each can be taken back: run.undo() gives the model before it, bit for bit."
    )
    return Section(id="steps", title="Steps", lead=lead, blocks=(table,))


def _headline(report: PruneReport) -> str:
    edges = f"{count(report.edges[1])} of {count(report.edges[0])} edges"
    total = len(report.kept_inputs) + len(report.dropped_inputs)
    inputs = f"{count(len(report.kept_inputs))} of {count(total)} inputs and " if total else ""
    share = percent(report.parameters[1] / report.parameters[0]) if report.parameters[0] else "n/a"
    return f"{inputs}{edges} are left, with {share} of the parameters."


def _price(held: HeldOut | None) -> str:
    if held is None:
        return "What that costs in accuracy was not measured: give held-out data."
    d = held.difference
    moved = f"{number(held.before.value)} → {number(held.after.value)} {shown(held.loss)}"
    interval = f"difference {sign(d.value)}, 95 % interval {sign(d.low)} to {sign(d.high)}"
    if d.low <= 0 <= d.high:
        return f"The loss on held-out data does not change beyond noise: {moved} ({interval})."
    return f"The loss on held-out data {'rises' if d.value > 0 else 'falls'}: {moved} ({interval})."


def _sizes(report: PruneReport) -> tuple[SizeChange, ...]:
    total = len(report.kept_inputs) + len(report.dropped_inputs)
    rows = [
        ("Inputs", (total, len(report.kept_inputs))),
        ("KAN edges", report.edges),
        ("KAN nodes", report.nodes),
        ("Parameters", report.parameters),
    ]
    if report.efficiency is not None:
        before, after = report.efficiency
        rows += [
            ("Multiply-adds", (before.multiply_adds, after.multiply_adds)),
            ("Bytes on disk", (before.bytes_on_disk, after.bytes_on_disk)),
        ]
    return tuple(SizeChange(what=what, before=pair[0], after=pair[1]) for what, pair in rows if pair[0])


def _checks(report: PruneReport) -> list[Check]:
    checks = []
    held = report.held_out
    if held is not None:
        enough = held.rows >= ENOUGH_ROWS
        checks.append(
            Check(passed=enough, text=f"{count(held.rows)} held-out rows measured ({ENOUGH_ROWS} asked for).")
        )
        worse = held.difference.low > 0
        text = "The loss rises beyond noise." if worse else "The loss does not rise beyond noise."
        checks.append(Check(passed=not worse, text=text))
    if report.efficiency is not None:
        before, after = report.efficiency
        gain = before.latency_ms - after.latency_ms
        noise = max(before.latency_iqr_ms, after.latency_iqr_ms)
        text = (
            f"Latency falls by more than it spreads: {number(before.latency_ms)} → {number(after.latency_ms)} ms."
            if gain > noise
            else f"Latency does not fall by more than it spreads: {number(before.latency_ms)} → "
            f"{number(after.latency_ms)} ms, interquartile range {number(noise)} ms."
        )
        checks.append(Check(passed=gain > noise, text=text))
    return checks


def _costs(before: Efficiency, after: Efficiency) -> list[tuple[str, float, float]]:
    rows: list[tuple[str, float | None, float | None]] = [
        ("Parameters", before.parameters, after.parameters),
        ("Non-zero parameters", before.nonzero, after.nonzero),
        ("Multiply-adds per row", before.multiply_adds, after.multiply_adds),
        ("Bytes on disk", before.bytes_on_disk, after.bytes_on_disk),
        ("Latency, ms", before.latency_ms, after.latency_ms),
        ("Latency, interquartile range, ms", before.latency_iqr_ms, after.latency_iqr_ms),
        ("Latency, fastest, ms", before.latency_best_ms, after.latency_best_ms),
        ("Rows per second", before.throughput, after.throughput),
        ("Latency compiled, ms", before.compiled_ms, after.compiled_ms),
        ("Latency compiled, interquartile range, ms", before.compiled_iqr_ms, after.compiled_iqr_ms),
    ]
    return [(words, float(a), float(b)) for words, a, b in rows if a is not None and b is not None]


def _cost_row(words: str, before: float, after: float) -> tuple[Cell, ...]:
    ratio = after / before if before else math.nan
    form = (lambda v: count(int(v))) if before.is_integer() and after.is_integer() else number
    return (words, form(before), form(after), Bars(values=(before, after), label=f"× {number(ratio)}"))


def _estimates(what: str, before: Estimate, after: Estimate, difference: Estimate) -> tuple[Cell, ...]:
    d = difference
    return (
        shown(what),
        f"{number(before.value, 4)} ({number(before.low)} to {number(before.high)})",
        f"{number(after.value, 4)} ({number(after.low)} to {number(after.high)})",
        f"{sign(d.value)} ({sign(d.low)} to {sign(d.high)})",
    )


def _step_row(line: StepLine) -> tuple[Cell, ...]:
    held = line.held_out
    sure = held is not None and not math.isnan(held.low)
    return (
        str(line.step),
        Name(text=shown(line.label)),
        count(line.edges),
        count(line.nodes),
        "–" if line.inputs is None else count(line.inputs),
        count(line.parameters),
        "–" if line.multiply_adds is None else count(line.multiply_adds),
        "–" if line.latency_ms is None else number(line.latency_ms),
        "–" if line.train is None else number(line.train.value, 4),
        "–" if held is None else number(held.value, 4),
        Whisker(value=held.value, low=held.low, high=held.high) if held is not None and sure else "–",
    )


def _column(index: int, name: str) -> Name:
    return Name(text=shown(name), href=f"input-{index}")


def _whisker(estimate: Estimate) -> Whisker:
    return Whisker(value=estimate.value, low=estimate.low, high=estimate.high)
