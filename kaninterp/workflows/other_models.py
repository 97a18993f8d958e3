"""Trust checks that need other models: the same head from other starts, and an independent model of the columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from kaninterp.adapters import as_view
from kaninterp.analysis.agreement import HOW, Agreement, agree, agree_all, correlated_groups, group_rises
from kaninterp.analysis.survival import ALPHA, FLOOR, measure_need
from kaninterp.core.black_box import BlackBox
from kaninterp.core.errors import DataError, ModelError, StateError
from kaninterp.core.evidence import InputAblation
from kaninterp.core.frozen import BoolArray
from kaninterp.core.rank import nogueira
from kaninterp.core.refits import Refits
from kaninterp.core.trust import TrustReading
from kaninterp.measure.black_box import black_box
from kaninterp.measure.convert import with_kan_head
from kaninterp.measure.losses import Loss
from kaninterp.measure.two_parts import TwoParts, column_correlation, two_parts
from kaninterp.nn import KANHead
from kaninterp.pruning.refits import refits

__all__ = ["CHECKS", "OtherModels", "other_models"]

CHECKS = ("black-box", "black-box-sizes", "black-box-loss", "seeds", "seeds-sizes", "seeds-kept")
"""Names of the readings, in their order."""

Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherModels:
    """What other models say about the explanation of one.

    Attributes
    ----------
    readings : tuple of TrustReading
        One per name in `CHECKS`, measured or with a remark why not.
    black_box : BlackBox, optional
        The independent model's need of every column.
    refits : Refits, optional
        The need of every column of heads trained anew.
    """

    readings: tuple[TrustReading, ...]
    black_box: BlackBox | None
    refits: Refits | None


def other_models(
    model: nn.Module,
    data: Any,
    *,
    ablation: InputAblation,
    reference: Any = None,
    target: Any = None,
    loss: Loss = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> OtherModels:
    """Hold the explanation of a model against other models of the same data.

    Parameters
    ----------
    model, data, target, loss, feature_names, path
        As for `kaninterp.measure.ablate`; the model is left bit-identical.
    ablation : InputAblation
        What losing each column costs the model, on the same data.
    reference : optional
        Its training data, in the same form: the other models learn from them and are judged on ``data``. Without
        them, or without a target in them, they learn from the first 70 % of ``data`` and are judged on the rest.
    seed : int
        Of everything random; global generators are not touched.
    progress : bool
        Show progress bars.

    Returns
    -------
    OtherModels
        Its readings:

        - "black-box", "black-box-sizes": agreement (`kaninterp.analysis.agreement.agree`) with gradient boosting about
          the ranks of the columns, and about the sizes of their rises. Not measured where boosting learns nothing. A
          model that knows nothing may rank well by accident, since columns it does not need are tied; sizes tell.
        - "black-box-loss": share of the best constant's loss that boosting saves on rows it has not seen.
        - "seeds", "seeds-sizes": mean agreement of the model's head with heads trained anew from other weights on its
          backbone. Only columns that reach the head are compared.
        - "seeds-kept": stability of the columns all these heads need (Nogueira et al. 2018): 1 the same ones every
          time, 0 what chance would give.

    Raises
    ------
    NamesError
        Reference data with other columns.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> X = torch.rand(800, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    >>> y = 2 * X[:, 0] + X[:, 1] ** 2 + 0.5 * X[:, 2]
    >>> head = ki.KANHead(5, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    >>> _ = ki.fit(head, (X, y), epochs=20, optimizer="lbfgs", seed=0, progress=False)
    >>> ablation, _ = ki.measure.ablate(head, (X, y), progress=False)
    >>> found = other_models(head, (X, y), ablation=ablation, progress=False)
    >>> [(reading.check, reading.value > 0.9) for reading in found.readings]
    [('black-box', True), ('black-box-sizes', True), ('black-box-loss', True), ('seeds', True), ('seeds-sizes', True),
     ('seeds-kept', True)]
    """
    try:
        parts = two_parts(model, data, reference=reference, target=target, feature_names=feature_names)
    except (DataError, ModelError) as error:
        return OtherModels(readings=_unmeasured(CHECKS, error), black_box=None, refits=None)
    groups = correlated_groups(column_correlation(parts.judge))
    options: dict[str, Any] = {"loss": loss, "seed": seed, "progress": progress}
    box, box_readings = _boosted(model, parts, ablation, groups, options)
    again, seed_readings = _refitted(model, parts, groups, {**options, "path": path})
    return OtherModels(readings=(*box_readings, *seed_readings), black_box=box, refits=again)


def _boosted(
    model: nn.Module, parts: TwoParts, ablation: InputAblation, groups: Groups, options: dict[str, Any]
) -> tuple[BlackBox | None, tuple[TrustReading, ...]]:
    try:
        box = black_box(model, parts, **options)
    except (DataError, ModelError) as error:
        return None, _unmeasured(CHECKS[:3], error)
    spent = (
        f"gradient boosting, {box.trees} trees on {box.trained:,} rows of {parts.remark} ({box.cells}), judged on "
        f"{box.rows:,} other rows"
    )
    own, skill = box.model_skill, box.skill
    saved = TrustReading(
        check="black-box-loss",
        value=skill.value,
        low=skill.low,
        high=skill.high,
        chance=0.0,
        own=own.value,
        effort=f"{spent}; on these rows the explained model saves {own.value:.2f} ({own.low:.2f} to {own.high:.2f})",
    )
    if skill.low <= 0:
        why = (
            f"gradient boosting learns nothing sure from {box.trained:,} rows: it saves {skill.value:.2f} "
            f"({skill.low:.2f} to {skill.high:.2f}) of the best constant's loss, so what it needs says nothing"
        )
        return box, (*_unmeasured(CHECKS[:2], why), saved)
    spent = f"{spent}, {box.repeats} shuffles per column"
    found = [agree(ablation, box, groups, how=how, seed=options["seed"]) for how in HOW]
    return box, (*(_reading(check, one, ablation, spent) for check, one in zip(CHECKS[:2], found, strict=True)), saved)


def _refitted(
    model: nn.Module, parts: TwoParts, groups: Groups, options: dict[str, Any]
) -> tuple[Refits | None, tuple[TrustReading, ...]]:
    converted = ""
    try:
        view = as_view(model, options["path"])
        if not isinstance(view.module, KANHead):  # only that can be trained anew
            model = with_kan_head(model, path=options["path"], batch=parts.judge.batch)
            converted = f" of a copy whose {view.kind} is converted by from_kan"
        again = refits(model, parts, **options)
    except (DataError, ModelError, StateError) as error:
        return None, _unmeasured(CHECKS[3:], error)
    first = again.ablations[0]
    reach = [group for group in groups if first.reads[list(group)].any()]
    kept = ("the head is the whole model" if again.whole else "the backbone was kept") + converted
    if not any(group_rises(ablation, reach).any() for ablation in again.ablations[1:]):
        why = f"heads trained anew on {again.trained:,} rows learn nothing sure, so what they need says nothing"
        return again, _unmeasured(CHECKS[3:], why)
    spent = (
        f"the head and {len(again.seeds)} refits from other weights ({kept}), up to {again.epochs} epochs on "
        f"{again.trained:,} rows of {parts.remark}, judged on {first.rows:,} other rows"
    )
    alike = []
    for check, how in zip(CHECKS[3:5], HOW, strict=True):
        found = agree_all(first, again.ablations[1:], reach, how=how)
        extremes = "" if found.remark else f", single ones from {found.low:.2f} to {found.high:.2f}"
        alike.append(_reading(check, found, first, f"{spent}{extremes}", interval=False))
    sets = np.array([_kept(ablation, reach) for ablation in again.ablations], dtype=bool)
    return again, (*alike, _kept_reading(sets, spent))


def _kept(ablation: InputAblation, groups: Sequence[Sequence[int]]) -> BoolArray:
    """Which groups of columns a head needs, by the rule of the report's verdict "keep" on a column's loss."""
    need = measure_need(ablation, None, ~ablation.reads)
    columns = (need.p_holm < ALPHA) & (need.share >= FLOOR)
    return np.array([columns[list(group)].any() for group in groups], dtype=bool)


def _kept_reading(sets: BoolArray, spent: str) -> TrustReading:
    if sets.shape[1] < 2:
        return TrustReading.unmeasured(CHECKS[5], f"{sets.shape[1]} columns leave nothing to choose")
    stability = nogueira(sets)
    if math.isnan(stability):
        which = "every column, which leaves nothing to choose" if sets.any() else "no column"
        return TrustReading(check=CHECKS[5], value=stability, remark=f"all heads need {which}", effort=spent)
    counts = sorted(sets.sum(1).tolist())
    some = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    effort = f"{spent}; the heads need {some} of {sets.shape[1]} columns that reach them"
    return TrustReading(check=CHECKS[5], value=stability, chance=0.0, effort=effort)


def _reading(
    check: str, found: Agreement, ablation: InputAblation, spent: str, *, interval: bool = True
) -> TrustReading:
    ends = {"low": found.low, "high": found.high} if interval else {}
    twins = "" if found.groups == len(ablation.names) else ", correlated ones as one, |r| >= 0.95"
    effort = f"{spent}; {found.groups} columns compared{twins}"
    return TrustReading(check=check, value=found.value, chance=found.chance, effort=effort, remark=found.remark, **ends)


def _unmeasured(checks: Sequence[str], why: object) -> tuple[TrustReading, ...]:
    return tuple(TrustReading.unmeasured(check, why) for check in checks)
