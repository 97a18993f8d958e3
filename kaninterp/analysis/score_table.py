"""Scores side by side, as a table: every score of columns, nodes or edges that the evidence at hand gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kaninterp.core.errors import InputError
from kaninterp.core.evidence import InputAblation, InputAttribution, InputShapley
from kaninterp.core.frozen import Array
from kaninterp.core.probe import Probe
from kaninterp.core.trace import Trace

from .bundle import Analysis
from .importance import Importance, measured
from .places import raw_columns
from .scores import SCORES, Score

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TABLES", "score_table"]

TABLES = ("column", "node", "edge")
"""What a row of the table may be about."""


def score_table(
    analysis: Analysis, level: str = "column", *, probe: Probe | None = None, shapley: InputShapley | None = None
) -> pd.DataFrame:
    """Every score of `SCORES` that can be had, one row per score, output and column (or node, or edge).

    Parameters
    ----------
    analysis : Analysis
        Its trace, its ablation and its attribution.
    level : {"column", "node", "edge"}
        What the rows are about. Columns of a plain KAN are its input nodes, too, and get their scores.
    probe : Probe, optional
        Of the same head, for scores of the loss and gradients.
    shapley : InputShapley, optional
        Of the same model, for column_shapley.

    Returns
    -------
    DataFrame
        ``score``, ``unit``, ``output`` ("" where a score is not of one output), ``column`` or ``layer``, ``node`` or
        ``src`` and ``dst``, ``value`` (with its sign), ``size`` (without) and ``error`` (standard error, NaN where
        none was measured). Per output first: nothing is averaged over outputs.

    Raises
    ------
    InputError
        Another level.
    PlanError
        The probe is of another head, or of other weights.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> head = ki.KANHead(2, 1, generator=torch.Generator().manual_seed(0))
    >>> found = ki.analyze(ki.trace(head, torch.randn(50, 2, generator=torch.Generator().manual_seed(0))))
    >>> table = score_table(found)
    >>> sorted(table["score"].unique())[:3], len(table[table["score"] == "path"])
    (['coefficients', 'kan2', 'l1'], 2)
    """
    import pandas as pd

    if level not in TABLES:
        raise InputError(f"level={level!r}; allowed: {', '.join(map(repr, TABLES))}")
    rows: list[dict[str, Any]] = []
    if level == "column":
        rows += _columns(analysis, probe, shapley)
    else:
        for found in _head(analysis, probe, level):
            rows += _places(analysis.trace, found)
    table: pd.DataFrame = pd.DataFrame(rows)
    return table


def _head(analysis: Analysis, probe: Probe | None, level: str) -> Iterator[Importance]:
    """Scores of the head's edges or nodes that can be had."""
    for score in SCORES:
        if score.level == "column" or score.needs == "seed" or (level == "edge" and score.level == "node"):
            continue
        if score.needs == "probe" and not _holds(probe, score):
            continue
        yield measured(score.name, analysis.trace, probe, analysis.scores, level=level)


def _holds(probe: Probe | None, score: Score) -> bool:
    kind = "shapley" if score.name == "loss_share" else score.name
    return probe is not None and kind in probe.kinds


def _places(trace: Trace, found: Importance) -> Iterator[dict[str, Any]]:
    for layer, values in enumerate(found.signed):
        errors = None if found.errors is None else found.errors[layer]
        for place, value in np.ndenumerate(values):
            output = trace.output_names[place[0]] if found.per_output else ""
            at = place[1:] if found.per_output else place
            yield _row(found.name, found.unit, output, float(value), None if errors is None else float(errors[at])) | (
                {"layer": layer, "dst": trace.node_name(layer + 1, at[0]), "src": trace.node_name(layer, at[1])}
                if found.level == "edge"
                else {"layer": layer, "node": trace.node_name(layer, at[0])}
            )


def _columns(analysis: Analysis, probe: Probe | None, shapley: InputShapley | None) -> Iterator[dict[str, Any]]:
    trace = analysis.trace
    outputs = trace.output_names
    for score in SCORES:
        found = _evidence(score, analysis.ablation, analysis.attribution, shapley)
        if found is None:
            continue
        names, values, errors = found
        for place, value in np.ndenumerate(values):
            output = _output_name(outputs, place[0]) if values.ndim == 2 else ""
            error = None if errors is None else float(errors[place[-1]])
            yield _row(score.name, score.unit, output, float(value), error) | {"column": names[place[-1]]}
    columns = raw_columns(trace)
    if columns is None or trace.raw is None:
        return
    for importance in _head(analysis, probe, "node"):
        for row in _places(trace, importance):
            if row.pop("layer") == 0:
                yield row | {"column": row.pop("node")}


def _evidence(
    score: Score, ablation: InputAblation | None, attribution: InputAttribution | None, shapley: InputShapley | None
) -> tuple[tuple[str, ...], Array, Array | None] | None:
    """Names, values (F,) or (outputs, F), and standard errors of a score of columns; None where it is not known."""
    if ablation is not None and score.name == "column_ablation":
        return ablation.names, ablation.change, None
    if ablation is not None and ablation.node_shares and score.name == "column_total":
        return ablation.names, ablation.node_shares[-1], None
    if attribution is not None and score.name == "column_gradients":
        return attribution.names, attribution.magnitude.sum(2).max(0), None
    if shapley is not None and score.name == "column_shapley":
        return shapley.names, shapley.value, shapley.error
    return None


def _output_name(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else str(index)


def _row(name: str, unit: str, output: str, value: float, error: float | None) -> dict[str, Any]:
    return {
        "score": name,
        "unit": unit,
        "output": output,
        "value": value,
        "size": abs(value),
        "error": np.nan if error is None else error,
    }
