"""`fit_kan`: pykan's training call carried out by `kaninterp.fit`, with its table of losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kaninterp.adapters.contract import evaluating
from kaninterp.core.errors import InputError
from kaninterp.data import preserved_rng
from kaninterp.nn import KANHead
from kaninterp.nn.calibration import seen_range
from kaninterp.nn.head import read_columns
from kaninterp.nn.losses import RowLoss, resolve_loss
from kaninterp.nn.penalty import coefficient_penalty
from kaninterp.training import Sparsity, fit
from kaninterp.training.domains import is_off

from .spelling import index, optimizer_named, parts_of, penalty_weights

__all__ = ["GridUpdates", "Results", "as_head", "fit_kan", "root_loss", "row_loss"]

Results = dict[str, list[float]]

LBFGS_ITERATIONS = 20
"""Iterations of L-BFGS in one of pykan's steps (torch's own default, which pykan leaves as it is)."""
WHOLE_DATA = -1
"""pykan's ``batch`` for all rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridUpdates:
    """When grids follow their inputs: before every `every`-th step, up to step `until`.

    Before the first step they do so only if the training rows do not fit the domains of the first layer.
    """

    every: int
    until: int

    @classmethod
    def of(cls, update_grid: bool, number: object, until: object) -> GridUpdates:
        """Read pykan's arguments ``update_grid``, ``grid_update_num``, ``stop_grid_update_step``."""
        times, last = index("grid_update_num", number), index("stop_grid_update_step", until)
        if times < 1 or last < 0:
            raise InputError(
                f"grid_update_num={times}, stop_grid_update_step={last}: expected 1 update or more, step 0 or later "
                "(update_grid=False turns updates off)"
            )
        return cls(every=max(1, last // times), until=last if update_grid else 0)

    def options(self, steps: int, epochs: int, *, at_any: bool) -> dict[str, Any]:
        """Say it to `kaninterp.fit`, whose updates come after an epoch; none after the last one.

        `at_any`: after any step of those up to `until`, for an optimiser that needs no curvature of steps before.
        """
        until = min(self.until, steps)
        if at_any:
            return {"domain_updates": until / steps}
        return {
            "domain_updates": max(0.0, until - 1.5) / steps,  # halfway between two epochs: no rounding decides
            "domain_every": max(1, round(self.every * epochs / steps)),
        }


def fit_kan(
    head: KANHead,
    dataset: Any,
    *,
    opt: str,
    steps: int,
    lambdas: tuple[float, float, float, float, float],
    grid: GridUpdates,
    loss_fn: Callable[[Tensor, Tensor], Tensor] | None,
    lr: float | None,
    batch: int,
    metrics: Sequence[Callable[[], Any]],
    after_step: Callable[[int], object] | None,
    seed: int,
    progress: bool,
) -> Results:
    """Train a head in place and give the losses after every step.

    Parameters
    ----------
    head
        Trained in place; it has the weights of the last step then.
    dataset
        As `kaninterp.compat.create_dataset` makes it; the test part is only reported on.
    opt, steps, lr, batch, loss_fn
        As for `kaninterp.compat.KAN.fit`.
    lambdas
        lamb, lamb_l1, lamb_entropy, lamb_coef, lamb_coefdiff.
    grid
        When domains follow their inputs.
    metrics
        Functions without arguments, called after every step; their values are kept under their names.
    after_step
        Called with the number of the step, from 0.
    seed
        Of the order of the rows.
    progress
        Show a bar.

    Returns
    -------
    dict of list of float
        ``train_loss``, ``test_loss`` (square roots of the mean losses after the step), ``reg`` (the penalty without
        ``lamb``), and one list per metric.
    """
    optimizer, parts = optimizer_named(opt), parts_of(dataset)
    steps, batch = index("steps", steps), index("batch", batch)
    if steps < 1 or (batch < 1 and batch != WHOLE_DATA):
        raise InputError(f"steps={steps}, batch={batch}: expected 1 step or more, and 1 row or more or -1 for all")
    weights = penalty_weights(*lambdas)
    parts = {name: as_head(part, head) for name, part in parts.items()}
    rows = len(parts["train_input"])
    size = rows if batch == WHOLE_DATA else min(batch, rows)
    epochs = steps if optimizer != "adam" else max(1, round(steps * size / rows))
    names = [getattr(metric, "__name__", f"metric_{number}") for number, metric in enumerate(metrics)]
    results: Results = {name: [] for name in ("train_loss", "test_loss", "reg", *names)}
    loss = row_loss(loss_fn)
    coefficients = weights["head"] > 0 and (weights["size"] > 0 or weights["step"] > 0)
    if coefficients and optimizer == "lm":
        raise InputError(
            "lamb_coef, lamb_coefdiff with opt='LM': its steps are for squared errors and the penalty of edges; use "
            "lamb_l1 and lamb_entropy, or opt='LBFGS'"
        )

    def after(_: object) -> None:
        with evaluating(head):
            report()

    def report() -> None:
        results["train_loss"].append(root_loss(head, parts["train_input"], parts["train_label"], loss))
        if "test_input" in parts:
            results["test_loss"].append(root_loss(head, parts["test_input"], parts["test_label"], loss))
        with torch.no_grad():
            edges = head.penalty(edge=weights["edge"], entropy=weights["entropy"])
            results["reg"].append(float(edges + _of_coefficients(head, weights)))
        with preserved_rng():
            for name, metric in zip(names, metrics, strict=True):
                value = metric()
                results[name].append(float(value.detach() if torch.is_tensor(value) else value))
            if after_step is not None:
                after_step(len(results["reg"]) - 1)

    with _unseen(head), _fitting(head, parts["train_input"] if grid.until else None, lambda: bool(results["reg"])):
        fit(
            head,
            (parts["train_input"], parts["train_label"]),
            validation=None,
            epochs=epochs,
            batch_size=size,
            optimizer=optimizer,
            lr=lr,
            schedule="constant",
            clip=None,
            lbfgs_steps=LBFGS_ITERATIONS,
            loss=_with_coefficients(loss, head, weights) if coefficients else None if loss_fn is None else loss,
            sparsity=_sparsity(weights),
            **grid.options(steps, epochs, at_any=optimizer == "lm"),
            seed=seed,
            on_epoch=after,
            progress=progress,
        )
    return results


def as_head(part: Tensor, head: KANHead) -> Tensor:
    """Data on the head's device and, unless they are whole numbers, in its number type."""
    like = head.kan_layers[0].weight
    return part.to(like) if part.is_floating_point() else part.to(like.device)


def row_loss(loss_fn: Callable[[Tensor, Tensor], Tensor] | None) -> RowLoss:
    """One loss per row, also where a function of the user gives the mean of all rows at once."""
    if loss_fn is None or isinstance(loss_fn, torch.nn.Module):
        return resolve_loss(loss_fn)

    def rows(output: Tensor, target: Tensor) -> Tensor:
        value = loss_fn(output, target)
        return value.expand(len(output)) if value.ndim == 0 else value.reshape(len(output), -1).mean(1)

    return rows


def root_loss(head: KANHead, x: Tensor, y: Tensor, loss: RowLoss) -> float:
    """Square root of the mean loss, in eval mode."""
    with evaluating(head), torch.no_grad():
        return float(loss(head(x), y).mean().clamp(min=0.0).sqrt())


@contextmanager
def _unseen(head: KANHead) -> Iterator[None]:
    """Forget the ranges of what was run through the head in train mode: domains follow the training rows alone."""
    before = [layer.seen.clone() for layer in head.kan_layers]
    for layer in head.kan_layers:
        layer.seen[0], layer.seen[1] = torch.inf, -torch.inf
    try:
        yield
    except BaseException:
        for layer, seen in zip(head.kan_layers, before, strict=True):
            layer.seen.copy_(seen)
        raise


@contextmanager
def _fitting(head: KANHead, rows: Tensor | None, begun: Callable[[], bool]) -> Iterator[None]:
    """Move domains that do not fit the training rows before the first step; undone if an error comes before `begun`."""
    before = {key: value.detach().clone() for key, value in head.state_dict().items()}
    if rows is not None and rows.is_floating_point() and bool(rows.isfinite().all()):
        _move_domains(head, read_columns(head, rows))
    try:
        yield
    except BaseException:
        if not begun():
            head.load_state_dict(before)
        raise


@torch.no_grad()
def _move_domains(head: KANHead, rows: Tensor) -> None:
    """Move the domains of all layers that are off, function preserving, if those of the first are."""
    layers = head.kan_layers
    if not bool(layers[0].calibrated):
        return  # the first batch sets them
    for depth, layer in enumerate(layers):
        seen = layer.seen.clone()
        layer.seen.copy_(torch.stack(seen_range(layers[:depth], [rows])))
        off = is_off(layer)
        if off:
            layer.update()
        layer.seen.copy_(seen)
        if not off and depth == 0:
            return


def _of_coefficients(head: KANHead, weights: dict[str, float]) -> Tensor:
    terms = [coefficient_penalty(layer, size=weights["size"], step=weights["step"]) for layer in head.kan_layers]
    return torch.stack(terms).sum()


def _with_coefficients(loss: RowLoss, head: KANHead, weights: dict[str, float]) -> RowLoss:
    """The loss of every row and, on each of them, the penalty of the coefficients: its mean is the sum of both."""
    return lambda output, target: loss(output, target) + weights["head"] * _of_coefficients(head, weights)


def _sparsity(weights: dict[str, float]) -> Sparsity | None:
    """The whole penalty from the first epoch that may have one to the last; no other push."""
    if not weights["head"]:
        return None
    return Sparsity(
        head=weights["head"], edge=weights["edge"], entropy=weights["entropy"], inputs=0.0, warmup=0.0, ramp=0.0,
        debias=0.0,
    )  # fmt: skip
