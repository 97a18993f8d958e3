"""`report`, `prune_page`: measure, conclude, render. One call from a model and its data to one offline HTML file."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.adapters import as_view
from kaninterp.analysis import Analysis, answers
from kaninterp.core import ModelError, PruneCost, RangeCard, Trace
from kaninterp.core.drift import DriftEvidence
from kaninterp.core.errors import InputTypeError
from kaninterp.data import check_seed, row_labels
from kaninterp.measure import (
    range_card,
)
from kaninterp.measure.convert import with_kan_head
from kaninterp.measure.host import Columns
from kaninterp.measure.tracing import card_of, prepared
from kaninterp.measure.watching import watch
from kaninterp.nn import KANHead
from kaninterp.nn.gradients import with_gradients
from kaninterp.pruning import PruneReport, PruneRun, measure_cost, summarize
from kaninterp.render import Report, check_writable, document, prune_document
from kaninterp.workflows.drifting import columns_read, drift_evidence
from kaninterp.workflows.measuring import STEPS, Asked, concluded, step

__all__ = ["prune_page", "report"]

UNDO = """kaninterp.workflows.prune_page(run, held_out)
run = run.undo()  # the last step back; run.model is the model before it"""
PRINTED_VERSIONS = ("kaninterp", "torch", "captum", "numpy")


