"""The epochs of one training run, with everything that must survive being killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.core.errors import FileFormatError, StateError
from kaninterp.nn.head import KANHead
from kaninterp.training.checkpoint import Checkpoint, random_states, restore_random_states
from kaninterp.training.domains import effective_edges, follow_inputs
from kaninterp.training.feeds import Feeds
from kaninterp.training.gradients import column_gradients
from kaninterp.training.objective import Objective
from kaninterp.training.options import FitOptions
from kaninterp.training.sparsity import InputShrinkage, RawColumns
from kaninterp.training.stepping import Stepper

__all__ = ["Run", "repeat"]

State = dict[str, Tensor]
Row = dict[str, float | str]


class Run:
    """A run between two epochs; `advance` makes the next one.

    Attributes
    ----------
    epoch : int
        Epochs finished.
    history : list of dict
        One row for each.
    best_epoch, best_loss
        The best epoch (from 1) of those with the final objective; 0 and infinity before the first of them.
    stopped : str
        "" while there is more to do.
    """

    def __init__(
        self,
        model: nn.Module,
        options: FitOptions,
        *,
        feeds: Feeds,
        objective: Objective,
        stepper: Stepper,
        heads: tuple[KANHead, ...],
        raw: RawColumns | None,
        shrinkage: InputShrinkage | None,
        generator: torch.Generator,
    ) -> None:
        self.model, self.options, self.feeds = model, options, feeds
        self.raw = raw
        self._objective, self._stepper, self._heads = objective, stepper, heads
        self._shrinkage, self._generator = shrinkage, generator
        self.epoch = 0
        self.history: list[Row] = []
        self.best_epoch, self.best_loss = 0, float("inf")
        self.stopped = ""
        self._best: State | None = None
        self._extent = (0, 0)  # rows and steps of an epoch
        self._settled = 0 if options.sparsity is None else options.sparsity.settled(options.epochs)

    def advance(self) -> Row:
        """Train one epoch, follow the domains, validate, and keep the best weights."""
        began = time.perf_counter()
        epoch, epochs = self.epoch, self.options.epochs
        lr = self.options.rate(epoch, self._stepper.start_lr)
        self._objective.begin_epoch(epoch, epochs)
        with self._safely():
            self._push_inputs(epoch, lr)
            stats = self._stepper.epoch(self.feeds, self._generator, lr=lr)
            if self.options.follows(epoch, epochs) and follow_inputs(self._heads):
                self._stepper.domains_moved()
            held_out = self._objective.mean_loss(self.feeds.validation())
        self._extent = stats.rows, stats.steps
        self._judge(stats.loss if self.feeds.held_out is None else held_out)
        row: Row = {
            "epoch": epoch + 1,
            "phase": "train" if self.options.sparsity is None else self.options.sparsity.phase(epoch, epochs),
            "train_loss": stats.loss,
            "penalty": stats.penalty,
            "validation_loss": held_out,
            "lr": lr,
            "grad_norm": stats.grad_norm,
            "inputs_alive": float("nan") if self.raw is None else int(self.raw.alive().sum()),
            "edges": effective_edges(self._heads),
            "seconds": time.perf_counter() - began,
        }
        self.history.append(row)
        self.epoch += 1
        if not self.stopped and self._stepper.converged and self.epoch > self._settled:
            self.stopped = "converged"
        if not self.stopped and self.epoch == epochs:
            self.stopped = "epochs"
        return row

    def restore_best(self) -> None:
        """Give the model the weights of the best epoch."""
        if self._best is not None:
            self.model.load_state_dict(self._best)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "epoch": self.epoch,
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "stopped": self.stopped,
            "extent": self._extent,
            "best": self._best,
            "model": dict(self.model.state_dict()),
            "optimizer": self._stepper.optimizer.state_dict(),
            "shrinkage": None if self._shrinkage is None else self._shrinkage.state_dict(),
            "generator": self._generator.get_state(),
            "random": random_states(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; the model is left alone if that is impossible.

        Raises
        ------
        FileFormatError
            The state is not that of a run of this model.
        """
        before = _copied(self.model.state_dict())
        try:
            self._load(state)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            self.model.load_state_dict(before)
            if isinstance(error, FileFormatError):
                raise
            raise FileFormatError(f"the checkpoint is damaged or of another model: {error}") from error

    def _load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        if state["best"] is not None:
            _check_same_tensors(state["best"], state["model"])
        self._stepper.optimizer.load_state_dict(state["optimizer"])
        if self._shrinkage is not None:
            self._shrinkage.load_state_dict(state["shrinkage"])
        self._generator.set_state(state["generator"])
        restore_random_states(state["random"])
        self._best = state["best"]
        self.epoch, self.history = int(state["epoch"]), list(state["history"])
        self.best_epoch, self.best_loss = int(state["best_epoch"]), float(state["best_loss"])
        self.stopped = str(state["stopped"])
        self._extent = int(state["extent"][0]), int(state["extent"][1])

    def _push_inputs(self, epoch: int, lr: float) -> None:
        """Turn to this epoch's phase of input sparsity."""
        sparsity, shrinkage, epochs = self.options.sparsity, self._shrinkage, self.options.epochs
        if sparsity is None or shrinkage is None:
            return
        ramp, _, debias = sparsity.bounds(epochs)
        rates = [self.options.rate(e, self._stepper.start_lr) for e in range(epochs)]
        if epoch == ramp:
            to_come = sum(rates[e] * sparsity.push(e, epochs) for e in range(ramp, debias))
            rows, steps = self._extent
            self._stepper.take_pilot(self.feeds, rows=rows, steps=steps, rates=to_come)
        if epoch == debias and not self.options.full_batch:
            shrinkage.settle(lr=rates[epoch - 1])
        if epoch == sparsity.recall(epochs):
            means, errors = column_gradients(self.model, self._objective, self.feeds, shrinkage)
            if shrinkage.recall(means=means, errors=errors):
                self._stepper.domains_moved()
        shrinkage.begin_epoch(epoch, epochs, lr=lr)

    def _judge(self, loss: float) -> None:
        """Keep the weights if they are the best so far; stop if there have been none for too long."""
        if self.epoch < self._settled:
            return
        if loss < self.best_loss or self._best is None or self.feeds.held_out is None:
            # without validation nothing says that an earlier epoch was better than the last one
            self.best_loss, self.best_epoch = loss, self.epoch + 1
            self._best = _copied(self.model.state_dict())
        patience = self.options.patience
        if patience is not None and self.epoch + 1 - self.best_epoch >= patience:
            self.stopped = "patience"

    @contextmanager
    def _safely(self) -> Iterator[None]:
        """Whatever goes wrong in an epoch, the model goes back to the weights before it."""
        before = _copied(self.model.state_dict())
        try:
            yield
        except StateError as error:
            self.model.load_state_dict(before)
            raise StateError(
                f"epoch {self.epoch + 1}: {error} The model has the weights of the epoch before."
            ) from error
        except BaseException:  # an interrupt, too
            self.model.load_state_dict(before)
            raise


def repeat(run: Run, checkpoint: Checkpoint | None, watch: Callable[[Row], None]) -> None:
    """Advance a run to its end, saving after every epoch."""
    while not run.stopped:
        row = run.advance()
        if checkpoint is not None:
            checkpoint.save(run.state_dict())
        watch(row)


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value.detach().clone() if isinstance(value, Tensor) else value for key, value in state.items()}


def _check_same_tensors(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    shapes = [{k: getattr(v, "shape", None) for k, v in state.items()} for state in (found, wanted)]
    if shapes[0] != shapes[1]:
        raise FileFormatError("the checkpoint is damaged: its best weights are not those of its model.")
