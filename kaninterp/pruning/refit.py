"""Refit a pruned head by least squares: what is left takes over from what went, layer by layer."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.adapters import ModelView, as_view
from kaninterp.core.errors import InputError, ModelError
from kaninterp.data import Batches
from kaninterp.measure.host import run, untouched
from kaninterp.measure.tracing import PROGRESS_DELAY, prepared
from kaninterp.nn import KANHead, KANLayer

__all__ = ["Refit", "refit"]

RIDGE = 1e-6
"""Pull towards the present coefficients, in units of each basis function's own sum of squares: decides where the data
do not (the splines of all inputs share the constants), and costs a millionth of the fit elsewhere."""
LARGEST_SYSTEM = 6000
"""Basis functions of one layer together; their Gram matrix then takes 288 MB."""
HELD_VALUES = 2**25
"""Head inputs kept in memory between passes (128 MB in float32); beyond, the models run again for every pass."""
BLOCK_VALUES = 2**23
"""Basis values held at once, 64 MB."""
TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Refit:
    """How a refit went.

    Attributes
    ----------
    rows : int
        Rows of head inputs it was fitted on.
    layers : tuple of int
        Layers whose coefficients are new; empty if nothing was better than what was there.
    before, after : float
        Mean squared difference between the outputs of the pruned and the unpruned head on these rows; ``after`` is
        never larger.
    """

    rows: int
    layers: tuple[int, ...]
    before: float
    after: float


def refit(
    model: nn.Module,
    original: nn.Module,
    data: Any,
    *,
    target: Any = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    ridge: float = RIDGE,
    batch_size: int = 1024,
    progress: bool = True,
) -> tuple[nn.Module, Refit]:
    """Fit the edges that are left to what the nodes were before the pruning; follow with `fine_tune` if you like.

    Layer by layer, the coefficients and bias of every node are fitted by least squares to the value of the same node
    in the unpruned head, on the rows of ``data``, given what the layers below (already refitted) now compute. No
    target is needed.

    Parameters
    ----------
    model : nn.Module
        The pruned model, compact or masked; stays as it is.
    original : nn.Module
        The model it was pruned from, or any earlier one.
    data, target, feature_names, path, batch_size, progress
        As for `trace`; use training data.
    ridge : float
        How strongly coefficients are pulled towards their present values, as a share of the sum of squares of each
        basis function; above 0.

    Returns
    -------
    new : nn.Module
        A copy with new coefficients and biases in its head. Mask, knots and backbone are the same.
    report : Refit

    Raises
    ------
    ModelError
        ``model`` does not descend from ``original``; a head of another family; one with too many basis functions in
        a layer for a system of equations.
    InputError
        A ``ridge`` that is not above 0.

    Notes
    -----
    Normal equations are summed over batches in float64, so memory does not grow with the rows. Fitting hidden layers
    to their old values may leave the outputs worse: of "the last layer only", "the last two", ... the choice with the
    smallest squared error of the outputs is taken, or none.

    Examples
    --------
    >>> import numpy as np, kaninterp as ki
    >>> from kaninterp.nn import prune_head
    >>> x = torch.rand(200, 1, generator=torch.Generator().manual_seed(0)).expand(200, 2) * 2 - 1  # a column twice
    >>> head = ki.KANHead(2, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0)).eval()
    >>> small, _ = prune_head(head, [np.array([[True, False]])])
    >>> again, report = refit(small, head, x, progress=False)
    >>> report.before > 1e-3, report.after < 1e-9  # the edge that is left does the work of both
    (True, True)
    """
    if not ridge > 0:
        raise InputError(f"ridge: expected a number above 0, got {ridge!r}")
    new = copy.deepcopy(model)
    view, source = as_view(new, path), as_view(original, path)
    head = _kan_head(view)
    wanted = _positions(view, source)
    batches = prepared(model, data, target=target, feature_names=feature_names, batch_size=batch_size).again()
    with ExitStack() as stack:
        for whole in (new, original):
            stack.enter_context(untouched(whole))
        rows = _Rows((new, view), (original, source), batches)
        steps = len(head.layers)
        before, count = _squared_error(head.kan_layers, source, rows)
        best, best_layers, first = before, list(head.kan_layers), steps
        bar = tqdm(total=steps, desc="refit", unit="layer", delay=PROGRESS_DELAY, leave=False, disable=not progress)
        for start in reversed(range(steps)):
            layers = _refitted(head.kan_layers, start, rows, source=source, wanted=wanted, ridge=ridge)
            error, _ = _squared_error(layers, source, rows)
            if error < best:
                best, best_layers, first = error, layers, start
            bar.update()
        bar.close()
    with torch.no_grad():
        for old, layer in zip(head.kan_layers, best_layers, strict=True):
            old.weight.copy_(layer.weight)
            old.bias.copy_(layer.bias)
    each = count * source.widths[-1]
    return new, Refit(rows=count, layers=tuple(range(first, steps)), before=before / each, after=best / each)


class _Rows:
    """Head inputs of the pruned and of the unpruned model, side by side; kept in memory while they are few."""

    def __init__(self, new: tuple[nn.Module, ModelView], old: tuple[nn.Module, ModelView], batches: Batches) -> None:
        self._models = new, old
        self._batches = batches
        self._held: list[tuple[Tensor, Tensor]] | None = None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self._held is not None:
            yield from self._held
            return
        held, values = [], 0
        for batch in self._batches:
            pair = self._pair(batch)
            values += sum(part.numel() for part in pair)
            if values <= HELD_VALUES:
                held.append(pair)
            yield pair
        self._held = held if values <= HELD_VALUES else None

    def _pair(self, batch: Any) -> tuple[Tensor, Tensor]:
        (_, new), (_, old) = (run(model, view, batch) for model, view in self._models)
        if len(new) != len(old):
            raise ModelError(f"the pruned model's KAN reads {len(new)} rows where the original's reads {len(old)}")
        return new, old


def _kan_head(view: ModelView) -> KANHead:
    if not isinstance(view.module, KANHead):
        raise ModelError(f"only a KANHead can be refitted, at {view.path!r} is a {view.kind}")
    for depth, layer in enumerate(view.module.kan_layers):
        size = int((layer.spline_mask != 0).any(0).sum()) * (layer.spec.size + 1)
        if size > LARGEST_SYSTEM:
            raise ModelError(
                f"layer {depth} has {size} basis functions, the largest system of equations solved here has "
                f"{LARGEST_SYSTEM}; prune more first, or use fine_tune"
            )
    return view.module


def _positions(view: ModelView, source: ModelView) -> list[list[int]]:
    """Where the nodes of layers 1..L that are left stand in the unpruned head."""
    if len(view.layers) != len(source.layers):
        raise ModelError(
            f"the pruned KAN has {len(view.layers)} layers, the original {len(source.layers)}; give the model it was "
            "pruned from"
        )
    found = []
    for depth, (ids, known) in enumerate(zip(view.node_ids[1:], source.node_ids[1:], strict=True), 1):
        places = {original: place for place, original in enumerate(known)}
        missing = [i for i in ids if i not in places]
        if missing:
            raise ModelError(
                f"nodes {missing[:8]} of layer {depth} are not in the original, which has "
                f"{len(known)} nodes there; give the model it was pruned from"
            )
        found.append([places[i] for i in ids])
    return found


def _refitted(
    layers: Sequence[KANLayer],
    start: int,
    rows: _Rows,
    *,
    source: ModelView,
    wanted: list[list[int]],
    ridge: float,
) -> list[KANLayer]:
    """The layers, from ``start`` on refitted one after the other."""
    new = [copy.deepcopy(layer) for layer in layers]
    for depth in range(start, len(new)):
        system = _System(new[depth])
        for x, intact in rows:
            for block, whole in _blocks(x, intact, system.size):
                values = source.activations(whole)[depth + 1][:, wanted[depth]]
                system.add(_through(new[:depth], block), values)
        system.solve(ridge)
    return new


def _squared_error(layers: Sequence[KANLayer], source: ModelView, rows: _Rows) -> tuple[float, int]:
    total, count = 0.0, 0
    for x, intact in rows:
        gap = _through(layers, x).double() - source.activations(intact)[-1].double()
        total += float((gap**2).sum())
        count += len(x)
    return total, count


def _through(layers: Sequence[KANLayer], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _blocks(x: Tensor, intact: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    step = max(1, BLOCK_VALUES // size)
    for start in range(0, len(x), step):
        yield x[start : start + step], intact[start : start + step]


class _System:
    """Normal equations of one layer: all its nodes share the Gram matrix of the basis; formulas stay as they are."""

    def __init__(self, layer: KANLayer) -> None:
        self.layer = layer
        self.live = (layer.spline_mask != 0).any(0).nonzero().flatten()
        self.size = len(self.live) * (layer.spec.size + 1) + 1
        device = layer.weight.device
        self._gram = torch.zeros(self.size, self.size, dtype=torch.float64, device=device)
        self._moment = torch.zeros(self.size, layer.out_features, dtype=torch.float64, device=device)

    def add(self, x: Tensor, values: Tensor) -> None:
        """Add rows: inputs of the layer (n, in), and what its nodes should be (n, out)."""
        if self.layer.formulas is not None:  # which stay as they are
            values = values.double() - self.layer.formulas(x.double(), self.layer.mask).detach()
        planes = self.layer.basis(x.double())[..., self.live].flatten(1)
        design = torch.cat((planes, planes.new_ones(len(x), 1)), 1)
        self._gram += design.T @ design
        self._moment += design.T @ values.double()

    def solve(self, ridge: float) -> None:
        """Put the solution into the layer; nodes with the same live inputs are solved together."""
        layer = self.layer
        patterns: dict[tuple[bool, ...], list[int]] = {}
        for node, row in enumerate((layer.spline_mask[:, self.live] != 0).tolist()):
            patterns.setdefault(tuple(row), []).append(node)
        weight = layer.weight.detach().double()[..., self.live]
        for pattern, nodes in patterns.items():
            alive = torch.tensor(pattern, dtype=torch.bool, device=weight.device)
            columns = torch.cat((alive.expand(weight.shape[1], -1).flatten(), alive.new_ones(1)))
            now = torch.cat((weight[nodes].flatten(1), layer.bias.detach().double()[nodes, None]), 1)[:, columns].T
            step = _solved(self._gram[columns][:, columns], self._moment[columns][:, nodes], now, ridge)
            self._move(nodes, self.live[alive], (now + step).T)

    def _move(self, nodes: list[int], inputs: Tensor, solution: Tensor) -> None:
        places = torch.tensor(nodes, device=inputs.device)
        planes = solution[:, :-1].reshape(len(nodes), self.layer.weight.shape[1], len(inputs))
        with torch.no_grad():
            rows = self.layer.weight[places]
            rows[..., inputs] = planes.to(rows.dtype)
            self.layer.weight[places] = rows
            self.layer.bias[places] = solution[:, -1].to(self.layer.bias.dtype)


def _solved(gram: Tensor, moment: Tensor, now: Tensor, ridge: float) -> Tensor:
    """Step from the present coefficients that minimises squared error + ridge x squared step; the bias is free."""
    weight = gram.diagonal().clone()
    weight = ridge * weight + TINY * weight.max()
    weight[-1] = 0.0
    step: Tensor = torch.linalg.solve(gram + weight.diag(), moment - gram @ now)
    return step
