"""`trace`: one pass over the data, and everything about the KAN that later conclusions need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.adapters import ModelView, as_view, check_view, column_names
from kaninterp.core import ModelCard, NodeTable, Trace
from kaninterp.core.digest import Digest
from kaninterp.core.errors import DataError, ModelError
from kaninterp.core.families import FAMILIES
from kaninterp.core.names import check_names
from kaninterp.core.tables import RawTable
from kaninterp.data import LARGEST, Batch, Batches, as_batches, placement
from kaninterp.measure.host import Columns, run, untouched
from kaninterp.measure.layer_sums import LayerSums
from kaninterp.measure.observer import Observer
from kaninterp.measure.raw_sums import raw_block

__all__ = ["card_of", "observed", "prepared", "trace"]

CHECKED_ROWS = 64
"""Rows of the first batch on which the sum of the edges is held against the layer (law 1)."""
BLOCK_VALUES = 2**19
"""Basis values of a layer worked on at once (4 MB in float64, near the processor); larger batches are cut."""
BLOCK_ROWS = 256
"""Fewest rows in a block: below, calls cost more than arithmetic."""
PROGRESS_DELAY = 1.0
"""Seconds before a progress bar appears: short work stays silent."""


def trace(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    feature_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
    path: str | None = None,
    batch_size: int = 1024,
    progress: bool = True,
) -> Trace:
    """Measure the KAN inside a model on data, in one pass and bounded memory.

    Parameters
    ----------
    model : nn.Module
        Any module with a KAN inside; run in eval mode and left bit-identical (law 9).
    data
        Tensor, array, DataFrame, ``(X, y)``, dict, Dataset, DataLoader, or iterable of batches; rows first:
        (n, F) or (n, T, F), see `kaninterp.data.as_batches`. A target is ignored.
    target
        Which column or key of the data is the target, so that it is not taken for an input.
    feature_names : sequence of str, optional
        Names of the raw columns; a DataFrame brings its own. Columns without names are called as a model that is
        nothing but a KAN calls its inputs (``KANHead(input_names=...)``), else x0, x1, ...
    target_names : sequence of str, optional
        Names of the KAN's outputs.
    path : str, optional
        Where the KAN sits, if the model has several.
    batch_size : int
        Rows per forward pass; the result does not depend on it.
    progress : bool
        Show a progress bar when it takes longer than a second.

    Returns
    -------
    Trace
        O(edges x grid) numbers; no row of the data, no weight of the model.

    Raises
    ------
    ModelError
        No KAN in the model, several, one that is not the sum of its edges, or one that gives NaN.
    DataError, ShapeError, InputTypeError, NamesError, StateError
        Data or names that do not fit; the message says what arrived and what is allowed.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), ki.KANHead(4, 1))
    >>> ki.trace(model, torch.randn(100, 3))
    Trace(Sequential, widths=[4, 1], edges=4, rows=100, data='tensor 100 x 3 of float32')
    """
    view = as_view(model, path)
    batches = prepared(model, data, target=target, feature_names=feature_names, batch_size=batch_size)
    return observed(model, view, batches, target_names=target_names, progress=progress)


def observed(
    model: nn.Module,
    view: ModelView,
    batches: Batches,
    observer: Observer | None = None,
    *,
    target_names: Sequence[str] | None = None,
    progress: bool = False,
) -> Trace:
    """Trace, and show everything to an observer on the way: one pass for both."""
    names = view.output_names if target_names is None else target_names
    outputs = check_names(names, view.widths[-1], what="target_names", prefix="y")
    with untouched(model):
        return _traced(model, view, batches, outputs, observer, progress)


def prepared(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    feature_names: Sequence[str] | None = None,
    batch_size: int = 1024,
) -> Batches:
    """Batches of the data in the model's number type, checked against the model's device.

    The one source of names of raw columns: those of the data or ``feature_names``, else those that a model which is
    nothing but a KAN has for its inputs, else x0, x1, ...
    """
    device, dtype = placement(model)
    host_memory = not torch.is_tensor(data) and not isinstance(data, Batches)
    batches = as_batches(
        data,
        target=target,
        names=feature_names,
        batch_size=batch_size,
        device=device if host_memory else None,
        dtype=dtype,
    )
    batches.check_device(model)
    return batches.named_by(column_names(model))


def card_of(model: nn.Module, view: ModelView) -> ModelCard:
    """What is being explained, in words and numbers."""
    return ModelCard(
        model=type(model).__name__,
        head=view.kind,
        path="" if view.whole else view.path,
        fingerprint=view.fingerprint(),
        parameters=_trainable(model),
        head_parameters=_trainable(view.module),
        widths=view.widths,
        node_ids=view.node_ids,
        options=view.options,
    )


def _traced(  # noqa: PLR0917 (internal; the pass itself)
    model: nn.Module,
    view: ModelView,
    batches: Batches,
    names: tuple[str, ...],
    observer: Observer | None,
    progress: bool,
) -> Trace:
    columns = Columns.of(batches.first, batches.names_per_input) if Columns.readable(batches.first) else None
    digest = Digest()
    layers: tuple[LayerSums, ...] = ()
    outputs: NodeTable | None = None
    raw: RawTable | None = None
    for batch in _shown(batches, progress):
        digest.add(*batch.inputs)
        _, head_inputs = run(model, view, batch)
        if not len(head_inputs):
            continue
        if not layers:
            layers = _opened(view, head_inputs[:CHECKED_ROWS])
        for rows in _blocks(view, head_inputs):
            values = [rows]
            for layer in layers:
                values.append(layer.add(values[-1]))
            _check_nodes(view, values)
            if observer is not None:
                observer.add_nodes(values[:-1])
            out = NodeTable.of(values[-1].cpu().double().numpy())
            outputs = out if outputs is None else outputs.merge(out)
        if columns is not None:
            cells = columns.values(batch)
            if observer is not None:
                observer.add_columns(cells)
            part = raw_block(cells, columns.names)
            raw = part if raw is None else raw.merge(part)
    if outputs is None:
        raise DataError(f"{batches.kind}: no row reached the KAN at {view.path!r}")
    return Trace(
        layers=tuple(layer.table() for layer in layers),
        outputs=outputs,
        raw=raw,
        output_names=names,
        card=card_of(model, view),
        data=batches.kind,
        data_fingerprints=(digest.text,),
    )


def _opened(view: ModelView, few: Tensor) -> tuple[LayerSums, ...]:
    """Sums of every layer, none taken yet; some rows show first that the model can be measured."""
    values = view.activations(few)
    _check_nodes(view, values)
    check_view(view, few)
    return tuple(LayerSums(layer, rows) for layer, rows in zip(view.layers, values, strict=False))


def _check_nodes(view: ModelView, values: Sequence[Tensor]) -> None:
    if not torch.isfinite(values[-1]).all():
        _check_formulas(view, values)
        raise ModelError(
            f"the KAN at {view.path!r} gives NaN or infinite outputs on finite data; its weights or the backbone "
            "before it hold such values. Train again with a smaller learning rate or gradient clipping"
        )
    for depth, nodes in enumerate(values):
        if nodes.dtype == torch.float64 and nodes.numel() and float(nodes.abs().max()) > LARGEST:
            column = int(nodes.abs().amax(0).argmax())
            most, last = float(nodes[:, column].abs().max()), depth == len(view.layers)
            what = f"output {column}" if last else f"input node {column} of KAN layer {depth + 1}"
            raise ModelError(
                f"{what} of the KAN at {view.path!r} reaches {most:.3g}; allowed: up to {LARGEST:g}, since squares are "
                "summed up. The weights, or the backbone before it, are far too large; train again with a smaller "
                "learning rate or gradient clipping"
            )


def _check_formulas(view: ModelView, values: Sequence[Tensor]) -> None:
    """Name a formula that is not defined where the data are, as a logarithm of a negative number."""
    for depth, (layer, nodes) in enumerate(zip(view.layers, values, strict=False)):
        for (dst, src, name), (a, b, _, _) in zip(layer.formulas, layer.formula_numbers, strict=False):
            x = nodes[:, src].double().cpu().numpy()
            known = FAMILIES.get(name)
            with np.errstate(all="ignore"):
                wrong = x[np.isfinite(x) & ~np.isfinite(known.function(a * x + b))] if known else x[:0]
            if len(wrong):
                raise ModelError(
                    f"the edge from node {src} to node {dst} of KAN layer {depth + 1} at {view.path!r} is the formula "
                    f"{name}, which is not defined at {wrong[0]:.4g}, where the data are. Choose another formula, or "
                    "head = kaninterp.from_kan(model): outside its domain a formula is constant there"
                )


def _blocks(view: ModelView, rows: Tensor) -> tuple[Tensor, ...]:
    """Rows in equal blocks so that the basis of the widest layer stays within `BLOCK_VALUES`."""
    largest = max(layer.src * int(layer.knots.shape[1] + layer.order) for layer in view.layers)
    return torch.tensor_split(rows, max(1, -(-len(rows) // max(BLOCK_ROWS, BLOCK_VALUES // largest))))


def _shown(batches: Batches, progress: bool) -> Iterable[Batch]:
    total = None if batches.n_rows is None else -(-batches.n_rows // batches.batch_size)
    bar: Iterable[Batch] = tqdm(
        batches, total=total, desc="trace", unit="batch", delay=PROGRESS_DELAY, leave=False, disable=not progress
    )
    return bar


def _trainable(module: nn.Module) -> int:
    return sum(int(parameter.numel()) for parameter in module.parameters())
