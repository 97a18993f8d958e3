"""What every schedule is made of: trace, apply a rule, train with the mask kept, measure, write down a step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from tqdm import tqdm

from kaninterp.adapters import as_view
from kaninterp.analysis import PruneRule, probe_kinds
from kaninterp.core import PrunePlan, Trace
from kaninterp.core.digest import Digest
from kaninterp.core.errors import DataError, InputTypeError
from kaninterp.data import check_seed
from kaninterp.measure import probe, trace
from kaninterp.measure.losses import Loss
from kaninterp.nn import Entry
from kaninterp.pruning.carry_out import carry_out
from kaninterp.pruning.held_out import Parts, parts_of
from kaninterp.pruning.outcome import PruneReport
from kaninterp.pruning.schedules.journal import Journal
from kaninterp.pruning.schedules.judge import Judge, read_numbers
from kaninterp.pruning.schedules.options import Rule, check_fit_options, described
from kaninterp.pruning.steps import PruneRun, PruneStep
from kaninterp.training import fit
from kaninterp.training.sparsity import RawColumns

if TYPE_CHECKING:
    import os
    from types import TracebackType

__all__ = ["Driver", "begin"]

Setup = Callable[[nn.Module], dict[str, Any]]

ROWS = 2000
"""Rows on which losses are measured, evenly spaced."""


def begin(
    model: nn.Module,
    data: Any,
    schedule: dict[str, Any],
    *,
    target: Any = None,
    held_out: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    fit_options: Mapping[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = True,
    rows: int = ROWS,
    efficiency: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> Driver:
    """Check everything that can be checked, and make a driver on a copy of the model.

    ``schedule``: name and options of the schedule, as text and numbers; they tell checkpoints apart.
    """
    check_seed(seed)
    view = as_view(model, path)
    options = dict(fit_options or {})
    check_fit_options(options)
    parts = parts_of(model, data, target=target, held_out=held_out, feature_names=feature_names)
    identity = {
        "schedule": {key: described(value) for key, value in schedule.items()},
        "fit": {key: described(value) for key, value in options.items()},
        "loss": described(loss),
        "seed": seed,
        "data": parts.described(),
        "model": _digest(model),
    }
    journal = Journal(checkpoint, identity, resume=resume)
    judge = Judge(model, parts, loss=loss, rows=rows, seed=seed, efficiency=efficiency)
    bar = tqdm(desc=str(schedule["name"]), unit="step", disable=not progress, leave=False)
    options |= {"loss": loss, "seed": seed}
    return Driver(model, parts, judge=judge, journal=journal, path=view.path, fit_options=options, bar=bar)


class Driver:
    """A run in the making; the given model is never changed.

    Attributes
    ----------
    model : nn.Module
        The working copy: what the next action starts from.
    run : PruneRun
        The steps so far.
    """

    def __init__(
        self,
        model: nn.Module,
        parts: Parts,
        *,
        judge: Judge,
        journal: Journal,
        path: str,
        fit_options: dict[str, Any],
        bar: Any,
    ) -> None:
        self.model = copy.deepcopy(model)
        self.parts, self.judge, self.journal, self.path = parts, judge, journal, path
        self._fit_options, self._bar = fit_options, bar
        self._fits = 0
        losses, efficiency = read_numbers(journal.measured(lambda: judge.numbers(self.model)))
        self.run = PruneRun.begin(self.model, losses=losses, efficiency=efficiency, path=path)

    def trace(self, model: nn.Module | None = None) -> Trace:
        """Trace the training rows."""
        return trace(self.model if model is None else model, self.parts.train, path=self.path, progress=False)

    def decide(self, rule: Rule) -> PrunePlan:
        """What a rule makes of the working model; a plan is its own decision."""
        if isinstance(rule, PrunePlan):
            return rule
        if not callable(rule):
            raise InputTypeError(
                f"rule: expected a rule such as BudgetRule(0.03), or a plan, got {type(rule).__name__}"
            )
        return self.journal.plan(lambda: rule(self.trace(), **self.needs(rule)))

    def needs(self, rule: PruneRule) -> dict[str, Any]:
        """What a rule must be given beside a trace."""
        kinds = probe_kinds(rule)
        if not kinds:
            return {}
        options = {"loss": self._fit_options["loss"], "seed": self._fit_options["seed"], "path": self.path}
        return {"probe": probe(self.model, self.parts.train, kinds=kinds, progress=False, **options)}

    def prune(self, rule: Rule, label: str = "") -> bool:
        """Carry a rule out as one step; False, and no step, if it takes nothing away."""
        plan = self.decide(rule)
        if not self.takes(plan):
            return False
        self.carry(plan, label or words_of(rule))
        return True

    def takes(self, plan: PrunePlan, read: set[str] | None = None) -> bool:
        """Whether a plan takes anything away that is alive; ``read``: columns, if other than those read now."""
        return bool((as_view(self.model, self.path).mask - plan.mask).count) or bool(
            (self.columns_read() if read is None else read) & set(plan.dropped_inputs)
        )

    def columns_read(self, model: nn.Module | None = None) -> set[str]:
        """Names of the raw columns that some module of a model reads, the working one unless another is given."""
        flags = self._raw(model).alive().tolist()
        return {name for name, alive in zip(self.parts.train.names, flags, strict=True) if alive}

    def readers(self) -> list[Entry]:
        """The modules of the working model that read raw columns and can be shrunk."""
        return [entry for entry, _ in self._raw().readers]

    def _raw(self, model: nn.Module | None = None) -> RawColumns:
        return RawColumns.of(self.model if model is None else model, self.parts.train)

    def carry(self, plan: PrunePlan, label: str) -> None:
        """Carry a plan out as one step."""
        self.model, report = self.smaller(self.model, plan)
        self.note(label, report=report)

    def smaller(self, model: nn.Module, plan: PrunePlan) -> tuple[nn.Module, PruneReport]:
        """The model that a plan leaves, and what went."""
        return carry_out(model, plan, path=self.path, example=self.parts.train.first.rows(slice(0, 4)).as_data())

    def train(self, epochs: int, setup: Setup | None = None) -> None:
        """Train the working model with its mask kept; no step is written down.

        ``setup``: from the module that is trained to further options of `fit`.
        """
        if self.parts.train.first.target is None:
            raise DataError(f"{self.parts.train.kind}: training needs a target; pass (X, y) or target=, or epochs=0")
        self._fits += 1
        model = copy.deepcopy(self.model)  # steps taken keep theirs
        options = {**self._fit_options, "epochs": epochs, "seed": self._fit_options["seed"] + self._fits}
        options |= {} if setup is None else setup(model)

        def train(file: Path | None) -> None:
            fit(model, self.parts.train, validation=None, checkpoint=file, progress=False, **options)

        self.journal.trained(model, train)
        self.model = model

    def fine_tune(self, epochs: int) -> None:
        """Train as one step; nothing for 0 epochs."""
        if epochs:
            self.train(epochs)
            self.note(f"fine-tuned {epochs} epoch{'s' * (epochs != 1)}")

    def note(self, label: str, *, report: PruneReport | None = None, model: nn.Module | None = None) -> None:
        """Measure a model, the working one unless another is given, and write a step down."""
        subject = self.model if model is None else model
        losses, efficiency = read_numbers(self.journal.measured(lambda: self.judge.numbers(subject)))
        step = PruneStep(
            number=len(self.run.steps) + 1,
            label=label,
            model=subject,
            report=report,
            losses=losses,
            efficiency=efficiency,
        )
        self.run = self.run.then(step)
        self._bar.set_postfix_str(f"{label}, held-out loss {losses['held_out'].value:.4g}")
        self._bar.update()

    def undo(self, steps: int) -> None:
        """Take steps back: the working model is what it was before them."""
        self.run = self.run.undo(steps)
        self.model = copy.deepcopy(self.run.model)

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._bar.close()


def words_of(rule: Rule) -> str:
    """A rule as the label of a step."""
    return "a plan" if isinstance(rule, PrunePlan) else str(rule)


def _digest(model: nn.Module) -> str:
    code = Digest()
    for name, value in model.state_dict().items():
        if isinstance(value, torch.Tensor):
            code.add(f"{name}{tuple(value.shape)}", value)
    return code.short
