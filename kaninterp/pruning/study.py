"""One choice in the making: the rows, the path of the inputs, the path of the edges, the plan."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from kaninterp.analysis import keep_all
from kaninterp.analysis.survival import FLOOR, FLOOR_TENTATIVE
from kaninterp.analysis.verdicts import FEWEST_BLOCKS
from kaninterp.core import ModelError, PrunePlan, Reason, Trace, Verdict
from kaninterp.core.evidence import OUTPUT_CHANGE
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.survival import SurvivalPath, SurvivalTable
from kaninterp.measure import BlockBootstrap, block_of, trace
from kaninterp.measure.host import Columns
from kaninterp.measure.losses import Loss
from kaninterp.nn import Entry, entries
from kaninterp.pruning.carry_out import carry_out
from kaninterp.pruning.edge_path import edge_curve, edge_plan
from kaninterp.pruning.elimination import Elimination, eliminate
from kaninterp.pruning.folding import fold
from kaninterp.pruning.held_out import Parts
from kaninterp.pruning.input_verdicts import Evidence, judge_inputs
from kaninterp.pruning.one_error import Curve, path_from
from kaninterp.pruning.part_verdicts import judge_parts
from kaninterp.pruning.subject import stand_ins_of, subject_of
from kaninterp.pruning.substitutes import Gone, find_substitute, foldable

__all__ = ["Picked", "Study"]

TRIALS = 2**20
"""Values (rows x lags x columns) per trial that orders columns: of wide data fewer rows are looked at, but `FEWEST`."""
FEWEST = 200


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picked:
    """The columns that were chosen to go.

    Attributes
    ----------
    gone : dict
        Their stand-ins; empty: none goes.
    path : SurvivalPath or None
        The curve; None where the inputs are neither tables nor sequences.
    verdicts : tuple of Verdict
        On every column.
    """

    gone: Gone
    path: SurvivalPath | None
    verdicts: tuple[Verdict, ...]


class Study:
    """Everything that a choice measures; use `pick_inputs` and `edge_path` inside `untouched`."""

    def __init__(
        self, model: nn.Module, parts: Parts, found: Trace, *, loss: Loss, rows: int, seed: int, path: str
    ) -> None:
        self.model, self.parts, self.found, self.path = model, parts, found, path
        self._loss, self._rows = loss, rows
        held = parts.held.sample(rows)
        self.columns = Columns.of(held, parts.held.names_per_input)
        # on training rows, and on all of them that fit: what stands in is part of the model that comes out
        self._fitted_on = parts.train.sample(rows)
        self._stand_ins = stand_ins_of(model, self._fitted_on)
        self.held = subject_of(model, held, self.columns, loss, self._stand_ins)
        self.boot = BlockBootstrap(held.n_rows, block_of(held, parts.held), np.random.default_rng(seed))
        self._found_entries: tuple[Entry, ...] = ()

    @property
    def enough(self) -> bool:
        """Whether the held-out rows can tell need from chance."""
        return len(self.held.base) >= FEWEST_BLOCKS * self.boot.block

    def pick_inputs(self, *, progress: bool) -> Picked:
        """Order the columns on training rows, measure the path on held-out rows, choose."""
        raw = self.found.raw
        if raw is None or not Columns.readable(self.held.batch):
            return Picked(gone={}, path=None, verdicts=())
        self._found_entries = entries(self.model, self.held.batch.rows(slice(0, 4)).arguments)
        batch = self.parts.train.sample(self._few())
        subject = subject_of(self.model, batch, self.columns, self._loss, self._stand_ins)
        order = eliminate(
            subject, raw, foldable(self.model, self._found_entries, self.columns, batch), progress=progress
        )
        losses = np.stack([self.held.without(gone) for gone in order.points], axis=1)
        chosen = path_from("inputs", _input_curve(order, losses), self.boot, slack=self.slack(losses), free=self.enough)
        gone = order.points[chosen.chosen]
        evidence = Evidence(
            raw=raw,
            subject=self.held,
            boot=self.boot,
            order=order,
            path=chosen,
            gone=gone,
            span=float(losses[:, -1].mean() - losses.mean(0).min()),
            enough=self.enough,
        )
        return Picked(gone=gone, path=chosen, verdicts=judge_inputs(evidence))

    def slack(self, losses: Array) -> float:
        """Rise of the loss that does not count: a small share of what all things together bring."""
        span = float(losses[:, -1].mean() - losses.mean(0).min())
        return max(span, 0.0) * (FLOOR_TENTATIVE if self.held.loss_name == OUTPUT_CHANGE else FLOOR)

    def prepared(self, picked: Picked) -> tuple[Picked, nn.Module]:
        """A copy without its columns; where they cannot be cut out, all stay, and the verdicts say why."""
        try:
            return picked, self.without_inputs(picked)
        except ModelError as error:
            stay = tuple(
                v if v.survives != "drop" else replace(v, survives="tentative", text=f"{v.text} It stays: {error}")
                for v in picked.verdicts
            )
            return replace(picked, gone={}, verdicts=stay), copy.deepcopy(self.model)

    def without_inputs(self, picked: Picked) -> nn.Module:
        """A copy in which columns that stay have taken over, and the others are cut off but still in place."""
        if not picked.gone or len(picked.gone) == len(self.columns.names):
            return copy.deepcopy(self.model)
        ready = fold(self.model, self._found_entries, self.columns, self._fitted_on, picked.gone)
        plan = self._inputs_plan(ready, picked)
        example = self.held.batch.rows(slice(0, 4)).as_data()
        return carry_out(ready, plan, path=self.path, example=example, compact=False)[0]

    def handed_over(self, kept: Collection[int]) -> tuple[nn.Module, Array]:
        """A copy in which columns that are kept have taken over for the others where they can, and the others' fill.

        Still in place are the others; held at the fill (one value per column, means for those kept) they do the least
        harm.
        """
        raw = self.found.raw
        if raw is None:
            return copy.deepcopy(self.model), np.zeros(0)
        groups = foldable(self.model, self._found_entries, self.columns, self._fitted_on)
        gone = {
            i: find_substitute(raw, i, [k for k in kept if groups[k] == groups[i] >= 0])
            for i in range(len(self.columns.names))
            if i not in kept
        }
        fill = np.array(raw.nodes.mean)
        for index, stand_in in gone.items():
            fill[index] = stand_in.intercept
        return fold(self.model, self._found_entries, self.columns, self._fitted_on, gone), fill

    def edge_path(
        self, ready: nn.Module, picked: Picked, *, score: str, progress: bool
    ) -> tuple[SurvivalPath | None, PrunePlan]:
        """Measure the path of the edges of a model without its columns, choose, and make the plan."""
        found = trace(ready, self.parts.train, path=self.path, progress=False)
        if not keep_all(found).mask.count:
            return None, keep_all(found)
        curve = edge_curve(ready, self.held, found, score=score, path=self.path, progress=progress)
        rivals = [] if picked.path is None else [self.held.without(picked.gone)]
        edges = path_from("edges", curve, self.boot, slack=self.slack(curve.losses), rivals=rivals, free=self.enough)
        return edges, edge_plan(found, score, float(edges.threshold[edges.chosen]))

    def full_plan(self, edges: PrunePlan, picked: Picked) -> PrunePlan:
        """Edges and columns in one plan, with the reason for each, and where the evidence comes from."""
        where = f"judged on {self.parts.remark}"
        reasons = [replace(reason, text=f"{reason.text.rstrip('.')}; {where}.") for reason in _input_reasons(picked)]
        reasons += [replace(reason, text=f"{reason.text}; {where}") for reason in edges.reasons]
        if not picked.gone:
            return replace(edges, reasons=tuple(reasons))
        stays = edges.inputs & self._stays(picked)
        return replace(edges, inputs=stays, fill=self._fill(edges, picked), reasons=tuple(reasons))

    def table(self, picked: Picked, edges: SurvivalPath | None, plan: PrunePlan) -> SurvivalTable:
        """What was found, as a noun."""
        return SurvivalTable(
            names=() if picked.path is None else self.columns.names,
            loss=self.held.loss_name,
            rows=len(self.held.base),
            block=self.boot.block,
            held_out=self.parts.remark,
            base=self.boot.estimate(self.held.base),
            inputs=picked.path,
            edges=edges,
            verdicts=picked.verdicts,
            parts=() if edges is None else judge_parts(self.found, plan, edges, enough=self.enough),
        )

    def _few(self) -> int:
        per_row = len(self.columns.names) * self.columns.lags
        return max(min(self._rows, TRIALS // max(per_row * len(self.columns.names), 1)), min(FEWEST, self._rows))

    def _inputs_plan(self, ready: nn.Module, picked: Picked) -> PrunePlan:
        found = trace(ready, self.parts.train, path=self.path, progress=False)
        plan = keep_all(found)
        return replace(plan, inputs=plan.inputs & self._stays(picked), fill=self._fill(plan, picked))

    def _stays(self, picked: Picked) -> BoolArray:
        return np.array([i not in picked.gone for i in range(len(self.columns.names))], bool)

    def _fill(self, plan: PrunePlan, picked: Picked) -> Array:
        fill = np.array(plan.fill)
        for index, stand_in in picked.gone.items():
            fill[index] = stand_in.intercept
        return fill


def _input_curve(order: Elimination, losses: Array) -> Curve:
    gone = np.array([len(point) for point in order.points])
    return Curve(
        losses=losses,
        kept=len(order.order) - gone,
        threshold=np.array(order.rises),
        places=np.array(order.order)[:, None],
        gone=gone,
    )


def _input_reasons(picked: Picked) -> list[Reason]:
    if picked.path is None:
        return []
    rank = {int(place[0]): number for number, place in enumerate(picked.path.places)}
    return [
        Reason(
            kind="input",
            place=(verdict.index,),
            score=float(picked.path.survival[rank[verdict.index]]),
            threshold=0.5,
            text=verdict.text,
        )
        for verdict in picked.verdicts
        if verdict.survives == "drop"
    ]
