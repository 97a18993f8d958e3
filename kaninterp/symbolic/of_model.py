"""`formula`: a model's KAN as a formula in the user's names and units, with what it costs on rows nobody has used."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from kaninterp.adapters import ModelView, as_view
from kaninterp.core import Estimate
from kaninterp.core.errors import DataError, ModelError
from kaninterp.core.families import Family, families_of
from kaninterp.core.frozen import Array
from kaninterp.data import Batch, Standardizer, check_seed, time_split
from kaninterp.measure.bootstrap import BlockBootstrap, block_length
from kaninterp.measure.host import untouched
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.measure.rows import Rows, held_rows
from kaninterp.measure.seen_head import SeenHead, check_alone, seen_head
from kaninterp.measure.tracing import prepared
from kaninterp.nn import KANHead
from kaninterp.nn.gradients import with_gradients
from kaninterp.symbolic.expressions import Formula
from kaninterp.symbolic.judging import RESOLUTION
from kaninterp.symbolic.of_head import Units, head_formula
from kaninterp.symbolic.snapping import TOLERANCE, SnappedEdge, snap
from kaninterp.symbolic.trimming import Kind, trimmed

__all__ = ["PARTS", "ROWS", "FormulaReport", "formula"]

ROWS = 5000
"""Rows used at most, evenly spaced in the order of the data: formulas of a few numbers know them well from so many."""
PARTS = (0.6, 0.2, 0.2)
"""Shares to train on, to decide by, and to report on, in time order."""
HUGE = 1e18
"""Outputs from here on count as undefined: float32 cannot hold their squares."""
SQUARED = ("mse", "mse_loss", "MSELoss")
"""Losses that are squared errors."""
LIKELIHOODS = (
    "bce", "binary_cross_entropy_with_logits", "BCEWithLogitsLoss", "cross_entropy", "CrossEntropyLoss",
    "gaussian_nll_loss", "GaussianNLLLoss", "poisson_nll_loss", "PoissonNLLLoss",
)  # fmt: skip
"""Losses that are negative log-likelihoods; others are in units of their own, of which only the ratio says anything."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FormulaReport:
    """A formula and what it is worth.

    Attributes
    ----------
    formula : Formula
        In the user's names, and units if they were given; trimmed and rounded.
    head : KANHead
        The head with formulas for edges, before trimming.
    edges : tuple of SnappedEdge
        What became of every edge.
    dropped : tuple of str
        Terms left out because the data do not support them.
    loss_name : str
        What the losses are.
    model_loss, head_loss, formula_loss : float
        On rows used for nothing else: of the model, of its head with formulas, and of the printed formula; the latter
        is inf if it is not defined on some of them.
    constant_loss : float
        On the same rows, of a constant: the mean of the model's outputs.
    standardised : bool
        Whether these losses are in standardised units, those of the targets behind ``outputs=``, unlike the formula.
    rise : Estimate or None
        The formula's loss minus the model's on these rows, row by row, with its interval; None where it is not defined
        on some of them.
    allowed : float
        Rise up to which the formula may stand for the model: the tolerance, and what float32 does not resolve.
    rows, undefined : int
        How many these are, and on how many of them the formula is not defined, or gives numbers beyond all bounds.
    """

    formula: Formula
    head: KANHead
    edges: tuple[SnappedEdge, ...]
    dropped: tuple[str, ...]
    loss_name: str
    model_loss: float
    head_loss: float
    formula_loss: float
    constant_loss: float
    standardised: bool
    rise: Estimate | None
    allowed: float
    rows: int
    undefined: int

    @property
    def whole(self) -> bool:
        """Whether every edge became a formula."""
        return not self.formula.numeric

    @property
    def worse_than_constant(self) -> bool:
        """Whether a constant would do better than the formula, which may not stand for the model then."""
        lost = self.rise is not None and self.rise.value > self.allowed
        return lost and self.formula_loss > self.constant_loss

    def table(self) -> pd.DataFrame:
        """Edges, one per row: layer, dst, src, family (None: stayed a spline), R2 and why."""
        rows = [(*each.edge, each.family, each.r2, each.why) for each in self.edges]
        table: pd.DataFrame = pd.DataFrame(rows, columns=pd.Index(["layer", "dst", "src", "family", "r2", "why"]))
        return table

    def __str__(self) -> str:
        """Every output's expression, and the losses beside each other."""
        lines = [f"{name} = {self.formula.text(k)}" for k, name in enumerate(self.formula.output_names)]
        units = " in standardised units" if self.standardised else ""
        lines.append(
            f"{self.loss_name}{units} on {self.rows} held-out rows: model {self.model_loss:.4g}, "
            f"formula {self.formula_loss:.4g}"
        )
        if self.worse_than_constant:
            lines.append(f"do not use this formula: it is worse than a constant, {self.constant_loss:.4g}")
        if self.undefined:
            lines.append(f"not defined on {self.undefined} of these rows: they leave the domain of a function")
        if not self.whole:
            lines.append(f"{len(self.formula.numeric)} edges stayed splines: {', '.join(sorted(self.formula.numeric))}")
        return "\n".join(lines)


