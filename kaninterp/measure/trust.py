"""`trust_readings`: what a wrong explanation, or a model that knows nothing, could not reach. No training is needed.

Each check is a file of its own: `skill`, `deletion`, `randomised`, `fidelity`, `row_stability`. What the numbers are
worth is said in `kaninterp.analysis.trust`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from kaninterp.core import InputAblation, InputAttribution
from kaninterp.core.errors import DataError, InputError, ModelError, ShapeError
from kaninterp.core.evidence import SAMPLED
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.trust import TrustReading
from kaninterp.data import Batches, check_seed, preserved_rng
from kaninterp.measure.ablation import ablated
from kaninterp.measure.bootstrap import block_of
from kaninterp.measure.deletion import deletion_readings
from kaninterp.measure.fidelity import infidelity_reading, sensitivity_reading
from kaninterp.measure.host import Columns, untouched
from kaninterp.measure.losses import Loss
from kaninterp.measure.randomised import randomised_reading
from kaninterp.measure.row_stability import stability_readings
from kaninterp.measure.rows import Rows, held_rows
from kaninterp.measure.skill import skill_reading
from kaninterp.measure.tracing import PROGRESS_DELAY, prepared

__all__ = ["CHECKS", "TrustBudget", "trust_readings"]

CHECKS = (
    "skill",
    "deletion",
    "insertion",
    "randomised",
    "completeness",
    "infidelity",
    "sensitivity",
    "bootstrap",
    "bootstrap-kept",
)
"""What is measured, in order."""

NO_COLUMNS = "the inputs are neither tables nor sequences, so there are no columns to explain"
NO_ATTRIBUTION = "there is no attribution to columns and lags"
NO_GRADIENT = "no gradient flows through the model, and this check explains single rows by gradients"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustBudget:
    """How much is spent, in counts: the same counts give the same numbers on every machine.

    Attributes
    ----------
    skill_rows : int
        Rows on which the model is held against a constant: one pass each.
    curve_rows, orders : int
        Rows and random orders of deletion and insertion.
    map_rows, draws : int
        Rows and shuffled copies of the randomisation.
    explained, sets, moves, steps : int
        Rows explained one by one, random sets and moves of each, and steps of Integrated Gradients.

    Raises
    ------
    InputError
        A count below 2.
    """

    skill_rows: int = 2000
    curve_rows: int = 500
    orders: int = 20
    map_rows: int = 64
    draws: int = 10
    explained: int = 64
    sets: int = 16
    moves: int = 4
    steps: int = 16

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if type(value) is not int or value < 2:
                raise InputError(f"TrustBudget: {name}={value!r}; allowed: a whole number of at least 2")


def trust_readings(
    model: nn.Module,
    data: Any,
    *,
    ablation: InputAblation | None = None,
    attribution: InputAttribution | None = None,
    rises: Array | None = None,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    budget: TrustBudget | None = None,
    seed: int = 0,
    progress: bool = True,
) -> tuple[TrustReading, ...]:
    """Measure what speaks for and against the explanation of a model.

    | check | what it is |
    |---|---|
    | skill | share of the loss of the best constant that the model saves |
    | deletion, insertion | area under the loss as parts go in the order of the attribution, against random orders |
    | randomised | rank agreement of the explanation with that of copies with shuffled parameters |
    | completeness | the worst residual of Integrated Gradients |
    | infidelity | what attributions fail to foretell of the output's changes |
    | sensitivity | how far an explanation moves when the input hardly does |
    | bootstrap, bootstrap-kept | agreement of bootstraps of the rows: the ranking of columns, and the columns kept |

    Parameters
    ----------
    model, data, target, feature_names, path, progress
        As for `trace`. The model is left bit-identical. Use held-out data.
    ablation, attribution : optional
        What is judged, measured on the same columns by `ablate` and `attribute`. Without an ablation it is measured
        here; without an attribution nothing can be said of its order and its residual.
    rises : ndarray, shape (rows, columns), optional
        Rise of every row behind the ablation (`kaninterp.measure.ablation.ablated`); measured here if not given.
    loss : str, callable or None
        As for `kaninterp.nn.resolve_loss`; None chooses by the target.
    budget : TrustBudget, optional
        Rows, orders and draws.
    seed : int
        Of all of them; global generators are not touched.

    Returns
    -------
    tuple of TrustReading
        Always all nine, in the order of the table; those that do not apply say why. Inputs that are neither tables nor
        sequences have their skill measured only.

    Raises
    ------
    ModelError, DataError
        As for `trace`.
    ShapeError
        Ablation, attribution or rises of other columns.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> x = torch.rand(200, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    >>> head = ki.KANHead(4, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    >>> _ = ki.fit(head, (x, x[:, :1]), epochs=5, progress=False)
    >>> found = trust_readings(head, (x, x[:, :1]), progress=False)
    >>> found[0].check, len(found)
    ('skill', 9)
    """
    check_seed(seed)
    batches = prepared(model, data, target=target, feature_names=feature_names)
    asked = _Asked(model=model, batches=batches, loss=loss, budget=budget or TrustBudget(), seed=seed)
    if not Columns.readable(batches.first):
        with untouched(model):
            return (
                *_guarded(("skill",), asked.skill),
                *(TrustReading.unmeasured(check, NO_COLUMNS) for check in CHECKS[1:]),
            )
    _check_columns(Columns.of(batches.first, batches.names_per_input).names, ablation, attribution, rises)
    if ablation is None or rises is None:
        found = ablated(model, batches, loss=loss, path=path, seed=seed, progress=progress)
        ablation, rises = found.ablation, found.rises
    judged = _Judged(ablation=ablation, attribution=attribution, rises=rises)
    checks: tuple[tuple[tuple[str, ...], Callable[[], tuple[TrustReading, ...]]], ...] = (
        (CHECKS[:1], asked.skill),
        (CHECKS[1:3], lambda: asked.curves(judged, progress)),
        (CHECKS[3:4], lambda: asked.randomised(judged)),
        (CHECKS[4:5], lambda: (_completeness(attribution),)),
        (CHECKS[5:7], lambda: asked.captum(judged)),
        (CHECKS[7:], lambda: asked.stability(judged)),
    )
    steps = tqdm(checks, desc="trust", delay=PROGRESS_DELAY, leave=False, disable=not progress)
    # cuDNN has no backward pass of an RNN in eval mode, hence it is switched off here
    with untouched(model), torch.backends.cudnn.flags(enabled=False):
        return tuple(reading for names, measure in steps for reading in _guarded(names, measure))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judged:
    """The explanation, and the rows behind its ablation."""

    ablation: InputAblation
    attribution: InputAttribution | None
    rises: Array

    @property
    def reads(self) -> BoolArray:
        """Columns that are read and cost something on some row: a constant one would share the last place for ever."""
        return np.asarray(self.ablation.reads & (self.rises != 0).any(0))

    @property
    def sampled(self) -> bool:
        """Whether the attribution was measured without gradients."""
        return self.attribution is not None and self.attribution.method == SAMPLED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What every check needs; each has random numbers of its own, so that one says nothing of another."""

    model: nn.Module
    batches: Batches
    loss: Loss
    budget: TrustBudget
    seed: int

    def skill(self) -> tuple[TrustReading, ...]:
        with preserved_rng():
            batch = self.batches.sample(self.budget.skill_rows)
        block = block_of(batch, self.batches)
        return (skill_reading(self.model, batch, block, loss=self.loss, rng=self._rng(0)),)

    def curves(self, judged: _Judged, progress: bool) -> tuple[TrustReading, ...]:
        if judged.attribution is None:
            return TrustReading.unmeasured("deletion", NO_ATTRIBUTION), TrustReading.unmeasured(
                "insertion", NO_ATTRIBUTION
            )
        return deletion_readings(
            self.model, self._rows(self.budget.curve_rows), magnitude=_magnitude(judged.attribution),
            reads=judged.reads, loss=self.loss, orders=self.budget.orders, rng=self._rng(1), progress=progress,
        )  # fmt: skip

    def randomised(self, judged: _Judged) -> tuple[TrustReading, ...]:
        if judged.sampled:
            return (TrustReading.unmeasured("randomised", NO_GRADIENT),)
        held = self._rows(self.budget.map_rows)
        reads, draws = judged.reads, self.budget.draws
        return (randomised_reading(self.model, held, reads=reads, draws=draws, rng=self._rng(2)),)

    def captum(self, judged: _Judged) -> tuple[TrustReading, ...]:
        if judged.sampled:
            return TrustReading.unmeasured("infidelity", NO_GRADIENT), TrustReading.unmeasured(
                "sensitivity", NO_GRADIENT
            )
        budget, held = self.budget, self._rows(self.budget.explained)
        return (
            infidelity_reading(
                self.model, held, reads=judged.reads, steps=budget.steps, samples=budget.sets, rng=self._rng(3)
            ),
            sensitivity_reading(self.model, held, samples=budget.moves, rng=self._rng(4)),
        )

    def stability(self, judged: _Judged) -> tuple[TrustReading, ...]:
        return stability_readings(judged.rises, judged.reads, judged.ablation.block, rng=self._rng(5))

    def _rows(self, limit: int) -> Rows:
        return held_rows(self.batches, limit)

    def _rng(self, check: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, check])


def _guarded(names: tuple[str, ...], measure: Callable[[], tuple[TrustReading, ...]]) -> tuple[TrustReading, ...]:
    """Shuffled rows, or parameters, may lead a model to numbers it has none for: then a check has no result."""
    try:
        return measure()
    except (DataError, ModelError) as error:
        return tuple(TrustReading.unmeasured(name, str(error)) for name in names)


def _magnitude(attribution: InputAttribution) -> Array:
    """Size of the attribution of each lag and column as the report ranks them: (lags, columns)."""
    return np.asarray(attribution.magnitude.mean(0).max(0))


def _completeness(attribution: InputAttribution | None) -> TrustReading:
    if attribution is None or not attribution.residual.size:
        return TrustReading.unmeasured("completeness", NO_ATTRIBUTION)
    if not attribution.magnitude.any():
        return TrustReading.unmeasured("completeness", "no input moves the output, so there is nothing to add up")
    return TrustReading(
        check="completeness",
        value=float(attribution.residual.max()),
        effort=f"{attribution.rows:,} rows, {len(attribution.baselines)} baselines",
    )


def _check_columns(
    names: tuple[str, ...], ablation: InputAblation | None, attribution: InputAttribution | None, rises: Array | None
) -> None:
    for what, evidence in (("ablation", ablation), ("attribution", attribution)):
        if evidence is not None and evidence.names != names:
            raise ShapeError(
                f"trust_readings: the {what} was measured on columns {evidence.names[:5]}, the data have {names[:5]}; "
                "use the same data"
            )
    if rises is not None and (np.ndim(rises) != 2 or np.shape(rises)[1] != len(names) or not len(rises)):
        raise ShapeError(
            f"trust_readings: rises have shape {np.shape(rises)}; allowed: (rows, {len(names)}), one per column, as "
            "kaninterp.measure.ablation.ablated gives them"
        )
