"""`passports`: every node of a KAN described by at most three of the user's columns and time lags, and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from kaninterp.adapters import ModelView, as_view
from kaninterp.core.errors import DataError, ModelError
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.passports import DESCRIBED, Effect, Passport, Passports
from kaninterp.measure.ablation import readers
from kaninterp.measure.describing import Cells, Description, candidates
from kaninterp.measure.formulas import short_formula
from kaninterp.measure.host import by_row, row_axis, run, untouched
from kaninterp.measure.node_lags import node_lags
from kaninterp.measure.profiles import Driver, Profiles
from kaninterp.measure.rows import Rows, held_rows
from kaninterp.measure.tracing import PROGRESS_DELAY, prepared

__all__ = ["passports"]

DEFAULT_ROWS = 4000
"""Rows used at most, evenly spaced: half to fit on, a quarter to choose by, the last quarter to judge by."""

LEAST_ROWS = 200
"""Fewer rows describe nothing for sure."""

LEAST_PART = 40
"""Rows of each part at least."""

ROUNDING = 1e-6
"""Spread of a node, against its largest value, below which it is constant."""

POINTS = 33
"""Points of a curve."""


_Chosen = tuple[list[int], tuple[tuple[int, int], ...]]


def passports(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    rows: int = DEFAULT_ROWS,
    progress: bool = True,
) -> Passports:
    """Describe every node of the KAN, and every unit it reads, by columns and lags of the data.

    Smooth functions of at most `MOST` columns, each at one lag or with weights over all lags, are fitted to the node's
    values, products of two where they help; what they are worth is said on later rows that neither the fit nor the
    choice has seen.

    Parameters
    ----------
    model, data, target, feature_names, path, progress
        As for `trace`; rows in the order of time.
    rows : int
        Rows used at most, evenly spaced.

    Returns
    -------
    Passports
        Of a KAN that reads every time step, the last step.

    Raises
    ------
    DataError
        Fewer than `LEAST_ROWS` rows, or windows so long that less than `LEAST_PART` are left in a part.
    ModelError
        The inputs are neither tables nor sequences; rows of the KAN cannot be told apart.

    Examples
    --------
    >>> import kaninterp as ki
    >>> x = torch.randn(800, 4, generator=torch.Generator().manual_seed(0))
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 1), ki.KANHead(1, 1, domain=(-4, 4)))
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[1.0, -0.5, 0.0, 0.0]])), model[0].bias.zero_()
    >>> print(passports(model, x, progress=False).of(0, 0))
    unit 0: x0 rising, x1 falling; R² 0.99 on held-out rows; 1·x0 − 0.5·x1 (R² 1.00)
    """
    view = as_view(model, path)
    held = held_rows(prepared(model, data, target=target, feature_names=feature_names), rows)
    if held.n < LEAST_ROWS:
        raise DataError(f"{held.n} rows; a description needs {LEAST_ROWS} to be fitted, chosen and judged on")
    cells = Cells.of(held)
    if min(map(len, cells.parts)) < LEAST_PART:
        steps = cells.x.shape[1]
        raise DataError(
            f"{held.n} rows of {steps} steps; parts that share no step would have {min(map(len, cells.parts))} rows, a "
            f"description needs {LEAST_PART} in each. Give more rows"
        )
    with untouched(model):
        nodes = _nodes(model, view, held)
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            # of the rows to fit on: the rows to judge by have no part in the choice of drivers
            effects = node_lags(model, view, replace(held, batch=held.batch.rows(slice(len(cells.parts[0])))), progress)
    cells = _only_read(cells, readers(model, held)[0], effects)
    profiles = Profiles(cells.x, *cells.parts[:2])
    found = []
    every = [(layer, i) for layer, values in enumerate(nodes) for i in range(values.shape[1])]
    for layer, i in tqdm(every, desc="passports", delay=PROGRESS_DELAY, leave=False, disable=not progress):
        y = nodes[layer][:, i]
        drivers = candidates(cells, profiles, y, effects[layer][i]) if _varies(y) else []
        found.append(_passport((layer, i, _name(view, cells, layer, i)), cells, y, drivers))
    return Passports(rows=len(cells.parts[0]), held_out=len(cells.parts[2]), nodes=tuple(found))


def _nodes(model: nn.Module, view: ModelView, held: Rows) -> list[Array]:
    """Values of the nodes of layers 0..L, (rows, width) each; the last step where there are several."""
    axis = row_axis(model, view, held.batch)
    if axis is None:
        raise ModelError("the KAN reads rows that cannot be told apart, so its nodes cannot be described")
    heads = []
    for start in range(0, held.n, 1024):
        part = held.batch.rows(slice(start, start + 1024))
        heads.append(by_row(run(model, view, part)[1], part.n_rows, axis)[:, -1])
    return [values.double().cpu().numpy() for values in view.activations(torch.cat(heads))]


def _only_read(cells: Cells, reads: BoolArray, effects: Sequence[Any]) -> Cells:
    """Cells in which columns that nothing reads stand still, so that no description names them for a column they copy.

    Unread: no weight is seen to read it, and no node has a gradient in it.
    """
    still = ~reads
    for nodes in effects:
        for effect in nodes:
            still &= ~effect.any(0)
    if not still.any():
        return cells
    x = cells.x.copy()
    x[:, :, still] = 0.0
    return replace(cells, x=x)


def _varies(y: Array) -> bool:
    return float(y.std()) > ROUNDING * float(np.abs(y).max())


def _passport(place: tuple[int, int, str], cells: Cells, y: Array, drivers: list[Driver]) -> Passport:
    layer, index, name = place
    size = float(y.std()) if _varies(y) else 0.0
    if not drivers:
        return Passport(
            layer=layer, index=index, name=name, spread=size, effects=(), r2=0.0, additive=0.0, formula="",
            formula_r2=float("nan"),
        )  # fmt: skip
    fit, _, judge = cells.parts
    x = np.stack([driver.values(cells.x) for driver in drivers], axis=1)
    trial = Description(x, y / size, cells.parts)
    columns = trial.chosen()
    pairs = trial.pairs(columns)
    additive, r2 = trial.judged(columns), trial.judged(columns, pairs)
    formula, formula_r2 = "", float("nan")
    if r2 >= DESCRIBED:
        called = [cells.called(drivers[c]) for c in columns]
        fit_on, judge_by = ((x[part][:, columns], y[part]) for part in (fit, judge))
        formula, formula_r2 = short_formula(called, fit_on, judge_by, r2)
    found = [_effect(trial, (columns, pairs), c, (cells.names, drivers[c]), size) for c in columns]
    return Passport(
        layer=layer, index=index, name=name, spread=size, effects=tuple(sorted(found, key=lambda e: -e.share)), r2=r2,
        additive=min(additive, r2), formula=formula, formula_r2=formula_r2,
    )  # fmt: skip


def _effect(trial: Description, chosen: _Chosen, c: int, what: tuple[tuple[str, ...], Driver], size: float) -> Effect:
    (columns, pairs), (names, driver) = chosen, what
    x = trial.x[trial.parts[0], c]
    grid = np.linspace(x.min(), x.max(), POINTS)
    there = trial.curve(columns, pairs, c, x)
    spread = float(there.std() * x.std())
    direction = float(((there - there.mean()) * (x - x.mean())).mean()) / spread if spread > 0 else 0.0
    others = [other for other in columns if other != c]
    without = trial.judged(others, [pair for pair in pairs if c not in pair])
    return Effect(
        name=names[driver.column], column=driver.column, lag=driver.lag, weights=driver.weights,
        share=max(0.0, trial.judged(columns, pairs) - without),
        direction=float(np.clip(direction, -1, 1)), grid=grid, curve=size * trial.curve(columns, pairs, c, grid),
        counts=np.histogram(x, grid)[0] / len(x),
    )  # fmt: skip


def _name(view: ModelView, cells: Cells, layer: int, index: int) -> str:
    """As in a trace: an output's own name, a raw column of a plain KAN, or unit and node by original number."""
    original = view.node_ids[layer][index]
    if layer == len(view.layers):
        return view.output_names[index] if view.output_names else f"y{original}"
    if layer:
        return f"node {layer}.{original}"
    return cells.names[original] if view.whole and cells.x.shape[1] == 1 else f"unit {original}"
