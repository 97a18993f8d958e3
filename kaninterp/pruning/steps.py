"""`PruneRun`: a model made smaller step by step, with the price of every step and the way back."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandas as pd
from torch import nn

from kaninterp.adapters import as_view
from kaninterp.core import Estimate
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.core.pruned import Efficiency, StepLine
from kaninterp.pruning.outcome import PruneReport, live_nodes, parameter_count

__all__ = ["PruneRun", "PruneStep"]

LOSSES = ("train", "held_out")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PruneStep:
    """One step of a run.

    Attributes
    ----------
    number : int
        1, 2, ... in the run.
    label : str
        What was done: "kan2 < 0.03", "fine-tuned 20 epochs", "refit".
    model : nn.Module
        The model after the step; nobody changes it later.
    report : PruneReport or None
        What went in this step; None where nothing was cut (training, a refit).
    losses : mapping of str to Estimate or float
        Mean loss after the step under "train" and "held_out", as far as they were measured.
    efficiency : Efficiency or None
        What the model costs to run after the step, if it was measured.
    """

    number: int
    label: str
    model: nn.Module
    report: PruneReport | None = None
    losses: Mapping[str, Estimate | float] = field(default_factory=dict)
    efficiency: Efficiency | None = None

    def __post_init__(self) -> None:
        unknown = [key for key in self.losses if key not in LOSSES]
        if unknown:
            raise InputError(f"PruneStep.losses: unknown keys {unknown}; allowed: {', '.join(LOSSES)}")
        object.__setattr__(self, "losses", dict(self.losses))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PruneRun:
    """A model and the steps that made it smaller; every step can be taken back.

    Attributes
    ----------
    start : nn.Module
        The model before the first step.
    steps : tuple of PruneStep
        In the order they were taken.
    losses : mapping
        Losses of ``start``, as in `PruneStep`.
    efficiency : Efficiency or None
        Of ``start``.
    path : str or None
        Where the KAN sits, if the model has several.

    Examples
    --------
    >>> import kaninterp as ki
    >>> head = ki.KANHead(3, 1)
    >>> run = PruneRun.begin(head).add("nothing", head, losses={"held_out": 0.5})
    >>> run.history[["step", "label", "edges", "held_out"]].to_dict("records")[1]
    {'step': 1, 'label': 'nothing', 'edges': 3, 'held_out': 0.5}
    >>> run.undo().steps
    ()
    """

    start: nn.Module
    steps: tuple[PruneStep, ...] = ()
    losses: Mapping[str, Estimate | float] = field(default_factory=dict)
    efficiency: Efficiency | None = None
    path: str | None = None

    @classmethod
    def begin(
        cls,
        model: nn.Module,
        *,
        losses: Mapping[str, Estimate | float] | None = None,
        efficiency: Efficiency | None = None,
        path: str | None = None,
    ) -> PruneRun:
        """Start a run from a copy of the model, so that training the original later does not change the run."""
        return cls(start=copy.deepcopy(model), losses=dict(losses or {}), efficiency=efficiency, path=path)

    @property
    def model(self) -> nn.Module:
        """The model after the last step; copy it before you train it on."""
        return self.steps[-1].model if self.steps else self.start

    def then(self, step: PruneStep) -> PruneRun:
        """Take one more step: the run with it at the end, holding a copy of its model.

        Raises
        ------
        InputError
            The step's number is not the next one.
        """
        if step.number != len(self.steps) + 1:
            raise InputError(f"then(): expected step {len(self.steps) + 1}, got step {step.number}; number it so")
        return replace(self, steps=(*self.steps, replace(step, model=copy.deepcopy(step.model))))

    def add(
        self,
        label: str,
        model: nn.Module,
        *,
        report: PruneReport | None = None,
        losses: Mapping[str, Estimate | float] | None = None,
        efficiency: Efficiency | None = None,
    ) -> PruneRun:
        """`then` with the number of the step filled in; see `PruneStep` for the rest."""
        number = len(self.steps) + 1
        step = PruneStep(
            number=number, label=label, model=model, report=report, losses=losses or {}, efficiency=efficiency
        )
        return self.then(step)

    def undo(self, steps: int = 1) -> PruneRun:
        """Take the last steps back: the run as it was before them, its model bit for bit.

        Raises
        ------
        InputTypeError, InputError
            Not a whole number; more steps than there are, or less than one.
        """
        if isinstance(steps, bool) or not isinstance(steps, int):
            raise InputTypeError(f"undo(): steps must be a whole number, got {type(steps).__name__}")
        if not 1 <= steps <= len(self.steps):
            raise InputError(f"undo({steps}): the run has {len(self.steps)} steps; allowed: 1 to {len(self.steps)}")
        return replace(self, steps=self.steps[:-steps])

    @property
    def lines(self) -> tuple[StepLine, ...]:
        """The start and every step in numbers."""
        start = PruneStep(number=0, label="start", model=self.start, losses=self.losses, efficiency=self.efficiency)
        named = [step.report for step in self.steps if step.report is not None]
        total = max((len(report.kept_inputs) + len(report.dropped_inputs) for report in named), default=0)
        gone: set[str] = set()
        lines = []
        for step in (start, *self.steps):
            gone |= set() if step.report is None else set(step.report.dropped_inputs)
            lines.append(_line(step, self.path, total - len(gone) if total else None))
        return tuple(lines)

    @property
    def history(self) -> pd.DataFrame:
        """One row per step, the start as step 0.

        Columns: step, label, edges, nodes, inputs (raw columns kept; missing where no plan spoke of them), train,
        held_out, held_out_low, held_out_high, parameters, multiply_adds, latency_ms (missing where not measured).
        """
        table = pd.DataFrame([_row(line) for line in self.lines], columns=list(HISTORY))
        whole: pd.DataFrame = table.astype({"inputs": "Int64", "multiply_adds": "Int64", "latency_ms": "float64"})
        return whole


HISTORY = (
    "step", "label", "edges", "nodes", "inputs", "train", "held_out", "held_out_low", "held_out_high",
    "parameters", "multiply_adds", "latency_ms",
)  # fmt: skip
"""Columns of `PruneRun.history`."""

UNKNOWN = Estimate(value=math.nan, low=math.nan, high=math.nan)


def _line(step: PruneStep, path: str | None, inputs: int | None) -> StepLine:
    mask = as_view(step.model, path).mask
    cost = step.efficiency
    return StepLine(
        step=step.number,
        label=step.label,
        edges=mask.count,
        nodes=live_nodes(mask),
        inputs=inputs,
        parameters=parameter_count(step.model),
        train=_estimate(step.losses.get("train")),
        held_out=_estimate(step.losses.get("held_out")),
        multiply_adds=None if cost is None else cost.multiply_adds,
        latency_ms=None if cost is None else cost.latency_ms,
    )


def _estimate(loss: Estimate | float | None) -> Estimate | None:
    if loss is None or isinstance(loss, Estimate):
        return loss
    return Estimate(value=float(loss), low=math.nan, high=math.nan)


def _row(line: StepLine) -> dict[str, object]:
    held = line.held_out or UNKNOWN
    return {
        "step": line.step,
        "label": line.label,
        "edges": line.edges,
        "nodes": line.nodes,
        "inputs": line.inputs,
        "train": (line.train or UNKNOWN).value,
        "held_out": held.value,
        "held_out_low": held.low,
        "held_out_high": held.high,
        "parameters": line.parameters,
        "multiply_adds": line.multiply_adds,
        "latency_ms": line.latency_ms,
    }