@with_gradients
def report(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    reference: Any = None,
    feature_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
    loss: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    out: str | os.PathLike[str] | None = None,
    title: str | None = None,
    path: str | None = None,
    batch_size: int = 1024,
    trust: bool = True,
    formula: bool | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Report:
    """Explain a model with a KAN inside: which inputs count, what each edge does, what may go and at what price.

    Parameters
    ----------
    model : nn.Module
        Any trained module with a KAN somewhere inside; it is left bit-identical.
    data
        Held-out data, with the target: ``(X, y)``, a DataFrame with ``target="column"``, a Dataset, a
        DataLoader, ... (see `trace`). Without a target the report speaks of changes of the output instead of
        losses. It is read several times, so a generator will not do.
    target
        Which column or key is the target; or one value per row.
    reference : optional
        The data the model was trained on, in the same form, with or without the target: ranges are then compared
        with it. Or the `RangeCard` that was saved beside the model, where those data are not at hand.
    feature_names, target_names : sequence of str, optional
        Names of raw columns and of outputs; a DataFrame brings its own.
    loss : str, callable or None
        "mse", "mae", "huber", "cross_entropy", "bce" or a function of (output, target); None chooses by target.
    out : path, optional
        Write the HTML here, atomically. Checked before any work is done.
    title : str, optional
        Headline of the report.
    path : str, optional
        Where the KAN sits, if the model has several.
    batch_size : int
        Rows per forward pass of the trace.
    trust : bool
        Measure whether the explanation holds, with other models of the same data beside it
        (`kaninterp.measure.trust_readings`, `kaninterp.workflows.other_models`). False: the section says that nobody
        looked.
    formula : bool or None
        Write the KAN as a formula, its loss on held-out rows beside the model's (`kaninterp.symbolic.formula`). None:
        where a target is given and the KAN has at most `kaninterp.workflows.writing.MOST_EDGES` live edges; of a
        larger one the section says that it was left out. True: of a larger one, too, which can take minutes. False:
        no section.
    seed : int
        Of shuffles and bootstrap draws; the global generators are not touched. The same model, data and options
        give the same bytes.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Report
        ``save(path)``, ``to_html()``, ``to_json()``; shows itself in a notebook.

    Raises
    ------
    ReportWriteError
        ``out`` cannot be written.
    ModelError, DataError, ShapeError, InputTypeError, NamesError, StateError
        Model or data that do not fit; nothing is written then.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> X = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    >>> head = ki.KANHead(3, 1, generator=torch.Generator().manual_seed(0))
    >>> page = ki.report(head, (X, X[:, 0]), feature_names=["a", "b", "c"], progress=False)
    >>> page.to_html().startswith("<!DOCTYPE html>")
    True
    """
    if out is not None:
        check_writable(Path(out))
    check_seed(seed)
    view = as_view(model, path)
    batches = prepared(model, data, target=target, feature_names=feature_names, batch_size=batch_size)
    batches.again()
    if isinstance(reference, RangeCard):
        card_of(model, view).check_reference(reference.card)
        reference.check_columns(Columns.of(batches.first, batches.names_per_input).names)
    asked = Asked(
        model=model, batches=batches, target_names=target_names, loss=loss, path=path, seed=seed, trust=trust,
        formula=formula,
    )  # fmt: skip
    with tqdm(total=len(STEPS), desc="report", unit="step", leave=False, delay=1.0, disable=not progress) as bar:
        if reference is None:
            current, drift = asked.trace(), None
        else:
            step(bar, "reference")
            asked, current, drift = _drift(asked, reference, target, row_labels(data))
        analysis = concluded(asked, current, drift, bar)
        step(bar, "price of the plan")
        cost, remark = _price(asked, analysis)
    page = Report(
        document=document(
            analysis,
            cost=cost,
            answers=answers(analysis, cost),
            title=title or f"What {type(model).__name__} uses",
            options=(*_options(asked, batch_size, drift is not None), *remark),
            call=_call(asked, target, named=feature_names is not None, compared=drift is not None),
            versions=_versions(),
        ),
        analysis=analysis,
    )
    if out is not None:
        page.save(out)
    return page


def prune_page(
    run: PruneRun | PruneReport,
    data: Any = None,
    *,
    target: Any = None,
    feature_names: Sequence[str] | None = None,
    loss: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    out: str | os.PathLike[str] | None = None,
    title: str | None = None,
    batch: int = 256,
    compiled: bool = False,
    seed: int = 0,
) -> Report:
    """Show what a pruning did: what went and why, what it costs in accuracy, what it saves, step by step.

    Parameters
    ----------
    run : PruneRun or PruneReport
        A run is measured on ``data`` first; a report is shown as it is.
    data, target, feature_names, loss, seed
        Held-out data for a run, as for `kaninterp.pruning.summarize`. None: nothing is measured.
    out : path, optional
        Write the HTML here, atomically. Checked before any work is done.
    title : str, optional
        Headline of the page.
    batch : int
        Rows of one call when latency is measured.
    compiled : bool
        Also time the models under `torch.compile`.

    Returns
    -------
    Report
        ``save(path)``, ``to_html()``, ``to_json()``; shows itself in a notebook. The same `PruneReport` gives the
        same bytes; measured times differ from run to run.

    Raises
    ------
    InputTypeError
        Neither a run nor a report, or data for a report.
    ReportWriteError
        ``out`` cannot be written.
    KanInterpError
        As for `kaninterp.pruning.summarize`.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> from kaninterp.analysis import keep_all
    >>> head, x = ki.KANHead(3, 1), torch.randn(50, 3)
    >>> small, report = ki.prune(head, keep_all(ki.trace(head, x, progress=False)))
    >>> prune_page(report).to_html().startswith("<!DOCTYPE html>")
    True
    """
    if out is not None:
        check_writable(Path(out))
    if isinstance(run, PruneRun):
        options: dict[str, Any] = {"target": target, "feature_names": feature_names, "loss": loss, "seed": seed}
        found = summarize(run, data, batch=batch, compiled=compiled, **options)
    elif not isinstance(run, PruneReport):
        raise InputTypeError(f"run: expected a PruneRun or a PruneReport, got {type(run).__name__}")
    elif data is not None:
        raise InputTypeError("data: only a PruneRun can be measured, a PruneReport has no models; give the run")
    else:
        found = run
    page = Report(
        document=prune_document(
            found, title=title or f"What pruning did to {found.model or 'the model'}", call=UNDO, versions=_versions()
        )
    )
    if out is not None:
        page.save(out)
    return page


def _drift(asked: Asked, reference: Any, target: Any, labels: Any) -> tuple[Asked, Trace, DriftEvidence]:
    """The reference data read, a trace of the data, and what holds them against a card or that of the reference."""
    label, before = None, None
    if isinstance(reference, RangeCard):
        card = reference
    else:
        label, before = _label_in(reference, target), reference
        rows = prepared(asked.model, reference, target=label, feature_names=asked.batches.names)
        rows.again()
        card = range_card(asked.model, rows, path=asked.path, progress=False)
        if rows.first.target is None:
            before = None  # no loss to compare with
        else:
            asked = replace(asked, reference=rows)
    model, batches = asked.model, asked.batches
    read = columns_read(model, batches)
    view = as_view(model, asked.path)
    current, watched = watch(model, view, batches, card, read=read, target_names=asked.target_names)
    options: dict[str, Any] = {"loss": asked.loss, "path": asked.path, "seed": asked.seed, "labels": labels}
    return asked, current, drift_evidence(model, batches, card, watched, reference=before, target=label, **options)


def _price(asked: Asked, analysis: Analysis) -> tuple[PruneCost | None, tuple[tuple[str, str], ...]]:
    """Price of the plan, of a KAN of another library on a converted copy.

    Where raw columns cannot be cut out of the backbone, of its edges alone, and a remark.
    """
    if not Columns.readable(asked.batches.first):
        return None, (("price of the plan", "not measured: the inputs are neither tables nor sequences"),)
    if not analysis.plan.mask.count:
        return None, (("price of the plan", "not measured: no edge of the head is left, it is a constant"),)
    options: dict[str, Any] = {"loss": asked.loss, "path": asked.path, "seed": asked.seed}
    model, plan = asked.model, analysis.plan
    remark: tuple[tuple[str, str], ...] = ()
    view = as_view(model, asked.path)
    if not isinstance(view.module, KANHead):
        try:
            model = with_kan_head(model, path=asked.path, batch=asked.batches.first)
        except ModelError as error:
            return None, (("price of the plan", f"not measured: {error}"),)
        plan = replace(plan, fingerprint="")  # it was made for the weights of the original
        remark = (("price of the plan", f"measured on a copy whose {view.kind} is converted by from_kan"),)
    try:
        return measure_cost(model, plan, asked.batches, **options)[0], remark
    except ModelError as error:
        edges_only = replace(plan, inputs=np.ones(len(plan.inputs), bool))
        cost, _ = measure_cost(model, edges_only, asked.batches, **options)
        return cost, (*remark, ("raw columns", f"priced with all columns kept: {error}"))


def _label_in(reference: Any, target: Any) -> Any:
    """The target's name where the reference data hold it: no target is needed there, but it is not an input."""
    named = isinstance(target, str) or (isinstance(target, list | tuple) and all(isinstance(t, str) for t in target))
    if not named or isinstance(reference, tuple):
        return None
    if isinstance(reference, pd.DataFrame | Mapping):
        wanted = [target] if isinstance(target, str) else target
        return target if all(name in reference for name in wanted) else None
    return target


def _options(asked: Asked, batch_size: int, has_reference: bool) -> tuple[tuple[str, str], ...]:
    named = asked.loss if isinstance(asked.loss, str) else getattr(asked.loss, "__name__", "chosen by the target")
    return (
        ("loss", str(named)),
        ("batch size", str(batch_size)),
        ("seed", str(asked.seed)),
        ("reference data", "given" if has_reference else "none"),
        ("mode while measuring", "eval, no gradients kept"),
    )


def _call(asked: Asked, target: Any, *, named: bool, compared: bool) -> str:
    """The call that makes this report again."""
    parts = ["model", "data"]
    if isinstance(target, str):
        parts.append(f"target={target!r}")
    if compared:
        parts.append("reference=...")
    if named:
        parts.append("feature_names=...")
    if asked.target_names is not None:
        parts.append(f"target_names={list(asked.target_names)!r}")
    if isinstance(asked.loss, str):
        parts.append(f"loss={asked.loss!r}")
    if asked.path is not None:
        parts.append(f"path={asked.path!r}")
    if not asked.trust:
        parts.append("trust=False")
    if asked.formula is not None:
        parts.append(f"formula={asked.formula}")
    return f"kaninterp.report({', '.join(parts)}, seed={asked.seed})"


def _versions() -> tuple[tuple[str, str], ...]:
    return (("python", platform.python_version()), *((name, metadata.version(name)) for name in PRINTED_VERSIONS))