@with_gradients
def formula(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    loss: Loss = None,
    families: Iterable[str | Family] | None = None,
    tolerance: float = TOLERANCE,
    trials: int | None = None,
    rows: int = ROWS,
    inputs: Standardizer | None = None,
    outputs: Standardizer | None = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> FormulaReport:
    """Write the KAN of a model as a formula.

    Edges are exchanged for functions as far as held-out rows allow (`kaninterp.symbolic.snapping.snap`), the rest stay
    splines and the formula says so; then terms that the data do not support are left out and numbers rounded.

    Parameters
    ----------
    model : nn.Module
        With a `KANHead`; left as it is. Where the head reads a backbone, the formula is in the backbone's units,
        "unit 3": what these are in the columns is what the report's passports say.
    data
        As for `kaninterp.trace`, with a target. The first 60 % of the rows train, the next 20 % decide, and the losses
        reported are of the last 20 %; in the order of the data, windows that overlap left out between them.
    target, feature_names, path
        As for `kaninterp.trace`.
    loss
        As for `kaninterp.fit`.
    families : iterable of str or Family, optional
        What edges are exchanged for; lines and parabolas may stand in for any of them when the formula is shortened.
        Functions to try, all of `FAMILIES` if not given.
    tolerance : float
        Share by which an exchange may raise the loss.
    trials : int, optional
        Exchanges that are tried at most, see `kaninterp.symbolic.snapping.snap`.
    rows : int
        Rows used at most, evenly spaced in the order of the data.
    inputs, outputs : Standardizer, optional
        What the data went through before the model; the formula is then in the units before that. The losses stay in
        those of the targets that are given, as they are what the model was trained for.
    seed : int
        Of the bootstrap draws of the interval.
    progress : bool
        Show a bar when it takes longer than a second.

    Returns
    -------
    FormulaReport

    Raises
    ------
    ModelError
        No `KANHead`, or one whose output the model changes afterwards.
    DataError
        No target, or too few rows.
    InputError
        An unknown family, or one of your own whose expression sympy cannot compute.
    InputTypeError
        An argument of the wrong kind.

    Notes
    -----
    A formula of a classifier gives its logits.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> x = torch.linspace(-1, 1, 400)[torch.randperm(400, generator=torch.Generator().manual_seed(0))][:, None]
    >>> head = ki.KANHead(1, 1, domain=(-1, 1), input_names=["t"], output_names=["y"])
    >>> _ = ki.fit(head, (x, 3 * x**2), optimizer="lm", epochs=5, seed=0, progress=False)
    >>> formula(head, (x, 3 * x**2), progress=False).formula.text()
    '3*t**2'
    """
    check_seed(seed)
    view = as_view(model, path)
    head = view.module
    if not isinstance(head, KANHead):
        raise ModelError(
            f"formulas are fitted to a KANHead, the KAN at {view.path!r} is a {type(head).__name__}; convert it first "
            "with kaninterp.from_kan"
        )
    batches = prepared(model, data, target=target, feature_names=feature_names)
    if batches.first.target is None:
        raise DataError("a formula is judged by a target, and the data have none; pass (X, y) or target=")
    held = held_rows(batches, rows)
    with untouched(model):
        seen = seen_head(model, view, held.batch)
    check_alone(head, seen)
    head = copy.deepcopy(head).eval()
    units = Units.of(head, view.path, inputs, outputs)
    learn, judge, report = _parts(held, seen)
    chosen = None if families is None else families_of(families)
    found = snap(head, learn, judge, loss=loss, families=chosen, tolerance=tolerance, trials=trials, progress=progress)
    whole = head_formula(found.head, _names(view, head, held), units)
    known = torch.cat([learn[0], judge[0]]), torch.cat([learn[1], judge[1]])
    judged = _Losses(loss, known, head, units)
    shorter = trimmed(whole, units.given(known[0]), judged.of_formula, kind=_kind(judged.name), families=chosen)
    last = _Losses(loss, report, head, units)
    answers = shorter.formula(units.given(report[0]))
    undefined = int((~(np.abs(answers) < HUGE)).reshape(len(report[0]), -1).any(1).sum())
    model_rows = last.of_head(head)
    constant = float(last.of_constant().mean())
    rise = None if undefined else _rise(last.of_formula(answers) - model_rows, held, seed)
    return FormulaReport(
        formula=shorter.formula,
        head=found.head,
        edges=found.edges,
        dropped=shorter.dropped,
        loss_name=last.name,
        model_loss=float(model_rows.mean()),
        head_loss=float(last.of_head(found.head).mean()),
        formula_loss=float("inf") if undefined else float(last.of_formula(answers).mean()),
        constant_loss=constant,
        standardised=outputs is not None,
        rise=rise,
        allowed=tolerance * float(model_rows.mean()) + RESOLUTION * constant,
        rows=len(report[0]),
        undefined=undefined,
    )


def _kind(loss_name: str) -> Kind:
    """How the loss of a term that goes is weighed."""
    return "squared" if loss_name in SQUARED else "nats" if loss_name in LIKELIHOODS else "absolute"


class _Losses:
    """Losses of some rows, of a head and of a formula."""

    def __init__(self, loss: Loss, rows: tuple[Tensor, Tensor], head: KANHead, units: Units) -> None:
        self._x, target = rows
        self._like = self._output(head)
        self._units = units
        self._rows, self.name = row_losses(loss, target, self._like)

    def _output(self, head: KANHead) -> Tensor:
        with torch.no_grad():
            output: Tensor = head(self._x)
            return output

    def of_head(self, head: KANHead) -> Array:
        """Of every row."""
        return self._rows(self._output(head))

    def of_constant(self) -> Array:
        """Of every row, for the mean output."""
        return self._rows(self._like.mean(0, keepdim=True).expand_as(self._like))

    def of_formula(self, outputs: Array) -> Array:
        """Of every row, for outputs (n, outputs) in the user's units."""
        return self._rows(torch.as_tensor(self._units.modelled(outputs)).to(self._like).reshape(self._like.shape))


def _rise(difference: Array, rows: Rows, seed: int) -> Estimate:
    """Mean of a difference of losses on the last rows, with its interval."""
    n = len(difference)
    block = block_length(n, rows.columns.lags, rows.spacing)
    return BlockBootstrap(n, block, np.random.default_rng(seed)).estimate(difference)


def _parts(rows: Rows, seen: SeenHead) -> list[tuple[Tensor, Tensor]]:
    """Inputs of the head and targets to train on, to decide by and to report on."""
    target = _target(rows.batch)
    lags = rows.columns.lags
    gap = int(np.ceil(lags / rows.spacing)) if lags > 1 else 0
    try:
        cuts = time_split(rows.n, PARTS, gap=gap)
    except DataError as error:
        raise DataError(f"{rows.n} rows are too few to train, decide and report on ({error})") from error
    return [(seen.features[cut], target[cut]) for cut in cuts]


def _target(batch: Batch) -> Tensor:
    assert batch.target is not None  # noqa: S101 - `formula` has looked
    return batch.target


def _names(view: ModelView, head: KANHead, rows: Rows) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the inputs the head reads and of its outputs."""
    read = head.select if head.select is not None else tuple(range(head.in_features))
    columns = rows.columns.names if view.whole and rows.columns.lags == 1 else None
    known = columns if columns is not None and len(columns) == head.in_features else head.input_names
    inputs = tuple(f"unit {i}" if known is None else known[i] for i in read)
    return inputs, head.output_names or tuple(f"y{k}" for k in range(head.out_features))
