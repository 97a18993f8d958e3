"""The section "What is enough": held-out loss against inputs and edges kept, and the choice."""

from __future__ import annotations

from kaninterp.core.evidence import OUTPUT_CHANGE
from kaninterp.core.pruned import PruneReport
from kaninterp.core.survival import SurvivalPath, SurvivalTable
from kaninterp.render.blocks import Block, LossCurve, Section
from kaninterp.render.cells import Badge, Cell, Name, Table
from kaninterp.render.wording import count, number, percent, plural, shown, sign

__all__ = ["pruned_survival"]

CAPTIONS = {"inputs": "Held-out loss against inputs kept", "edges": "Held-out loss against edges kept"}
ORDERS = {
    "inputs": "The least needed on the training rows goes first.",
    "edges": "The lowest score on the training rows goes first.",
}


MAX_PARTS = 30


def pruned_survival(report: PruneReport) -> Section | None:
    """The curves, each with its table."""
    table = report.survival
    if table is None:
        return None
    blocks: list[Block] = [_curve(path, table) for path in (table.inputs, table.edges) if path is not None]
    if table.parts:
        blocks.append(_parts(table))
    return Section(id="enough", title="What is enough", lead=_lead(table), blocks=tuple(blocks)) if blocks else None


def _lead(table: SurvivalTable) -> str:
    base = table.base
    what = "change of the outputs (there is no target)" if table.loss == OUTPUT_CHANGE else shown(table.loss)
    return (
        f"Held-out loss ({what}) of the model as it was given: {number(base.value)}, 95 % interval {number(base.low)} "
        f"to {number(base.high)}. Judged on {shown(table.held_out)}: {count(table.rows)} row{plural(table.rows)} used, "
        f"redrawn in blocks of {count(table.block)}. Of all points within one standard error of the best, or above it "
        "by too little to count, the one with the least is chosen."
    )


def _curve(path: SurvivalPath, table: SurvivalTable) -> LossCurve:
    at = path.chosen
    gap = (
        "the lowest of all"
        if at == path.best and path.rise[at] <= 0
        else f"{sign(path.rise[at])} against the best, standard error {number(path.error[at])}"
    )
    summary = (
        f"{count(int(path.kept[at]))} of {count(int(path.kept[0]))} {path.level} are kept: loss "
        f"{number(path.loss[at])}, {gap}."
    )
    return LossCurve(
        caption=CAPTIONS.get(path.level, f"Held-out loss against {path.level} kept"),
        what=path.level,
        loss=shown(table.loss),
        kept=tuple(path.kept.tolist()),
        value=tuple(path.loss.tolist()),
        low=tuple(path.low.tolist()),
        high=tuple(path.high.tolist()),
        best=path.best,
        chosen=at,
        summary=summary,
        table=_points(path),
    )


def _points(path: SurvivalPath) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            count(int(path.kept[p])),
            number(path.loss[p]),
            f"{number(path.low[p])} to {number(path.high[p])}",
            sign(path.rise[p]),
            number(path.error[p]),
            _mark(path, p),
        )
        for p in range(len(path.kept))
    )
    return Table(
        id=f"enough-{path.level}",
        caption=f"The same in numbers: {path.level}",
        columns=("Kept", "#Loss", "#95 % interval", "#Above best", "#Its error", "Mark"),
        rows=rows,
        note=f"{ORDERS.get(path.level, '')} Points of the figure stand at equal distances; the band is the 95 % "
        "interval. “Above best” is a difference on the same rows, so it is surer than the intervals suggest.",
    )


def _parts(table: SurvivalTable) -> Table:
    """Edges and nodes about which the draws agree least."""
    listed = table.doubtful[:MAX_PARTS]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            Name(text=shown(part.name)),
            part.kind,
            Badge(word=part.survives),
            "n/a" if part.share is None else percent(part.share),
            shown(part.text),
        )
        for part in listed
    )
    sums = "; ".join(_sums(table, kind) for kind in ("edge", "node"))
    left = len(table.parts) - len(listed)
    more = f" {count(left)} surer ones are in the JSON form of the report." if left else ""
    return Table(
        id="enough-parts",
        caption="Edges and nodes, the most doubtful first",
        columns=("What", "Kind", "Verdict", "#Stays in draws", "Evidence"),
        rows=rows,
        note=f"{sums}. A node stays as often as its best way from an input to an output, a way as often as its weakest "
        f"edge.{more}",
    )


def _sums(table: SurvivalTable, kind: str) -> str:
    verdicts = [part.survives for part in table.parts if part.kind == kind]
    return f"{kind.capitalize()}s: " + ", ".join(
        f"{count(verdicts.count(word))} {word}" for word in ("keep", "tentative", "drop")
    )


def _mark(path: SurvivalPath, point: int) -> str:
    words = [word for word, at in (("◆ chosen", path.chosen), ("○ best", path.best)) if point == at]
    return ", ".join(words)
