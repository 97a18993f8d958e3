"""`would_bend`: whether straight edges bend once their grid lies where the data are, tried on a copy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.adapters import as_view
from kaninterp.analysis.attribution import strength
from kaninterp.analysis.straightness import layer_straightness
from kaninterp.core import Estimate, ModelError, Trace
from kaninterp.core.errors import DataError
from kaninterp.core.evidence import OUTPUT_CHANGE
from kaninterp.core.frozen import Array
from kaninterp.data import Batch, Batches, check_seed, preserved_rng
from kaninterp.measure import trace
from kaninterp.measure.bootstrap import BlockBootstrap, block_of
from kaninterp.measure.host import outputs, untouched
from kaninterp.measure.losses import row_losses
from kaninterp.measure.straightened import Place, straightened
from kaninterp.nn import KANHead
from kaninterp.nn.gradients import with_gradients
from kaninterp.nn.moving import still
from kaninterp.nn.regrid import regrid, wanted_grid
from kaninterp.pruning.held_out import Parts, parts_of
from kaninterp.training import fit
from kaninterp.workflows.bend_trial import BendTrial, EdgeTrial, digest_of

__all__ = ["would_bend"]

EPOCHS = 30
ROWS = 2000
"""Held-out rows used at most."""
STEPS = ("grid", "with the new grid", "with the old grid", "judging")


@with_gradients
def would_bend(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    held_out: Any = None,
    feature_names: Sequence[str] | None = None,
    loss: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    epochs: int = EPOCHS,
    lr: float | None = None,
    backbone: bool = False,
    path: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> BendTrial:
    """Try on a copy whether edges that look like y = x bend with a grid that lies where the data are.

    The grid of every KAN layer is moved to the data in whole cells, which keeps every function as it was inside its old
    domain, and fine enough that data see as many intervals as the old grid had. The copy is then trained a little;
    beside it another one with the old grid, so that training alone is not taken for the grid. Rows that neither has
    seen judge.

    Parameters
    ----------
    model : nn.Module
        With one `KANHead`; left bit-identical until `BendTrial.apply`.
    data, target, feature_names, path
        As for `trace`, with a target.
    held_out
        Data in the same form that judge. None: the last fifth of ``data``, in time order.
    loss : str, callable or None
        As for `kaninterp.fit`.
    epochs, lr
        Of the training of both copies, see `kaninterp.fit`.
    backbone : bool
        Train everything; False: the head only.
    seed : int
        Of shuffling and of the bootstrap; global generators are not touched.
    progress : bool
        Show a progress bar.

    Returns
    -------
    BendTrial

    Raises
    ------
    ModelError
        The KAN is no `KANHead`.
    DataError
        No target, or too few rows to hold a fifth of them out.
    KanInterpError
        As for `trace` and `fit`.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> x = torch.linspace(-0.1, 0.1, 600)[torch.randperm(600, generator=torch.Generator().manual_seed(0)), None]
    >>> head = ki.KANHead(1, 1, domain=(-1, 1), noise=0.0, generator=torch.Generator().manual_seed(0))
    >>> trial = ki.would_bend(head, (x, torch.sin(40 * x)), lr=0.03, progress=False)
    >>> trial.edges[0].verdict, head.kan_layers[0].grid
    ('bends', 5)
    >>> trial.apply().kan_layers[0].grid
    5
    """
    check_seed(seed)
    view = as_view(model, path)
    head = _checked(view.module)
    parts = parts_of(model, data, target=target, held_out=held_out, feature_names=feature_names)
    if parts.train.first.target is None:
        raise DataError("would_bend trains a copy and needs a target; give (X, y), or target= its column")
    options: dict[str, Any] = {"loss": loss, "epochs": epochs, "lr": lr, "seed": seed, "progress": False}
    with tqdm(total=len(STEPS), desc="would bend", leave=False, delay=1.0, disable=not progress) as bar:
        first = trace(model, parts.train, path=path, progress=False)
        new, grid = _moved(model, head, first, path)
        shift = _shift(model, new, parts.train)
        copies = {"new": new, "old": copy.deepcopy(model)}
        bar.update()
        for name in ("new", "old"):
            _trained(copies[name], parts, backbone=backbone, path=path, options=options)
            bar.update()
        trial = _judged(model, copies, parts, path=path, loss=loss, seed=seed)
        bar.update()
    return BendTrial(
        **trial, moved=shift, grid=(head.options["grid"], grid), model=new, _given=(model, digest_of(model), path)
    )


def _checked(module: nn.Module) -> KANHead:
    if not isinstance(module, KANHead):
        raise ModelError(
            f"would_bend moves the grids of a KANHead, the KAN of this model is a {type(module).__name__}; put "
            "kaninterp.from_kan(model) in its place first"
        )
    return module


def _moved(model: nn.Module, head: KANHead, seen: Trace, path: str | None) -> tuple[nn.Module, int]:
    """A copy with grids where the data are, and its number of intervals."""
    layers = head.kan_layers
    weight = layers[0].weight
    options: dict[str, Any] = {"dtype": torch.float64, "device": weight.device}
    ranges = [
        (torch.tensor(layer.inputs.low, **options), torch.tensor(layer.inputs.high, **options)) for layer in seen.layers
    ]
    grid = wanted_grid(layers, ranges)
    new = copy.deepcopy(model)
    inner: Any = as_view(new, path).module
    inner.layers = nn.ModuleList(
        regrid(layer, low, high, grid=grid) for layer, (low, high) in zip(layers, ranges, strict=True)
    )
    inner.options["grid"] = grid
    return new, grid


def _shift(model: nn.Module, new: nn.Module, rows: Batches) -> float:
    batch = _some(rows)
    with untouched(model), untouched(new):
        before, after = outputs(model, batch).double(), outputs(new, batch).double()
    spread = float(before.std(0, unbiased=False).square().mean().sqrt())
    gap = float((after - before).square().mean().sqrt())
    return gap / spread if spread else gap


def _some(rows: Batches) -> Batch:
    with preserved_rng():
        return rows.sample(ROWS)


def _trained(model: nn.Module, parts: Parts, *, backbone: bool, path: str | None, options: dict[str, Any]) -> None:
    """Train the head, or all, on the training rows; grids stay, and so does all of a backbone, its buffers too."""
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    head = as_view(model, path)
    prefix = f"{head.path}." if head.path else ""
    before = {n: copy.deepcopy(t) for n, t in model.state_dict().items() if not n.startswith(prefix)}
    if not backbone:
        model.requires_grad_(False)
        head.module.requires_grad_(True)
    with still(model):
        fit(model, parts.train, domain_updates=0.0, **options)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(flags[name])
    if not backbone:
        model.load_state_dict(before, strict=False)


def _judged(
    model: nn.Module, copies: dict[str, nn.Module], parts: Parts, *, path: str | None, loss: Any, seed: int
) -> dict[str, Any]:
    """Losses and edges on held-out rows."""
    models = (model, copies["old"], copies["new"])
    traces = [trace(one, parts.held, path=path, progress=False) for one in models]
    batch = _some(parts.held)
    boot = BlockBootstrap(batch.n_rows, block_of(batch, parts.held), np.random.default_rng(seed))
    rows = []
    for one in models:
        with untouched(one):
            output = outputs(one, batch)
        score, name = row_losses(loss, batch.target, output)
        rows.append(score(output))
    before, control, after = (boot.estimate(values) for values in rows)
    edges = _edges(traces, copies["new"], batch, boot, path=path, loss=loss)
    return {"edges": edges, "loss": name, "losses": (before, control, after), "gain": boot.estimate(rows[1] - rows[2])}


def _edges(
    traces: list[Trace], new: nn.Module, batch: Batch, boot: BlockBootstrap, *, path: str | None, loss: Any
) -> tuple[EdgeTrial, ...]:
    straight, sizes = [layer_straightness(t) for t in traces], [strength(t) for t in traces]
    places: list[Place] = [
        (depth, int(dst), int(src))
        for depth, layer in enumerate(straight[0])
        for dst, src in np.argwhere(layer.straight)
    ]
    rises, name = straightened(new, batch, places, loss=loss, path=path)
    found = []
    for (depth, dst, src), rise in zip(places, rises, strict=True):
        r2 = tuple(float(layers[depth].linear_r2[dst, src]) for layers in straight)
        paid = _paid(boot, rise, batch.n_rows)
        table, old = traces[2].layers[depth].edges, traces[0].layers[depth].edges
        x = table.curve_x[src]
        found.append(
            EdgeTrial(
                layer=depth,
                dst=dst,
                src=src,
                name=f"{traces[0].node_name(depth, src)} -> {traces[0].node_name(depth + 1, dst)}",
                cause=straight[0][depth].cause[dst][src],
                linear_r2=(r2[0], r2[1], r2[2]),
                strength=tuple(float(layers[depth][dst, src]) for layers in sizes),  # type: ignore[arg-type]
                rise=paid,
                verdict=_verdict(straight[2][depth].cause[dst][src], paid, measured=name != OUTPUT_CHANGE),
                x=x,
                before=np.interp(x, old.curve_x[src], old.curves[dst, src]) - old.mean[dst, src],
                after=table.curves[dst, src] - table.mean[dst, src],
            )
        )
    return tuple(found)


def _paid(boot: BlockBootstrap, rise: Array, rows: int) -> Estimate:
    """Mean rise with an interval over rows of the data; it is open where no row of the data has a rise of its own."""
    if len(rise) != rows:
        return Estimate(value=float(rise.mean()), low=-np.inf, high=np.inf)
    return boot.estimate(rise)


def _verdict(cause: str, rise: Estimate, *, measured: bool) -> str:
    """Of an edge after training; ``cause`` of its being straight, "" for a curve."""
    if cause:
        return "stays straight"
    if not measured or np.isinf(rise.low):
        return "not clear"
    return "bends" if rise.low > 0 else "not proven"
