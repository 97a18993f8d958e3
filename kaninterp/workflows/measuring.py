"""Everything a report measures, in its order, and the conclusions from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from kaninterp.analysis import Analysis, analyze
from kaninterp.analysis.swaps import with_swaps
from kaninterp.core import InputAblation, Interactions, Leak, ModelError, Passports, Trace, TrustReading
from kaninterp.core.drift import DriftEvidence
from kaninterp.core.errors import DataError
from kaninterp.data import Batches
from kaninterp.measure import (
    ablate_edges,
    attribute,
    interactions,
    leaks,
    passports,
    shadows,
    trace,
    trust_readings,
)
from kaninterp.measure.ablation import ablated
from kaninterp.measure.host import Columns
from kaninterp.pruning.swapping import swaps
from kaninterp.workflows.other_models import other_models
from kaninterp.workflows.writing import written

__all__ = ["STEPS", "Asked", "concluded", "step"]

STEPS = (
    "reference", "trace", "inputs", "pairs", "lags", "nodes", "edges", "noise floor", "trust", "other models",
    "conclusions", "swaps", "formula", "price of the plan",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What every measurement of one report needs.

    Attributes
    ----------
    model : nn.Module
    batches : Batches
        The data.
    target_names, loss, path, seed, trust, formula
        As for `kaninterp.report`.
    reference : Batches or None
        The data from before, where they were given with a target.
    """

    model: nn.Module
    batches: Batches
    target_names: Sequence[str] | None
    loss: str | Callable[[Tensor, Tensor], Tensor] | None
    path: str | None
    seed: int
    trust: bool
    formula: bool | None = None
    reference: Batches | None = None

    def trace(self) -> Trace:
        """Trace of the data."""
        return trace(self.model, self.batches, target_names=self.target_names, path=self.path, progress=False)


def step(bar: Any, name: str) -> None:
    """Say on the progress bar what comes next."""
    bar.set_postfix_str(name)
    bar.update()


def concluded(asked: Asked, current: Trace, drift: DriftEvidence | None, bar: Any) -> Analysis:
    """Measure what the data allow, and conclude.

    Parameters
    ----------
    asked : Asked
        What is asked for.
    current : Trace
        Of the data.
    drift : DriftEvidence or None
        The data against those from before.
    bar
        Progress bar.
    """
    model, batches, path, seed = asked.model, asked.batches, asked.path, asked.seed
    leaked: tuple[Leak, ...] = ()
    ablation = curve = together = attribution = edges = described = floor = rises = readings = None
    if Columns.readable(batches.first):
        step(bar, "inputs")
        found = ablated(model, batches, loss=asked.loss, path=path, seed=seed, progress=False)
        ablation, curve, rises = found.ablation, found.curve, found.rises
        step(bar, "pairs")
        leaked = leaks(batches)
        together = _together(asked, ablation, current.output_names)
        step(bar, "lags")
        attribution = attribute(model, batches, path=path, seed=seed, progress=False)
        step(bar, "nodes")
        described = _described(asked)
        step(bar, "edges")
        edges = ablate_edges(model, batches, loss=asked.loss, path=path)
        step(bar, "noise floor")
        if batches.first.target is not None:
            floor = shadows(model, batches, loss=asked.loss, path=path, seed=seed, progress=False)
    if asked.trust:
        step(bar, "trust")
        readings = trust_readings(
            model, batches, ablation=ablation, attribution=attribution, rises=rises, loss=asked.loss, path=path,
            seed=seed, progress=False,
        )  # fmt: skip
        step(bar, "other models")
        readings = (*readings, *_others(asked, ablation))
    step(bar, "conclusions")
    analysis = analyze(
        current, ablation=ablation, attribution=attribution, curve=curve, edge_ablation=edges, passports=described,
        shadows=floor, interactions=together, leaks=leaked, drift=drift, trust=readings,
    )  # fmt: skip
    step(bar, "swaps")
    analysis = _swapped(asked, analysis)
    step(bar, "formula")
    names = current.output_names
    formula = written(model, batches, asked=asked.formula, loss=asked.loss, output_names=names, path=path, seed=seed)
    return replace(analysis, formula=formula)


def _together(asked: Asked, ablation: InputAblation, outputs: tuple[str, ...]) -> Interactions | None:
    """Columns that act together; None where what the model returns has no row of its own for each row of the data."""
    try:
        found = interactions(asked.model, asked.batches, ablation=ablation, seed=asked.seed, progress=False)
    except ModelError:
        return None
    return replace(found, outputs=outputs) if len(outputs) == len(found.outputs) else found


def _described(asked: Asked) -> Passports:
    """Passports of the nodes; none, with the reason, where rows are too few or cannot be told apart."""
    try:
        return passports(asked.model, asked.batches, path=asked.path, progress=False)
    except (DataError, ModelError) as error:
        return Passports(rows=0, held_out=0, nodes=(), remark=str(error))


def _others(asked: Asked, ablation: InputAblation | None) -> tuple[TrustReading, ...]:
    """What other models of the same data say."""
    if ablation is None:
        return ()
    found = other_models(
        asked.model, asked.batches, ablation=ablation, reference=asked.reference, loss=asked.loss, path=asked.path,
        seed=asked.seed, progress=False,
    )  # fmt: skip
    return found.readings


def _swapped(asked: Asked, analysis: Analysis) -> Analysis:
    """The analysis with what became of dropped columns when the survivor that resembles them was taken away."""
    if analysis.ablation is None:
        return analysis
    found = swaps(asked.model, analysis, asked.batches, loss=asked.loss, seed=asked.seed, progress=False)
    return with_swaps(analysis, found) if found else analysis
